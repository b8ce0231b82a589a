/**
 * The pieces of work on one roll-up. Each writes rows under a new chunk number and returns what is to change; it is visible
 * only after the caller has recorded that. A piece that fails or dies leaves rows that never count.
 */

import type { Kysely } from "kysely";
import type { MeterView, PositionVector, RollUpStore } from "../../engines/event-store/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import { type Meter, meterView } from "../meter.ts";
import { chooseLevels, chunksToMerge, isSameLevels, withSubjectLevel } from "./choice.ts";
import { beginChunk, insertRollUp, type RollUpChange, type RollUpRecord } from "./record.ts";

export interface WorkTools {
  readonly db: Kysely<Database>;
  readonly store: RollUpStore;
  readonly clock: Clock;
  /** Events up to here are taken in. */
  readonly upTo: PositionVector;
}

/** A piece of work on a recorded roll-up; null when there is nothing to change. */
export type Work = (tools: WorkTools, record: RollUpRecord, meter: MeterView) => Promise<RollUpChange | null>;

/** Adds the events after the coverage. */
export async function foldNew(tools: WorkTools, record: RollUpRecord, meter: MeterView): Promise<RollUpChange> {
  const { db, store, clock, upTo } = tools;
  const chunk = await beginChunk(db, record.id, clock.now());
  const rows = await store.fold({ rollUp: record, meter, chunk, after: record.coverage, upTo });
  return { rollUp: { ...record, coverage: upTo }, added: [{ id: chunk, rows }], retired: [] };
}

/** Merges the last chunks when there are many; null when there is nothing to merge. */
export async function mergeLast(tools: WorkTools, record: RollUpRecord): Promise<RollUpChange | null> {
  const { db, store, clock } = tools;
  const count = chunksToMerge(record.chunkRecords.map(({ rows }) => rows));
  if (count === 0) return null;
  const merged = record.chunks.slice(-count);
  const into = await beginChunk(db, record.id, clock.now());
  const rows = await store.mergeChunks(record, merged, into);
  const gone = new Set(merged);
  const rebuilt = record.rebuilt
    .map((each) => ({
      ...each,
      chunk: gone.has(each.chunk) ? into : each.chunk,
      replaces: each.replaces.filter((chunk) => !gone.has(chunk)),
    }))
    // Rows that did not count were not merged, so a rebuilt period whose former chunks are gone needs no rule any more.
    .filter((each) => each.replaces.length > 0);
  return { rollUp: { ...record, rebuilt }, added: [{ id: into, rows }], retired: merged };
}

/** Computes the first stale period again, from all events that the roll-up covers; reads no others. */
export async function rebuildStale(
  tools: WorkTools,
  record: RollUpRecord,
  meter: MeterView,
): Promise<RollUpChange | null> {
  const { db, store, clock } = tools;
  const [period, ...stale] = record.stale;
  if (period === undefined) return null;
  const chunk = await beginChunk(db, record.id, clock.now());
  const rows = await store.fold({ rollUp: record, meter, chunk, after: new Map(), upTo: record.coverage, period });
  const rebuilt = [...record.rebuilt, { period, chunk, replaces: record.chunks }];
  return { rollUp: { ...record, stale, rebuilt }, added: [{ id: chunk, rows }], retired: [] };
}

/** Builds the next month; the roll-up is ready after the last one. */
export async function buildMonth(tools: WorkTools, record: RollUpRecord, meter: MeterView): Promise<RollUpChange> {
  const { db, store, clock } = tools;
  const [month, ...monthsLeft] = record.monthsLeft;
  if (month === undefined) return { rollUp: { ...record, status: "ready" }, added: [], retired: [] };
  const chunk = await beginChunk(db, record.id, clock.now());
  const whole = { after: new Map(), upTo: record.coverage, period: month };
  const rows = await store.fold({ rollUp: record, meter, chunk, ...whole });
  const status = monthsLeft.length === 0 ? "ready" : "building";
  return { rollUp: { ...record, monthsLeft, status }, added: [{ id: chunk, rows }], retired: [] };
}

/** Records a new roll-up with the levels that pay now; null when none do, or when those of `former` are still the best. */
export async function chooseRollUp(
  tools: WorkTools,
  meter: Meter,
  events: number,
  former: RollUpRecord | null,
): Promise<RollUpRecord | null> {
  const { db, store, clock, upTo } = tools;
  const view = meterView(meter);
  const months = await store.countByMonth(view, upTo);
  const busiest = months.toSorted((a, b) => b.events - a.events)[0];
  if (busiest === undefined) return null;
  const sizes = await store.estimateLevels(view, busiest.month, upTo);
  const paying = chooseLevels(view.aggregation, view.groupBy.size > 0, sizes, busiest.events);
  const levels = withSubjectLevel(view.aggregation, paying, events);
  if (levels.length === 0 || (former !== null && isSameLevels(former.levels, levels))) return null;
  const rollUp = {
    meterId: meter.id,
    meterVersion: meter.version,
    groupKeys: Object.keys(meter.groupBy).toSorted(),
    levels,
    coverage: upTo,
    monthsLeft: months.map(({ month }) => month),
    sizedAtEvents: events,
  };
  return await insertRollUp(db, rollUp, clock.now());
}
