import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Instant } from "../../kernel/instant.ts";
import { formatInstant, maxInstant, minInstant } from "../../kernel/instant.ts";
import { nextAfter, previousBefore } from "../../kernel/recurrence.ts";
import { at, duration } from "./conformance/fixtures.ts";
import {
  ceilToMinute,
  floorToMinute,
  isEngineInterval,
  isWholeMinute,
  pointAfter,
  pointAtOrBefore,
  utcRecurrence,
} from "./time.ts";

describe("whole minutes", () => {
  test.each([
    ["2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"],
    ["2024-01-01T10:00:00.000001Z", "2024-01-01T10:00:00Z", "2024-01-01T10:01:00Z"],
    ["2024-01-01T10:00:59.999999Z", "2024-01-01T10:00:00Z", "2024-01-01T10:01:00Z"],
    ["1969-12-31T23:59:30Z", "1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z"],
  ])("%s lies between %s and %s", (instant, floor, ceil) => {
    expect([floorToMinute(at(instant)), ceilToMinute(at(instant))].map(formatInstant)).toEqual([floor, ceil]);
    expect(isWholeMinute(at(instant))).toBe(floor === ceil);
  });
});

test.each([
  ["PT1H", true],
  ["P1M", true],
  ["PT120S", true],
  ["PT90S", false],
  ["PT0S", false],
  ["PT60.5S", false],
  ["-P1D", false],
])("%s as an interval: %s", (text, expected) => {
  expect(isEngineInterval(duration(text))).toBe(expected);
});

describe("points", () => {
  test("are those of the kernel", () => {
    const instant = fc.integer({ min: at("1970-01-01T00:00:00Z"), max: at("2199-12-31T00:00:00Z") });
    const interval = fc.constantFrom("PT1H", "PT61M", "P1D", "P1W", "P1M", "P1M1D", "P1Y", "P5Y").map(duration);
    fc.assert(
      fc.property(interval, instant, instant, (every, anchor, now) => {
        const recurrence = utcRecurrence(every, anchor as Instant);
        expect(pointAfter(recurrence, now as Instant)).toBe(nextAfter(recurrence, now as Instant, "exclusive"));
        expect(pointAtOrBefore(recurrence, now as Instant)).toBe(
          previousBefore(recurrence, now as Instant, "inclusive"),
        );
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    // interval, anchor, asked at, the last point, the next point
    ["P1000Y", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", null],
    ["P1000Y", "2024-01-01T00:00:00Z", "2023-01-01T00:00:00Z", null, "2024-01-01T00:00:00Z"],
    ["P120Y", "2024-01-01T00:00:00Z", "2150-01-01T00:00:00Z", "2144-01-01T00:00:00Z", null],
    ["P170Y", "2190-01-01T00:00:00Z", "2000-01-01T00:00:00Z", "1850-01-01T00:00:00Z", "2020-01-01T00:00:00Z"],
    ["P999999999W", "2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z", "2024-01-01T00:00:00Z", null],
  ])("every %s from %s, at %s: %s and %s", (interval, anchor, now, last, next) => {
    const recurrence = utcRecurrence(duration(interval), at(anchor));
    const shown = (point: Instant | null) => (point === null ? null : formatInstant(point));
    expect([shown(pointAtOrBefore(recurrence, at(now))), shown(pointAfter(recurrence, at(now)))]).toEqual([last, next]);
  });

  test("end with the range of instants", () => {
    const recurrence = utcRecurrence(duration("P30Y"), at("2024-01-01T00:00:00Z"));
    expect(pointAfter(recurrence, maxInstant)).toBeNull();
    expect(pointAtOrBefore(recurrence, minInstant)).toBeNull();
  });
});
