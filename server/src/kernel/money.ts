/**
 * Money: rounding an amount to its currency and dividing it without losing a minor unit.
 *
 * Amounts are exact decimals; the currency says where they are cut. Invariants: rounding is half away from zero, so it is
 * symmetric; the parts of an allocation are rounded amounts whose sum is the whole, to the last minor unit, and each is
 * within one minor unit of its exact share.
 */

import { assert } from "./assert.ts";
import type { Currency } from "./currency.ts";
import { Decimal } from "./decimal.ts";

/** `round(x) = sign(x) * floor(|x| * 10^k + 1/2) / 10^k`, with k the currency's minor digits. */
export function roundMoney(amount: Decimal, currency: Currency): Decimal {
  return amount.round(currency.minorDigits, "half-away-from-zero");
}

/** Whether the amount is a whole number of the currency's minor units. */
export function isRoundedMoney(amount: Decimal, currency: Currency): boolean {
  return amount.scale <= currency.minorDigits;
}

/** One receiver of an allocation. */
export interface Weighted {
  readonly key: string;
  readonly weight: Decimal;
}

/** What a receiver gets; never zero. */
export interface Allocation {
  readonly key: string;
  readonly amount: Decimal;
}

/** Who is first among receivers whose remainders are equal: the earlier one, or the one with the smaller key. */
export type TieBreak = "input-order" | "key";

/**
 * Splits a rounded amount in proportion to positive weights by the largest remainder: `share = amount * weight / sum`,
 * each share is floored to the minor unit, and the minor units that are left go, one each, to the largest remainders. A
 * negative amount is allocated as its absolute value and negated. Parts come in the order of `items`, zeros are left out.
 *
 * Asserts that the amount is rounded and every weight positive.
 */
export function allocateByWeight(
  amount: Decimal,
  currency: Currency,
  items: readonly Weighted[],
  tieBreak: TieBreak = "input-order",
): readonly Allocation[] {
  items.forEach((item, i) => assert(item.weight.isPositive(), `items[${i}].weight must be positive`));
  return allocate(amount, currency, items, tieBreak);
}

/**
 * `allocateByWeight` where the weights are amounts of the same currency that are being paid or reduced. Asserts in addition
 * that every one of them is rounded and that the amount does not exceed their sum.
 */
export function allocateByAmount(
  amount: Decimal,
  currency: Currency,
  items: readonly Allocation[],
  tieBreak: TieBreak = "input-order",
): readonly Allocation[] {
  items.forEach((item, i) => {
    assert(item.amount.isPositive(), `items[${i}].amount must be positive`);
    assert(isRoundedMoney(item.amount, currency), `items[${i}].amount must be rounded to currency precision`);
  });
  const total = items.reduce((sum, item) => sum.plus(item.amount), Decimal.zero);
  assert(amount.abs().compare(total) <= 0, "amount must not exceed total item amount");
  const weighted = items.map(({ key, amount: weight }) => ({ key, weight }));
  return allocate(amount, currency, weighted, tieBreak);
}

/**
 * `allocateByWeight` for weights of either sign, such as the lines of an invoice with credits; shares are floored towards
 * minus infinity. Asserts that the weights do not add up to zero.
 */
export function allocateBySignedWeight(
  amount: Decimal,
  currency: Currency,
  items: readonly Weighted[],
  tieBreak: TieBreak = "input-order",
): readonly Allocation[] {
  return allocate(amount, currency, items, tieBreak);
}

interface Share {
  readonly index: number;
  readonly key: string;
  readonly units: bigint;
  /** What flooring cut off, in parts of the common denominator. */
  readonly remainder: bigint;
}

function allocate(
  amount: Decimal,
  currency: Currency,
  items: readonly Weighted[],
  tieBreak: TieBreak,
): readonly Allocation[] {
  assert(isRoundedMoney(amount, currency), "amount must be rounded to currency precision");
  const wholeUnits = amount.abs().toScaledInteger(currency.minorDigits);
  const shares = flooredShares(wholeUnits, items);
  const left = wholeUnits - shares.reduce((sum, share) => sum + share.units, 0n);
  const byRemainder = shares.toSorted((a, b) => compareShares(a, b, tieBreak));
  const favoured = new Set(byRemainder.slice(0, Number(left)).map((share) => share.index));

  const parts: Allocation[] = [];
  for (const { index, key, units } of shares) {
    const partUnits = units + (favoured.has(index) ? 1n : 0n);
    const part = Decimal.fromScaledInteger(partUnits, currency.minorDigits);
    if (!part.isZero()) parts.push({ key, amount: amount.isNegative() ? part.negate() : part });
  }
  return parts;
}

function flooredShares(wholeUnits: bigint, items: readonly Weighted[]): readonly Share[] {
  const scale = Math.max(0, ...items.map((item) => item.weight.scale));
  const weights = items.map(({ key, weight }) => ({ key, units: weight.toScaledInteger(scale) }));
  const total = weights.reduce((sum, weight) => sum + weight.units, 0n);
  assert(total !== 0n, "weights to allocate by do not add up to zero");
  const sign = total < 0n ? -1n : 1n;
  const denominator = total * sign;
  return weights.map((weight, index) => {
    const numerator = wholeUnits * weight.units * sign;
    const remainder = ((numerator % denominator) + denominator) % denominator;
    return { index, key: weight.key, units: (numerator - remainder) / denominator, remainder };
  });
}

function compareShares(a: Share, b: Share, tieBreak: TieBreak): number {
  if (a.remainder !== b.remainder) return a.remainder > b.remainder ? -1 : 1;
  if (tieBreak === "key" && a.key !== b.key) return a.key < b.key ? -1 : 1;
  return a.index - b.index;
}
