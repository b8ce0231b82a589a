/**
 * Roll-ups against the events they were made of: every level, over the whole range of event times, and the number of rows of
 * every chunk.
 *
 * Only what queries use is compared: roll-ups that are ready, of the current version of a live meter, outside periods that
 * already count as stale.
 */

import type { Kysely } from "kysely";
import {
  bucketStart,
  END_OF_EVENT_TIME,
  FIRST_EVENT_TIME,
  mergedPeriods,
  type MeterView,
  nextBucketStart,
  outerBuckets,
  type RollUpLevel,
  type RollUpStore,
  withoutPeriods,
} from "../../engines/event-store/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import { formatInstant, type Instant } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";
import {
  applyChange,
  liveMeters,
  loadRollUps,
  type Meter,
  meterView,
  recordedChunks,
  type RollUpRecord,
} from "../../meters/index.ts";
import { type CheckContext, type CheckReport, Findings, MAX_EXAMPLES } from "./report.ts";

/** A month with more events is compared day by day. */
const MAX_EVENTS_PER_LOOK = 5_000_000;

const DIFFERENCE_ADVICE =
  "If the events themselves are in order, run tallystick verify --repair and start the server: it reads events there " +
  "and computes these parts again.";
const CHUNKS_ADVICE =
  "Start the server: it drops a roll-up that has lost rows, reads events meanwhile, and builds it anew.";

/** A part of a roll-up that says something else than the events. */
export interface DifferingPart {
  readonly record: RollUpRecord;
  readonly meter: Meter;
  readonly period: Period;
}

export interface RollUpCheck {
  readonly report: CheckReport;
  readonly differing: readonly DifferingPart[];
}

interface Used {
  readonly meter: Meter;
  readonly view: MeterView;
  readonly record: RollUpRecord;
}

/** The roll-ups that queries use once the server runs. */
async function usedRollUps(db: Kysely<Database>): Promise<readonly Used[]> {
  const meters = await liveMeters(db);
  return (await loadRollUps(db)).flatMap((record) => {
    const meter = meters.find(({ id, version }) => id === record.meterId && version === record.meterVersion);
    return meter === undefined || record.status !== "ready" ? [] : [{ meter, view: meterView(meter), record }];
  });
}

/** Compares every bucket of every level. */
export async function checkRollUps(
  db: Kysely<Database>,
  store: RollUpStore,
  context: CheckContext,
): Promise<RollUpCheck> {
  const findings = new Findings("roll_ups", DIFFERENCE_ADVICE);
  const used = await usedRollUps(db);
  const differing: DifferingPart[] = [];
  let looks = 0;
  let levels = 0;
  for (const [index, { meter, view, record }] of used.entries()) {
    const months = await store.countByMonth(view, record.coverage);
    for (const level of record.levels) {
      levels += 1;
      for (const period of partsOf(level, months, record.stale)) {
        context.signal.throwIfAborted();
        looks += 1;
        const found = await store.differences(record, view, level, period, MAX_EXAMPLES + 1);
        for (const { bucket, subject, groups } of found) {
          const names = record.groupKeys.map((key, at) => `, ${key} ${JSON.stringify(groups[at] ?? "")}`).join("");
          const who = level.bySubject ? `, subject ${JSON.stringify(subject)}` : "";
          findings.add(`meter ${meter.slug}, the ${level.grain} from ${formatInstant(bucket.from)}${who}${names}`);
        }
        if (found.length > MAX_EXAMPLES) findings.addUncounted(1);
        const hull = hullOf(found.map(({ bucket }) => bucket));
        if (hull !== null) differing.push({ record, meter, period: found.length > MAX_EXAMPLES ? period : hull });
      }
    }
    context.onProgress({ step: "comparing roll-ups", done: index + 1, total: used.length });
    if (record.stale.length > 0)
      findings.note(`meter ${meter.slug} has ${record.stale.length} stale periods, which queries read from events`);
  }
  const building = (await loadRollUps(db)).length - used.length;
  if (building > 0) findings.note(`${building} roll-ups are not in use, and were not compared`);
  const report = findings.report(`${used.length} roll-ups on ${levels} levels with their events, in ${looks} parts`);
  return { report, differing };
}

/** Months with events, days of those with very many, and what lies between them, without what is stale. */
function partsOf(
  level: RollUpLevel,
  months: readonly { readonly month: Period; readonly events: number }[],
  stale: readonly Period[],
): readonly Period[] {
  const parts: Period[] = [];
  let from = FIRST_EVENT_TIME;
  for (const { month, events } of months) {
    if (from < month.from) parts.push({ from, to: month.from });
    parts.push(...(events > MAX_EVENTS_PER_LOOK && level.grain !== "MONTH" ? daysOf(month) : [month]));
    from = month.to;
  }
  if (from < END_OF_EVENT_TIME) parts.push({ from, to: END_OF_EVENT_TIME });
  return withoutPeriods(parts, mergedPeriods(stale.map((period) => outerBuckets(level.grain, period))));
}

function daysOf({ from, to }: Period): readonly Period[] {
  const days: Period[] = [];
  for (let day = from; day < to; day = nextBucketStart("DAY", day))
    days.push({ from: day, to: nextBucketStart("DAY", day) });
  return days;
}

/** The months that the buckets lie in, from the first to the last; null without buckets. */
function hullOf(buckets: readonly Period[]): Period | null {
  const [first] = buckets;
  const last = buckets.at(-1);
  if (first === undefined || last === undefined) return null;
  return { from: bucketStart("MONTH", first.from), to: nextBucketStart("MONTH", last.from) };
}

/** Compares how many rows each chunk has with how many were recorded. */
export async function checkChunks(db: Kysely<Database>, store: RollUpStore): Promise<CheckReport> {
  const findings = new Findings("roll_up_chunks", CHUNKS_ADVICE);
  const rows = await store.chunkRows();
  let compared = 0;
  for (const { meter, record } of await usedRollUps(db)) {
    for (const chunk of record.chunkRecords) {
      compared += 1;
      const found = rows.get(chunk.id) ?? 0;
      if (found !== chunk.rows)
        findings.add(`meter ${meter.slug}: chunk ${chunk.id} has ${found} rows instead of ${chunk.rows}`);
    }
  }
  const known = await recordedChunks(db);
  const unknown = [...rows.keys()].filter((chunk) => !known.has(chunk)).length;
  if (unknown > 0) findings.note(`${unknown} chunks without a record, which the next start of the server deletes`);
  return findings.report(`rows of ${compared} chunks of roll-ups with their records`);
}

/** Marks the parts as stale, one transaction a roll-up; returns what was done. */
export async function markStale(
  db: Kysely<Database>,
  differing: readonly DifferingPart[],
  now: Instant,
): Promise<readonly string[]> {
  const done: string[] = [];
  for (const record of new Set(differing.map((part) => part.record))) {
    const parts = differing.filter((part) => part.record === record);
    const added = mergedPeriods(parts.map(({ period }) => period));
    const stale = mergedPeriods([...record.stale, ...added]);
    await applyChange(db, { rollUp: { ...record, stale }, added: [], retired: [] }, now);
    for (const { from, to } of added) {
      done.push(
        `meter ${parts[0]?.meter.slug ?? ""}: ${formatInstant(from)} to ${formatInstant(to)} is stale from now on`,
      );
    }
  }
  return done;
}
