/**
 * Random terms and events for the laws of the engine. Instants lie on a coarse grid over two days, so that starts, ends,
 * recurrences and resets coincide often; a few lie beside it.
 */

import fc from "fast-check";

import { microsPerMinute, microsPerSecond } from "../../../kernel/civil.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { plusMicros } from "../../../kernel/instant.ts";
import type { Grant } from "../grant.ts";
import type { Terms } from "../terms.ts";
import type { Metered, MeterKind, UsageEvent } from "./fixtures.ts";
import { decimal, duration, grantOf, start, termsOf } from "./fixtures.ts";

const LAST_MINUTE = 2 * 24 * 60;

function minute(minutes: number): Instant {
  return plusMicros(start, minutes * microsPerMinute);
}

const gridMinute = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: LAST_MINUTE / 90 }).map((step) => step * 90) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: LAST_MINUTE }) },
);

const interval = fc.constantFrom("PT1H", "PT90M", "PT3H", "PT6H", "PT7H", "P1D", "PT25H", "P1W").map(duration);
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null, freq: 2 });
const anchor = fc.oneof(gridMinute, fc.integer({ min: -3000, max: 3000 })).map(minute);

const grant: fc.Arbitrary<Grant> = fc
  .record({
    amount: fc.integer({ min: 1, max: 60 }),
    priority: fc.integer({ min: 0, max: 2 }),
    effectiveAt: fc.oneof(fc.constantFrom(0, 0, -90), gridMinute).map(minute),
    expiresAt: orNull(gridMinute.map(minute)),
    voidedAt: fc.option(gridMinute.map(minute), { nil: null, freq: 6 }),
    deletedAt: fc.option(gridMinute.map(minute), { nil: null, freq: 8 }),
    minRollover: fc.constantFrom(0, 0, 10, 40),
    maxRollover: fc.constantFrom(0, 20, 60, 1000),
    recurrence: orNull(fc.record({ interval, anchor })),
    createdAt: fc.integer({ min: -3, max: 0 }).map(minute),
  })
  .map((fields) =>
    grantOf("", "1", {
      ...fields,
      amount: decimal(fields.amount),
      minRollover: decimal(fields.minRollover),
      maxRollover: decimal(fields.maxRollover),
    }),
  );

const reset = fc.record({
  at: gridMinute.map((minutes) => minute(Math.max(minutes, 1))),
  anchor: fc.oneof(fc.constant(null), anchor),
  preserveOverage: fc.boolean(),
});

export const arbitraryTerms: fc.Arbitrary<Terms> = fc
  .record({
    usagePeriod: fc.record({ interval, anchor }),
    resets: fc.uniqueArray(reset, { maxLength: 3, selector: ({ at }) => at }),
    preserveOverageAtReset: fc.boolean(),
    isSoftLimit: fc.boolean(),
    grants: fc.array(grant, { maxLength: 5 }),
  })
  .map((fields) =>
    termsOf({
      ...fields,
      resets: fields.resets.map((one) => ({ ...one, anchor: one.anchor ?? one.at })),
      grants: fields.grants.map((one, index) => ({ ...one, id: `grant-${index}` })),
    }),
  );

/** Event times with a second of their own; half of the events lie on the grid. */
function arbitraryEvents(values: fc.Arbitrary<number>): fc.Arbitrary<readonly UsageEvent[]> {
  const event = fc
    .tuple(gridMinute, fc.integer({ min: 0, max: 59 }), values)
    .map(([minutes, second, value]) => ({ at: plusMicros(minute(minutes), second * microsPerSecond), value }));
  // Of two latest values at the same instant the one that arrived later counts, which is not what is tested here.
  return fc.uniqueArray(event, { maxLength: 25, selector: ({ at }) => at });
}

const valuesOf: Readonly<Record<MeterKind, fc.Arbitrary<number>>> = {
  SUM: fc.integer({ min: 0, max: 40 }),
  UNIQUE_COUNT: fc.integer({ min: 1, max: 12 }),
  LATEST: fc.integer({ min: -10, max: 200 }),
};

/** Usage that never falls, of a meter that adds up. */
export const arbitraryUsage: fc.Arbitrary<Metered> = fc
  .constantFrom<MeterKind>("SUM", "UNIQUE_COUNT")
  .chain((kind) => arbitraryEvents(valuesOf[kind]).map((events) => ({ kind, events })));

/** Usage of any kind, negative sums included. */
export const arbitraryMetered: fc.Arbitrary<Metered> = fc.oneof(
  arbitraryUsage,
  arbitraryEvents(fc.integer({ min: -40, max: 40 })).map((events) => ({ kind: "SUM" as const, events })),
  arbitraryEvents(valuesOf.LATEST).map((events) => ({ kind: "LATEST" as const, events })),
);

/** Terms with the kind of meter that the usage is of. */
export function metering(terms: Terms, { kind }: Metered): Terms {
  return { ...terms, gauge: kind === "LATEST" };
}

/** Any instant of the two days, a third of them on the grid and a third within a minute. */
export const arbitraryInstant: fc.Arbitrary<Instant> = fc
  .tuple(gridMinute, fc.constantFrom(0, 0, 17))
  .map(([minutes, second]) => plusMicros(minute(minutes), second * microsPerSecond));

export const arbitraryMinute: fc.Arbitrary<Instant> = gridMinute.map(minute);
