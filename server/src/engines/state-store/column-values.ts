/**
 * How SQL values become JavaScript values: one table for both engines, so that a query returns the same types on PGlite
 * and on PostgreSQL by construction.
 *
 * Invariants:
 * 1. Nothing is rounded. `bigint` becomes a `number` only when that is exact, else the query fails; `numeric` stays text;
 *    `timestamptz` becomes an `Instant` without passing through `Date`, which would cut it to milliseconds.
 * 2. A column whose type has no rule fails the query: the drivers' own defaults differ (arrays, dates, floats).
 */

import { assert } from "../../kernel/assert.ts";
import { parseInstant, type Instant } from "../../kernel/instant.ts";

type ColumnParser = (text: string) => unknown;

/** PostgreSQL's type numbers (`pg_type.oid`), fixed for ever for built-in types. */
const PARSERS: ReadonlyMap<number, ColumnParser> = new Map<number, ColumnParser>([
  [16, (text) => text === "t"], // bool
  [17, parseBytes], // bytea
  [18, parseText], // "char"
  [19, parseText], // name
  [20, parseInteger], // int8
  [21, parseInteger], // int2
  [23, parseInteger], // int4
  [25, parseText], // text
  [26, parseInteger], // oid
  [114, parseJson], // json
  [1043, parseText], // varchar
  [1184, parseTime], // timestamptz
  [1700, parseText], // numeric
  [2278, () => undefined], // void, what functions such as pg_advisory_lock return
  [2950, parseText], // uuid
  [3802, parseJson], // jsonb
]);

/** The type numbers that have a rule. */
export const KNOWN_TYPES: readonly number[] = [...PARSERS.keys()];

/** The rule of a type; for a type without one, a rule that fails. */
export function columnParser(type: number): ColumnParser {
  return PARSERS.get(type) ?? (() => refuseColumnType(type));
}

/** Fails with the sentence that tells what to do about a column type without a rule. */
export function refuseColumnType(type: number): never {
  throw new TypeError(`the state store reads no columns of SQL type ${type}: cast the column to text or jsonb`);
}

function parseText(text: string): string {
  return text;
}

function parseInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`the integer ${text} is not exact as a JavaScript number: cast the column to text`);
  }
  return value;
}

function parseJson(text: string): unknown {
  return JSON.parse(text);
}

function parseBytes(text: string): Uint8Array {
  assert(text.startsWith("\\x"), "the state store uses bytea_output = hex");
  return Uint8Array.fromHex(text.slice(2));
}

/** Reads ISO output of a session in UTC, such as `2026-01-02 03:04:05.678901+00`; `infinity` fails. */
function parseTime(text: string): Instant {
  const instant = parseInstant(text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"));
  if (instant === null) throw new RangeError(`the time ${text} is no instant in ISO style between 1684 and 2255`);
  return instant;
}

/** Whether a text column can hold the text: it has neither NUL characters nor halves of surrogate pairs. */
export function isStorableText(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}
