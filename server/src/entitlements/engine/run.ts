/**
 * The engine: burns usage from grants, phase after phase, from one state to another.
 *
 * A run is a pure function of terms, a state and the usage of each phase. It never looks at when usage arrived, so late
 * usage gives what punctual usage would have given. A run cut in two is the same run: a state carries all that matters.
 *
 * At the end of a phase its usage and the overage carried into it are burnt greedily in burn order; what no grant covers is
 * the new overage. At a boundary grants that end are forfeited, a reset rolls balances over and forgives overage or burns
 * it, grants that start or recur are set to their amount. Overage is not burnt at the boundary but with the next phase, so
 * that negative usage offsets it first.
 *
 * So a state right at a boundary may hold both a balance and an overage: that is the balance before the overage is charged.
 * Whoever shows a state reads it with `valueOf`, which charges it.
 *
 * A gauge (LATEST) consumes nothing: its overage is its whole value, its balances are full amounts, and each reading burns
 * the value from them anew.
 */

import { assert } from "../../kernel/assert.ts";
import { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";
import type { Boundary } from "./boundaries.ts";
import { BoundaryCursor } from "./boundaries.ts";
import type { Account, Terms } from "./terms.ts";
import { compileTerms, toEngineUnits } from "./terms.ts";

/**
 * What is known at an instant, all boundaries up to and including it applied, in the engine's units (`terms.ts`). Exact:
 * a run from a stored state gives what a run from the beginning gives, if terms and usage before `at` are still the same.
 */
export interface EngineState {
  readonly at: Instant;
  /** Of every grant that is active at `at`; a run lists them in burn order and reads them in any. */
  readonly balances: ReadonlyMap<string, Decimal>;
  /** Usage that no grant has covered yet; negative: a credit from negative usage. */
  readonly overage: Decimal;
  /** Since the start of the usage period. */
  readonly usage: Decimal;
  /** The part of `usage` and of preserved overage that grants have covered in this usage period. */
  readonly covered: Decimal;
}

/** What a grant paid in a segment. */
export interface GrantUsage {
  readonly grantId: string;
  readonly usage: Decimal;
}

/** A phase, or a zero-length event at a boundary, in the engine's units. */
export interface Segment {
  /** `rollover`: overage that a reset preserved is burnt from rolled-over balances. */
  readonly kind: "usage" | "rollover";
  readonly from: Instant;
  readonly to: Instant;
  readonly usage: Decimal;
  /** Carried into the segment; negative: a credit. */
  readonly overageAtStart: Decimal;
  readonly overage: Decimal;
  /** Before overage and usage are burnt. In burn order, of the grants active in the segment. */
  readonly balancesAtStart: ReadonlyMap<string, Decimal>;
  readonly balancesAtEnd: ReadonlyMap<string, Decimal>;
  /** In burn order, every grant that had a balance at the start. */
  readonly grantUsages: readonly GrantUsage[];
}

export interface Run {
  readonly state: EngineState;
  /** In order of time. */
  readonly segments: readonly Segment[];
}

/** Usage of a phase as the meter reports it, by the phase's index in `phases` of the same terms, state and end. */
export type UsageOfPhase = (index: number) => Decimal;

/** An active grant and its balance. */
interface Slot {
  readonly account: Account;
  readonly balance: Decimal;
}

/** A state while the engine works on it: balances in burn order. */
export interface Ledger {
  readonly slots: readonly Slot[];
  readonly overage: Decimal;
  readonly usage: Decimal;
  readonly covered: Decimal;
}

/** The state at measureUsageFrom: nothing used, grants that start or recur right there full. */
export function initialState(terms: Terms): EngineState {
  const at = terms.measureUsageFrom;
  const before = new BoundaryCursor(terms, (at - 1) as Instant).next(at);
  const isFull = new Set([...(before?.starts ?? []), ...(before?.recurs ?? [])]);
  const slots = compileTerms(terms)
    .accounts.filter((account) => account.effectiveAt <= at && at < account.end)
    .map((account) => ({ account, balance: isFull.has(account) || terms.gauge ? account.amount : Decimal.zero }));
  return stateOf(at, { slots, overage: Decimal.zero, usage: Decimal.zero, covered: Decimal.zero });
}

/**
 * The state at `until` and the segments on the way from `state`. `until` may be any instant from `state.at` on; usage of its
 * whole minute counts. Never repeats what happened at `state.at`: from a state to its own instant there is nothing to do.
 * Asserts that the state has the balance of every active grant and of no unknown one.
 */
export function run(terms: Terms, state: EngineState, until: Instant, usageOf: UsageOfPhase): Run {
  const segments: Segment[] = [];
  return { state: walk(terms, state, until, usageOf, segments), segments };
}

/** The state at `until`: `run` without segments, for long runs that nobody looks at. */
export function advance(terms: Terms, state: EngineState, until: Instant, usageOf: UsageOfPhase): EngineState {
  return walk(terms, state, until, usageOf, null);
}

function walk(
  terms: Terms,
  state: EngineState,
  until: Instant,
  usageOf: UsageOfPhase,
  segments: Segment[] | null,
): EngineState {
  assert(state.at <= until, "a run does not go back in time");
  const cursor = new BoundaryCursor(terms, state.at);
  let ledger = openLedger(terms, state);
  let from = state.at;
  for (let index = 0; from < until; index++) {
    const boundary = cursor.next(until);
    const to = boundary?.at ?? until;
    const closed = closePhase(terms, ledger, toEngineUnits(terms, usageOf(index)));
    segments?.push(usageSegment(terms, { from, to }, ledger, closed));
    ledger = closed;
    if (boundary !== null) ledger = crossBoundary(terms, ledger, boundary, segments);
    if (to === until && boundary !== null) segments?.push(usageSegment(terms, { from: to, to }, ledger, ledger));
    from = to;
  }
  return stateOf(until, ledger);
}

/** The working form of a state. */
export function openLedger(terms: Terms, state: EngineState): Ledger {
  const { accounts, grantIds } = compileTerms(terms);
  assert(state.at >= terms.measureUsageFrom, "a state is not older than the measuring of usage");
  for (const id of state.balances.keys()) assert(grantIds.has(id), "a state has balances of known grants only");
  const slots: Slot[] = [];
  for (const account of accounts) {
    if (account.effectiveAt > state.at || state.at >= account.end) continue;
    const balance = state.balances.get(account.id);
    assert(balance !== undefined, "a state has the balance of every active grant");
    slots.push({ account, balance });
  }
  return { slots, overage: state.overage, usage: state.usage, covered: state.covered };
}

export function stateOf(at: Instant, { slots, overage, usage, covered }: Ledger): EngineState {
  return { at, balances: balancesOf(slots), overage, usage, covered };
}

/** The ledger at the end of a phase in which `usage` was metered: carried overage and usage burnt together. */
export function closePhase(terms: Terms, ledger: Ledger, usage: Decimal): Ledger {
  // A gauge's reading replaces the one before, and its balances stay full: it is burnt when somebody reads it.
  if (terms.gauge) return { ...ledger, overage: usage, usage };
  return charge({ ...ledger, overage: ledger.overage.plus(usage), usage: ledger.usage.plus(usage) });
}

/**
 * Burns overage from the grants in burn order, all of them or those that `mayBurn` names. Negative overage burns nothing: it
 * is a credit that later usage consumes first.
 */
export function charge(ledger: Ledger, mayBurn: (account: Account) => boolean = () => true): Ledger {
  let rest = ledger.overage;
  if (!rest.isPositive()) return ledger;
  const slots = ledger.slots.map((slot) => {
    if (!rest.isPositive() || slot.balance.isZero() || !mayBurn(slot.account)) return slot;
    const burnt = slot.balance.compare(rest) <= 0 ? slot.balance : rest;
    rest = rest.minus(burnt);
    return { account: slot.account, balance: slot.balance.minus(burnt) };
  });
  return { ...ledger, slots, overage: rest, covered: ledger.covered.plus(ledger.overage.minus(rest)) };
}

/** The ledger after a boundary, of a ledger whose phase is closed. Adds the rollover segment of a reset to `segments`. */
export function crossBoundary(terms: Terms, ledger: Ledger, boundary: Boundary, segments: Segment[] | null): Ledger {
  const { at, starts, ends, recurs } = boundary;
  const left = ends.length === 0 ? ledger.slots : ledger.slots.filter(({ account }) => account.end > at);
  const remaining = { ...ledger, slots: left };
  const kept = boundary.reset === null ? remaining : resetLedger(terms, remaining, boundary, segments);
  if (starts.length === 0 && recurs.length === 0) return kept;
  const isFull = new Set(recurs);
  const slots = kept.slots.map((slot) => (isFull.has(slot.account) ? fullSlot(slot.account) : slot));
  if (starts.length === 0) return { ...kept, slots };
  const sorted = [...slots, ...starts.map(fullSlot)].toSorted((a, b) => a.account.rank - b.account.rank);
  return { ...kept, slots: sorted };
}

/**
 * A new usage period for grants that neither start nor end here. Preserved overage is not burnt from grants that recur at
 * the same instant: what they roll over is about to be replaced, and the overage would be forgiven with it.
 */
function resetLedger(terms: Terms, ledger: Ledger, boundary: Boundary, segments: Segment[] | null): Ledger {
  const fresh = { usage: Decimal.zero, covered: Decimal.zero };
  // Nothing rolls over in a gauge, so there is nothing to tell.
  if (terms.gauge) return { slots: ledger.slots, overage: Decimal.zero, ...fresh };
  const isPreserved = boundary.reset?.preserveOverage === true && ledger.overage.isPositive();
  const slots = ledger.slots.map(({ account, balance }) => ({ account, balance: rolledOver(account, balance) }));
  const rolled = { slots, overage: isPreserved ? ledger.overage : Decimal.zero, ...fresh };
  const recurring = new Set(boundary.recurs);
  const burnt = charge(rolled, (account) => !recurring.has(account));
  const at = { from: boundary.at, to: boundary.at };
  segments?.push(segmentOf("rollover", at, Decimal.zero, { ...rolled, overage: ledger.overage }, burnt));
  return burnt;
}

function rolledOver({ minRollover, maxRollover }: Account, balance: Decimal): Decimal {
  const raised = balance.compare(minRollover) < 0 ? minRollover : balance;
  return raised.compare(maxRollover) > 0 ? maxRollover : raised;
}

function fullSlot(account: Account): Slot {
  return { account, balance: account.amount };
}

/** The segment of a phase, or the end of one, that led from one ledger to the other. */
export function usageSegment(terms: Terms, period: Period, before: Ledger, after: Ledger): Segment {
  if (!terms.gauge) return segmentOf("usage", period, after.usage.minus(before.usage), before, charge(after));
  return segmentOf("usage", period, after.usage, { ...before, overage: Decimal.zero }, charge(after));
}

function segmentOf(
  kind: Segment["kind"],
  { from, to }: Period,
  usage: Decimal,
  before: Ledger,
  after: Ledger,
): Segment {
  // Burning keeps the grants and their order, so the two lists go side by side.
  const grantUsages = before.slots.flatMap(({ account, balance }, index) => {
    const paid = balance.minus(after.slots[index]?.balance ?? Decimal.zero);
    return balance.isZero() && paid.isZero() ? [] : [{ grantId: account.id, usage: paid }];
  });
  return {
    kind,
    from,
    to,
    usage,
    overageAtStart: before.overage,
    overage: after.overage,
    balancesAtStart: balancesOf(before.slots),
    balancesAtEnd: balancesOf(after.slots),
    grantUsages,
  };
}

function balancesOf(slots: readonly Slot[]): ReadonlyMap<string, Decimal> {
  return new Map(slots.map(({ account, balance }) => [account.id, balance]));
}
