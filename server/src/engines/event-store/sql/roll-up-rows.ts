/** How rows of roll-ups are selected and read. */

import { assert } from "../../../kernel/assert.ts";
import type { BucketRow, UsageState } from "../roll-ups/bucket-sum.ts";
import { outerBuckets } from "../roll-ups/buckets.ts";
import type { LevelPart } from "../roll-ups/cover.ts";
import type { Block } from "../roll-ups/hot-buckets.ts";
import { levelNumber, type RollUp } from "../roll-ups/roll-up.ts";
import type { MeterView } from "../store.ts";
import { AGGREGATIONS } from "./aggregations/index.ts";
import type { StateColumn } from "./aggregations/aggregation.ts";
import { unitsFromText } from "./aggregations/fixed-point.ts";
import { periodsCondition, type TextSubject } from "./filters.ts";
import type { Statement } from "./fragment.ts";
import { allOf, anyOf, Binder, integer } from "./fragment.ts";
import { wholeNumber } from "./listing.ts";
import { ROLL_UPS_TABLE } from "./table.ts";

/**
 * The group text at `index` of a row. Rows hold canonical texts behind a mark, `=` when the path resolves to a string,
 * number or boolean and `-` otherwise, because filters can ask for that.
 */
export function rollUpGroup(index: number): TextSubject {
  const marked = `r.group_texts[${integer(index + 1)}]`;
  return { text: `substring(${marked}, 2)`, exists: `startsWith(${marked}, '=')` };
}

/** Rows of these parts that count. The table is called `r`. */
export function rollUpCondition(rollUp: RollUp, parts: readonly LevelPart[]): string {
  const levels = parts.map(({ level, periods }) =>
    allOf([
      `r.level = ${integer(levelNumber(level))}`,
      periodsCondition("r.bucket", periods),
      ...rollUp.rebuilt.map(({ period, replaces }) => {
        const buckets = periodsCondition("r.bucket", [outerBuckets(level.grain, period)]);
        return `NOT (${allOf([isOneOfChunks(replaces), buckets])})`;
      }),
    ]),
  );
  return allOf([`r.roll_up = ${integer(rollUp.id)}`, anyOf(levels), isOneOfChunks(rollUp.chunks)]);
}

/** Rows of these chunks. */
export function isOneOfChunks(chunks: readonly number[]): string {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return `r.chunk = ${integer(only)}`;
  return chunks.length === 0 ? "0" : `r.chunk IN (${chunks.map(integer).join(", ")})`;
}

/** All rows of these chunks in a block, as `bucketRow` reads them; at most `limit`. */
export function bucketRowsStatement(
  meter: MeterView,
  rollUp: RollUp,
  { level, period }: Block,
  chunks: readonly number[],
  limit: number,
): Statement {
  const columns = [
    "r.chunk",
    "r.bucket",
    "r.group_texts",
    "r.events",
    "r.first_after",
    "r.last_after",
    ...stateCells(meter),
  ];
  const conditions = [
    `r.roll_up = ${integer(rollUp.id)}`,
    `r.level = ${integer(levelNumber(level))}`,
    periodsCondition("r.bucket", [period]),
  ];
  return new Binder().statement(
    `SELECT ${columns.join(", ")} FROM ${ROLL_UPS_TABLE} AS r ` +
      `WHERE ${allOf([...conditions, isOneOfChunks(chunks)])} LIMIT ${integer(limit)}`,
  );
}

/** The states of the rows called `r` as texts and whole numbers, for `usageState` to read. */
export function stateCells(meter: MeterView): readonly string[] {
  const { states } = AGGREGATIONS[meter.aggregation];
  const state = (name: StateColumn, cell: string, none: string): string => (states[name] === undefined ? none : cell);
  return [
    state("value_count", "r.value_count", "0"),
    state("value_sum", "toString(r.value_sum)", "'0'"),
    state("value_min", "toString(r.value_min)", "NULL"),
    state("value_max", "toString(r.value_max)", "NULL"),
    state("latest", "toUnixTimestamp64Micro(r.latest.1)", "0"),
    state("latest", "toUnixTimestamp64Micro(r.latest.2)", "0"),
    state("latest", "r.latest.3", "0"),
    state("latest", "r.latest.4", "0"),
    state("latest", "toString(r.latest.5)", "'0'"),
  ];
}

/** Reads a row of `bucketRowsStatement`. */
export function bucketRow(cells: readonly unknown[]): BucketRow {
  const [chunk, bucket, groups, events, firstAfter, lastAfter, ...states] = cells;
  assert(Array.isArray(groups), "the groups of a row are a list");
  const start = whole(bucket);
  const times = [start + whole(firstAfter), start + whole(lastAfter)] as const;
  return {
    chunk: whole(chunk),
    bucket: start,
    groups: groups.map(String),
    ...usageState(whole(events), times, states),
  };
}

/** Reads what `stateCells` selects. */
export function usageState(
  events: number,
  [first, last]: readonly [number, number],
  cells: readonly unknown[],
): UsageState {
  const units = (index: number): bigint => unitsFromText(String(cells[index]));
  return {
    events,
    first,
    last,
    valueCount: whole(cells[0]),
    sum: units(1),
    min: cells[2] === null ? null : units(2),
    max: cells[3] === null ? null : units(3),
    latest: [whole(cells[4]), whole(cells[5]), whole(cells[6]), whole(cells[7]), units(8)],
  };
}

function whole(cell: unknown): number {
  return wholeNumber(Number(cell));
}
