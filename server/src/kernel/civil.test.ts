import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { addMonths, civilFromDays, daysFromCivil, daysInMonth } from "./civil.ts";

const anyDay = fc.integer({ min: -800_000, max: 3_700_000 });

describe("day numbers", () => {
  test.each([
    [1970, 1, 1, 0],
    [1970, 1, 2, 1],
    [1969, 12, 31, -1],
    [2000, 2, 29, 11_016],
    [2000, 3, 1, 11_017],
    [1900, 3, 1, -25_508],
    [0, 1, 1, -719_528],
    [9999, 12, 31, 2_932_896],
  ])("%i-%i-%i is day %i", (year, month, day, days) => {
    expect(daysFromCivil(year, month, day)).toBe(days);
    expect(civilFromDays(days)).toEqual({ year, month, day });
  });

  test("agree with Temporal", () => {
    fc.assert(
      fc.property(anyDay, (days) => {
        const date = Temporal.PlainDate.from("1970-01-01").add({ days });
        expect(civilFromDays(days)).toEqual({ year: date.year, month: date.month, day: date.day });
        expect(daysFromCivil(date.year, date.month, date.day)).toBe(days);
        expect(daysInMonth(date.year, date.month)).toBe(date.daysInMonth);
      }),
      { numRuns: 1_000 },
    );
  });

  test("adding months clamps like Temporal", () => {
    fc.assert(
      fc.property(anyDay, fc.integer({ min: -5_000, max: 5_000 }), (days, months) => {
        const date = civilFromDays(days);
        const expected = Temporal.PlainDate.from(date).add({ months });
        expect(addMonths(date, months)).toEqual({ year: expected.year, month: expected.month, day: expected.day });
      }),
      { numRuns: 1_000 },
    );
  });
});
