/**
 * The engine's time: whole UTC minutes, and the points of a recurrence.
 *
 * Everything that structures an entitlement (starts, ends, recurrences, resets) happens at whole minutes of UTC, and a
 * reading at an instant counts usage up to the end of its minute. So no boundary ever lies between a reading and the end of
 * the usage it counts.
 *
 * A recurrence here may have any interval that a request may name, even one of a thousand years: a point outside the range
 * of instants does not exist, instead of making a balance unreadable.
 */

import { microsPerMinute } from "../../kernel/civil.ts";
import type { Duration } from "../../kernel/duration.ts";
import { Fault } from "../../kernel/fault.ts";
import type { Instant } from "../../kernel/instant.ts";
import { instantFromMicros, instantInRange } from "../../kernel/instant.ts";
import type { Recurrence } from "../../kernel/recurrence.ts";
import { isRecurrenceInterval, nextAfter, occurrence, previousBefore } from "../../kernel/recurrence.ts";

/** The start of the minute that contains `instant`: how every structural instant is accepted. */
export function floorToMinute(instant: Instant): Instant {
  return instantInRange(Math.floor(instant / microsPerMinute) * microsPerMinute);
}

/** `instant` if it is a whole minute, else the next whole minute: a reading at `instant` counts usage before this. */
export function ceilToMinute(instant: Instant): Instant {
  return instantInRange(Math.ceil(instant / microsPerMinute) * microsPerMinute);
}

export function isWholeMinute(instant: Instant): boolean {
  return instant % microsPerMinute === 0;
}

/** Whether usage periods and grants may recur by the duration: positive and made of whole minutes. */
export function isEngineInterval(interval: Duration): boolean {
  return isRecurrenceInterval(interval) && interval.seconds % 60 === 0;
}

/** A recurrence on the UTC calendar: point `n` is `anchor + n * interval` for every integer `n`. */
export function utcRecurrence(interval: Duration, anchor: Instant): Recurrence {
  return { interval, anchor, zone: "UTC" };
}

/** The first point after `at`, or null when it lies beyond the range of instants. */
export function pointAfter(recurrence: Recurrence, at: Instant): Instant | null {
  return withinRange(
    () => nextAfter(recurrence, at, "exclusive"),
    () => instantFromMicros(Math.min(...pointsInRange(recurrence).filter((point) => point > at))),
  );
}

/** The last point at or before `at`, or null when it lies before the range of instants. */
export function pointAtOrBefore(recurrence: Recurrence, at: Instant): Instant | null {
  return withinRange(
    () => previousBefore(recurrence, at, "inclusive"),
    () => instantFromMicros(Math.max(...pointsInRange(recurrence).filter((point) => point <= at))),
  );
}

/** The kernel's answer, or that of the fallback where the neighbours of the instant asked about are out of range. */
function withinRange(find: () => Instant, findAmongAll: () => Instant): Instant | null {
  try {
    return find();
  } catch (error) {
    if (!isOutOfRange(error)) throw error;
    const found = findAmongAll();
    return Number.isFinite(found) ? found : null;
  }
}

/** All points that are instants: a few, because an interval whose neighbours leave the range is decades long. */
function pointsInRange(recurrence: Recurrence): readonly Instant[] {
  return [...pointsInDirection(recurrence, -1), recurrence.anchor, ...pointsInDirection(recurrence, 1)];
}

function pointsInDirection(recurrence: Recurrence, step: 1 | -1): readonly Instant[] {
  const points: Instant[] = [];
  try {
    for (let n = step; ; n += step) points.push(occurrence(recurrence, n));
  } catch (error) {
    if (!isOutOfRange(error)) throw error;
    return points;
  }
}

function isOutOfRange(error: unknown): boolean {
  return error instanceof Fault && error.code === "instant_out_of_range";
}
