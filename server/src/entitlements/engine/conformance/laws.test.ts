/** The laws of the engine over random terms and events, and its answers against the minute-by-minute reference. */

import fc from "fast-check";
import { expect, test } from "vitest";

import { Decimal } from "../../../kernel/decimal.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { nextBoundary, phases, phaseStart } from "../boundaries.ts";
import type { EngineState, Run, Segment } from "../run.ts";
import { initialState } from "../run.ts";
import type { Terms } from "../terms.ts";
import { floorToMinute } from "../time.ts";
import { periodAt, resetPoints } from "../usage-periods.ts";
import type { MeteredValue } from "../value.ts";
import { valueInPhase, valueOf } from "../value.ts";
import {
  arbitraryInstant,
  arbitraryMetered,
  arbitraryMinute,
  arbitraryTerms,
  arbitraryUsage,
  metering,
} from "./arbitraries.ts";
import type { Metered } from "./fixtures.ts";
import { hour, runEvents, start, usageOf, valueAt } from "./fixtures.ts";
import { referenceValue } from "./reference.ts";

const RUNS = { numRuns: 300 };

/** A value as numbers, to compare with the reference. */
function inNumbers(value: MeteredValue): unknown {
  const number = (one: Decimal) => Number(one.toText());
  return {
    balance: number(value.balance),
    usage: number(value.usage),
    overage: number(value.overage),
    totalAvailableGrantAmount: number(value.totalAvailableGrantAmount),
    grantBalances: new Map([...value.grantBalances].map(([id, balance]) => [id, number(balance)])),
  };
}

function runAll(terms: Terms, until: Instant, metered: Metered): Run {
  return runEvents(terms, initialState(terms), until, metered);
}

test("the engine agrees with the reference", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryMetered, arbitraryInstant, (given, metered, until) => {
      const terms = metering(given, metered);
      expect(inNumbers(valueAt(terms, until, metered))).toEqual(referenceValue(terms, until, metered));
    }),
    { numRuns: 500 },
  );
});

/** All boundaries of the two days, found one by one. */
function boundariesUntil(terms: Terms, until: Instant): readonly Instant[] {
  const found: Instant[] = [];
  let next = nextBoundary(terms, terms.measureUsageFrom);
  while (next !== null && next <= until) {
    found.push(next);
    next = nextBoundary(terms, next);
  }
  return found;
}

function isAtBoundary({ from, to }: Segment): boolean {
  return from === to;
}

/** The run that begins where another one ended, told as one: what the first said at its end is said by the second. */
function joined(first: Run, second: Run): Run {
  const isRepeated = first.segments.at(-1)?.kind === "usage" && first.segments.slice(-1).every(isAtBoundary);
  return {
    state: second.state,
    segments: [...first.segments.slice(0, isRepeated ? -1 : undefined), ...second.segments],
  };
}

test("law 1: a run cut at a boundary is the same run, with negative usage too", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryMetered, arbitraryInstant, fc.nat(), (given, metered, until, pick) => {
      const terms = metering(given, metered);
      const boundaries = boundariesUntil(terms, until);
      const cut = boundaries[pick % Math.max(boundaries.length, 1)];
      fc.pre(cut !== undefined && cut < until);
      const first = runAll(terms, cut ?? until, metered);
      const second = runEvents(terms, first.state, until, metered);
      expect(joined(first, second)).toEqual(runAll(terms, until, metered));
    }),
    RUNS,
  );
});

test("law 1: a run cut at any instant ends the same, and its segments only gain cuts", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryUsage, arbitraryInstant, arbitraryInstant, (given, metered, one, other) => {
      const [cut, until] = one < other ? [one, other] : [other, one];
      const whole = runAll(given, until, metered);
      const first = runAll(given, cut, metered);
      const second = runEvents(given, first.state, until, metered);
      expect(valueOf(given, second.state)).toEqual(valueOf(given, whole.state));
      const parts = joined(first, second);
      expect(total(parts.segments)).toEqual(total(whole.segments));
      for (const { id } of given.grants) expect(paid(parts.segments, id)).toEqual(paid(whole.segments, id));
    }),
    RUNS,
  );
});

function total(segments: readonly Segment[]): Decimal {
  return segments.reduce((sum, segment) => sum.plus(segment.usage), Decimal.zero);
}

function paid(segments: readonly Segment[], grantId: string): Decimal {
  return segments
    .flatMap((segment) => segment.grantUsages)
    .filter((usage) => usage.grantId === grantId)
    .reduce((sum, { usage }) => sum.plus(usage), Decimal.zero);
}

test("law 2: the order of grants, resets and events in the input changes nothing", () => {
  const shuffledTerms = arbitraryTerms.chain((terms) =>
    fc
      .tuple(shuffled(terms.grants), shuffled(terms.resets))
      .map(([grants, resets]) => [terms, { ...terms, grants, resets }] as const),
  );
  const shuffledUsage = arbitraryMetered.chain((metered) =>
    shuffled(metered.events).map((events) => [metered, { ...metered, events }] as const),
  );
  fc.assert(
    fc.property(shuffledTerms, shuffledUsage, arbitraryInstant, ([given, permuted], [usage, late], until) => {
      const terms = metering(given, usage);
      expect(runAll(metering(permuted, usage), until, late)).toEqual(runAll(terms, until, usage));
    }),
    RUNS,
  );
});

function shuffled<T>(values: readonly T[]): fc.Arbitrary<readonly T[]> {
  return fc.shuffledSubarray([...values], { minLength: values.length });
}

test("law 3: balance and overage are never both positive, and no balance leaves its bounds", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryMetered, arbitraryInstant, (given, metered, until) => {
      const terms = metering(given, metered);
      const run = runAll(terms, until, metered);
      const value = valueOf(terms, run.state);
      expect(value.balance.isPositive() && value.overage.isPositive()).toBe(false);
      expect(value.hasAccess).toBe(terms.isSoftLimit || value.balance.isPositive());
      const ends = [...run.segments.map((segment) => segment.balancesAtEnd), value.grantBalances];
      for (const { id, amount, maxRollover } of terms.grants) {
        const most = amount.compare(maxRollover) > 0 ? amount : maxRollover;
        for (const balance of ends.flatMap((balances) => balances.get(id) ?? [])) {
          expect(balance.isNegative()).toBe(false);
          expect(balance.compare(most)).toBeLessThanOrEqual(0);
        }
      }
    }),
    RUNS,
  );
});

test("law 4: within a period without preserved overage, usage is what was covered and the overage", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryMetered, arbitraryInstant, (given, metered, until) => {
      fc.pre(metered.kind !== "LATEST");
      const resets = given.resets.map((reset) => ({ ...reset, preserveOverage: false }));
      const terms = { ...given, resets, preserveOverageAtReset: false };
      const { state } = runAll(terms, until, metered);
      expect(state.covered.plus(state.overage)).toEqual(state.usage);
      const value = valueOf(terms, state);
      if (!state.overage.isNegative()) {
        expect(value.totalAvailableGrantAmount.minus(value.balance).plus(value.overage)).toEqual(value.usage);
      }
    }),
    RUNS,
  );
});

test("law 4: what a segment takes from its grants is its usage and what overage changed", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryUsage, arbitraryInstant, (terms, metered, until) => {
      for (const segment of runAll(terms, until, metered).segments) {
        const taken = segment.grantUsages.reduce((sum, { usage }) => sum.plus(usage), Decimal.zero);
        const due = segment.overageAtStart.plus(segment.usage).minus(segment.overage);
        // A reset may forgive overage without taking it from anybody.
        if (segment.kind === "usage") expect(taken).toEqual(due);
        else expect(taken.compare(due)).toBeLessThanOrEqual(0);
      }
    }),
    RUNS,
  );
});

test("law 7: more usage never raises the balance, another grant never lowers it", () => {
  const more = fc.record({ at: arbitraryMinute, value: fc.integer({ min: 0, max: 50 }) });
  fc.assert(
    fc.property(arbitraryTerms, arbitraryUsage, arbitraryInstant, more, (terms, metered, until, event) => {
      const balance = valueAt(terms, until, metered).balance;
      const used = valueAt(terms, until, { ...metered, events: [...metered.events, event] }).balance;
      expect(used.compare(balance)).toBeLessThanOrEqual(0);
      const without = valueAt({ ...terms, grants: terms.grants.slice(1) }, until, metered).balance;
      expect(without.compare(balance)).toBeLessThanOrEqual(0);
    }),
    RUNS,
  );
});

test("law 8: periods tile the time from measureUsageFrom on", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryInstant, (terms, until) => {
      let period = periodAt(terms, start);
      expect(period.from).toBe(start);
      expect(periodAt(terms, hour(-100))).toEqual(period);
      const starts: Instant[] = [];
      while (period.to <= until) {
        expect(period.from).toBeLessThan(period.to);
        expect(periodAt(terms, (period.to - 1) as Instant)).toEqual(period);
        const next = periodAt(terms, period.to);
        expect(next.from).toBe(period.to);
        starts.push(next.from);
        period = next;
      }
      expect(resetPoints(terms, start, until).map((reset) => reset.at)).toEqual(starts);
      for (const { at } of terms.resets) expect(at > until || starts.includes(at)).toBe(true);
    }),
    RUNS,
  );
});

test("phases lie between boundaries, and within one a reading needs no run", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryMetered, arbitraryInstant, (given, metered, until) => {
      const terms = metering(given, metered);
      const whole = phases(terms, { at: start }, until);
      expect(phases(terms, { at: start }, until, 3)).toEqual(whole.slice(0, 3));
      const boundaries = boundariesUntil(terms, until);
      expect(whole.slice(1).map((phase) => phase.from)).toEqual(boundaries.filter((boundary) => boundary < until));
      for (const { from, periodStart } of whole) expect(periodStart).toBe(periodAt(terms, from).from);

      const from = phaseStart(terms, until);
      expect(from).toBe(boundaries.at(-1) ?? start);
      const state = runAll(terms, from, metered).state;
      const [phase] = phases(terms, state, until);
      const usage = phase === undefined ? null : usageOf(metered.kind, metered.events, phase);
      const value = usage === null ? valueOf(terms, state) : valueInPhase(terms, state, usage);
      expect(value).toEqual(valueAt(terms, until, metered));
    }),
    RUNS,
  );
});

test("a stored state may list its balances in any order", () => {
  fc.assert(
    fc.property(arbitraryTerms, arbitraryUsage, arbitraryMinute, arbitraryInstant, (terms, metered, one, other) => {
      const [cut, until] = one < other ? [one, other] : [floorToMinute(other), one];
      const { state } = runAll(terms, cut, metered);
      const stored: EngineState = { ...state, balances: new Map([...state.balances].toReversed()) };
      expect(valueOf(terms, stored)).toEqual(valueOf(terms, state));
      expect(runEvents(terms, stored, until, metered)).toEqual(runEvents(terms, state, until, metered));
    }),
    RUNS,
  );
});
