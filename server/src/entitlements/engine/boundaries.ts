/**
 * Boundaries: the instants at which balances change by themselves, and the phases between them.
 *
 * A boundary is a start or end of a grant, a point of a recurrence at which its grant is active, or a reset point. Usage
 * between two boundaries matters only by its total, so phases are what usage is asked for. Boundaries depend on the terms
 * alone, never on usage.
 *
 * Boundaries are found one after the other: each costs as much as there are active recurring grants, however far the run
 * goes.
 */

import { assert } from "../../kernel/assert.ts";
import type { Instant } from "../../kernel/instant.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import type { Account, Change, CompiledTerms, Terms } from "./terms.ts";
import { compileTerms } from "./terms.ts";
import { ceilToMinute, pointAfter, pointAtOrBefore } from "./time.ts";
import type { ResetPoint } from "./usage-periods.ts";
import { nextReset, periodAt } from "./usage-periods.ts";

/** What happens at an instant. */
export interface Boundary {
  readonly at: Instant;
  readonly reset: ResetPoint | null;
  readonly starts: readonly Account[];
  readonly ends: readonly Account[];
  /** Grants that were active before and recur now. */
  readonly recurs: readonly Account[];
}

/** A stretch of time without a boundary inside, and the usage that counts for it. */
export interface Phase {
  /** Usage with event time in `[from, to)` counts. */
  readonly from: Instant;
  /** The next boundary, or for the last phase the end of the minute that is read. */
  readonly to: Instant;
  /** Start of the usage period: UNIQUE_COUNT is counted and LATEST is looked up from here. */
  readonly periodStart: Instant;
}

/**
 * The phases from a state at `state.at` to `until`, in order of time; none when `until` is the state's instant. For SUM and
 * COUNT a phase's usage is that of `[from, to)`, for UNIQUE_COUNT that of `[periodStart, to)` less that of
 * `[periodStart, from)`, for LATEST the latest value in `[periodStart, to)` or zero. No more than the first `limit`, so that
 * whoever refuses too many of them does not wait for all.
 */
export function phases(
  terms: Terms,
  state: { readonly at: Instant },
  until: Instant,
  limit = Number.POSITIVE_INFINITY,
): readonly Phase[] {
  const found: Phase[] = [];
  const cursor = new BoundaryCursor(terms, state.at);
  let periodStart = periodAt(terms, state.at).from;
  let from = state.at;
  while (from < until && found.length < limit) {
    const boundary = cursor.next(until);
    found.push({ from: ceilToMinute(from), to: boundary?.at ?? ceilToMinute(until), periodStart });
    from = boundary?.at ?? until;
    if (boundary !== null && boundary.reset !== null) periodStart = from;
  }
  return found;
}

/** The first boundary after `after`, or null if there is none. */
export function nextBoundary(terms: Terms, after: Instant): Instant | null {
  return new BoundaryCursor(terms, after).next(null)?.at ?? null;
}

/**
 * The start of the phase that contains `at`: the last boundary that is not after it, or measureUsageFrom. `at` is not before
 * measureUsageFrom.
 */
export function phaseStart(terms: Terms, at: Instant): Instant {
  const compiled = compileTerms(terms);
  // An end is a change and comes after all recurrences of its grant, so grants that have ended need no look.
  const change = compiled.changes[firstChangeAfter(compiled, at) - 1];
  let start: number = Math.max(periodAt(terms, at).from, change?.at ?? Number.NEGATIVE_INFINITY);
  for (const { recurrence, effectiveAt, end } of compiled.accounts) {
    if (recurrence === null || effectiveAt > at || at >= end) continue;
    const point = pointAtOrBefore(recurrence, at);
    if (point !== null && point >= effectiveAt) start = Math.max(start, point);
  }
  return instantFromMicros(start);
}

/** Walks the boundaries after an instant in order of time. */
export class BoundaryCursor {
  private readonly terms: Terms;
  private readonly changes: readonly Change[];
  private changeIndex: number;
  /** Active grants that recur, with their next recurrence. */
  private recurring: { readonly account: Account; next: number }[];
  private reset: ResetPoint | null;

  constructor(terms: Terms, after: Instant) {
    const compiled = compileTerms(terms);
    this.terms = terms;
    this.changes = compiled.changes;
    this.changeIndex = firstChangeAfter(compiled, after);
    this.recurring = compiled.accounts
      .filter((account) => account.recurrence !== null && account.effectiveAt <= after && after < account.end)
      .map((account) => ({ account, next: nextPoint(account, after) }));
    this.reset = nextReset(terms, after);
  }

  /** The next boundary if it is not after `until` (null: no limit), else null. */
  next(until: Instant | null): Boundary | null {
    const change = this.changes[this.changeIndex];
    let at = Math.min(change?.at ?? Number.POSITIVE_INFINITY, this.reset?.at ?? Number.POSITIVE_INFINITY);
    for (const { next } of this.recurring) if (next < at) at = next;
    if (at > (until ?? Number.MAX_SAFE_INTEGER)) return null;
    return this.take(instantFromMicros(at), change?.at === at ? change : null);
  }

  private take(at: Instant, change: Change | null): Boundary {
    const reset = this.reset?.at === at ? this.reset : null;
    if (reset !== null) this.reset = nextReset(this.terms, at);
    const recurs: Account[] = [];
    for (const entry of this.recurring) {
      if (entry.next !== at) continue;
      recurs.push(entry.account);
      entry.next = nextPoint(entry.account, at);
    }
    if (change === null) return { at, reset, starts: [], ends: [], recurs };
    this.changeIndex++;
    if (change.ends.length > 0) this.recurring = this.recurring.filter(({ account }) => account.end !== at);
    for (const account of change.starts) {
      if (account.recurrence !== null) this.recurring.push({ account, next: nextPoint(account, at) });
    }
    return { at, reset, starts: change.starts, ends: change.ends, recurs };
  }
}

/** The next recurrence of an account at which it is still active, or infinity. */
function nextPoint({ recurrence, end }: Account, after: Instant): number {
  assert(recurrence !== null, "only grants with a recurrence recur");
  const point = pointAfter(recurrence, after);
  return point === null || point >= end ? Number.POSITIVE_INFINITY : point;
}

function firstChangeAfter({ changes }: CompiledTerms, after: Instant): number {
  let low = 0;
  let high = changes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((changes[middle]?.at ?? Number.POSITIVE_INFINITY) <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
