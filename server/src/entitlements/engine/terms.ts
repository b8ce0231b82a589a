/**
 * Terms: everything about a metered entitlement that decides its balance, except usage. And what the engine makes of them
 * once, so that a reading afterwards costs as much as there are grants: grants in burn order with amounts in the engine's
 * own units, starts and ends in order of time, reset entries.
 *
 * The engine's units: when usage is divided by a factor, it is kept raw and amounts are multiplied by the factor, so that
 * nothing is rounded before it is shown. When usage is multiplied, and without conversion, they are the units clients see.
 *
 * Terms are values: the engine remembers what it compiled for an object and relies on the object never changing.
 */

import { assert } from "../../kernel/assert.ts";
import type { Decimal } from "../../kernel/decimal.ts";
import type { Duration } from "../../kernel/duration.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { Recurrence } from "../../kernel/recurrence.ts";
import type { Grant } from "./grant.ts";
import { compareBurnOrder, endOfGrant } from "./grant.ts";
import { floorToMinute, isEngineInterval, isWholeMinute, utcRecurrence } from "./time.ts";

/** A manual reset. */
export interface Reset {
  /** After measureUsageFrom and different from every other reset. */
  readonly at: Instant;
  /** The anchor of the usage periods from here on; the interval stays. */
  readonly anchor: Instant;
  readonly preserveOverage: boolean;
}

/** How usage is converted before it is burnt; the factor is greater than zero. */
export interface Conversion {
  readonly operation: "multiply" | "divide";
  readonly factor: Decimal;
}

/** Immutable, whole minutes throughout. Lists may have any order. */
export interface Terms {
  readonly measureUsageFrom: Instant;
  readonly usagePeriod: { readonly interval: Duration; readonly anchor: Instant };
  readonly resets: readonly Reset[];
  /** Whether resets by the usage period preserve overage. */
  readonly preserveOverageAtReset: boolean;
  readonly isSoftLimit: boolean;
  /** All grants ever made, ended, voided and deleted ones included: they covered usage before they ended. */
  readonly grants: readonly Grant[];
  /** The meter shows its latest value (LATEST) instead of adding up. */
  readonly gauge: boolean;
  readonly conversion: Conversion | null;
}

/** A grant that is active at some time, in the engine's units. */
export interface Account {
  readonly id: string;
  /** Its place in the burn order. */
  readonly rank: number;
  readonly amount: Decimal;
  readonly minRollover: Decimal;
  readonly maxRollover: Decimal;
  readonly effectiveAt: Instant;
  /** Exclusive; infinite when there is none. */
  readonly end: number;
  readonly recurrence: Recurrence | null;
}

/** Grants that start or end at an instant. */
export interface Change {
  readonly at: Instant;
  readonly starts: readonly Account[];
  readonly ends: readonly Account[];
}

/** From `at` on, usage periods recur by `recurrence`; the first entry is that of measureUsageFrom. */
export interface ResetEntry {
  readonly at: Instant;
  readonly recurrence: Recurrence;
  readonly preserveOverage: boolean;
}

export interface CompiledTerms {
  /** In burn order. */
  readonly accounts: readonly Account[];
  readonly grantIds: ReadonlySet<string>;
  /** In order of time, one per instant. */
  readonly changes: readonly Change[];
  /** In order of time, never empty. */
  readonly entries: readonly ResetEntry[];
}

const compiledTerms = new WeakMap<Terms, CompiledTerms>();

/** What the engine works with. Asserts that the terms keep their rules. */
export function compileTerms(terms: Terms): CompiledTerms {
  const known = compiledTerms.get(terms);
  if (known !== undefined) return known;
  const factor = terms.conversion?.operation === "divide" ? terms.conversion.factor : null;
  assert(terms.conversion?.factor.isPositive() !== false, "a conversion has a factor greater than zero");
  const accounts = terms.grants
    .toSorted(compareBurnOrder)
    .map((grant, rank) => accountOf(grant, rank, factor))
    .filter((account) => account.effectiveAt < account.end);
  const grantIds = new Set(terms.grants.map((grant) => grant.id));
  assert(grantIds.size === terms.grants.length, "grants have different ids");
  const compiled = { accounts, grantIds, changes: changesOf(accounts), entries: entriesOf(terms) };
  compiledTerms.set(terms, compiled);
  return compiled;
}

/** Usage as the meter reports it, in the engine's units. */
export function toEngineUnits({ conversion }: Terms, usage: Decimal): Decimal {
  return conversion?.operation === "multiply" ? usage.times(conversion.factor) : usage;
}

/** The fractional digits of a shown quotient. */
const SHOWN_SCALE = 24;

/** A number in the engine's units as clients see it. */
export function toShownUnits({ conversion }: Terms, value: Decimal): Decimal {
  if (conversion?.operation !== "divide") return value;
  return value.divide(conversion.factor, SHOWN_SCALE, "half-away-from-zero");
}

function accountOf(grant: Grant, rank: number, factor: Decimal | null): Account {
  const scaled = (amount: Decimal) => (factor === null ? amount : amount.times(factor));
  assert(grant.amount.isPositive(), "a grant has an amount greater than zero");
  return {
    id: grant.id,
    rank,
    amount: scaled(grant.amount),
    minRollover: scaled(grant.minRollover),
    maxRollover: scaled(grant.maxRollover),
    effectiveAt: floorToMinute(grant.effectiveAt),
    end: endOfGrant(grant) ?? Number.POSITIVE_INFINITY,
    recurrence: grant.recurrence === null ? null : recurrenceOf(grant.recurrence.interval, grant.recurrence.anchor),
  };
}

function recurrenceOf(interval: Duration, anchor: Instant): Recurrence {
  assert(isEngineInterval(interval), "an entitlement recurs by whole minutes");
  return utcRecurrence(interval, floorToMinute(anchor));
}

function changesOf(accounts: readonly Account[]): readonly Change[] {
  const changes = new Map<number, { at: Instant; starts: Account[]; ends: Account[] }>();
  const changeAt = (at: number) => {
    const change = changes.get(at) ?? { at: at as Instant, starts: [], ends: [] };
    changes.set(at, change);
    return change;
  };
  for (const account of accounts) {
    changeAt(account.effectiveAt).starts.push(account);
    if (Number.isFinite(account.end)) changeAt(account.end).ends.push(account);
  }
  return [...changes.values()].toSorted((a, b) => a.at - b.at);
}

function entriesOf(terms: Terms): readonly ResetEntry[] {
  const { interval, anchor } = terms.usagePeriod;
  assert(isWholeMinute(terms.measureUsageFrom), "usage is measured from a whole minute");
  const entries: ResetEntry[] = [
    { at: terms.measureUsageFrom, recurrence: recurrenceOf(interval, anchor), preserveOverage: false },
  ];
  let last = terms.measureUsageFrom;
  for (const reset of terms.resets.toSorted((a, b) => a.at - b.at)) {
    assert(isWholeMinute(reset.at), "a reset happens at a whole minute");
    assert(reset.at > last, "a reset lies after measureUsageFrom and after the reset before it");
    last = reset.at;
    entries.push({
      at: reset.at,
      recurrence: recurrenceOf(interval, reset.anchor),
      preserveOverage: reset.preserveOverage,
    });
  }
  return entries;
}
