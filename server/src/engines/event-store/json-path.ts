/**
 * JSONPath, the small dialect that meters use to point into an event's `data`, and its evaluation over a JSON document.
 *
 *     path  = "$" 1*step
 *     step  = "." name | "." dq-string | "[" string "]"
 *           | "[" index *("," index) "]" | "[" index " to " index "]" | "[*]"
 *     name  = 1*(ASCII letter | digit | "_" | "-" | any code point from U+0080)
 *     index = 0 | 1-9 *digit
 *
 * Everything else (`$` alone, `..`, wildcard names, negative indexes, filters, functions) is invalid, so that a path
 * means the same in SQL and here. A number is never read as a double: the document keeps the source text of every
 * number token.
 *
 * Invariants: parsing is a function of the text alone; a parsed path has 1 to 64 steps; every step name is well-formed
 * Unicode and not empty.
 */

export type PathStep =
  | { readonly kind: "name"; readonly name: string }
  /** `[i,j]`: the elements in the written order. */
  | { readonly kind: "indexes"; readonly indexes: readonly number[] }
  /** `[a to b]`, inclusive. */
  | { readonly kind: "range"; readonly from: number; readonly to: number }
  /** `[*]` */
  | { readonly kind: "all" };

export interface JsonPath {
  /** The path as written, without leading and trailing blanks. */
  readonly text: string;
  readonly steps: readonly PathStep[];
}

/** A JSON value that keeps what a double would lose: `token` is the number exactly as the document spells it. */
export type JsonNode =
  | { readonly kind: "string"; readonly text: string }
  | { readonly kind: "number"; readonly token: string }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "null" }
  | { readonly kind: "array"; readonly items: readonly JsonNode[] }
  | { readonly kind: "object"; readonly members: ReadonlyMap<string, JsonNode> };

/** What a path yields: a scalar, an object or array ("complex"), or nothing. */
export type Resolution = JsonNode | { readonly kind: "missing" };

const MAX_PATH_LENGTH = 1024;
const MAX_STEPS = 64;

/**
 * Larger indexes are read as this one: no array of an event that fits into memory has so many elements, so the result
 * is *missing* either way, and every index fits a 32-bit integer wherever it is bound.
 */
const MAX_INDEX = 2 ** 31 - 1;

const BLANKS_AROUND = /^[ \t\r\n]+|[ \t\r\n]+$/g;
const NAME = /\.([A-Za-z0-9_\-\u{80}-\u{10FFFF}]+)/uy;
const QUOTED_NAME = /\.("(?:[^"\\]|\\["'\\])+")/uy;
const QUOTED_MEMBER = /\[("(?:[^"\\]|\\["'\\])+"|'(?:[^'\\]|\\["'\\])+')\]/uy;
const INDEXES = /\[((?:0|[1-9][0-9]*)(?:,(?:0|[1-9][0-9]*))*)\]/uy;
const RANGE = /\[(0|[1-9][0-9]*) to (0|[1-9][0-9]*)\]/uy;
const ALL = /\[\*\]/uy;

/**
 * Parses a path. Blanks (space, tab, line breaks) around the whole path are ignored; the rest is strict. Returns null
 * for text that is not a path, is longer than 1024 characters, has more than 64 steps or holds a lone surrogate.
 */
export function parseJsonPath(text: string): JsonPath | null {
  const path = text.replace(BLANKS_AROUND, "");
  if (path.length > MAX_PATH_LENGTH || !path.startsWith("$") || !path.isWellFormed()) return null;
  const steps: PathStep[] = [];
  let position = 1;
  while (position < path.length) {
    const parsed = parseStep(path, position);
    if (parsed === null || steps.length === MAX_STEPS) return null;
    steps.push(parsed.step);
    position = parsed.end;
  }
  return steps.length === 0 ? null : { text: path, steps };
}

function parseStep(path: string, position: number): { readonly step: PathStep; readonly end: number } | null {
  const name = match(NAME, path, position);
  if (name) return { step: { kind: "name", name: name[1] ?? "" }, end: position + name[0].length };
  const quoted = match(QUOTED_NAME, path, position) ?? match(QUOTED_MEMBER, path, position);
  if (quoted) return { step: { kind: "name", name: unquote(quoted[1] ?? "") }, end: position + quoted[0].length };
  const indexes = match(INDEXES, path, position);
  if (indexes) {
    const list = (indexes[1] ?? "").split(",").map(parseIndex);
    return { step: { kind: "indexes", indexes: list }, end: position + indexes[0].length };
  }
  const range = match(RANGE, path, position);
  if (range) {
    const step = { kind: "range", from: parseIndex(range[1] ?? ""), to: parseIndex(range[2] ?? "") } as const;
    return { step, end: position + range[0].length };
  }
  const all = match(ALL, path, position);
  return all && { step: { kind: "all" }, end: position + all[0].length };
}

function match(pattern: RegExp, path: string, position: number): RegExpExecArray | null {
  pattern.lastIndex = position;
  return pattern.exec(path);
}

function unquote(quoted: string): string {
  return quoted.slice(1, -1).replace(/\\(.)/gu, "$1");
}

function parseIndex(digits: string): number {
  return Math.min(Number(digits), MAX_INDEX);
}

/**
 * Reads a JSON document. Of duplicate names the last one counts; lone surrogates, which UTF-8 cannot hold, become
 * U+FFFD. Throws `SyntaxError` when `text` is not JSON.
 */
export function parseDocument(text: string): JsonNode {
  return JSON.parse(text, nodeOf) as JsonNode;
}

/** Turns each value, innermost first, into a node; `context.source` is the spelling of a number in the document. */
function nodeOf(_name: string, value: unknown, context?: { readonly source?: string }): JsonNode {
  if (value === null) return { kind: "null" };
  if (typeof value === "string") return { kind: "string", text: value.toWellFormed() };
  if (typeof value === "boolean") return { kind: "boolean", value };
  if (typeof value === "number") return { kind: "number", token: context?.source ?? String(value) };
  if (Array.isArray(value)) return { kind: "array", items: value as JsonNode[] };
  const members = Object.entries(value as Record<string, JsonNode>);
  return { kind: "object", members: new Map(members.map(([name, member]) => [name.toWellFormed(), member])) };
}

/**
 * Resolves a path. A step that lists several elements tries them in the written order; the first for which the rest of
 * the path yields a scalar wins. Without a scalar the result is the first object or array reached, else *missing*.
 */
export function resolvePath(path: JsonPath, document: JsonNode): Resolution {
  return resolveSteps(path.steps, 0, document);
}

function resolveSteps(steps: readonly PathStep[], depth: number, node: JsonNode): Resolution {
  const step = steps[depth];
  if (step === undefined) return node;
  let complex: Resolution | null = null;
  for (const element of elementsOf(step, node)) {
    const result = resolveSteps(steps, depth + 1, element);
    if (isScalar(result)) return result;
    if (result.kind !== "missing") complex ??= result;
  }
  return complex ?? { kind: "missing" };
}

/** The parts of `node` that a step selects, in the order in which they are tried. */
function elementsOf(step: PathStep, node: JsonNode): readonly JsonNode[] {
  if (step.kind === "name") {
    const member = node.kind === "object" ? node.members.get(step.name) : undefined;
    return member === undefined ? [] : [member];
  }
  if (node.kind !== "array") return [];
  switch (step.kind) {
    case "indexes":
      return step.indexes.flatMap((index) => node.items.slice(index, index + 1));
    case "range":
      return node.items.slice(step.from, step.to + 1);
    case "all":
      return node.items;
  }
}

/** Whether a path resolved to a string, number, boolean or null. */
export function isScalar(node: Resolution): boolean {
  return node.kind !== "missing" && node.kind !== "array" && node.kind !== "object";
}
