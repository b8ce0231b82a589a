/**
 * Puts bound parameters into a statement for chDB.
 *
 * chDB binds parameters itself, but only one such statement at a time in the whole process: its parameter state is shared
 * between connections, so a short query would wait for a long one (measured: a 1 ms query waited the full 15 s of another).
 * The engine process therefore binds on its side of the wire, as a server does: each `{name:Type}` becomes a cast of one
 * quoted literal.
 *
 * Invariants: a value reaches the statement only as the inside of a single-quoted literal, in which every backslash and
 * quote is escaped; placeholders inside quotes or comments stay as they are; a placeholder without a value is an error.
 */

import type { Statement } from "../sql/fragment.ts";

/** Quoted text, quoted names and comments are skipped as a whole; the groups are a placeholder's name and type. */
const TOKEN =
  /'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`\\]|\\[\s\S])*`|"(?:[^"\\]|\\[\s\S])*"|--[^\n]*|\/\*[\s\S]*?\*\/|\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*:\s*([A-Za-z0-9_(), ]+?)\s*\}/g;

const LITERAL_ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "'": "\\'",
  "\0": "\\0",
  "\n": "\\n",
  "\r": "\\r",
};

const FIELD_ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  "0": "\0",
  a: "\u0007",
  v: "\u000b",
};

/** Thrown for a statement with a placeholder that has no value; the text is the one ClickHouse gives. */
export class UnboundParameter extends Error {
  override readonly name = "UnboundParameter";

  constructor(parameter: string) {
    super(`Code: 456. DB::Exception: Substitution \`${parameter}\` is not set. (UNKNOWN_QUERY_PARAMETER)`);
  }
}

/** `params` holds the values in the escaped text form in which ClickHouse's HTTP interface takes them. */
export function bindParameters(sql: string, params: ReadonlyMap<string, string>): string {
  return sql.replaceAll(TOKEN, (token, name: string | undefined, type: string | undefined) => {
    if (name === undefined || type === undefined) return token;
    const value = params.get(name);
    if (value === undefined) throw new UnboundParameter(name);
    if (type === "String") return quoted(unescapedField(value));
    return `_CAST(${quoted(value)}, ${quoted(type)})`;
  });
}

/** The same for values as the compiler has them: texts, and lists of texts or whole numbers. */
export function inlineParameters(sql: string, params: Statement["params"]): string {
  return sql.replaceAll(TOKEN, (token, name: string | undefined, type: string | undefined) => {
    if (name === undefined || type === undefined) return token;
    const value = params[name];
    if (value === undefined) throw new UnboundParameter(name);
    if (typeof value === "string") return quoted(value);
    const list = value.map((member) => (typeof member === "number" ? String(member) : quoted(member))).join(",");
    return `_CAST(${quoted(`[${list}]`)}, ${quoted(type)})`;
  });
}

/** A text as an SQL literal. */
export function quoted(text: string): string {
  return `'${text.replaceAll(/[\\'\0\n\r]/g, (character) => LITERAL_ESCAPES[character] ?? character)}'`;
}

/** Undoes the escapes of a tab-separated field; a backslash before any other character stands for that character. */
function unescapedField(field: string): string {
  return field.replaceAll(/\\([\s\S])/g, (_, character: string) => FIELD_ESCAPES[character] ?? character);
}
