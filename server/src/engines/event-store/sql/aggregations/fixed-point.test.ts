/** Integer arithmetic of aggregates: texts, rounding and the guard against overflow. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkedSum, divideHalfAwayFromZero, textFromUnits, unitsFromText } from "./fixed-point.ts";

const UNIT = 10n ** 24n;

describe("texts", () => {
  test.each([
    ["0", 0n, "0"],
    ["-0.5", -UNIT / 2n, "-0.5"],
    ["12.500", 12n * UNIT + UNIT / 2n, "12.5"],
    ["0.000000000000000000000001", 1n, "0.000000000000000000000001"],
    ["100", 100n * UNIT, "100"],
    ["-0.000", 0n, "0"],
  ])("%s", (text, units, canonical) => {
    expect(unitsFromText(text)).toBe(units);
    expect(textFromUnits(units)).toBe(canonical);
  });

  test("reading undoes writing", () => {
    fc.assert(
      fc.property(fc.bigInt(-(10n ** 76n), 10n ** 76n), (units) => unitsFromText(textFromUnits(units)) === units),
    );
  });
});

test.each([
  [1n, 3n, 0n],
  [2n, 3n, 1n],
  [1n, 2n, 1n],
  [-1n, 2n, -1n],
  [-1n, 3n, 0n],
  [5n, 1n, 5n],
  [-7n, 2n, -4n],
])("%s / %s is %s", (dividend, divisor, want) => {
  expect(divideHalfAwayFromZero(dividend, divisor)).toBe(want);
});

describe("checkedSum", () => {
  test("no values, no sum", () => {
    expect(checkedSum([null, 0])).toBeNull();
  });

  test("the last sum that is certainly exact", () => {
    const almost = `${"9".repeat(38)}.${"9".repeat(24)}`;
    expect(checkedSum([almost, 99_999_999_999_999])?.count).toBe(99_999_999_999_999n);
  });

  test("a sum that could have wrapped around is an error", () => {
    expect(() => checkedSum(["-1", 100_000_000_000_000])).toThrow(
      expect.objectContaining({ kind: "internal", code: "aggregate_overflow" }),
    );
  });
});
