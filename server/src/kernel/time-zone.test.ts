import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { InvariantViolation } from "./assert.ts";
import { daysFromCivil, microsPerDay, microsPerHour } from "./civil.ts";
import type { Instant } from "./instant.ts";
import { formatInstant, instantFromMicros, instantFromTemporal, instantToTemporal, parseInstant } from "./instant.ts";
import { instantOfLocal, isTimeZone, localTime, offsetTransitions, startOfDay, zoneOffsetAt } from "./time-zone.ts";

/** Zones with every kind of oddity: skipped days, half-hour saving, midnight gaps, negative saving, none at all. */
const oddZones = [
  "UTC",
  "Europe/Budapest",
  "Europe/Dublin",
  "America/New_York",
  "America/Los_Angeles",
  "America/Sao_Paulo",
  "America/St_Johns",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Asia/Manila",
  "Asia/Beirut",
  "Australia/Lord_Howe",
  "Africa/Casablanca",
  "Africa/Cairo",
  "Pacific/Apia",
  "Pacific/Kwajalein",
  "America/Juneau",
];
const anyZone = fc.constantFrom(...oddZones, ...Intl.supportedValuesOf("timeZone"));
const anyInstant = fc
  .oneof(
    fc.integer({ min: -4e15, max: 4e15 }),
    fc.integer({ min: 1.5e15, max: 1.9e15 }),
    fc.integer({ min: -8.9e15, max: 8.9e15 }),
  )
  .map(instantFromMicros);

function at(text: string): Instant {
  const instant = parseInstant(text);
  if (instant === null) throw new Error(`not an instant: ${text}`);
  return instant;
}

describe("isTimeZone", () => {
  test.each([
    "UTC",
    "Etc/UTC",
    "Europe/Budapest",
    "America/Los_Angeles",
    "Asia/Calcutta",
    "Etc/GMT+5",
    "EST5EDT",
    "GB",
  ])("%s is one", (name) => {
    expect(isTimeZone(name)).toBe(true);
  });

  test.each([
    "",
    "Local",
    "local",
    "Z",
    "+02:00",
    "-05:00",
    "+00",
    "utc",
    "europe/budapest",
    "Mars/Olympus",
    "UTC+1",
    " UTC",
  ])("%j is none", (name) => {
    expect(isTimeZone(name)).toBe(false);
  });

  test("every zone that the runtime lists is one", () => {
    expect(Intl.supportedValuesOf("timeZone").filter((name) => !isTimeZone(name))).toEqual([]);
  });

  test("using an unknown zone is a programmer error", () => {
    expect(() => zoneOffsetAt("Mars/Olympus", at("2025-01-01T00:00:00Z"))).toThrow(InvariantViolation);
  });
});

describe("localTime", () => {
  test.each([
    ["UTC", "2025-01-02T03:04:05.9Z", [2025, 1, 2, 3, 4, 5], 0],
    ["Asia/Kolkata", "2025-01-01T18:45:00Z", [2025, 1, 2, 0, 15, 0], 5.5],
    ["America/Los_Angeles", "2025-11-02T08:30:00Z", [2025, 11, 2, 1, 30, 0], -7],
    ["America/Los_Angeles", "2025-11-02T09:30:00Z", [2025, 11, 2, 1, 30, 0], -8],
  ] as const)("%s at %s", (zone, instant, [year, month, day, hour, minute, second], offsetHours) => {
    const offsetMicros = offsetHours * microsPerHour;
    expect(localTime(zone, at(instant))).toEqual({ year, month, day, hour, minute, second, offsetMicros });
  });

  test("agrees with Temporal in every zone", () => {
    fc.assert(
      fc.property(anyZone, anyInstant, (zone, instant) => {
        const zoned = instantToTemporal(instant).toZonedDateTimeISO(zone);
        const { year, month, day, hour, minute, second } = zoned;
        const offsetMicros = zoned.offsetNanoseconds / 1_000;
        expect(localTime(zone, instant)).toEqual({ year, month, day, hour, minute, second, offsetMicros });
        expect(zoneOffsetAt(zone, instant)).toBe(offsetMicros);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("startOfDay", () => {
  test.each([
    ["UTC", 2025, 3, 9, "2025-03-09T00:00:00Z"],
    ["America/Los_Angeles", 2025, 3, 9, "2025-03-09T08:00:00Z"],
    ["America/Los_Angeles", 2025, 3, 10, "2025-03-10T07:00:00Z"],
    // Midnight does not exist: clocks went from 23:59:59 to 01:00:00.
    ["America/Sao_Paulo", 2018, 11, 4, "2018-11-04T03:00:00Z"],
    ["Asia/Beirut", 2024, 3, 31, "2024-03-30T22:00:00Z"],
    // The whole of 30 December 2011 does not exist: it starts together with the 31st.
    ["Pacific/Apia", 2011, 12, 29, "2011-12-29T10:00:00Z"],
    ["Pacific/Apia", 2011, 12, 30, "2011-12-30T10:00:00Z"],
    ["Pacific/Apia", 2011, 12, 31, "2011-12-30T10:00:00Z"],
    ["Pacific/Apia", 2012, 1, 1, "2011-12-31T10:00:00Z"],
    // Midnight exists twice (clocks went back from 00:01 to 23:01 of the day before): the first one counts.
    ["America/St_Johns", 2010, 11, 7, "2010-11-07T02:30:00Z"],
  ] as const)("%s %i-%i-%i starts at %s", (zone, year, month, day, start) => {
    expect(formatInstant(startOfDay(zone, { year, month, day }))).toBe(start);
  });

  test("is the first instant that shows the date or a later one, as in Temporal", () => {
    fc.assert(
      fc.property(anyZone, anyInstant, (zone, instant) => {
        const { year, month, day } = localTime(zone, instant);
        const start = startOfDay(zone, { year, month, day });
        const dayNumber = daysFromCivil(year, month, day);
        const dayOf = (of: Instant) => Math.floor((of + zoneOffsetAt(zone, of)) / microsPerDay);
        expect(start).toBeLessThanOrEqual(instant);
        expect(dayOf(start)).toBe(dayNumber);
        expect(dayOf(instantFromMicros(start - 1))).toBeLessThan(dayNumber);
        const byTemporal = Temporal.PlainDate.from({ year, month, day }).toZonedDateTime(zone);
        expect(start).toBe(instantFromTemporal(byTemporal.toInstant()));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("offsetTransitions", () => {
  test("Europe/Budapest 2025", () => {
    expect(offsetTransitions("Europe/Budapest", at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"))).toEqual([
      { at: at("2025-03-30T01:00:00Z"), offsetMicros: 2 * microsPerHour },
      { at: at("2025-10-26T01:00:00Z"), offsetMicros: microsPerHour },
    ]);
  });

  test("both bounds are exclusive", () => {
    const [spring, autumn] = [at("2025-03-30T01:00:00Z"), at("2025-10-26T01:00:00Z")];
    const between = (from: Instant, to: Instant) => offsetTransitions("Europe/Budapest", from, to).length;
    expect(between(spring, autumn)).toBe(0);
    expect(between(instantFromMicros(spring - 1), instantFromMicros(autumn + 1))).toBe(2);
    expect(between(autumn, spring)).toBe(0);
  });

  test("UTC has none", () => {
    expect(offsetTransitions("UTC", instantFromMicros(-8e15), instantFromMicros(8e15))).toEqual([]);
  });

  test("are true changes of the offset, and between them it is constant", () => {
    fc.assert(
      fc.property(anyZone, anyInstant, anyInstant, (zone, a, b) => {
        const [from, to] = a <= b ? [a, b] : [b, a];
        let offset = zoneOffsetAt(zone, from);
        let previous: Instant = from;
        for (const transition of offsetTransitions(zone, from, to)) {
          expect(transition.at).toBeGreaterThan(previous);
          const before = instantToTemporal(instantFromMicros(transition.at - 1)).toZonedDateTimeISO(zone);
          const after = instantToTemporal(transition.at).toZonedDateTimeISO(zone);
          expect(before.offsetNanoseconds).toBe(offset * 1_000);
          expect(after.offsetNanoseconds).toBe(transition.offsetMicros * 1_000);
          expect(transition.offsetMicros).not.toBe(offset);
          previous = transition.at;
          offset = transition.offsetMicros;
        }
        if (from < to) expect(zoneOffsetAt(zone, instantFromMicros(to - 1))).toBe(offset);
      }),
      { numRuns: 200 },
    );
  });
});

test("instantOfLocal resolves gaps and overlaps like Temporal's `compatible`", () => {
  fc.assert(
    fc.property(anyZone, anyInstant, fc.integer({ min: -36e8, max: 36e8 }), (zone, near, jitter) => {
      const next = offsetTransitions(zone, near, instantFromMicros(near + 400 * microsPerDay))[0];
      const base = next?.at ?? near;
      const local = base + zoneOffsetAt(zone, base) + jitter;
      const plain = instantToTemporal(instantFromMicros(local)).toZonedDateTimeISO("UTC").toPlainDateTime();
      const expected = plain.toZonedDateTime(zone, { disambiguation: "compatible" }).toInstant();
      expect(instantOfLocal(zone, local)).toBe(instantFromTemporal(expected));
    }),
    { numRuns: 2_000 },
  );
});
