/**
 * Decodes the requests of ClickHouse's HTTP interface that `@clickhouse/client` sends: the statement in the body or, when
 * the body is data or a form, in the URL or the form; bound parameters as `param_<name>`; every other URL parameter is a
 * setting.
 *
 * chDB knows settings only per session or in a statement, so settings become a SETTINGS clause: a session's would leak into
 * the statements of others.
 */

import { quoted } from "./binding.ts";

export interface EngineRequest {
  readonly sql: string;
  readonly params: ReadonlyMap<string, string>;
  readonly settings: ReadonlyMap<string, string>;
  /** Whether the body holds the rows of an INSERT rather than the statement. */
  readonly isBodyData: boolean;
}

/** URL parameters that are about the HTTP exchange, or that chDB has no use for. */
const NOT_SETTINGS = new Set([
  "query",
  "query_id",
  "database",
  "session_id",
  "role",
  "default_format",
  "wait_end_of_query",
  "buffer_size",
  "enable_http_compression",
  "send_progress_in_http_headers",
]);

const SETTING_NAME = /^[a-z][a-z0-9_]*$/;
const PARAMETER_PREFIX = "param_";
const INSERT_WITH_DATA =
  /^(\s*INSERT\s+INTO\s+[A-Za-z0-9_.]+(?:\s*\([A-Za-z0-9_,\s]*\))?)\s+FORMAT\s+([A-Za-z0-9]+)\s*$/i;

/** `body` is the whole body, unless the statement is in the URL (then the body is data and is not looked at). */
export function decodeRequest(url: URL, contentType: string | undefined, body: Buffer): EngineRequest {
  const params = new Map<string, string>();
  const settings = new Map<string, string>();
  for (const [name, value] of url.searchParams) {
    if (name.startsWith(PARAMETER_PREFIX)) params.set(name.slice(PARAMETER_PREFIX.length), value);
    else if (!NOT_SETTINGS.has(name)) settings.set(settingName(name), value);
  }
  const inUrl = url.searchParams.get("query");
  if (inUrl !== null) return { sql: inUrl, params, settings, isBodyData: INSERT_WITH_DATA.test(inUrl) };
  const boundary = /^multipart\/form-data; boundary=(.+)$/.exec(contentType ?? "")?.[1];
  if (boundary === undefined) return { sql: body.toString("utf8"), params, settings, isBodyData: false };
  const parts = formParts(body, boundary);
  for (const [name, value] of parts) {
    if (name.startsWith(PARAMETER_PREFIX)) params.set(name.slice(PARAMETER_PREFIX.length), value);
  }
  return { sql: parts.get("query") ?? "", params, settings, isBodyData: false };
}

function settingName(name: string): string {
  if (SETTING_NAME.test(name)) return name;
  throw new Error(
    `Code: 115. DB::Exception: Setting ${name} is neither a builtin setting nor started with the prefix 'SQL_'. (UNKNOWN_SETTING)`,
  );
}

/** The parts of a form that has only plain text parts, as the client writes it. */
function formParts(body: Buffer, boundary: string): ReadonlyMap<string, string> {
  const parts = new Map<string, string>();
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  let start = body.indexOf(`--${boundary}`) + delimiter.length - 2;
  for (let end = body.indexOf(delimiter, start); end >= 0; end = body.indexOf(delimiter, start)) {
    const headerEnd = body.indexOf("\r\n\r\n", start);
    const name = /name="([^"]*)"/.exec(body.toString("utf8", start, headerEnd))?.[1];
    if (name !== undefined) parts.set(name, body.toString("utf8", headerEnd + 4, end));
    start = end + delimiter.length;
  }
  return parts;
}

/** The settings as a clause; empty when there are none. */
export function settingsClause(settings: ReadonlyMap<string, string>): string {
  if (settings.size === 0) return "";
  return `\nSETTINGS ${[...settings].map(([name, value]) => `${name} = ${settingLiteral(value)}`).join(", ")}`;
}

function settingLiteral(value: string): string {
  return /^[0-9]{1,18}$/.test(value) ? value : quoted(value);
}

/** The statement that inserts the rows in the file at `path`, from one that expects them in the body. */
export function insertFromFile(sql: string, path: string, settings: ReadonlyMap<string, string>): string {
  const [, target, format] = INSERT_WITH_DATA.exec(sql) ?? [];
  if (target === undefined || format === undefined) {
    throw new Error("Code: 62. DB::Exception: Syntax error: not an INSERT with data in the body. (SYNTAX_ERROR)");
  }
  return `${target} FROM INFILE ${quoted(path)}${settingsClause(settings)} FORMAT ${format}`;
}
