/**
 * History: usage and balances over a range of time, in windows of a time zone and as the segments of the burn-down.
 *
 * Windows and the ends of the range cut usage into pieces finer than phases. Balances at those cuts are those of the phase's
 * start with the usage up to the cut burnt, and the phase goes on from its start: only its total matters, also when usage
 * is negative. So what a history shows at an instant is the value at that instant.
 *
 * What happens at the very start of the range is part of the first balance and no segment; what happens at its very end is a
 * segment. So the histories of two ranges in a row are the history of both.
 */

import { assert } from "../../kernel/assert.ts";
import { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";
import { earlierInstant } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";
import type { Boundary, Phase } from "./boundaries.ts";
import { BoundaryCursor } from "./boundaries.ts";
import type { EngineState, GrantUsage, Ledger, Segment, UsageOfPhase } from "./run.ts";
import { closePhase, crossBoundary, openLedger, usageSegment } from "./run.ts";
import type { Terms } from "./terms.ts";
import { toEngineUnits, toShownUnits } from "./terms.ts";
import { ceilToMinute, isWholeMinute } from "./time.ts";
import { periodAt } from "./usage-periods.ts";
import { valueOfLedger } from "./value.ts";

/** `measureUsageFrom <= from < to`, whole minutes. */
export interface HistoryRequest {
  readonly from: Instant;
  readonly to: Instant;
  /** Those of `windowsBetween(from, to)`; the ones that start before measureUsageFrom are not shown. */
  readonly windows: readonly Period[];
}

/** All numbers as clients see them. */
export interface WindowUsage {
  readonly period: Period;
  /** Usage of the part of the window inside the range; of a gauge its value at the end of that part. */
  readonly usage: Decimal;
  readonly balanceAtStart: Decimal;
}

/** A segment of the burn-down as clients see it. */
export interface BurnDown {
  readonly kind: Segment["kind"];
  readonly period: Period;
  readonly usage: Decimal;
  /** At the end. */
  readonly overage: Decimal;
  /** Before the overage carried into the segment and its usage are burnt. */
  readonly balanceAtStart: Decimal;
  readonly grantBalancesAtStart: ReadonlyMap<string, Decimal>;
  readonly balanceAtEnd: Decimal;
  readonly grantBalancesAtEnd: ReadonlyMap<string, Decimal>;
  /** In burn order, every grant that had a balance. */
  readonly grantUsages: readonly GrantUsage[];
}

export interface History {
  readonly windows: readonly WindowUsage[];
  readonly burnDown: readonly BurnDown[];
}

/** The instant that the state for a history must not be later than. */
export function historyStart(terms: Terms, request: HistoryRequest): Instant {
  const [first] = shownWindows(terms, request);
  return first === undefined ? request.from : earlierInstant(request.from, first.from);
}

/**
 * What usage a history needs, from a state at or before `historyStart`: as `phases`, cut by windows and the range. No more
 * than the first `limit`.
 */
export function historyPieces(
  terms: Terms,
  state: EngineState,
  request: HistoryRequest,
  limit = Number.POSITIVE_INFINITY,
): readonly Phase[] {
  let periodStart = periodAt(terms, state.at).from;
  return stepsOf(terms, state.at, request, limit).map(({ from, to, boundary }, index) => {
    const piece = { from: index === 0 ? ceilToMinute(from) : from, to, periodStart };
    if (boundary !== null && boundary.reset !== null) periodStart = to;
    return piece;
  });
}

/**
 * Usage and balances of the windows, and the burn-down. `state` is at or before `historyStart` and, unless usage is never
 * negative, at the start of a phase. `usageOf` gives the usage of each of `historyPieces` as `phases` defines it.
 */
export function history(terms: Terms, state: EngineState, request: HistoryRequest, usageOf: UsageOfPhase): History {
  const walk = new HistoryWalk(terms, state, request);
  stepsOf(terms, state.at, request).forEach((step, index) => walk.take(step, usageOf(index)));
  return {
    windows: walk.windows.map((window) => ({ ...window, usage: toShownUnits(terms, window.usage) })),
    burnDown: walk.segments.map((segment) => burnDownOf(terms, segment)),
  };
}

/** A stretch of time without a boundary, the start of a window or an end of the range inside. */
interface Step {
  readonly from: Instant;
  readonly to: Instant;
  /** What happens at `to`. */
  readonly boundary: Boundary | null;
}

function stepsOf(
  terms: Terms,
  start: Instant,
  request: HistoryRequest,
  limit = Number.POSITIVE_INFINITY,
): readonly Step[] {
  const cuts = [request.from, ...shownWindows(terms, request).map((window) => window.from), request.to]
    .filter((cut) => cut > start)
    .toSorted((a, b) => a - b);
  const cursor = new BoundaryCursor(terms, start);
  const steps: Step[] = [];
  let from = start;
  for (const cut of cuts) {
    while (from < cut && steps.length < limit) {
      const boundary = cursor.next(cut);
      const to = boundary?.at ?? cut;
      steps.push({ from, to, boundary });
      from = to;
    }
  }
  return steps;
}

function shownWindows({ measureUsageFrom }: Terms, { windows }: HistoryRequest): readonly Period[] {
  return windows.filter((window) => window.from >= measureUsageFrom);
}

/** Goes through the steps of a history and notes what they show. */
class HistoryWalk {
  readonly windows: { readonly period: Period; usage: Decimal; readonly balanceAtStart: Decimal }[] = [];
  readonly segments: Segment[] = [];
  private readonly terms: Terms;
  private readonly request: HistoryRequest;
  private readonly shown: readonly Period[];
  /** At the start of the phase. */
  private opened: Ledger;
  /** Metered since the start of the phase, a gauge's value; null at its very start. */
  private used: Decimal | null = null;
  /** Where the segment begins: at the start of the phase or of the range. */
  private segmentStart: { readonly at: Instant; readonly ledger: Ledger };

  constructor(terms: Terms, state: EngineState, request: HistoryRequest) {
    assert(isWholeMinute(request.from) && isWholeMinute(request.to), "a history begins and ends at whole minutes");
    assert(state.at <= historyStart(terms, request), "a history begins with a state from before it");
    this.terms = terms;
    this.request = request;
    this.shown = shownWindows(terms, request);
    this.opened = openLedger(terms, state);
    this.segmentStart = { at: state.at, ledger: this.opened };
  }

  take({ from, to, boundary }: Step, metered: Decimal): void {
    const { terms, request } = this;
    const window = this.shown[this.windows.length];
    if (window?.from === from) {
      const { balance } = valueOfLedger(terms, this.current());
      this.windows.push({ period: window, usage: Decimal.zero, balanceAtStart: balance });
    }
    if (from === request.from) this.segmentStart = { at: from, ledger: this.current() };

    const usage = toEngineUnits(terms, metered);
    this.used = terms.gauge || this.used === null ? usage : this.used.plus(usage);
    const open = this.windows.at(-1);
    if (open !== undefined && from >= request.from) open.usage = terms.gauge ? usage : open.usage.plus(usage);
    if (boundary !== null || to === request.to) this.closeAt(to, boundary);
  }

  /** The ledger now: that of the phase's start with the usage since then burnt. */
  private current(): Ledger {
    return this.used === null ? this.opened : closePhase(this.terms, this.opened, this.used);
  }

  private closeAt(to: Instant, boundary: Boundary | null): void {
    const { terms, request } = this;
    const { at: from, ledger } = this.segmentStart;
    const closed = this.current();
    // Before the range nothing is shown, nor is what happens at its start.
    const segments = to > request.from ? this.segments : null;
    segments?.push(usageSegment(terms, { from, to }, ledger, closed));
    if (boundary === null) return;
    this.opened = crossBoundary(terms, closed, boundary, segments);
    this.used = null;
    this.segmentStart = { at: to, ledger: this.opened };
    if (to === request.to) segments?.push(usageSegment(terms, { from: to, to }, this.opened, this.opened));
  }
}

function burnDownOf(terms: Terms, segment: Segment): BurnDown {
  const shown = (value: Decimal) => toShownUnits(terms, value);
  const shownMap = (balances: ReadonlyMap<string, Decimal>) =>
    new Map([...balances].map(([id, balance]) => [id, shown(balance)]));
  return {
    kind: segment.kind,
    period: { from: segment.from, to: segment.to },
    usage: shown(segment.usage),
    overage: segment.overage.isPositive() ? shown(segment.overage) : Decimal.zero,
    balanceAtStart: shown(sumOf(segment.balancesAtStart)),
    grantBalancesAtStart: shownMap(segment.balancesAtStart),
    balanceAtEnd: shown(sumOf(segment.balancesAtEnd)),
    grantBalancesAtEnd: shownMap(segment.balancesAtEnd),
    grantUsages: segment.grantUsages.map(({ grantId, usage }) => ({ grantId, usage: shown(usage) })),
  };
}

function sumOf(balances: ReadonlyMap<string, Decimal>): Decimal {
  return [...balances.values()].reduce((sum, balance) => sum.plus(balance), Decimal.zero);
}
