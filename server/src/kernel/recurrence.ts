/**
 * Recurrences: instants that repeat by a calendar interval, and the periods between them.
 *
 * Occurrence `n`, any integer, is `anchor + n * interval`. It is always computed from the anchor and never from the
 * occurrence before, so nothing drifts: from 31 January, monthly occurrences fall on 28 February and 31 March. Occurrences
 * never decrease with `n`. Two of them coincide only where a zone skipped a whole date; the functions here then treat them
 * as one, so periods are never empty and tile.
 *
 * Every answer is found by estimating `n` and correcting it by a step or two: a distant anchor costs the same as a near one.
 * The occurrences on both sides of the instant asked about must lie between the years 1684 and 2255, else every function
 * throws the `Fault` `instant_out_of_range`.
 */

import { assert } from "./assert.ts";
import { microsPerDay, microsPerHour, microsPerMinute, microsPerSecond } from "./civil.ts";
import type { Duration } from "./duration.ts";
import { addDuration, multiplyDuration } from "./duration.ts";
import type { Instant } from "./instant.ts";
import type { Period } from "./period.ts";

export interface Recurrence {
  /** Satisfies `isRecurrenceInterval`. */
  readonly interval: Duration;
  readonly anchor: Instant;
  /** The IANA name of the zone whose calendar counts; `UTC` unless one is configured. */
  readonly zone: string;
}

/** Whether an occurrence at the very instant asked about is an answer. */
export type Boundary = "inclusive" | "exclusive";

/** The mean length of a Gregorian month: 400 years are 146097 days. */
const meanMonthMicros = (146_097 / 4_800) * microsPerDay;

/** Whether things can recur by the duration: no component is negative, one is positive, and there is no fraction. */
export function isRecurrenceInterval(interval: Duration): boolean {
  const { years, months, weeks, days, hours, minutes, seconds, micros } = interval;
  const components = [years, months, weeks, days, hours, minutes, seconds];
  return micros === 0 && components.every((value) => value >= 0) && components.some((value) => value > 0);
}

/** Occurrence number `n`; number 0 is the anchor. */
export function occurrence({ interval, anchor, zone }: Recurrence, n: number): Instant {
  return addDuration(anchor, multiplyDuration(interval, n), zone);
}

/** The first occurrence at (`inclusive`) or after `at`. */
export function nextAfter(recurrence: Recurrence, at: Instant, boundary: Boundary): Instant {
  const n = indexAtOrBefore(recurrence, at);
  if (boundary === "inclusive" && occurrence(recurrence, n) === at) return at;
  return occurrence(recurrence, n + 1);
}

/** The last occurrence at (`inclusive`) or before `at`. */
export function previousBefore(recurrence: Recurrence, at: Instant, boundary: Boundary): Instant {
  let n = indexAtOrBefore(recurrence, at);
  let previous = occurrence(recurrence, n);
  if (boundary === "inclusive") return previous;
  // More than one step where occurrences coincide.
  while (previous === at) {
    n--;
    previous = occurrence(recurrence, n);
  }
  return previous;
}

/** The period between two occurrences that contains `at`. */
export function periodAt(recurrence: Recurrence, at: Instant): Period {
  const n = indexAtOrBefore(recurrence, at);
  return { from: occurrence(recurrence, n), to: occurrence(recurrence, n + 1) };
}

/** The number of the last occurrence that is not after `at`. */
function indexAtOrBefore(recurrence: Recurrence, at: Instant): number {
  assert(isRecurrenceInterval(recurrence.interval), "a recurrence has a positive interval without fractions");
  let n = Math.floor((at - recurrence.anchor) / meanMicros(recurrence.interval));
  while (occurrence(recurrence, n) > at) n--;
  while (occurrence(recurrence, n + 1) <= at) n++;
  return n;
}

/** The average length of the interval. Over any number of intervals the calendar strays from it by a few days at most. */
function meanMicros({ years, months, weeks, days, hours, minutes, seconds }: Duration): number {
  return (
    (years * 12 + months) * meanMonthMicros +
    (weeks * 7 + days) * microsPerDay +
    hours * microsPerHour +
    minutes * microsPerMinute +
    seconds * microsPerSecond
  );
}
