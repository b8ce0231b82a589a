/**
 * The sentences that a rejected request answers with.
 *
 * zod's own messages ("Invalid input: expected string, received undefined") name neither the field nor the fix, so this
 * module installs one error map for the process: every message starts with the path of the field and says what to send.
 * A schema that knows better states its own sentence and wins.
 */
import { z } from "@hono/zod-openapi";
import { ExactNumber } from "./exact-number.ts";

/** One offending field of a rejected request, in the shape of `extensions.validationErrors[]`. */
export interface ValidationIssue {
  /** Kind of violation, snake_case: `invalid_type`, `invalid_value`, `too_small`, `too_big`, `invalid_format`, ... */
  readonly code: string;
  /** One sentence: which field, what is wrong, what to send instead. */
  readonly message: string;
  /** JSONPath of the field in the request: `$.slug`, `$[3].subject`, `$.groupBy["a-b"]`; `$` is the whole value. */
  readonly field: string;
}

type Path = readonly PropertyKey[];

function steps(path: Path): string {
  return path
    .map((step) => {
      if (typeof step === "number") return `[${step}]`;
      const name = String(step);
      return /^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
    })
    .join("");
}

/** JSONPath of a zod issue path: `["groupBy", "a-b"]` becomes `$.groupBy["a-b"]`. */
export function fieldPath(path: Path): string {
  return `$${steps(path)}`;
}

function fieldName(path: Path): string {
  const name = steps(path).replace(/^\./, "");
  return name === "" ? "the request" : `"${name}"`;
}

const EXPECTED: Readonly<Record<string, string>> = {
  array: "an array",
  boolean: "true or false",
  int: "a whole number",
  number: "a number",
  object: "an object",
  record: "an object",
  string: "a string",
};

function kindOf(input: unknown): string {
  if (input === null) return "null";
  if (Array.isArray(input)) return "an array";
  if (input instanceof ExactNumber) return "a number of so many digits";
  return typeof input === "object" ? "an object" : `a ${typeof input}`;
}

function boundary(issue: z.core.$ZodRawIssue<z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig>): string {
  const [word, bound] =
    issue.code === "too_small" ? ["at least", Number(issue.minimum)] : ["at most", Number(issue.maximum)];
  if (issue.origin === "string") {
    if (issue.code === "too_small" && bound === 1) return "must not be empty";
    return `must be ${word} ${bound} characters long`;
  }
  if (issue.origin === "array") return `must have ${word} ${bound} items`;
  return `must be ${word} ${bound}`;
}

function describeIssue(issue: z.core.$ZodRawIssue): string {
  const name = fieldName(issue.path ?? []);
  switch (issue.code) {
    case "invalid_type": {
      const expected = EXPECTED[issue.expected] ?? `of type ${issue.expected}`;
      if (issue.input === undefined) return `${name} is missing; send ${expected}`;
      return `${name} must be ${expected}, not ${kindOf(issue.input)}`;
    }
    case "too_small":
    case "too_big":
      return `${name} ${boundary(issue)}`;
    case "invalid_format":
      return `${name} must match ${issue.pattern ?? issue.format}`;
    case "invalid_value":
      return `${name} must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
    case "invalid_key":
      return `${name} is not a valid key: ${issue.issues.map((inner) => inner.message).join("; ")}`;
    case "invalid_union":
      if (Array.isArray(issue["options"])) return `${name} must be one of ${issue["options"].map(String).join(", ")}`;
      return `${name} has none of the accepted shapes`;
    default:
      return `${name} is invalid`;
  }
}

// zod has one process-wide hook for messages, the one its own translations use; it acts only where a schema states none.
z.config({ customError: describeIssue });

type FlatIssue = Exclude<z.core.$ZodIssue, z.core.$ZodIssueInvalidUnion>;

/**
 * Replaces "no alternative matched" by the issues of the alternative that the client most likely meant: the one whose
 * violations lie deepest, because every other one already failed at the outside.
 */
function flatten(issue: z.core.$ZodIssue, prefix: Path): FlatIssue[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== "invalid_union") return [{ ...issue, path }];
  const shallowest = (issues: readonly z.core.$ZodIssue[]): number => Math.min(...issues.map((one) => one.path.length));
  if (issue.errors.length === 0) {
    // No alternative was tried, because the field that tells them apart names none.
    return [{ code: "custom", path, message: issue.message, params: { code: "invalid_value" } }];
  }
  const best = issue.errors.toSorted((left, right) => shallowest(right) - shallowest(left))[0];
  return best?.flatMap((inner) => flatten(inner, path)) ?? [];
}

/** All violations of a failed parse, in the order of the schema; every message names its field. */
export function validationIssues(error: z.ZodError): ValidationIssue[] {
  return error.issues
    .flatMap((issue) => flatten(issue, []))
    .map((issue) => {
      const { message, path } = issue;
      const name = fieldName(path);
      const isNamed = path.length === 0 || message.startsWith(name);
      return { code: codeOf(issue), message: isNamed ? message : `${name}: ${message}`, field: fieldPath(path) };
    });
}

/** A schema's own rule may name its violation, as `params.code`. */
function codeOf(issue: FlatIssue): string {
  const code: unknown = issue.code === "custom" ? issue.params?.["code"] : undefined;
  return typeof code === "string" ? code : issue.code;
}
