/**
 * Values: what a client sees of a state.
 *
 * Invariants: balance and overage are never both positive, and neither is negative; `totalAvailableGrantAmount` is what
 * grants have covered in the usage period and still have. Numbers are in the units that clients see; only where usage is
 * divided by a factor are they rounded, to 24 fractional digits, half away from zero, each once.
 */

import { Decimal } from "../../kernel/decimal.ts";
import type { EngineState, Ledger } from "./run.ts";
import { charge, closePhase, openLedger } from "./run.ts";
import type { Terms } from "./terms.ts";
import { toEngineUnits, toShownUnits } from "./terms.ts";

export interface MeteredValue {
  readonly hasAccess: boolean;
  /** The sum of the balances of the active grants. */
  readonly balance: Decimal;
  /** Since the start of the usage period. */
  readonly usage: Decimal;
  /** Usage that no grant covers. */
  readonly overage: Decimal;
  readonly totalAvailableGrantAmount: Decimal;
  /** Of each active grant, in burn order. */
  readonly grantBalances: ReadonlyMap<string, Decimal>;
}

/** The value at the state's instant. Costs as much as there are grants. */
export function valueOf(terms: Terms, state: EngineState): MeteredValue {
  return valueOfLedger(terms, openLedger(terms, state));
}

/**
 * The value later in the phase that begins with `state`, after `usage` was metered in it (as `phases` defines it). The
 * same as running to there, for as long as no boundary has come, without looking for boundaries.
 */
export function valueInPhase(terms: Terms, state: EngineState, usage: Decimal): MeteredValue {
  return valueOfLedger(terms, closePhase(terms, openLedger(terms, state), toEngineUnits(terms, usage)));
}

/** The value before measureUsageFrom: there is nothing yet. */
export function valueBeforeMeasuring(terms: Terms): MeteredValue {
  const zero = Decimal.zero;
  return valueOfLedger(terms, { slots: [], overage: zero, usage: zero, covered: zero });
}

/** The value of a ledger, with overage that is still to be charged. */
export function valueOfLedger(terms: Terms, ledger: Ledger): MeteredValue {
  const { slots, overage, usage, covered } = charge(ledger);
  let balance = Decimal.zero;
  const grantBalances = new Map<string, Decimal>();
  for (const slot of slots) {
    balance = balance.plus(slot.balance);
    grantBalances.set(slot.account.id, toShownUnits(terms, slot.balance));
  }
  return {
    hasAccess: terms.isSoftLimit || balance.isPositive(),
    balance: toShownUnits(terms, balance),
    usage: toShownUnits(terms, usage),
    overage: overage.isPositive() ? toShownUnits(terms, overage) : Decimal.zero,
    totalAvailableGrantAmount: toShownUnits(terms, covered.plus(balance)),
    grantBalances,
  };
}
