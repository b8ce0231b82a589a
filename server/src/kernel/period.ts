/**
 * Periods: half-open ranges of instants `[from, to)`. Consecutive periods share a bound, so they tile without gap or
 * overlap, and every instant belongs to exactly one of them.
 */

import { assert } from "./assert.ts";
import type { Instant } from "./instant.ts";
import { earlierInstant, laterInstant } from "./instant.ts";

/** The instants from `from`, inclusive, to `to`, exclusive; `from <= to`. */
export interface Period {
  readonly from: Instant;
  readonly to: Instant;
}

/** Asserts that the period does not end before it starts; it may be empty. */
export function period(from: Instant, to: Instant): Period {
  assert(from <= to, "a period does not end before it starts");
  return { from, to };
}

export function isEmptyPeriod({ from, to }: Period): boolean {
  return from === to;
}

/** Elapsed time from start to end, in microseconds; may be twice as large as an instant, and exact up to 2^53. */
export function periodMicros({ from, to }: Period): number {
  return to - from;
}

export function periodContains({ from, to }: Period, instant: Instant): boolean {
  return from <= instant && instant < to;
}

/** The instants that both periods contain, or null when there are none. */
export function intersectPeriods(a: Period, b: Period): Period | null {
  const from = laterInstant(a.from, b.from);
  const to = earlierInstant(a.to, b.to);
  return from < to ? { from, to } : null;
}
