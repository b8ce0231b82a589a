import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { InvariantViolation } from "./assert.ts";
import { instantFromMicros } from "./instant.ts";
import { intersectPeriods, isEmptyPeriod, period, periodContains, periodMicros } from "./period.ts";

function span(from: number, to: number) {
  return period(instantFromMicros(from), instantFromMicros(to));
}

describe("periods are half-open", () => {
  test.each([
    [9, false],
    [10, true],
    [19, true],
    [20, false],
  ])("[10, 20) contains %i: %s", (instant, contained) => {
    expect(periodContains(span(10, 20), instantFromMicros(instant))).toBe(contained);
  });

  test("may be empty but not turned around", () => {
    expect(isEmptyPeriod(span(5, 5))).toBe(true);
    expect(isEmptyPeriod(span(5, 6))).toBe(false);
    expect(periodMicros(span(5, 8))).toBe(3);
    expect(() => span(6, 5)).toThrow(InvariantViolation);
  });

  test.each([
    [span(0, 10), span(5, 15), span(5, 10)],
    [span(0, 10), span(2, 3), span(2, 3)],
    [span(0, 10), span(10, 20), null],
    [span(0, 10), span(12, 20), null],
    [span(0, 10), span(5, 5), null],
  ])("%o and %o share %o", (a, b, shared) => {
    expect(intersectPeriods(a, b)).toEqual(shared);
    expect(intersectPeriods(b, a)).toEqual(shared);
  });

  test("an intersection contains exactly the instants of both", () => {
    const bound = fc.integer({ min: 0, max: 12 });
    fc.assert(
      fc.property(bound, bound, bound, bound, bound, (a, b, c, d, at) => {
        const [left, right] = [span(Math.min(a, b), Math.max(a, b)), span(Math.min(c, d), Math.max(c, d))];
        const instant = instantFromMicros(at);
        const shared = intersectPeriods(left, right);
        const isInShared = shared !== null && periodContains(shared, instant);
        expect(isInShared).toBe(periodContains(left, instant) && periodContains(right, instant));
      }),
    );
  });
});
