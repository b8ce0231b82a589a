import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { InvariantViolation } from "./assert.ts";
import { Fault } from "./fault.ts";
import type { Instant } from "./instant.ts";
import {
  compareInstants,
  earlierInstant,
  formatInstant,
  instantFromMicros,
  instantFromMillis,
  instantFromTemporal,
  instantToTemporal,
  laterInstant,
  maxInstant,
  minInstant,
  parseInstant,
  plusMicros,
} from "./instant.ts";

const anyInstant = fc
  .oneof(fc.integer({ min: minInstant, max: maxInstant }), fc.integer({ min: -100_000_000, max: 100_000_000 }))
  .map(instantFromMicros);

/** Micros of a text by way of Temporal, as an independent reading. */
function microsByTemporal(text: string): number {
  const nanos = Temporal.Instant.from(text).epochNanoseconds;
  return Number((nanos - (((nanos % 1_000n) + 1_000n) % 1_000n)) / 1_000n);
}

describe("parseInstant", () => {
  test.each([
    ["1970-01-01T00:00:00Z", 0],
    ["1970-01-01T00:00:00.000001Z", 1],
    ["1969-12-31T23:59:59.999999Z", -1],
    ["1969-12-31T23:59:59.9999999Z", -1],
    ["1970-01-01T00:00:00.9999999Z", 999_999],
    ["1970-01-01T00:00:00.5Z", 500_000],
    ["1970-01-01T00:00:00.123456789Z", 123_456],
    ["1970-01-01T01:00:00+01:00", 0],
    ["1969-12-31T18:30:00-05:30", 0],
    ["1970-01-01T00:00:00-00:00", 0],
    ["1970-01-01T23:59:00+23:59", 0],
    ["2024-02-29T12:34:56Z", 1_709_210_096_000_000],
    ["2000-02-29T00:00:00Z", 951_782_400_000_000],
  ])("%s is %i µs", (text, micros) => {
    expect(parseInstant(text)).toBe(micros);
  });

  test.each([
    "",
    "2024",
    "2024-01-01",
    "2024-01-01T00:00:00",
    "2024-01-01T00:00Z",
    "2024-01-01 00:00:00Z",
    "2024-01-01t00:00:00Z",
    "2024-01-01T00:00:00z",
    "2024-01-01T00:00:00.Z",
    "2024-01-01T00:00:00,5Z",
    "2024-01-01T00:00:00.1234567890Z",
    "2024-01-01T00:00:00ZZ",
    "2024-01-01T00:00:00Z ",
    " 2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00+0100",
    "2024-01-01T00:00:00+01",
    "2024-01-01T00:00:00+01:00[Europe/Paris]",
    "2024-01-01T00:00:00+24:00",
    "2024-01-01T00:00:00+01:60",
    "2024-01-01T00:00:00 01:00",
    "2024-01-01T00:00:00−01:00",
    "2024-01-01T24:00:00Z",
    "2024-01-01T00:60:00Z",
    "2016-12-31T23:59:60Z",
    "2024-00-01T00:00:00Z",
    "2024-13-01T00:00:00Z",
    "2024-01-00T00:00:00Z",
    "2024-01-32T00:00:00Z",
    "2024-04-31T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "+002024-01-01T00:00:00Z",
    "-2024-01-01T00:00:00Z",
    "20240101T000000Z",
    "2024-1-01T00:00:00Z",
    "٢٠٢٤-01-01T00:00:00Z",
    // Real dates whose count of microseconds is not a safe integer.
    "0000-01-01T00:00:00Z",
    "1684-01-01T00:00:00Z",
    "2256-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
  ])("refuses %j", (text) => {
    expect(parseInstant(text)).toBeNull();
  });

  test("reaches both ends of the range and not further", () => {
    expect(parseInstant("2255-06-05T23:47:34.740991Z")).toBe(maxInstant);
    expect(parseInstant("2255-06-05T23:47:34.740992Z")).toBeNull();
    expect(parseInstant("1684-07-28T00:12:25.259009Z")).toBe(minInstant);
    expect(parseInstant("1684-07-28T00:12:25.259008Z")).toBeNull();
  });

  test("agrees with Temporal on valid texts", () => {
    const two = (max: number, min = 0) => fc.integer({ min, max }).map((value) => String(value).padStart(2, "0"));
    const fraction = fc.option(fc.stringMatching(/^[0-9]{1,9}$/), { nil: "" });
    const offset = fc.oneof(
      fc.constant("Z"),
      fc
        .tuple(fc.constantFrom("+", "-"), two(23), two(59))
        .map(([sign, hours, minutes]) => `${sign}${hours}:${minutes}`),
    );
    const texts = fc
      .tuple(fc.integer({ min: 1685, max: 2254 }), two(12, 1), two(28, 1), two(23), two(59), two(59), fraction, offset)
      .map(([y, mo, d, h, mi, s, f, o]) => `${y}-${mo}-${d}T${h}:${mi}:${s}${f === "" ? "" : `.${f}`}${o}`);
    fc.assert(
      fc.property(texts, (text) => {
        expect(parseInstant(text)).toBe(microsByTemporal(text));
      }),
      { numRuns: 1_000 },
    );
  });

  test("accepts nothing that Temporal refuses, and reads the rest like it", () => {
    const mutated = fc
      .tuple(anyInstant.map(formatInstant), fc.nat(30), fc.constantFrom(..."0123456789TZtz:.+- ".split("")))
      .map(([text, at, letter]) => text.slice(0, at) + letter + text.slice(at + 1));
    fc.assert(
      fc.property(mutated, (text) => {
        const instant = parseInstant(text);
        if (instant !== null) expect(instant).toBe(microsByTemporal(text));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("formatInstant", () => {
  test.each([
    [0, "1970-01-01T00:00:00Z"],
    [1, "1970-01-01T00:00:00.000001Z"],
    [500_000, "1970-01-01T00:00:00.5Z"],
    [-1, "1969-12-31T23:59:59.999999Z"],
    [1_709_210_096_120_000, "2024-02-29T12:34:56.12Z"],
  ])("%i µs is %s", (micros, text) => {
    expect(formatInstant(instantFromMicros(micros))).toBe(text);
  });

  test("is the inverse of parseInstant, and what Temporal writes", () => {
    fc.assert(
      fc.property(anyInstant, (instant) => {
        expect(parseInstant(formatInstant(instant))).toBe(instant);
        expect(formatInstant(instant)).toBe(instantToTemporal(instant).toString());
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("conversions and arithmetic", () => {
  test("Temporal there and back", () => {
    fc.assert(
      fc.property(anyInstant, (instant) => {
        expect(instantFromTemporal(instantToTemporal(instant))).toBe(instant);
      }),
    );
  });

  test("nanoseconds are floored, before the epoch too", () => {
    expect(instantFromTemporal(Temporal.Instant.fromEpochNanoseconds(1_999n))).toBe(1);
    expect(instantFromTemporal(Temporal.Instant.fromEpochNanoseconds(-1n))).toBe(-1);
  });

  test("milliseconds", () => {
    expect(instantFromMillis(1_700_000_000_123)).toBe(1_700_000_000_123_000);
    expect(() => instantFromMillis(0.5001)).toThrow(InvariantViolation);
  });

  test("leaving the range is a fault", () => {
    expect(plusMicros(maxInstant, -1)).toBe(maxInstant - 1);
    expect(() => plusMicros(maxInstant, 1)).toThrow(Fault);
    expect(() => plusMicros(minInstant, -1)).toThrow(expect.objectContaining({ code: "instant_out_of_range" }));
  });

  test("order", () => {
    const [a, b, c]: [Instant, Instant, Instant] = [instantFromMicros(-5), instantFromMicros(0), instantFromMicros(7)];
    expect([c, a, b].toSorted(compareInstants)).toEqual([a, b, c]);
    expect([earlierInstant(a, c), earlierInstant(c, a), laterInstant(a, c), laterInstant(c, a)]).toEqual([a, a, c, c]);
  });
});
