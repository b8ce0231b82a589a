import fc from "fast-check";
import { describe, expect, test } from "vitest";

import allocationCases from "../../test/cases/currency_allocation.json" with { type: "json" };
import roundingCases from "../../test/cases/currency_rounding.json" with { type: "json" };
import { InvariantViolation } from "./assert.ts";
import type { Currency } from "./currency.ts";
import { customCurrency, fiatCurrency } from "./currency.ts";
import { Decimal } from "./decimal.ts";
import type { Allocation, Weighted } from "./money.ts";
import { allocateByAmount, allocateBySignedWeight, allocateByWeight, isRoundedMoney, roundMoney } from "./money.ts";

function fiat(code: string): Currency {
  const currency = fiatCurrency(code);
  if (currency === null) throw new Error(`unknown currency ${code}`);
  return currency;
}

const usd = fiat("USD");
const jpy = fiat("JPY");

function texts(allocations: readonly Allocation[]): readonly string[] {
  return allocations.map(({ key, amount }) => `${key} ${amount.toText()}`);
}

function weighted(...weights: readonly string[]): readonly Weighted[] {
  return weights.map((weight, i) => ({ key: `k${i}`, weight: Decimal.of(weight) }));
}

describe("conformance: currency_rounding", () => {
  test("has all its cases", () => {
    expect(roundingCases.cases).toHaveLength(5);
  });

  test.each(roundingCases.cases)("$id", ({ currencyType, code, precision, amount, expect: rounded }) => {
    const currency = currencyType === "custom" ? customCurrency(code, precision ?? Number.NaN) : fiat(code);
    expect(roundMoney(Decimal.of(amount), currency).toText()).toBe(rounded);
  });
});

describe("conformance: currency_allocation", () => {
  test("has all its cases", () => {
    expect(allocationCases.cases).toHaveLength(11);
  });

  test.each(allocationCases.cases)("$id", (given) => {
    const amount = Decimal.of(given.amount);
    const currency = fiat(given.currency);
    const tieBreak = given.tieBreakByKey === true ? "key" : "input-order";
    const items = given.items.map(({ key, weight }) => ({ key, weight: Decimal.of(weight) }));
    const run = () =>
      given.method === "by_weight"
        ? allocateByWeight(amount, currency, items, tieBreak)
        : allocateByAmount(
            amount,
            currency,
            items.map(({ key, weight }) => ({ key, amount: weight })),
            tieBreak,
          );
    if (given.expect === undefined) {
      expect(run).toThrow(InvariantViolation);
      expect(run).toThrow(given.expectErrorContains);
    } else {
      expect(texts(run())).toEqual(given.expect.map((part) => `${part.key} ${part.amount}`));
    }
  });
});

describe("roundMoney", () => {
  test.each([
    ["1.235", usd, "1.24"],
    ["-1.235", usd, "-1.24"],
    ["1.5", jpy, "2"],
    ["-0.004", usd, "0"],
    ["1.0005", fiat("KWD"), "1.001"],
    ["0.00005", fiat("CLF"), "0.0001"],
  ] as const)("%s in %o is %s", (amount, currency, rounded) => {
    expect(roundMoney(Decimal.of(amount), currency).toText()).toBe(rounded);
  });

  test("equals sign(x) * floor(|x| * 10^k + 1/2) / 10^k", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
        fc.nat(12),
        fc.nat(6),
        (coefficient, scale, k) => {
          const amount = Decimal.fromScaledInteger(coefficient, scale);
          const magnitude = coefficient < 0n ? -coefficient : coefficient;
          const [numerator, denominator] = [magnitude * 10n ** BigInt(k), 10n ** BigInt(scale)];
          const units = (numerator * 2n + denominator) / (denominator * 2n);
          const expected = Decimal.fromScaledInteger(coefficient < 0n ? -units : units, k);
          const rounded = roundMoney(amount, customCurrency("X", k));
          expect(rounded.toText()).toBe(expected.toText());
          expect(isRoundedMoney(rounded, customCurrency("X", k))).toBe(true);
        },
      ),
    );
  });
});

describe("allocation", () => {
  test.each([
    ["0.05", usd, ["1", "1", "1"], ["k0 0.02", "k1 0.02", "k2 0.01"]],
    ["5", jpy, ["1", "1", "1"], ["k0 2", "k1 2", "k2 1"]],
    ["100", usd, ["1", "2", "3"], ["k0 16.67", "k1 33.33", "k2 50"]],
    ["-0.05", usd, ["1", "1", "1"], ["k0 -0.02", "k1 -0.02", "k2 -0.01"]],
    ["0", usd, ["1", "2"], []],
    ["1", usd, ["0.000000000000000000001", "0.000000000000000000003"], ["k0 0.25", "k1 0.75"]],
  ] as const)("%s of %o over %j", (amount, currency, weights, expected) => {
    expect(texts(allocateByWeight(Decimal.of(amount), currency, weighted(...weights)))).toEqual(expected);
  });

  test.each([
    ["10", ["100", "-50"], ["k0 20", "k1 -10"]],
    ["-10", ["100", "-50"], ["k0 -20", "k1 10"]],
    ["10", ["-100", "50"], ["k0 20", "k1 -10"]],
    ["1", ["1", "1", "-0.5"], ["k0 0.67", "k1 0.67", "k2 -0.34"]],
    ["1", ["3", "0"], ["k0 1"]],
  ] as const)("%s over the signed weights %j", (amount, weights, expected) => {
    expect(texts(allocateBySignedWeight(Decimal.of(amount), usd, weighted(...weights)))).toEqual(expected);
  });

  test.each([
    ["input-order", ["b 0.01"]],
    ["key", ["a 0.01"]],
  ] as const)("equal remainders by %s", (tieBreak, expected) => {
    const items = ["b", "a", "c"].map((key) => ({ key, weight: Decimal.one }));
    expect(texts(allocateByWeight(Decimal.of("0.01"), usd, items, tieBreak))).toEqual(expected);
  });

  test("weights that cancel out are refused", () => {
    expect(() => allocateBySignedWeight(Decimal.one, usd, weighted("1", "-1"))).toThrow(InvariantViolation);
    expect(() => allocateByWeight(Decimal.one, usd, [])).toThrow(InvariantViolation);
  });

  const anyUnits = fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n });
  const anyWeights = fc.array(fc.tuple(fc.bigInt({ min: 1n, max: 10n ** 15n }), fc.nat(12)), {
    minLength: 1,
    maxLength: 12,
  });

  test("parts add up to the whole and are within a minor unit of their shares", () => {
    fc.assert(
      fc.property(
        anyUnits,
        anyWeights,
        fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
        (units, raw, signs) => {
          const items = raw.map(([coefficient, scale], i) => ({
            key: String(i),
            weight: Decimal.fromScaledInteger(signs[i] === true ? -coefficient : coefficient, scale),
          }));
          const total = items.reduce((sum, item) => sum.plus(item.weight), Decimal.zero);
          fc.pre(!total.isZero());
          const amount = Decimal.fromScaledInteger(units, 2);
          const parts = allocateBySignedWeight(amount, usd, items);
          const sum = parts.reduce((left, part) => left.plus(part.amount), Decimal.zero);
          expect(sum.toText()).toBe(amount.toText());
          for (const { key, weight } of items) {
            const part = parts.find((candidate) => candidate.key === key)?.amount ?? Decimal.zero;
            // |part - amount * weight / total| < 0.01, cross-multiplied to stay exact.
            const difference = part.times(total).minus(amount.times(weight)).abs();
            expect(difference.compare(total.abs().times(Decimal.of("0.01")))).toBe(-1);
          }
        },
      ),
    );
  });

  test("a negative amount mirrors the positive one, and no part is zero", () => {
    fc.assert(
      fc.property(anyUnits, anyWeights, fc.constantFrom("input-order", "key"), (units, raw, tieBreak) => {
        const items = raw.map(([coefficient, scale], i) => ({
          key: String((i * 7) % 12),
          weight: Decimal.fromScaledInteger(coefficient, scale),
        }));
        const amount = Decimal.fromScaledInteger(units, 2);
        const parts = allocateByWeight(amount, usd, items, tieBreak);
        const mirrored = allocateByWeight(amount.negate(), usd, items, tieBreak);
        expect(texts(mirrored)).toEqual(texts(parts.map(({ key, amount: part }) => ({ key, amount: part.negate() }))));
        expect(parts.filter((part) => part.amount.isZero())).toEqual([]);
      }),
    );
  });
});
