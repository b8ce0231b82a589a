/**
 * Which parts of a query's period a roll-up can answer, on which level, and which parts need the events themselves. Pure.
 *
 * A bucket can stand in for its events when it lies within the bounds of the query, within one window, and is not stale. The
 * coarsest level takes what it can, the next one what is left, and so on; the rest is read from events. Every instant of the
 * query's period is in exactly one part.
 */

import { assert } from "../../../kernel/assert.ts";
import { civilFromDays } from "../../../kernel/civil.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { Period } from "../../../kernel/period.ts";
import type { PositionVector, UsageQuery } from "../store.ts";
import { END_OF_EVENT_TIME, FIRST_EVENT_TIME, MICROS_PER_DAY, offsetSegments, type Window } from "../windows.ts";
import {
  bucketStart,
  GRAIN_MICROS,
  innerBuckets,
  mergedPeriods,
  nextBucketStart,
  outerBuckets,
  withoutPeriods,
} from "./buckets.ts";
import { type Grain, GRAINS, isSameLevel, LEVELS, type RollUp, type RollUpLevel } from "./roll-up.ts";

export interface LevelPart {
  readonly level: RollUpLevel;
  /** Made of whole buckets of the level; merged, not empty. */
  readonly periods: readonly Period[];
}

export interface Cover {
  /** At least one. */
  readonly parts: readonly LevelPart[];
  /** Where the events at or before the roll-up's coverage must be read. */
  readonly edges: readonly Period[];
  /** Whether there can be events after the coverage that the query sees. */
  readonly hasTail: boolean;
}

/** More parts than this cost more to tell apart than they save. */
const MAX_PERIODS = 2_000;

/** How to use the roll-up for the query; null when it is of no use. */
export function coverOf(query: UsageQuery, rollUp: RollUp): Cover | null {
  if (query.storedBefore !== undefined || !isAtOrBefore(rollUp.coverage, query.upTo)) return null;
  const levels = levelsFor(query, rollUp);
  const bounds = { from: query.from ?? FIRST_EVENT_TIME, to: query.to ?? END_OF_EVENT_TIME };
  if (bounds.from >= bounds.to) return null;
  const parts: LevelPart[] = [];
  let rest: readonly Period[] = [bounds];
  for (const level of levels) {
    const periods = usablePeriods(level.grain, rest, query.window, rollUp.stale);
    if (periods.length === 0) continue;
    parts.push({ level, periods });
    rest = withoutPeriods(rest, periods);
  }
  const count = parts.reduce((sum, part) => sum + part.periods.length, rest.length);
  if (parts.length === 0 || count > MAX_PERIODS) return null;
  return { parts, edges: rest, hasTail: !isAtOrBefore(query.upTo, rollUp.coverage) };
}

/** The levels that tell apart what the query does, coarsest first, and among those of one grain the one with fewest rows. */
export function levelsFor(query: UsageQuery, rollUp: RollUp): readonly RollUpLevel[] {
  const needsSubject = query.groupBySubject || query.subjects !== undefined || query.customers !== undefined;
  const needsGroups = query.groupBy.length > 0 || query.filters.size > 0;
  return LEVELS.toReversed().filter(
    (level) =>
      level.bySubject === needsSubject &&
      (level.byGroups || !needsGroups) &&
      rollUp.levels.some((built) => isSameLevel(built, level)),
  );
}

/** Whether every position of `a` is covered by `b`. */
function isAtOrBefore(a: PositionVector, b: PositionVector): boolean {
  return [...a].every(([partition, offset]) => offset <= (b.get(partition) ?? -1));
}

/** The buckets of this length within `rest` that lie in one window each and are not stale. */
function usablePeriods(
  grain: Grain,
  rest: readonly Period[],
  window: Window | undefined,
  stale: readonly Period[],
): readonly Period[] {
  const inner = rest.flatMap((period) => innerBuckets(grain, period) ?? []);
  const unusable = [
    ...stale.map((period) => outerBuckets(grain, period)),
    ...(window === undefined ? [] : inner.flatMap((period) => cutBuckets(grain, window, period))),
  ];
  return withoutPeriods(inner, mergedPeriods(unusable));
}

/** The buckets of `period` (which is made of buckets) that more than one window has a part of. */
function cutBuckets(grain: Grain, window: Window, period: Period): readonly Period[] {
  if (GRAINS.indexOf(grain) > GRAINS.indexOf(window.size)) return [period];
  const { starts, offsets } = offsetSegments(window.timeZone, period.from, period.to);
  return starts.flatMap((start, index) => {
    const end = starts[index + 1] ?? period.to;
    const offset = offsets[index];
    assert(offset !== undefined, "every segment has an offset");
    const segment = { from: instantFromMicros(start), to: instantFromMicros(end) };
    return [...bucketCutAt(grain, segment.from), ...cutBucketsOfSegment(grain, window, segment, offset)];
  });
}

/** The bucket that has the instant inside; none when it is the start of one. */
function bucketCutAt(grain: Grain, at: Instant): readonly Period[] {
  const from = bucketStart(grain, at);
  return from === at ? [] : [{ from, to: nextBucketStart(grain, at) }];
}

/** The same within a segment of constant offset; the whole segment where windows and buckets never fit. */
function cutBucketsOfSegment(grain: Grain, window: Window, segment: Period, offsetMicros: number): readonly Period[] {
  const isAligned = grain === "MONTH" ? offsetMicros === 0 : offsetMicros % GRAIN_MICROS[grain] === 0;
  if (isAligned) return [];
  const whole = [outerBuckets(grain, segment)];
  if (window.size === "MINUTE" || window.size === "HOUR" || grain === "MONTH") return whole;
  const cuts: Period[] = [];
  const firstDay = Math.floor((segment.from + offsetMicros) / MICROS_PER_DAY);
  const lastDay = Math.floor((segment.to - 1 + offsetMicros) / MICROS_PER_DAY);
  if (lastDay - firstDay > MAX_PERIODS) return whole;
  for (let day = firstDay; day <= lastDay; day += 1) {
    if (window.size === "MONTH" && civilFromDays(day).day !== 1) continue;
    const start = instantFromMicros(Math.max(segment.from, day * MICROS_PER_DAY - offsetMicros));
    cuts.push(...bucketCutAt(grain, start));
  }
  return cuts;
}
