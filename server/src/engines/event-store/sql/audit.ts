/** Compiles what an auditor asks: sums of hashes by slot, as `../audit.ts` defines them, and what is stored twice. */

import { instantFromMicros } from "../../../kernel/instant.ts";
import type { Period } from "../../../kernel/period.ts";
import { type RepeatedIdentity, SLOT_OFFSETS, type SlotRange, type SlotSums, SUM_LIMIT } from "../audit.ts";
import { MICROS_PER_DAY } from "../windows.ts";
import type { Cell } from "./aggregations/aggregation.ts";
import { DAY_OF_EVENT, fromCondition, toCondition } from "./filters.ts";
import type { Statement } from "./fragment.ts";
import { allOf, Binder, integer } from "./fragment.ts";
import { wholeNumber } from "./listing.ts";
import { EVENTS_TABLE } from "./table.ts";

/** The texts of an event in the order of its log record. */
const TEXTS = ["id", "source", "type", "subject", "data"];

/** A length as four bytes, the most significant first. */
function lengthPrefix(column: string): string {
  return `reverse(reinterpretAsFixedString(toUInt32(length(${column}))))`;
}

const IDENTITY = `SHA256(concat(${["namespace", "source", "id"]
  .map((column) => `${lengthPrefix(column)}, ${column}`)
  .join(", ")}))`;

const PROPERTIES =
  "arrayStringConcat(arraySort(arrayMap((name, value) -> concat(toString(length(name)), ':', name, " +
  "toString(length(value)), ':', value), mapKeys(vals), mapValues(vals))))";

const NUMBERS = [
  "log_partition",
  "log_offset",
  "toUnixTimestamp64Micro(time)",
  "toUInt8(time_given)",
  "toUnixTimestamp64Micro(ingested_at)",
  ...["namespace", ...TEXTS].map((column) => `length(${column})`),
];

const CONTENT =
  `SHA256(concat(${NUMBERS.map((number) => `toString(${number})`).join(", ',', ")}, ';', namespace, ` +
  `${TEXTS.join(", ")}, ${PROPERTIES}))`;

/** The first or second word of a hash. */
function word(hash: string, index: 0 | 1): string {
  return index === 0 ? `reinterpretAsUInt32(${hash})` : `reinterpretAsUInt32(substring(${hash}, 5, 4))`;
}

/** One row a slot, in no particular order. */
export function sumsStatement({ from, to, slotOffsets, period }: SlotRange): Statement {
  const weight = `(log_offset % ${integer(SLOT_OFFSETS)} + 1)`;
  const identity = (index: 0 | 1): string => `sum(${word("identity", index)} * ${weight}) % ${integer(SUM_LIMIT)}`;
  const conditions = [
    "log_partition = 0",
    `log_offset BETWEEN ${integer(from)} AND ${integer(to)}`,
    ...(period === undefined ? [] : [...fromCondition(period.from), ...toCondition(period.to)]),
  ];
  return new Binder().statement(
    `WITH ${CONTENT} AS content, ${IDENTITY} AS identity SELECT intDiv(log_offset, ${integer(slotOffsets)}) AS slot, ` +
      `count(), sum(${word("content", 0)}), sum(${word("content", 1)}), ${identity(0)}, ${identity(1)} ` +
      `FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)} GROUP BY slot`,
  );
}

export function slotSums(cells: readonly Cell[]): SlotSums {
  const [slot, rows, first, second, third, fourth] = cells.map(wholeNumber);
  return {
    slot: slot ?? 0,
    rows: rows ?? 0,
    content: [first ?? 0, second ?? 0],
    identity: [third ?? 0, fourth ?? 0],
  };
}

/** Rows by UTC day, in the order of days. */
export function daysStatement(): Statement {
  return new Binder().statement(
    `SELECT ${DAY_OF_EVENT} AS day, count() FROM ${EVENTS_TABLE} GROUP BY day ORDER BY day`,
  );
}

/** Joins neighbouring days until they have `limit` rows. */
export function periodsOfDays(
  days: readonly (readonly Cell[])[],
  limit: number,
): { readonly period: Period; readonly rows: number }[] {
  const periods: { period: Period; rows: number }[] = [];
  for (const [day, count] of days) {
    const from = instantFromMicros(wholeNumber(day) * MICROS_PER_DAY);
    const to = instantFromMicros(from + MICROS_PER_DAY);
    const last = periods.at(-1);
    const rows = wholeNumber(count);
    if (last !== undefined && last.rows + rows <= limit) {
      last.period = { from: last.period.from, to };
      last.rows += rows;
    } else {
      periods.push({ period: { from, to }, rows });
    }
  }
  return periods;
}

/** Sorted by identity; grouping by a short hash keeps the memory small whatever the ids are. */
export function repeatedIdentitiesStatement(part: number, parts: number): Statement {
  return new Binder().statement(
    `SELECT any(namespace) AS a, any(source) AS b, any(id) AS c, count() AS n, arraySort(groupArray(5)(log_offset)) ` +
      `FROM ${EVENTS_TABLE} WHERE sipHash64(id) % ${integer(parts)} = ${integer(part)} ` +
      `GROUP BY sipHash128(namespace, source, id) HAVING n > 1 ORDER BY a, b, c`,
  );
}

export function repeatedIdentity(cells: readonly unknown[]): RepeatedIdentity {
  const [namespace, source, id, rows, offsets] = cells;
  return {
    namespace: String(namespace),
    source: String(source),
    id: String(id),
    rows: Number(rows),
    offsets: Array.isArray(offsets) ? offsets.map(Number) : [],
  };
}

/** Rows that cannot have come from the log. */
export function strangeRowsStatement(): Statement {
  return new Binder().statement(`SELECT count() FROM ${EVENTS_TABLE} WHERE log_partition != 0`);
}
