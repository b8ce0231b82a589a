/**
 * Compiles a meter query to one statement, and its result back to usage rows.
 *
 * Every result row carries, in this order: number of events, smallest and greatest event time (these three only where a bound
 * of the query is open), the window (number, UTC offset), the group texts (subject, customer, group-by values) and the cells
 * of the aggregation. Columns are read by position, so that group-by keys never become SQL names.
 */

import { assert } from "../../../kernel/assert.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { instantFromMicros } from "../../../kernel/instant.ts";
import { type Cover, coverOf } from "../roll-ups/cover.ts";
import type { PlacedState } from "../roll-ups/hot-buckets.ts";
import type { RollUp } from "../roll-ups/roll-up.ts";
import type { UsageQuery, UsageRow } from "../store.ts";
import { MICROS_PER_MINUTE, windowSpan } from "../windows.ts";
import type { Cell } from "./aggregations/aggregation.ts";
import { AGGREGATIONS } from "./aggregations/index.ts";
import { compareUtf8 } from "./byte-order.ts";
import type { Statement } from "./fragment.ts";
import { Binder } from "./fragment.ts";
import { wholeNumber } from "./listing.ts";
import { coveredSources, groupCount, groupName, type Source, storedEvents, unionOf } from "./sources.ts";
import { stateCells, usageState } from "./roll-up-rows.ts";
import { NO_OFFSET } from "./window-columns.ts";

const COLUMNS_BEFORE_WINDOW = 3;
const COLUMNS_BEFORE_GROUPS = 5;

const NO_TIME = "0";
/** Stands where nobody asks how many events a row has; every column that need not be read makes a small read quicker. */
const SOME_EVENTS = "1";

/**
 * For statements over roll-ups, which read a few granules: a second thread, conditions in several steps, looking for projections
 * and remembering which granules match cost more than they save, and so does the newer analysis of statements (3.6 to 2.9 ms
 * in all). Scans of events need that one: without it they take up to twice as long.
 */
const SMALL_READ = {
  max_threads: 1,
  enable_analyzer: 0,
  enable_multiple_prewhere_read_steps: 0,
  optimize_use_projections: 0,
  use_query_condition_cache: 0,
};

/** The statement that answers `query`, from events, or from a roll-up and those events that it does not have. */
export function usageStatement(query: UsageQuery): Statement {
  const cover = query.rollUp === undefined ? null : coverOf(query, query.rollUp);
  const binder = new Binder();
  if (query.rollUp === undefined || cover === null) {
    return binder.statement(select(binder, query, storedEvents(binder, query), "cells"));
  }
  const sources = coveredSources(binder, query, query.rollUp, cover);
  const [only] = sources;
  if (only !== undefined && sources.length === 1) {
    return { ...binder.statement(select(binder, query, only, "cells")), settings: SMALL_READ, isLasting: true };
  }
  const branches = sources.map((source) => select(binder, query, source, "states"));
  return binder.statement(select(binder, query, unionOf(query, branches), "cells"));
}

/** The statement that reads a cover as states, which are added up elsewhere: several rows may be about the same window and groups. */
export function statesStatement(query: UsageQuery, rollUp: RollUp, cover: Cover): Statement {
  const binder = new Binder();
  const sources = coveredSources(binder, query, rollUp, cover);
  const branches = sources.map((source) => select(binder, query, source, "states"));
  const groups = Array.from({ length: groupCount(query) }, (_, index) => groupName(index));
  const places = ["events", "first_time", "last_time", "window_number", "window_offset", ...groups];
  const columns = places.map((name) => `r.${name}`);
  const selected = [...columns, ...stateCells(query.meter)].join(", ");
  return binder.statement(`SELECT ${selected} FROM (${branches.join(" UNION ALL ")}) AS r`);
}

/** Reads a row of `statesStatement`. */
export function placedState(query: UsageQuery, cells: readonly Cell[]): PlacedState {
  const [events, first, last] = cells;
  const afterGroups = COLUMNS_BEFORE_GROUPS + groupCount(query);
  return {
    place: cells.slice(COLUMNS_BEFORE_WINDOW, afterGroups),
    state: usageState(wholeNumber(events), [wholeNumber(first), wholeNumber(last)], cells.slice(afterGroups)),
  };
}

/**
 * One SELECT over a source, with a column for everything a result row is made of. `cells` are the columns that `usageRows`
 * reads; `states` are the columns of which a union is made.
 */
function select(binder: Binder, query: UsageQuery, source: Source, result: "cells" | "states"): string {
  const aggregation = AGGREGATIONS[query.meter.aggregation];
  const { window, groups } = source;
  const keys = [...window, ...groups].filter((key) => key !== NO_OFFSET);
  const grouping = keys.length === 0 ? "" : ` GROUP BY ${keys.join(", ")}`;
  if (result === "cells") {
    // Only a bound that the query leaves open is taken from the events.
    const needsTimes = query.window === undefined && (query.from === undefined || query.to === undefined);
    const span = needsTimes ? [source.events, source.first, source.last] : [SOME_EVENTS, NO_TIME, NO_TIME];
    const columns = [...span, ...window, ...groups, ...source.cells(aggregation, binder)];
    return `SELECT ${columns.join(", ")} FROM ${source.from}${grouping}`;
  }
  const columns = [
    `${source.events} AS events`,
    `${source.first} AS first_time`,
    `${source.last} AS last_time`,
    `${window[0]} AS window_number`,
    `${window[1]} AS window_offset`,
    ...groups.map((group, index) => `${group} AS ${groupName(index)}`),
    ...source.states(aggregation).map(([name, state]) => `${state} AS ${name}`),
  ];
  // Grouped by a constant at least, a source without rows adds no row.
  return `SELECT ${columns.join(", ")} FROM ${source.from}${grouping === "" ? ` GROUP BY ${NO_OFFSET}` : grouping}`;
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
  const count = groupCount(query);
  const groups = cells.slice(COLUMNS_BEFORE_GROUPS, COLUMNS_BEFORE_GROUPS + count).map((cell) => {
    assert(typeof cell === "string", "a group is a text");
    return cell;
  });
  const value = AGGREGATIONS[query.meter.aggregation].value(cells.slice(COLUMNS_BEFORE_GROUPS + count));
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
