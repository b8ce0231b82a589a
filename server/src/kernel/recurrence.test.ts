import fc from "fast-check";
import { describe, expect, test } from "vitest";

import recurrenceCases from "../../test/cases/recurrence.json" with { type: "json" };
import { InvariantViolation } from "./assert.ts";
import type { Duration } from "./duration.ts";
import { addDuration, parseDuration } from "./duration.ts";
import type { Instant } from "./instant.ts";
import { formatInstant, instantFromMicros, parseInstant } from "./instant.ts";
import type { Boundary, Recurrence } from "./recurrence.ts";
import { isRecurrenceInterval, nextAfter, occurrence, periodAt, previousBefore } from "./recurrence.ts";

function duration(text: string): Duration {
  const parsed = parseDuration(text);
  if (parsed === null) throw new Error(`not a duration: ${text}`);
  return parsed;
}

function at(text: string): Instant {
  const instant = parseInstant(text);
  if (instant === null) throw new Error(`not an instant: ${text}`);
  return instant;
}

function every(interval: string, anchor: string, zone = "UTC"): Recurrence {
  return { interval: duration(interval), anchor: at(anchor), zone };
}

describe("conformance: recurrence", () => {
  test("has all its cases", () => {
    expect(recurrenceCases.cases).toHaveLength(20);
  });

  test.each(recurrenceCases.cases)("$id", ({ op, interval, anchor, boundary, at: instant, expect: result }) => {
    if (boundary !== "inclusive" && boundary !== "exclusive") throw new Error(`unknown boundary ${boundary}`);
    const find = { next_after: nextAfter, prev_before: previousBefore }[op];
    if (find === undefined) throw new Error(`unknown operation ${op}`);
    expect(formatInstant(find(every(interval, anchor), at(instant), boundary))).toBe(result);
  });
});

describe("periodAt", () => {
  test.each([
    ["P1M", "2025-01-31T15:00:00Z", "2025-02-13T00:00:00Z", "2025-01-31T15:00:00Z", "2025-02-28T15:00:00Z"],
    ["P1M", "2025-01-31T15:00:00Z", "2025-09-30T15:00:00Z", "2025-09-30T15:00:00Z", "2025-10-31T15:00:00Z"],
    ["P1M", "2025-01-31T15:00:00Z", "2025-09-30T14:59:59.999999Z", "2025-08-31T15:00:00Z", "2025-09-30T15:00:00Z"],
    ["P1M", "2025-01-31T00:00:00Z", "2023-02-28T00:00:00Z", "2023-02-28T00:00:00Z", "2023-03-31T00:00:00Z"],
    ["P1Y", "2024-02-29T00:00:00Z", "2027-06-01T00:00:00Z", "2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z"],
    ["P1M1D", "2025-01-31T00:00:00Z", "2025-03-01T00:00:00Z", "2025-03-01T00:00:00Z", "2025-04-02T00:00:00Z"],
    ["PT1S", "1800-01-01T00:00:00Z", "2200-01-01T00:00:00.5Z", "2200-01-01T00:00:00Z", "2200-01-01T00:00:01Z"],
  ])("%s from %s at %s is [%s, %s)", (interval, anchor, instant, from, to) => {
    const period = periodAt(every(interval, anchor), at(instant));
    expect([formatInstant(period.from), formatInstant(period.to)]).toEqual([from, to]);
  });

  test("days in a zone have 23, 24 or 25 hours", () => {
    const daily = every("P1D", "2025-01-01T00:00:00+01:00", "Europe/Budapest");
    const hours = ["2025-03-30T12:00:00Z", "2025-06-01T12:00:00Z", "2025-10-26T12:00:00Z"].map((instant) => {
      const { from, to } = periodAt(daily, at(instant));
      return (to - from) / 3.6e9;
    });
    expect(hours).toEqual([23, 24, 25]);
  });

  test("a date that the zone skipped makes no empty period", () => {
    // Apia went from 29 to 31 December 2011; 10:00 of the 30th moves to 10:00 of the 31st, which recurs by itself too.
    const daily = every("P1D", "2011-12-28T10:00:00-10:00", "Pacific/Apia");
    const [skipped, doubled] = [at("2011-12-29T20:00:00Z"), at("2011-12-30T20:00:00Z")];
    expect(occurrence(daily, 2)).toBe(doubled);
    expect(occurrence(daily, 3)).toBe(doubled);
    expect(periodAt(daily, skipped)).toEqual({ from: skipped, to: doubled });
    expect(periodAt(daily, doubled)).toEqual({ from: doubled, to: at("2011-12-31T20:00:00Z") });
    expect(previousBefore(daily, doubled, "exclusive")).toBe(skipped);
    expect(nextAfter(daily, doubled, "exclusive")).toBe(at("2011-12-31T20:00:00Z"));
  });
});

describe("intervals", () => {
  test.each(["P1D", "P1M", "P1Y2M", "PT1S", "P1DT12H"])("%s is one", (text) => {
    expect(isRecurrenceInterval(duration(text))).toBe(true);
  });

  test.each(["PT0S", "P-1D", "P1M-1D", "PT0.5S", "PT1.5S"])(
    "%s is none, and using it is a programmer error",
    (text) => {
      expect(isRecurrenceInterval(duration(text))).toBe(false);
      const recurrence = every(text, "2025-01-01T00:00:00Z");
      expect(() => periodAt(recurrence, recurrence.anchor)).toThrow(InvariantViolation);
    },
  );
});

const zones = ["UTC", "Europe/Budapest", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"];
const intervals = [
  "PT1H",
  "PT90M",
  "P1D",
  "P3D",
  "P1W",
  "P1M",
  "P1M1D",
  "P1MT1H",
  "P3M",
  "P1Y",
  "P1Y1M1W1DT1H1M1S",
  "P7Y",
];
const anyInstant = fc
  .oneof(fc.integer({ min: -5e15, max: 5e15 }), fc.integer({ min: 1.2e15, max: 1.9e15 }))
  .map(instantFromMicros);
const anyRecurrence = fc
  .tuple(fc.constantFrom(...intervals), anyInstant, fc.constantFrom(...zones))
  .map(([interval, anchor, zone]) => ({ interval: duration(interval), anchor, zone }));
/** Anchors that leave room for a dozen of the longest intervals within the range of instants. */
const nearRecurrence = anyRecurrence.filter(({ anchor }) => Math.abs(anchor) < 2e15);

describe("laws", () => {
  test("the period contains the instant, its ends are occurrences, and its neighbours touch it", () => {
    fc.assert(
      fc.property(anyRecurrence, anyInstant, (recurrence, instant) => {
        const { from, to } = periodAt(recurrence, instant);
        expect(from).toBeLessThanOrEqual(instant);
        expect(to).toBeGreaterThan(instant);
        expect(periodAt(recurrence, to).from).toBe(to);
        expect(periodAt(recurrence, instantFromMicros(from - 1)).to).toBe(from);
        for (const end of [from, to]) {
          expect(nextAfter(recurrence, end, "inclusive")).toBe(end);
          expect(previousBefore(recurrence, end, "inclusive")).toBe(end);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test("next and previous are the ends of the period", () => {
    fc.assert(
      fc.property(
        anyRecurrence,
        anyInstant,
        fc.constantFrom<Boundary>("inclusive", "exclusive"),
        (given, instant, boundary) => {
          const { from, to } = periodAt(given, instant);
          expect(nextAfter(given, from, "exclusive")).toBe(to);
          expect(previousBefore(given, to, "exclusive")).toBe(from);
          fc.pre(instant !== from);
          expect(nextAfter(given, instant, boundary)).toBe(to);
          expect(previousBefore(given, instant, boundary)).toBe(from);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("answers equal those of walking from the anchor", () => {
    fc.assert(
      fc.property(
        nearRecurrence,
        fc.integer({ min: -8, max: 8 }),
        fc.integer({ min: -4e9, max: 4e9 }),
        (given, n, offset) => {
          const instant = instantFromMicros(occurrence(given, n) + offset);
          const walked = Array.from({ length: 25 }, (_, i) => step(given, i - 12));
          expect(nextAfter(given, instant, "inclusive")).toBe(Math.min(...walked.filter((each) => each >= instant)));
          expect(nextAfter(given, instant, "exclusive")).toBe(Math.min(...walked.filter((each) => each > instant)));
          expect(previousBefore(given, instant, "inclusive")).toBe(
            Math.max(...walked.filter((each) => each <= instant)),
          );
          expect(previousBefore(given, instant, "exclusive")).toBe(
            Math.max(...walked.filter((each) => each < instant)),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  test("occurrences never decrease", () => {
    fc.assert(
      fc.property(anyRecurrence, fc.integer({ min: -15, max: 15 }), (given, n) => {
        expect(occurrence(given, n + 1)).toBeGreaterThanOrEqual(occurrence(given, n));
      }),
      { numRuns: 500 },
    );
  });
});

/** Occurrence `n` from the components themselves, without `multiplyDuration`. */
function step({ interval, anchor, zone }: Recurrence, n: number): Instant {
  const { years, months, weeks, days, hours, minutes, seconds } = interval;
  const scaled: Duration = {
    years: 0,
    months: (years * 12 + months) * n,
    weeks: 0,
    days: (weeks * 7 + days) * n,
    hours: 0,
    minutes: 0,
    seconds: (hours * 3_600 + minutes * 60 + seconds) * n,
    micros: 0,
  };
  return addDuration(anchor, scaled, zone);
}
