import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { InvariantViolation } from "./assert.ts";
import type { RoundingMode } from "./decimal.ts";
import { Decimal } from "./decimal.ts";

const modes: readonly RoundingMode[] = ["half-away-from-zero", "half-even", "toward-zero", "away-from-zero"];

/** A decimal as a BigInt fraction `coefficient / 10^scale`: the oracle's view of the same number. */
const anyFixed = fc.record({
  coefficient: fc.oneof(fc.bigInt({ min: -(10n ** 60n), max: 10n ** 60n }), fc.bigInt({ min: -2_000n, max: 2_000n })),
  scale: fc.integer({ min: 0, max: 40 }),
});
type Fixed = typeof anyFixed extends fc.Arbitrary<infer T> ? T : never;

function decimalOf(value: Fixed): Decimal {
  return Decimal.fromScaledInteger(value.coefficient, value.scale);
}

/** `numerator / denominator` to an integer by the schoolbook definition of each mode. */
function roundedQuotient(numerator: bigint, denominator: bigint, mode: RoundingMode): bigint {
  const isNegative = numerator < 0n !== denominator < 0n;
  const [n, d] = [numerator < 0n ? -numerator : numerator, denominator < 0n ? -denominator : denominator];
  const [floor, rest] = [n / d, n % d];
  const isUp =
    mode === "away-from-zero"
      ? rest > 0n
      : mode === "toward-zero"
        ? false
        : mode === "half-even"
          ? rest * 2n > d || (rest * 2n === d && floor % 2n === 1n)
          : rest * 2n >= d;
  const magnitude = floor + (isUp ? 1n : 0n);
  return isNegative ? -magnitude : magnitude;
}

/** Plain canonical text of `coefficient / 10^scale`, by string surgery. */
function textOf(coefficient: bigint, scale: number): string {
  const digits = (coefficient < 0n ? -coefficient : coefficient).toString().padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, "");
  return `${coefficient < 0n ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

describe("parse and toText", () => {
  test.each([
    ["0", "0"],
    ["-0", "0"],
    ["-0.000", "0"],
    ["0e10", "0"],
    ["1.50", "1.5"],
    ["007", "7"],
    ["-1.20", "-1.2"],
    ["100", "100"],
    ["1e3", "1000"],
    ["1E-7", "0.0000001"],
    ["1.25e+1", "12.5"],
    ["-12.5e-3", "-0.0125"],
    ["9007199254740993", "9007199254740993"],
    ["0.1234567890123456789", "0.1234567890123456789"],
    ["1e-999", `0.${"0".repeat(998)}1`],
  ])("%s is written %s", (text, canonical) => {
    expect(Decimal.parse(text)?.toText()).toBe(canonical);
  });

  test.each([
    "",
    " ",
    "-",
    "+1",
    ".5",
    "5.",
    "1,000",
    "1 ",
    " 1",
    "1e",
    "e1",
    "1e1.5",
    "0x10",
    "NaN",
    "Infinity",
    "١",
    "1\n",
    "--1",
    "1e1000",
    "1e-1000",
    "1e999999999",
    "1e99999999999999999999",
  ])("%j is none", (text) => {
    expect(Decimal.parse(text)).toBeNull();
    expect(() => Decimal.of(text)).toThrow(InvariantViolation);
  });

  test("there and back for every value", () => {
    fc.assert(
      fc.property(anyFixed, (value) => {
        const decimal = decimalOf(value);
        expect(decimal.toText()).toBe(textOf(value.coefficient, value.scale));
        expect(Decimal.parse(decimal.toText())).toEqual(decimal);
        expect(decimal.toScaledInteger(value.scale)).toBe(value.coefficient);
        expect(decimal.scale).toBe((decimal.toText().split(".")[1] ?? "").length);
      }),
    );
  });

  test("string contexts and JSON carry the canonical text, operators do not work", () => {
    const value = Decimal.of("1.50");
    expect(String(value)).toBe("1.5");
    expect(JSON.stringify({ value })).toBe('{"value":"1.5"}');
    expect(() => value < Decimal.of("2")).toThrow(InvariantViolation);
  });
});

describe("arithmetic equals that of BigInt", () => {
  test("sum, difference and product are exact", () => {
    fc.assert(
      fc.property(anyFixed, anyFixed, (a, b) => {
        const scale = a.scale + b.scale;
        const [left, right] = [a.coefficient * 10n ** BigInt(b.scale), b.coefficient * 10n ** BigInt(a.scale)];
        expect(decimalOf(a).plus(decimalOf(b)).toText()).toBe(textOf(left + right, scale));
        expect(decimalOf(a).minus(decimalOf(b)).toText()).toBe(textOf(left - right, scale));
        expect(decimalOf(a).times(decimalOf(b)).toText()).toBe(textOf(a.coefficient * b.coefficient, scale));
      }),
    );
  });

  test("a quotient is rounded once, in every mode", () => {
    fc.assert(
      fc.property(anyFixed, anyFixed, fc.nat(45), fc.constantFrom(...modes), (a, b, scale, mode) => {
        fc.pre(b.coefficient !== 0n);
        const numerator = a.coefficient * 10n ** BigInt(b.scale + scale);
        const denominator = b.coefficient * 10n ** BigInt(a.scale);
        const expected = roundedQuotient(numerator, denominator, mode);
        expect(decimalOf(a).divide(decimalOf(b), scale, mode).toText()).toBe(textOf(expected, scale));
      }),
      { numRuns: 500 },
    );
  });

  test("rounding, in every mode", () => {
    fc.assert(
      fc.property(anyFixed, fc.nat(45), fc.constantFrom(...modes), (a, scale, mode) => {
        const expected = roundedQuotient(a.coefficient * 10n ** BigInt(scale), 10n ** BigInt(a.scale), mode);
        expect(decimalOf(a).round(scale, mode).toText()).toBe(textOf(expected, scale));
      }),
      { numRuns: 500 },
    );
  });

  test("order and sign", () => {
    fc.assert(
      fc.property(anyFixed, anyFixed, (a, b) => {
        const [left, right] = [a.coefficient * 10n ** BigInt(b.scale), b.coefficient * 10n ** BigInt(a.scale)];
        expect(decimalOf(a).compare(decimalOf(b))).toBe(left < right ? -1 : left > right ? 1 : 0);
        expect(decimalOf(a).equals(decimalOf(b))).toBe(left === right);
        expect(decimalOf(a).isZero()).toBe(left === 0n);
        expect(decimalOf(a).isNegative()).toBe(left < 0n);
        expect(decimalOf(a).isPositive()).toBe(left > 0n);
        expect(decimalOf(a).negate().toText()).toBe(textOf(-a.coefficient, a.scale));
        expect(decimalOf(a).abs().toText()).toBe(textOf(left < 0n ? -a.coefficient : a.coefficient, a.scale));
      }),
    );
  });
});

describe("rounding modes at the half", () => {
  test.each([
    ["1.235", 2, "half-away-from-zero", "1.24"],
    ["-1.235", 2, "half-away-from-zero", "-1.24"],
    ["1.225", 2, "half-even", "1.22"],
    ["1.235", 2, "half-even", "1.24"],
    ["1.239", 2, "toward-zero", "1.23"],
    ["-1.239", 2, "toward-zero", "-1.23"],
    ["1.231", 2, "away-from-zero", "1.24"],
    ["-1.231", 2, "away-from-zero", "-1.24"],
    ["1.5", 0, "half-away-from-zero", "2"],
    ["-0.4", 0, "half-away-from-zero", "0"],
    ["0.5", 0, "half-even", "0"],
    ["1.2", 5, "half-even", "1.2"],
  ] as const)("%s to %i digits, %s, is %s", (text, scale, mode, expected) => {
    expect(Decimal.of(text).round(scale, mode).toText()).toBe(expected);
  });
});

describe("the other notations", () => {
  test("a fixed scale pads and never rounds", () => {
    expect(Decimal.of("1.5").toFixedText(2)).toBe("1.50");
    expect(Decimal.of("-2").toFixedText(0)).toBe("-2");
    expect(Decimal.of("-0").toFixedText(2)).toBe("0.00");
    expect(() => Decimal.of("1.234").toFixedText(2)).toThrow(InvariantViolation);
    expect(() => Decimal.of("1.234").toScaledInteger(2)).toThrow(InvariantViolation);
  });

  test("integers in, fractions out of the question", () => {
    expect(Decimal.fromInteger(-42).toText()).toBe("-42");
    expect(() => Decimal.fromInteger(0.1)).toThrow(InvariantViolation);
    expect(() => Decimal.fromInteger(2 ** 53)).toThrow(InvariantViolation);
  });

  test("misuse is a programmer error", () => {
    expect(() => Decimal.one.divide(Decimal.zero, 2, "toward-zero")).toThrow(InvariantViolation);
    expect(() => Decimal.one.round(-1, "toward-zero")).toThrow(InvariantViolation);
    expect(() => Decimal.one.divide(Decimal.one, 1.5, "toward-zero")).toThrow(InvariantViolation);
  });

  test("deep equality compares values", () => {
    expect(Decimal.of("1.50")).toEqual(Decimal.of("1.5"));
    expect(Decimal.of("1").minus(Decimal.one)).toEqual(Decimal.of("-0"));
    expect(Decimal.of("1.5")).not.toEqual(Decimal.of("15"));
    expect(Decimal.of("1.5")).not.toEqual(Decimal.of("-1.5"));
  });

  test("values do not change", () => {
    const value = Decimal.of("1.005");
    value.plus(Decimal.one);
    value.round(2, "half-even");
    value.negate();
    value.divide(Decimal.of("3"), 5, "toward-zero");
    expect(value.toText()).toBe("1.005");
  });
});
