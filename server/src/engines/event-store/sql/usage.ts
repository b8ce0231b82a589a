/**
 * Compiles a meter query to one statement, and its result back to usage rows.
 *
 * Every result row carries, in this order: number of events, smallest and greatest event time, the window (number, UTC
 * offset), the group texts (subject, customer, group-by values) and the cells of the aggregation. Columns are read by
 * position, so that group-by keys never become SQL names.
 */

import { assert } from "../../../kernel/assert.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { JsonPath } from "../json-path.ts";
import type { CustomerSubjects, MeterView, UsageQuery, UsageRow } from "../store.ts";
import type { OffsetSegments } from "../windows.ts";
import { MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, offsetSegments, windowSpan } from "../windows.ts";
import type { Cell } from "./aggregations/aggregation.ts";
import { AGGREGATIONS } from "./aggregations/index.ts";
import { compareUtf8 } from "./byte-order.ts";
import { canonicalText, hasText, scalarAt } from "./extract.ts";
import { isOneOf, meterConditions, positionCondition, textCondition } from "./filters.ts";
import type { Statement } from "./fragment.ts";
import { allOf, Binder, instant, integer } from "./fragment.ts";
import { EVENTS_TABLE } from "./table.ts";

const COLUMNS_BEFORE_GROUPS = 5;

/** A bare number in GROUP BY would be the position of a column. */
const NO_OFFSET = "toInt64(0)";

/** The statement that answers `query`. */
export function usageStatement(query: UsageQuery): Statement {
  const binder = new Binder();
  const { meter } = query;
  const value = meter.valuePath === undefined ? "''" : scalarAt(binder, meter.valuePath);
  const window = windowColumns(query);
  const groups = groupColumns(binder, query);
  const keys = [...(query.window === undefined ? [] : window), ...groups];
  const columns = [
    "count()",
    "toUnixTimestamp64Micro(min(time))",
    "toUnixTimestamp64Micro(max(time))",
    ...window,
    ...groups,
    ...AGGREGATIONS[meter.aggregation].columns("tagged", binder),
  ];
  const conditions = [
    ...meterConditions(binder, meter, query),
    positionCondition(query.upTo),
    ...attributionConditions(binder, query),
    ...[...query.filters].map(([key, filter]) => {
      const tagged = scalarAt(binder, groupPath(meter, key));
      return textCondition(binder, { text: canonicalText(tagged), exists: hasText(tagged) }, filter);
    }),
  ];
  if (query.storedBefore !== undefined) conditions.push(`stored_at < ${instant(query.storedBefore)}`);
  return binder.statement(
    `WITH ${value} AS tagged SELECT ${columns.join(", ")} FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)}` +
      (keys.length === 0 ? "" : ` GROUP BY ${keys.join(", ")}`),
  );
}

function groupPath(meter: MeterView, key: string): JsonPath {
  const path = meter.groupBy.get(key);
  assert(path !== undefined, "a query names only group-by keys of its meter");
  return path;
}

function groupColumns(binder: Binder, query: UsageQuery): readonly string[] {
  const columns = query.groupBy.map((key) => canonicalText(scalarAt(binder, groupPath(query.meter, key))));
  if (query.groupByCustomer) columns.unshift(customerColumn(binder, query.customers ?? []));
  if (query.groupBySubject) columns.unshift("subject");
  return columns;
}

/** A subject that two customers list belongs to the first. */
function customerColumn(binder: Binder, customers: readonly CustomerSubjects[]): string {
  const owners = new Map<string, string>();
  for (const { id, subjects } of customers) {
    for (const subject of subjects) if (!owners.has(subject)) owners.set(subject, id);
  }
  if (owners.size === 0) return "''";
  return `transform(subject, ${binder.texts([...owners.keys()])}, ${binder.texts([...owners.values()])}, '')`;
}

function attributionConditions(binder: Binder, query: UsageQuery): readonly string[] {
  const conditions: string[] = [];
  if (query.subjects !== undefined) conditions.push(isOneOf(binder, "subject", query.subjects));
  if (query.customers !== undefined) {
    conditions.push(
      isOneOf(
        binder,
        "subject",
        query.customers.flatMap((customer) => customer.subjects),
      ),
    );
  }
  return conditions;
}

/** Number and UTC offset of the window; a constant pair for a query without windows. */
function windowColumns({ window, from, to }: UsageQuery): readonly [string, string] {
  if (window === undefined) return [NO_OFFSET, NO_OFFSET];
  const offset = offsetColumn(offsetSegments(window.timeZone, from, to));
  const local = `(toUnixTimestamp64Micro(time) + ${offset})`;
  switch (window.size) {
    case "MINUTE":
      return [floorDivision(local, MICROS_PER_MINUTE), offset];
    case "HOUR":
      return [floorDivision(local, MICROS_PER_HOUR), offset];
    case "DAY":
      return [floorDivision(local, MICROS_PER_DAY), NO_OFFSET];
    case "MONTH":
      return [`toYYYYMM(addDays(toDate32('1970-01-01'), ${floorDivision(local, MICROS_PER_DAY)}))`, NO_OFFSET];
  }
}

/** `roundDown` finds the segment of an instant by binary search, however many changes the zone has seen. */
function offsetColumn({ starts, offsets }: OffsetSegments): string {
  if (starts.length === 1) return `toInt64(${integer(offsets[0])})`;
  const list = (values: readonly number[]): string => `CAST([${values.map(integer).join(", ")}], 'Array(Int64)')`;
  return `transform(roundDown(toUnixTimestamp64Micro(time), ${list(starts)}), ${list(starts)}, ${list(offsets)})`;
}

/** `intDiv` truncates; local times of the first hours of 1970 west of Greenwich are negative, by at most two days. */
function floorDivision(dividend: string, divisor: number): string {
  const shift = (2 * MICROS_PER_DAY) / divisor;
  return `intDiv(${dividend} + ${integer(2 * MICROS_PER_DAY)}, ${integer(divisor)}) - ${integer(shift)}`;
}

/** The rows of the answer, in their final order. Throws the fault `aggregate_overflow`. */
export function usageRows(query: UsageQuery, rows: readonly (readonly Cell[])[]): readonly UsageRow[] {
  return rows
    .map((cells) => usageRow(query, cells))
    .filter((row) => row !== null)
    .toSorted(compareRows);
}

function usageRow(query: UsageQuery, cells: readonly Cell[]): UsageRow | null {
  const [events, first, last, window, offset] = cells;
  assert(
    typeof events === "number" && typeof first === "number" && typeof last === "number",
    "a usage row begins with its number of events and their times",
  );
  assert(typeof window === "number" && typeof offset === "number", "a window is identified by two numbers");
  const groupCount = query.groupBy.length + Number(query.groupBySubject) + Number(query.groupByCustomer);
  const groups = cells.slice(COLUMNS_BEFORE_GROUPS, COLUMNS_BEFORE_GROUPS + groupCount).map((cell) => {
    assert(typeof cell === "string", "a group is a text");
    return cell;
  });
  const value = AGGREGATIONS[query.meter.aggregation].value(cells.slice(COLUMNS_BEFORE_GROUPS + groupCount));
  if (value === null) return null;
  const subject = query.groupBySubject ? (groups.shift() ?? null) : null;
  const customerId = query.groupByCustomer ? (groups.shift() ?? null) : null;
  const { start, end } =
    query.window === undefined
      ? unwindowedSpan(query, events === 0 ? null : { first, last })
      : windowSpan(query.window, window, offset);
  return { value, windowStart: start, windowEnd: end, subject, customerId, groups };
}

/** Without windows a row spans the bounds of the query, or whole minutes around its events where a bound is open. */
function unwindowedSpan(
  { from, to }: UsageQuery,
  times: { readonly first: number; readonly last: number } | null,
): { readonly start: Instant; readonly end: Instant } {
  const floor = (time: number): number => Math.floor(time / MICROS_PER_MINUTE) * MICROS_PER_MINUTE;
  const start = from ?? instantFromMicros(times === null ? 0 : floor(times.first));
  const afterLast = times === null ? start + MICROS_PER_MINUTE : floor(times.last) + MICROS_PER_MINUTE;
  return { start, end: to ?? instantFromMicros(afterLast) };
}

/** By window ascending, then descending by subject, customer and group values. */
function compareRows(a: UsageRow, b: UsageRow): number {
  if (a.windowStart !== b.windowStart) return a.windowStart - b.windowStart;
  const left = [a.subject ?? "", a.customerId ?? "", ...a.groups];
  const right = [b.subject ?? "", b.customerId ?? "", ...b.groups];
  for (const [index, text] of left.entries()) {
    const order = compareUtf8(right[index] ?? "", text);
    if (order !== 0) return order;
  }
  return 0;
}
