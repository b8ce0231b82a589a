/** Buckets: the UTC microseconds, minutes, hours, days and months by which roll-ups keep usage, and periods made of them. Pure. */

import { civilFromDays, daysFromCivil } from "../../../kernel/civil.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { instantFromMicros, laterInstant } from "../../../kernel/instant.ts";
import { intersectPeriods, type Period } from "../../../kernel/period.ts";
import { MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE } from "../windows.ts";
import type { Grain } from "./roll-up.ts";

/** Lengths of the buckets that have one. */
export const GRAIN_MICROS = {
  MICROSECOND: 1,
  MINUTE: MICROS_PER_MINUTE,
  HOUR: MICROS_PER_HOUR,
  DAY: MICROS_PER_DAY,
} as const;

/** Start of the bucket that the instant is in. */
export function bucketStart(grain: Grain, at: Instant): Instant {
  if (grain !== "MONTH") return instantFromMicros(Math.floor(at / GRAIN_MICROS[grain]) * GRAIN_MICROS[grain]);
  const { year, month } = civilFromDays(Math.floor(at / MICROS_PER_DAY));
  return instantFromMicros(daysFromCivil(year, month, 1) * MICROS_PER_DAY);
}

/** Start of the bucket after the one that the instant is in. */
export function nextBucketStart(grain: Grain, at: Instant): Instant {
  const start = bucketStart(grain, at);
  if (grain !== "MONTH") return instantFromMicros(start + GRAIN_MICROS[grain]);
  // No month is longer than 31 days or shorter than 28.
  return bucketStart("MONTH", instantFromMicros(start + 32 * MICROS_PER_DAY));
}

/** The buckets that the period touches, as a period. */
export function outerBuckets(grain: Grain, { from, to }: Period): Period {
  return { from: bucketStart(grain, from), to: startAtOrAfter(grain, to) };
}

/** The buckets that lie within the period, as a period; null when there are none. */
export function innerBuckets(grain: Grain, { from, to }: Period): Period | null {
  const first = startAtOrAfter(grain, from);
  const end = bucketStart(grain, to);
  return first < end ? { from: first, to: end } : null;
}

function startAtOrAfter(grain: Grain, at: Instant): Instant {
  const start = bucketStart(grain, at);
  return start === at ? at : nextBucketStart(grain, at);
}

/** Sorted, without overlaps and gaps of nothing. */
export function mergedPeriods(periods: readonly Period[]): readonly Period[] {
  const merged: Period[] = [];
  for (const period of periods.filter(({ from, to }) => from < to).toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && period.from <= last.to) {
      if (period.to > last.to) merged[merged.length - 1] = { from: last.from, to: period.to };
    } else {
      merged.push(period);
    }
  }
  return merged;
}

/** What is left of the periods without the others; both lists are merged. */
export function withoutPeriods(periods: readonly Period[], others: readonly Period[]): readonly Period[] {
  const left: Period[] = [];
  let first = 0;
  for (const period of periods) {
    while ((others[first]?.to ?? Infinity) <= period.from) first += 1;
    let { from } = period;
    for (let at = first; at < others.length; at += 1) {
      const other = others[at];
      if (other === undefined || other.from >= period.to) break;
      if (other.from > from) left.push({ from, to: other.from });
      from = laterInstant(from, other.to);
    }
    if (from < period.to) left.push({ from, to: period.to });
  }
  return left;
}

/** The parts of the periods that lie within `bounds`. */
export function periodsWithin(periods: readonly Period[], bounds: Period): readonly Period[] {
  return periods.flatMap((period) => intersectPeriods(period, bounds) ?? []);
}
