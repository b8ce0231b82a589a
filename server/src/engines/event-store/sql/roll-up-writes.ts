/**
 * Compiles the upkeep of roll-ups: folding events into a chunk, merging chunks, estimating levels, and comparing a roll-up
 * with the events it was made of.
 */

import { assert } from "../../../kernel/assert.ts";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { Period } from "../../../kernel/period.ts";
import { GRAIN_MICROS, nextBucketStart, outerBuckets } from "../roll-ups/buckets.ts";
import {
  type EventTypeCount,
  type Fold,
  type Grain,
  isSameLevel,
  LEVELS,
  levelNumber,
  type LevelSize,
  type MonthCount,
  type RollUp,
  type RollUpDifference,
  type RollUpLevel,
} from "../roll-ups/roll-up.ts";
import type { MeterView, PositionVector } from "../store.ts";
import { MICROS_PER_DAY } from "../windows.ts";
import { type Cell, COMBINED, STATE_COLUMNS, type StateColumn } from "./aggregations/aggregation.ts";
import { AGGREGATIONS } from "./aggregations/index.ts";
import { canonicalText, hasText, scalarAt } from "./extract.ts";
import { fromCondition, meterConditions, positionCondition, toCondition } from "./filters.ts";
import type { Statement } from "./fragment.ts";
import { allOf, Binder, integer } from "./fragment.ts";
import { text, wholeNumber } from "./listing.ts";
import { isOneOfChunks, rollUpCondition } from "./roll-up-rows.ts";
import { EVENTS_TABLE, ROLL_UPS_TABLE } from "./table.ts";

const MICROS = "toUnixTimestamp64Micro(time)";
const NO_GROUPS = "CAST([], 'Array(String)')";

/** The statements that write a fold's chunk, one a level, in this order: a level is made from a finer one where it can. */
export function foldStatements(fold: Fold): readonly Statement[] {
  const { rollUp, period } = fold;
  const levels = LEVELS.filter((level) => rollUp.levels.some((built) => isSameLevel(built, level)));
  // Within a period that cuts a bucket of some level, each level has buckets of its own.
  const isNested = period === undefined || levels.every(({ grain }) => isSame(outerBuckets(grain, period), period));
  return levels.map((level, index) => {
    const finer = levels
      .slice(0, index)
      .findLast((other) => (other.bySubject || !level.bySubject) && (other.byGroups || !level.byGroups));
    return finer === undefined || !isNested ? foldEvents(fold, level) : foldFiner(fold, level, finer);
  });
}

function isSame(a: Period, b: Period): boolean {
  return a.from === b.from && a.to === b.to;
}

function foldEvents(fold: Fold, level: RollUpLevel): Statement {
  const { rollUp, meter, chunk, after, upTo, period } = fold;
  const binder = new Binder();
  const conditions = [
    ...meterConditions(binder, meter, period === undefined ? {} : outerBuckets(level.grain, period)),
    positionCondition(upTo),
    ...(after.size === 0 ? [] : [`NOT (${positionCondition(after)})`]),
  ];
  const start = `${insertRows(meter)} SELECT ${integer(rollUp.id)}, ${integer(levelNumber(level))}, ${integer(chunk)}, `;
  const from = `FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)}`;
  const own = level.grain === "MICROSECOND" ? ownRow(binder, meter, level, rollUp.groupKeys) : null;
  if (own !== null) return binder.statement(`${start}${own.join(", ")} ${from}`);
  const row = eventRow(binder, meter, level, rollUp.groupKeys);
  return binder.statement(`${start}${row.join(", ")} ${from} GROUP BY row_subject, row_bucket, row_groups`);
}

/** A row of one event, for buckets that have hardly ever two; null where the states of an event need grouping. */
function ownRow(
  binder: Binder,
  meter: MeterView,
  level: RollUpLevel,
  groupKeys: readonly string[],
): readonly string[] | null {
  const { ownStates } = AGGREGATIONS[meter.aggregation];
  if (ownStates === undefined) return null;
  const tagged = meter.valuePath === undefined ? "''" : scalarAt(binder, meter.valuePath);
  return [
    level.bySubject ? "subject" : "''",
    MICROS,
    groupTexts(binder, meter, level.byGroups ? groupKeys : []),
    "1",
    "0",
    "0",
    ...stateColumns(meter).map((name) => ownStates[name]?.(tagged) ?? "NULL"),
  ];
}

/** What an event row of a level is made of: subject, bucket, groups, events, times, states. */
function eventRow(
  binder: Binder,
  meter: MeterView,
  level: RollUpLevel,
  groupKeys: readonly string[],
): readonly string[] {
  const tagged = meter.valuePath === undefined ? "''" : scalarAt(binder, meter.valuePath);
  const aggregation = AGGREGATIONS[meter.aggregation];
  return [
    `${level.bySubject ? "subject" : "''"} AS row_subject`,
    `${bucketOf(level.grain, MICROS)} AS row_bucket`,
    `${groupTexts(binder, meter, level.byGroups ? groupKeys : [])} AS row_groups`,
    "count()",
    `toUInt64(min(${MICROS}) - row_bucket)`,
    `toUInt64(max(${MICROS}) - row_bucket)`,
    ...stateColumns(meter).map((name) => aggregation.states[name]?.(tagged) ?? "NULL"),
  ];
}

function stateColumns(meter: MeterView): readonly StateColumn[] {
  const { states } = AGGREGATIONS[meter.aggregation];
  return STATE_COLUMNS.filter((name) => states[name] !== undefined);
}

function insertRows(meter: MeterView): string {
  const states = stateColumns(meter);
  return (
    `INSERT INTO ${ROLL_UPS_TABLE} (roll_up, level, chunk, subject, bucket, group_texts, events, first_after, last_after` +
    `${states.map((name) => `, ${name}`).join("")})`
  );
}

function groupTexts(binder: Binder, meter: MeterView, groupKeys: readonly string[]): string {
  const marked = groupKeys.map((key) => {
    const path = meter.groupBy.get(key);
    assert(path !== undefined, "a roll-up's group keys are those of its meter");
    const tagged = scalarAt(binder, path);
    return `concat(if(${hasText(tagged)}, '=', '-'), ${canonicalText(tagged)})`;
  });
  return marked.length === 0 ? NO_GROUPS : `[${marked.join(", ")}]`;
}

/** Start of the bucket in microseconds. */
function bucketOf(grain: Grain, micros: string): string {
  if (grain === "MICROSECOND") return micros;
  if (grain !== "MONTH") return `intDiv(${micros}, ${integer(GRAIN_MICROS[grain])}) * ${integer(GRAIN_MICROS[grain])}`;
  const date = `addDays(toDate32('1970-01-01'), intDiv(${micros}, ${integer(MICROS_PER_DAY)}))`;
  const first = `makeDate32(toYear(${date}), toMonth(${date}), 1)`;
  return `dateDiff('day', toDate32('1970-01-01'), ${first}) * ${integer(MICROS_PER_DAY)}`;
}

function foldFiner({ rollUp, meter, chunk }: Fold, level: RollUpLevel, finer: RollUpLevel): Statement {
  const subject = level.bySubject ? "r.subject" : "''";
  const groups = level.byGroups ? "CAST(r.group_texts, 'Array(String)')" : NO_GROUPS;
  return new Binder().statement(
    `${insertRows(meter)} SELECT ${integer(rollUp.id)}, ${integer(levelNumber(level))}, ${integer(chunk)}, ` +
      `${subject} AS row_subject, ${bucketOf(level.grain, "r.bucket")} AS row_bucket, ${groups} AS row_groups, ` +
      `${combined(stateColumns(meter), "row_bucket").join(", ")} FROM ${ROLL_UPS_TABLE} AS r WHERE r.roll_up = ${integer(rollUp.id)} ` +
      `AND r.level = ${integer(levelNumber(finer))} AND r.chunk = ${integer(chunk)} ` +
      `GROUP BY row_subject, row_bucket, row_groups`,
  );
}

/** Number of events, times and states of several rows of a roll-up, as of one; `bucket` is that of the result. */
function combined(states: readonly StateColumn[], bucket: string): readonly string[] {
  return [
    "sum(r.events)",
    `toUInt64(min(r.bucket + r.first_after) - ${bucket})`,
    `toUInt64(max(r.bucket + r.last_after) - ${bucket})`,
    ...states.map((name) => COMBINED[name](`r.${name}`)),
  ];
}

/** Writes the rows of `chunks` that count as rows of one new chunk. */
export function mergeStatement(rollUp: RollUp, chunks: readonly number[], into: number): Statement {
  const always = { from: instantFromMicros(0), to: instantFromMicros(Number.MAX_SAFE_INTEGER) };
  const parts = rollUp.levels.map((level) => ({ level, periods: [always] }));
  return new Binder().statement(
    `INSERT INTO ${ROLL_UPS_TABLE} (roll_up, level, chunk, subject, bucket, group_texts, events, first_after, last_after, ` +
      `${STATE_COLUMNS.join(", ")}) SELECT r.roll_up, r.level, ${integer(into)}, r.subject, r.bucket, r.group_texts, ` +
      `${combined(STATE_COLUMNS, "r.bucket").join(", ")} FROM ${ROLL_UPS_TABLE} AS r WHERE ${rollUpCondition(rollUp, parts)} AND ${isOneOfChunks(chunks)} ` +
      `GROUP BY r.roll_up, r.level, r.subject, r.bucket, r.group_texts`,
  );
}

/** How many rows the chunk has on all levels together. */
export function chunkRowsStatement(chunk?: number): Statement {
  const condition = chunk === undefined ? "" : ` WHERE r.chunk = ${integer(chunk)}`;
  return new Binder().statement(`SELECT r.chunk, count() FROM ${ROLL_UPS_TABLE} AS r${condition} GROUP BY r.chunk`);
}

/** To be sent with a setting that makes the server wait for the deletion; the engine adds settings, so none stand here. */
export function deleteChunksStatement(chunks: readonly number[]): Statement {
  return new Binder().statement(
    `ALTER TABLE ${ROLL_UPS_TABLE} DELETE WHERE chunk IN (${chunks.map(integer).join(", ")})`,
  );
}

/** Events by namespace and type between two vectors. */
export function countByTypeStatement(after: PositionVector, upTo: PositionVector): Statement {
  const conditions = [positionCondition(upTo), ...(after.size === 0 ? [] : [`NOT (${positionCondition(after)})`])];
  return new Binder().statement(
    `SELECT namespace, type, count() FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)} GROUP BY namespace, type`,
  );
}

export function eventTypeCount([namespace, type, events]: readonly Cell[]): EventTypeCount {
  return { namespace: text(namespace), type: text(type), events: wholeNumber(events) };
}

/** The meter's events by UTC month. */
export function countByMonthStatement(meter: MeterView, upTo: PositionVector): Statement {
  const binder = new Binder();
  const conditions = [...meterConditions(binder, meter, {}), positionCondition(upTo)];
  return binder.statement(
    `SELECT ${bucketOf("MONTH", MICROS)} AS month, count() FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)} ` +
      `GROUP BY month ORDER BY month`,
  );
}

export function monthCount([month, events]: readonly Cell[]): MonthCount {
  const from = instantFromMicros(wholeNumber(month));
  return { month: { from, to: nextBucketStart("MONTH", from) }, events: wholeNumber(events) };
}

/** Buckets of a microsecond have about as many rows as there are events. */
const ESTIMATED = LEVELS.filter(({ grain }) => grain !== "MICROSECOND");

/** One row with the estimated sizes of levels, in the order of `ESTIMATED`. `uniq` is a sketch, which is all this needs. */
export function estimateStatement(meter: MeterView, period: Period, upTo: PositionVector): Statement {
  const binder = new Binder();
  const groups = [...meter.groupBy.values()].map((path) => canonicalText(scalarAt(binder, path)));
  const members =
    meter.aggregation === "UNIQUE_COUNT" && meter.valuePath !== undefined ? [scalarAt(binder, meter.valuePath)] : [];
  const sizes = ESTIMATED.map(({ grain, bySubject, byGroups }) => {
    const kept = [...(bySubject ? ["subject"] : []), ...(byGroups ? groups : []), ...members];
    const key = [bucketOf(grain, MICROS), ...kept];
    return `uniq(${key.join(", ")})`;
  });
  const conditions = [...meterConditions(binder, meter, period), positionCondition(upTo)];
  return binder.statement(`SELECT ${sizes.join(", ")} FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)}`);
}

export function levelSizes(cells: readonly Cell[]): readonly LevelSize[] {
  return ESTIMATED.map((level, index) => ({ ...level, rows: wholeNumber(cells[index]) }));
}

/**
 * The buckets of a level in which the rows of the roll-up and the events say different things. Sets are equal when each has
 * as many members as both together.
 */
export function differencesStatement(
  rollUp: RollUp,
  meter: MeterView,
  level: RollUpLevel,
  period: Period,
  limit: number,
): Statement {
  const binder = new Binder();
  const names = [
    "row_subject",
    "row_bucket",
    "row_groups",
    "events",
    "first_after",
    "last_after",
    ...stateColumns(meter),
  ];
  const events = eventRow(binder, meter, level, rollUp.groupKeys).map((column, index) =>
    index < 3 ? column : `${column} AS ${names[index] ?? ""}`,
  );
  const conditions = [
    ...meterConditions(binder, meter, {}),
    ...fromCondition(period.from),
    ...toCondition(period.to),
    positionCondition(rollUp.coverage),
  ];
  const rolled = [
    "r.subject",
    "r.bucket",
    "CAST(r.group_texts, 'Array(String)')",
    ...combined(stateColumns(meter), "r.bucket"),
  ].map((column, index) => `${column} AS ${names[index] ?? ""}`);
  const isSet = meter.aggregation === "UNIQUE_COUNT";
  const plain = names.slice(3).filter((name) => name !== "distinct_values");
  const said = [`toString(tuple(${plain.join(", ")}))`, ...(isSet ? ["finalizeAggregation(distinct_values)"] : [])];
  const union =
    `SELECT ${events.join(", ")} FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)} ` +
    `GROUP BY row_subject, row_bucket, row_groups UNION ALL ` +
    `SELECT ${rolled.join(", ")} FROM ${ROLL_UPS_TABLE} AS r ` +
    `WHERE ${rollUpCondition(rollUp, [{ level, periods: [period] }])} GROUP BY r.subject, r.bucket, r.group_texts`;
  const differ = [
    "count() != 2",
    `uniqExact(${said.join(", ")}) != 1`,
    ...(isSet ? ["uniqExactMerge(distinct_values) != max(finalizeAggregation(distinct_values))"] : []),
  ];
  return binder.statement(
    `SELECT row_bucket, row_subject, row_groups FROM (${union}) GROUP BY row_bucket, row_subject, row_groups ` +
      `HAVING ${differ.join(" OR ")} ORDER BY row_bucket, row_subject, row_groups LIMIT ${integer(limit)}`,
  );
}

export function rollUpDifference(grain: Grain, cells: readonly unknown[]): RollUpDifference {
  const [bucket, subject, groups] = cells;
  assert(
    typeof bucket === "number" && typeof subject === "string" && Array.isArray(groups),
    "a difference has a place",
  );
  const from = instantFromMicros(bucket);
  return {
    bucket: { from, to: nextBucketStart(grain, from) },
    subject,
    // The first character is the mark.
    groups: groups.map((group) => String(group).slice(1)),
  };
}
