/**
 * Exact decimals: every amount, quantity and balance. The only file that touches big.js.
 *
 * Invariants: a value never changes; sums, differences and products are exact; digits are lost only where the caller names
 * a scale and a rounding mode; no value passes through a binary fraction, and a JavaScript number is taken only if it is a
 * safe integer. Equal values have one canonical text, so texts may be compared for equality.
 */

import Big from "big.js";

import { assert } from "./assert.ts";

/**
 * What becomes of the digits beyond the scale. `half-...` rounds to the nearest and says what happens to an exact half:
 * `half-away-from-zero` is the rule for money, `half-even` goes to the even neighbour.
 */
export type RoundingMode = "half-away-from-zero" | "half-even" | "toward-zero" | "away-from-zero";

/** The codes that big.js gives the modes. */
const bigRounding: Readonly<Record<RoundingMode, 0 | 1 | 2 | 3>> = {
  "toward-zero": 0,
  "half-away-from-zero": 1,
  "half-even": 2,
  "away-from-zero": 3,
};

/**
 * How many digits a parsed text may have in plain notation, before and after the point together. It keeps `1e999999999`
 * from filling the memory; no amount or quantity comes near.
 */
const maxParsedDigits = 1_000;

const decimalText = /^-?([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,9}))?$/;

/** big.js keeps the scale of a division on the constructor, so it has to be one that nobody else uses. */
const ExactBig = Big();
ExactBig.strict = true;
const bigZero = new ExactBig("0");

/** An exact decimal number. Immutable. */
export class Decimal {
  static readonly zero = new Decimal(bigZero);
  static readonly one = new Decimal(new ExactBig("1"));

  /** A property rather than a `#field`, so that a test's deep equality compares values. */
  private readonly value: Big;

  private constructor(value: Big) {
    // big.js has a negative zero; here zero has no sign.
    this.value = value.c[0] === 0 ? bigZero : value;
  }

  /**
   * The value of `-?digits[.digits][e[+-]digits]`: canonical text, any plain notation, or a JSON number. Null for any
   * other text and for more than a thousand digits in plain notation.
   */
  static parse(text: string): Decimal | null {
    const match = decimalText.exec(text);
    if (match === null) return null;
    const [, whole = "", fraction = "", exponent = "0"] = match;
    const shift = Number(exponent);
    const digits = Math.max(whole.length + shift, 1) + Math.max(fraction.length - shift, 0);
    return digits > maxParsedDigits ? null : new Decimal(new ExactBig(text));
  }

  /** The value of a text that the program itself wrote; asserts that `parse` accepts it. */
  static of(text: string): Decimal {
    const value = Decimal.parse(text);
    assert(value !== null, "a decimal that is not user input is well formed");
    return value;
  }

  /** The value of a safe integer; fractions of a JavaScript number are already inexact and are refused. */
  static fromInteger(value: number): Decimal {
    assert(Number.isSafeInteger(value), "only a safe integer is an exact number");
    return new Decimal(new ExactBig(String(value)));
  }

  /** `coefficient / 10^scale`: the inverse of `toScaledInteger`. */
  static fromScaledInteger(coefficient: bigint, scale: number): Decimal {
    assertScale(scale);
    return new Decimal(new ExactBig(`${coefficient}e-${scale}`));
  }

  plus(other: Decimal): Decimal {
    return new Decimal(this.value.plus(other.value));
  }

  minus(other: Decimal): Decimal {
    return new Decimal(this.value.minus(other.value));
  }

  times(other: Decimal): Decimal {
    return new Decimal(this.value.times(other.value));
  }

  /** The quotient rounded once to `scale` fractional digits. Asserts that `divisor` is not zero. */
  divide(divisor: Decimal, scale: number, rounding: RoundingMode): Decimal {
    assertScale(scale);
    assert(!divisor.isZero(), "a divisor is not zero");
    ExactBig.DP = scale;
    ExactBig.RM = bigRounding[rounding];
    return new Decimal(this.value.div(divisor.value));
  }

  /** The value rounded to at most `scale` fractional digits. */
  round(scale: number, rounding: RoundingMode): Decimal {
    assertScale(scale);
    return new Decimal(this.value.round(scale, bigRounding[rounding]));
  }

  negate(): Decimal {
    return new Decimal(this.value.neg());
  }

  abs(): Decimal {
    return this.isNegative() ? this.negate() : this;
  }

  /** Negative, zero or positive as this is less than, equal to or greater than `other`. */
  compare(other: Decimal): -1 | 0 | 1 {
    return this.value.cmp(other.value);
  }

  equals(other: Decimal): boolean {
    return this.value.eq(other.value);
  }

  isZero(): boolean {
    return this.value.c[0] === 0;
  }

  /** Less than zero; false for zero. */
  isNegative(): boolean {
    return this.value.s === -1;
  }

  /** Greater than zero; false for zero. */
  isPositive(): boolean {
    return this.value.s === 1 && !this.isZero();
  }

  /** The number of fractional digits that the value needs: 0 for an integer, 2 for 1.25. */
  get scale(): number {
    return Math.max(this.value.c.length - 1 - this.value.e, 0);
  }

  /** `this * 10^scale` as an integer. Asserts that the value has no more than `scale` fractional digits. */
  toScaledInteger(scale: number): bigint {
    return BigInt(this.toFixedText(scale).replace(".", ""));
  }

  /** Canonical text: plain notation without exponent, trailing fractional zeros or a negative zero. */
  toText(): string {
    return this.value.toFixed();
  }

  /** Plain notation with exactly `scale` fractional digits. Asserts that none is lost: round first. */
  toFixedText(scale: number): string {
    assertScale(scale);
    assert(this.scale <= scale, "a value is rounded before it is written with a fixed scale");
    return this.value.toFixed(scale);
  }

  /** The canonical text, so that no response or log loses digits by accident. */
  toString(): string {
    return this.toText();
  }

  /** Asserts: `<`, `+` and `==` would compare or join texts; use the methods. */
  valueOf(): never {
    assert(false, "decimals are compared and added with their methods, not with operators");
  }

  /** The canonical text as a JSON string. */
  toJSON(): string {
    return this.toText();
  }
}

function assertScale(scale: number): void {
  assert(Number.isSafeInteger(scale) && scale >= 0, "a scale is a count of digits");
}
