/** What the tests of the engine write their terms with. For tests only. */

import { assert } from "../../../kernel/assert.ts";
import { microsPerHour } from "../../../kernel/civil.ts";
import { Decimal } from "../../../kernel/decimal.ts";
import type { Duration } from "../../../kernel/duration.ts";
import { parseDuration } from "../../../kernel/duration.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { instantFromMicros, parseInstant, plusMicros } from "../../../kernel/instant.ts";
import type { Phase } from "../boundaries.ts";
import { phases } from "../boundaries.ts";
import type { Grant } from "../grant.ts";
import type { EngineState, Run } from "../run.ts";
import { initialState, run } from "../run.ts";
import type { Terms } from "../terms.ts";
import type { MeteredValue } from "../value.ts";
import { valueOf } from "../value.ts";

/** The start that fixtures count from unless they say otherwise. */
export const start = at("2024-01-01T00:00:00Z");

/** `hours` after the start; fractions are minutes and less. */
export function hour(hours: number): Instant {
  return plusMicros(start, hours * microsPerHour);
}

export function at(text: string): Instant {
  const instant = parseInstant(text);
  assert(instant !== null, `an instant: ${text}`);
  return instant;
}

export function duration(text: string): Duration {
  const parsed = parseDuration(text);
  assert(parsed !== null, `a duration: ${text}`);
  return parsed;
}

/** A grant from the start on that rolls nothing over, unless `overrides` say otherwise. */
export function grantOf(id: string, amount: string, overrides: Partial<Grant> = {}): Grant {
  return {
    id,
    amount: Decimal.of(amount),
    priority: 1,
    effectiveAt: start,
    expiresAt: null,
    voidedAt: null,
    deletedAt: null,
    minRollover: Decimal.zero,
    maxRollover: Decimal.zero,
    recurrence: null,
    createdAt: start,
    ...overrides,
  };
}

/** Terms from the start on whose usage period never ends by itself, unless `overrides` say otherwise. */
export function termsOf(overrides: Partial<Terms> = {}): Terms {
  return {
    measureUsageFrom: start,
    usagePeriod: { interval: duration("P1000Y"), anchor: overrides.measureUsageFrom ?? start },
    resets: [],
    preserveOverageAtReset: false,
    isSoftLimit: false,
    grants: [],
    gauge: false,
    conversion: null,
    ...overrides,
  };
}

export interface UsageEvent {
  readonly at: Instant;
  readonly value: number;
}

export type MeterKind = "SUM" | "UNIQUE_COUNT" | "LATEST";

/** The metered usage of a phase, from all events at once. */
export function usageOf(kind: MeterKind, events: readonly UsageEvent[], { from, to, periodStart }: Phase): Decimal {
  const within = (first: Instant) => events.filter((event) => first <= event.at && event.at < to);
  const distinct = (first: Instant, last: Instant) =>
    new Set(events.filter((event) => first <= event.at && event.at < last).map((event) => event.value)).size;
  switch (kind) {
    case "SUM":
      return decimal(within(from).reduce((sum, event) => sum + event.value, 0));
    case "UNIQUE_COUNT":
      return decimal(distinct(periodStart, to) - distinct(periodStart, from));
    case "LATEST":
      return decimal(
        within(periodStart).reduce((last, event) => (event.at >= last.at ? event : last), zeroEvent).value,
      );
  }
}

const zeroEvent: UsageEvent = { at: instantFromMicros(0), value: 0 };

/** A number of a test, which has no more than a few fractional digits. */
export function decimal(value: number): Decimal {
  return Decimal.of(String(value));
}

/** Events and the meter over them. */
export interface Metered {
  readonly kind: MeterKind;
  readonly events: readonly UsageEvent[];
}

/** Runs from `state` to `until` with the usage of the events. */
export function runEvents(terms: Terms, state: EngineState, until: Instant, { kind, events }: Metered): Run {
  const asked = phases(terms, state, until);
  return run(terms, state, until, (index) => {
    const phase = asked[index];
    assert(phase !== undefined, "usage is asked for by the index of a phase");
    return usageOf(kind, events, phase);
  });
}

/** The value at `until`, run from the beginning. */
export function valueAt(terms: Terms, until: Instant, metered: Metered): MeteredValue {
  return valueOf(terms, runEvents(terms, initialState(terms), until, metered).state);
}

/** A line of a test's table with decimals in it. */
export function line(parts: TemplateStringsArray, ...values: readonly (Decimal | number | string)[]): string {
  return String.raw({ raw: parts }, ...values.map(String));
}
