import fc from "fast-check";
import { describe, expect, test } from "vitest";

import addCases from "../../test/cases/duration_add.json" with { type: "json" };
import divisibleCases from "../../test/cases/duration_divisible.json" with { type: "json" };
import type { Duration } from "./duration.ts";
import { addDuration, formatDuration, isDivisible, multiplyDuration, parseDuration, zeroDuration } from "./duration.ts";
import { Fault } from "./fault.ts";
import type { Instant } from "./instant.ts";
import { formatInstant, instantFromMicros, instantFromTemporal, instantToTemporal, parseInstant } from "./instant.ts";

function duration(text: string): Duration {
  const parsed = parseDuration(text);
  if (parsed === null) throw new Error(`not a duration: ${text}`);
  return parsed;
}

/** Reads `2025-03-25T01:00:00+01:00[Europe/Budapest]` too. */
function at(text: string): Instant {
  const instant = parseInstant(text.replace(/\[.*\]$/, ""));
  if (instant === null) throw new Error(`not an instant: ${text}`);
  return instant;
}

describe("conformance: duration_add", () => {
  test("has all its cases", () => {
    expect(addCases.cases).toHaveLength(9);
  });

  test.each(addCases.cases)("$id", ({ start, duration: text, expect: result, zone }) => {
    const sum = addDuration(at(start), duration(text), zone ?? "UTC");
    expect(formatInstant(sum)).toBe(formatInstant(at(result)));
  });
});

describe("conformance: duration_divisible", () => {
  test("has all its cases", () => {
    expect(divisibleCases.cases).toHaveLength(35);
  });

  test.each(divisibleCases.cases)("$id", ({ larger, smaller, expect: result }) => {
    expect(isDivisible(duration(larger), duration(smaller))).toBe(result);
  });

  test.each([
    ["P1W", "PT1H", true],
    ["P4W", "P1W", true],
    ["P1D", "PT5H", false],
    ["P1D", "PT1H", true],
    ["P1D", "PT24H", false],
    ["P1D", "PT0S", false],
    ["P2Y", "P-1Y", false],
    ["PT0.5S", "PT0.25S", true],
  ])("%s by %s: %s", (larger, smaller, result) => {
    expect(isDivisible(duration(larger), duration(smaller))).toBe(result);
  });
});

describe("text", () => {
  test.each([
    ["P1M", { months: 1 }],
    ["PT1H", { hours: 1 }],
    ["P1Y2M3W4DT5H6M7S", { years: 1, months: 2, weeks: 3, days: 4, hours: 5, minutes: 6, seconds: 7 }],
    ["P-3M", { months: -3 }],
    ["-P1D", { days: -1 }],
    ["-P1DT-2H", { days: -1, hours: 2 }],
    ["P0D", {}],
    ["PT0S", {}],
    ["-PT0S", {}],
    ["PT1M", { minutes: 1 }],
    ["PT0.5S", { micros: 500_000 }],
    ["PT-1.000001S", { seconds: -1, micros: -1 }],
    ["PT-0.5S", { micros: -500_000 }],
    ["-PT-0.5S", { micros: 500_000 }],
  ])("%s", (text, components) => {
    expect(parseDuration(text)).toEqual({ ...zeroDuration, ...components });
  });

  test.each([
    "",
    "P",
    "PT",
    "-P",
    "P1DT",
    "1D",
    "P1",
    "P1H",
    "PT1D",
    "P1D1M",
    "P1.5D",
    "PT1.5H",
    "PT1.S",
    "PT0.1234567S",
    "P1234567890D",
    "P 1D",
    "p1d",
    "P1D ",
    "+P1D",
    "--P1D",
    "MONTH",
  ])("%j is none", (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  test.each([
    ["P1Y", "P1Y"],
    ["P12M", "P12M"],
    ["P1W", "P1W"],
    ["PT36H", "PT36H"],
    ["P0D", "PT0S"],
    ["-P1DT2H", "P-1DT-2H"],
    ["PT1.50S", "PT1.5S"],
    ["PT-0.5S", "PT-0.5S"],
  ])("%s is written %s", (text, written) => {
    expect(formatDuration(duration(text))).toBe(written);
  });
});

const oddZones = ["UTC", "Europe/Budapest", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"];
const anyZone = fc.constantFrom(...oddZones, ...Intl.supportedValuesOf("timeZone"));
const anyInstant = fc
  .oneof(fc.integer({ min: -4e15, max: 4e15 }), fc.integer({ min: 1.5e15, max: 1.9e15 }))
  .map(instantFromMicros);
const small = (max: number) => fc.oneof(fc.constant(0), fc.integer({ min: 0, max }));
/** Durations with components of one sign, which is what Temporal can add. */
const anyDuration = fc
  .tuple(
    fc.record({
      years: small(30),
      months: small(40),
      weeks: small(60),
      days: small(400),
      hours: small(100),
      minutes: small(100),
      seconds: small(100),
      micros: small(999_999),
    }),
    fc.constantFrom(1, -1),
  )
  .map(([components, sign]) => multiplyDuration(components, sign));

describe("adding", () => {
  test.each([
    ["2025-01-31T00:00:00Z", "P1M", "UTC", "2025-02-28T00:00:00Z"],
    ["2024-02-29T00:00:00Z", "P1Y", "UTC", "2025-02-28T00:00:00Z"],
    ["2024-01-15T10:30:00Z", "P1Y2M10DT5H30M45S", "UTC", "2025-03-25T16:00:45Z"],
    ["2025-03-31T00:00:00Z", "P-1M", "UTC", "2025-02-28T00:00:00Z"],
    ["2025-03-31T00:00:00Z", "-P1M1D", "UTC", "2025-02-27T00:00:00Z"],
    // Clamping comes before days are added.
    ["2025-01-31T00:00:00Z", "P1M1D", "UTC", "2025-03-01T00:00:00Z"],
    ["2025-01-01T00:00:00.000001Z", "PT0.5S", "UTC", "2025-01-01T00:00:00.500001Z"],
    ["2025-03-30T00:30:00+01:00", "P1D", "Europe/Budapest", "2025-03-31T00:30:00+02:00"],
    ["2025-03-30T00:30:00+01:00", "PT24H", "Europe/Budapest", "2025-03-31T01:30:00+02:00"],
    ["2025-10-26T00:00:00+02:00", "P1D", "Europe/Budapest", "2025-10-27T00:00:00+01:00"],
    // 02:30 does not exist on that date: it moves forward by the gap.
    ["2025-03-29T02:30:00+01:00", "P1D", "Europe/Budapest", "2025-03-30T03:30:00+02:00"],
    // 02:30 exists twice on that date: the earlier one.
    ["2025-10-25T02:30:00+02:00", "P1D", "Europe/Budapest", "2025-10-26T02:30:00+02:00"],
    // Elapsed time does not leave the second pass of a repeated hour.
    ["2025-10-26T02:30:00+01:00", "PT1M", "Europe/Budapest", "2025-10-26T02:31:00+01:00"],
    ["2025-10-26T02:30:00+01:00", "PT0S", "Europe/Budapest", "2025-10-26T02:30:00+01:00"],
  ])("%s + %s in %s = %s", (start, text, zone, result) => {
    expect(formatInstant(addDuration(at(start), duration(text), zone))).toBe(formatInstant(at(result)));
  });

  test("agrees with Temporal in every zone", () => {
    fc.assert(
      fc.property(anyZone, anyInstant, anyDuration, (zone, instant, amount) => {
        const { micros, ...components } = amount;
        const zoned = instantToTemporal(instant).toZonedDateTimeISO(zone);
        const expected = zoned.add({ ...components, microseconds: micros }).toInstant();
        expect(formatInstant(addDuration(instant, amount, zone))).toBe(formatInstant(instantFromTemporal(expected)));
      }),
      { numRuns: 2_000 },
    );
  });

  test("leaving the range of instants is a fault", () => {
    const start = at("2025-01-01T00:00:00Z");
    for (const text of ["P300Y", "P999999999Y", "P999999999D", "-P999999999W", "PT999999999H", "P300YT-3000000H"]) {
      expect(() => addDuration(start, duration(text))).toThrow(Fault);
    }
  });
});

test("format and parse are inverses", () => {
  fc.assert(
    fc.property(anyDuration, (amount) => {
      expect(parseDuration(formatDuration(amount))).toEqual(amount);
    }),
  );
});

test("multiplying carries the fraction into the seconds", () => {
  expect(multiplyDuration(duration("P1M2DT0.75S"), 3)).toEqual(duration("P3M6DT2.25S"));
  expect(multiplyDuration(duration("P1M2DT0.75S"), -2)).toEqual(duration("-P2M4DT1.5S"));
  expect(multiplyDuration(duration("P1M"), 0)).toEqual(zeroDuration);
});
