/** When thresholds fire: once per crossing. An example as a ledger, and the laws over random usage. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { Decimal } from "../../kernel/decimal.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { type Armament, armamentOf, step } from "./armament.ts";
import { isExceeded, type Threshold, thresholdKey, type ThresholdType, type ThresholdValue } from "./selection.ts";

const PERIOD = instantFromMicros(0);

function thresholds(...list: readonly [ThresholdType, number][]): readonly Threshold[] {
  return list.map(([type, value]) => ({ type, value: Decimal.fromInteger(value) }));
}

/** Usage of a grant of `total`. */
function used(usage: number, total: number): ThresholdValue {
  return {
    usage: Decimal.fromInteger(usage),
    balance: Decimal.fromInteger(Math.max(0, total - usage)),
    totalAvailableGrantAmount: Decimal.fromInteger(total),
  };
}

/** Keys that fire at each value, one after the other. */
function firings(rule: readonly Threshold[], values: readonly ThresholdValue[], start?: Armament) {
  let armament = start ?? armamentOf(null, PERIOD);
  const fired = values.map((value) => {
    const { next, fires } = step(armament, rule, value);
    armament = next;
    return fires.map(({ threshold, epoch }) => `${thresholdKey(threshold)} #${epoch}`);
  });
  return { fired, armament };
}

test("thresholds at 75 and 90 %: a ledger", () => {
  const rule = thresholds(["usage_percentage", 75], ["usage_percentage", 90]);
  const { fired, armament } = firings(rule, [
    used(80, 100),
    used(85, 100),
    used(95, 100),
    used(95, 200), // a top-up
    used(190, 200),
  ]);
  expect(fired).toEqual([["usage_percentage 75 #0"], [], ["usage_percentage 90 #0"], [], ["usage_percentage 90 #1"]]);
  const nextPeriod = armamentOf(armament, instantFromMicros(1));
  expect(firings(rule, [used(76, 100)], nextPeriod).fired).toEqual([["usage_percentage 75 #0"]]);
});

test("a jump fires the outermost only, and one of each family", () => {
  const rule = thresholds(
    ["usage_percentage", 50],
    ["usage_percentage", 100],
    ["balance_value", 10],
    ["balance_value", 0],
  );
  expect(firings(rule, [used(120, 100), used(130, 100)]).fired).toEqual([
    ["usage_percentage 100 #0", "balance_value 0 #0"],
    [],
  ]);
});

test("an evaluation that changes nothing gives back the same object", () => {
  const start = armamentOf(null, PERIOD);
  const rule = thresholds(["usage_value", 10]);
  expect(step(start, rule, used(5, 100)).next).toBe(start);
  const crossed = step(start, rule, used(11, 100)).next;
  expect(crossed).not.toBe(start);
  expect(step(crossed, rule, used(12, 100)).next).toBe(crossed);
});

const anyThreshold = fc.record({
  type: fc.constantFrom<ThresholdType>("usage_value", "usage_percentage", "balance_value", "NUMBER", "PERCENT"),
  value: fc.integer({ min: 0, max: 150 }).map((value) => Decimal.fromInteger(value)),
});
const anyRule = fc.array(anyThreshold, { minLength: 1, maxLength: 10 });
const anyValue = fc
  .tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 150 }))
  .map(([usage, total]) => used(usage, total));
const anyValues = fc.array(anyValue, { minLength: 1, maxLength: 12 });

test("law: after every evaluation a threshold is armed exactly when it is not exceeded", () => {
  fc.assert(
    fc.property(anyRule, anyValues, (rule, values) => {
      const { armament } = firings(rule, values);
      const last = values.at(-1);
      for (const threshold of rule) {
        const isArmed = armament.thresholds[thresholdKey(threshold)]?.isArmed ?? true;
        expect(isArmed).toBe(last === undefined || !isExceeded(threshold, last));
      }
    }),
  );
});

test("law: repeating evaluations fires nothing, and no threshold fires twice in an epoch", () => {
  fc.assert(
    fc.property(anyRule, anyValues, (rule, values) => {
      const once = firings(rule, values);
      const repeated = firings(
        rule,
        values.flatMap((value) => [value, value, value]),
      );
      expect(repeated.fired.filter((_, index) => index % 3 === 0)).toEqual(once.fired);
      expect(repeated.fired.filter((_, index) => index % 3 !== 0).flat()).toEqual([]);
      expect(repeated.armament).toEqual(once.armament);
      const all = once.fired.flat();
      expect(new Set(all).size).toBe(all.length);
    }),
  );
});

test("law: skipping values never adds a crossing of a threshold", () => {
  fc.assert(
    fc.property(anyRule, fc.array(fc.tuple(anyValue, fc.boolean()), { minLength: 1, maxLength: 12 }), (rule, seen) => {
      const all = firings(
        rule,
        seen.map(([value]) => value),
      );
      const some = firings(
        rule,
        seen.filter(([, isKept], index) => isKept || index === seen.length - 1).map(([value]) => value),
      );
      for (const threshold of rule) {
        const key = thresholdKey(threshold);
        const epochs = (one: typeof all): number => one.armament.thresholds[key]?.epoch ?? 0;
        expect(epochs(some)).toBeLessThanOrEqual(epochs(all));
        expect(some.armament.thresholds[key]?.isArmed ?? true).toBe(all.armament.thresholds[key]?.isArmed ?? true);
      }
    }),
  );
});
