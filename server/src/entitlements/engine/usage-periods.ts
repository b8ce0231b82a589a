/**
 * Usage periods: which one an instant belongs to, and when usage is reset.
 *
 * Reset points are the manual resets and, between them, the points of the recurrence that the last one left in force; a
 * point that falls on a manual reset is one reset with it, the manual one. Periods run from one reset point to the next and
 * tile `[measureUsageFrom, ∞)`; the first may be short. Nothing here is remembered or scheduled: it follows from the terms.
 */

import { assert } from "../../kernel/assert.ts";
import type { Instant } from "../../kernel/instant.ts";
import { laterInstant, maxInstant } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";
import type { ResetEntry, Terms } from "./terms.ts";
import { compileTerms } from "./terms.ts";
import { pointAfter, pointAtOrBefore } from "./time.ts";

export interface ResetPoint {
  readonly at: Instant;
  readonly preserveOverage: boolean;
}

/** The usage period that contains `at`; for an instant before measureUsageFrom the first one. */
export function periodAt(terms: Terms, at: Instant): Period {
  const from = laterInstant(at, terms.measureUsageFrom);
  const { entries } = compileTerms(terms);
  const entry = entryAt(entries, indexInForce(entries, from));
  const point = pointAtOrBefore(entry.recurrence, from);
  return {
    from: point === null ? entry.at : laterInstant(entry.at, point),
    to: nextReset(terms, from)?.at ?? maxInstant,
  };
}

/** The first reset point after `after`; null when none lies in the range of instants. */
export function nextReset(terms: Terms, after: Instant): ResetPoint | null {
  const from = laterInstant(after, terms.measureUsageFrom);
  const { entries } = compileTerms(terms);
  const index = indexInForce(entries, from);
  const point = pointAfter(entryAt(entries, index).recurrence, from);
  const manual = entries[index + 1];
  if (manual !== undefined && (point === null || manual.at <= point)) {
    return { at: manual.at, preserveOverage: manual.preserveOverage };
  }
  return point === null ? null : { at: point, preserveOverage: terms.preserveOverageAtReset };
}

/** The reset points in `(after, until]`, in order of time. */
export function resetPoints(terms: Terms, after: Instant, until: Instant): readonly ResetPoint[] {
  const points: ResetPoint[] = [];
  let next = nextReset(terms, after);
  while (next !== null && next.at <= until) {
    points.push(next);
    next = nextReset(terms, next.at);
  }
  return points;
}

/** The index of the last entry that is not after `at`, which is not before the first. */
function indexInForce(entries: readonly ResetEntry[], at: Instant): number {
  let low = 0;
  let high = entries.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (entryAt(entries, middle).at <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

function entryAt(entries: readonly ResetEntry[], index: number): ResetEntry {
  const entry = entries[index];
  assert(entry !== undefined, "terms have at least the entry of measureUsageFrom");
  return entry;
}
