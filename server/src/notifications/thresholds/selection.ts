/**
 * Which thresholds a value exceeds, and which of them is told. Pure.
 *
 * Comparisons are strict and exact: at exactly 100 % nothing fires. Without grants there is nothing to take a percentage
 * of, so percentages and balances are then never exceeded.
 */

import { Decimal } from "../../kernel/decimal.ts";

/** `NUMBER` and `PERCENT` are old names of `usage_value` and `usage_percentage`. */
export type ThresholdType = "PERCENT" | "NUMBER" | "balance_value" | "usage_percentage" | "usage_value";

export interface Threshold {
  readonly type: ThresholdType;
  readonly value: Decimal;
}

/** Thresholds of one family are crossed by the same movement; only the outermost of them is told. */
export type ThresholdFamily = "usage" | "balance";

/** What thresholds are compared with. */
export interface ThresholdValue {
  readonly balance: Decimal;
  readonly usage: Decimal;
  readonly totalAvailableGrantAmount: Decimal;
}

const PERCENT = Decimal.of("0.01");

/** Of thresholds at the same usage the first of these is told. */
const TIE_ORDER: readonly ThresholdType[] = ["usage_percentage", "PERCENT", "usage_value", "NUMBER", "balance_value"];

/** The type without its old names. */
function canonicalType(type: ThresholdType): "usage_value" | "usage_percentage" | "balance_value" {
  if (type === "NUMBER") return "usage_value";
  return type === "PERCENT" ? "usage_percentage" : type;
}

/** Equal for thresholds that mean the same. */
export function thresholdKey({ type, value }: Threshold): string {
  return `${canonicalType(type)} ${value.toText()}`;
}

export function familyOf({ type }: Threshold): ThresholdFamily {
  return type === "balance_value" ? "balance" : "usage";
}

/** The usage or balance at which the threshold lies; null where it is undefined. */
function resultingValue({ type, value }: Threshold, { totalAvailableGrantAmount }: ThresholdValue): Decimal | null {
  const canonical = canonicalType(type);
  if (canonical === "usage_value") return value;
  if (!totalAvailableGrantAmount.isPositive()) return null;
  return canonical === "balance_value" ? value : totalAvailableGrantAmount.times(value).times(PERCENT);
}

/** Whether the value lies beyond the threshold. */
export function isExceeded(threshold: Threshold, value: ThresholdValue): boolean {
  const limit = resultingValue(threshold, value);
  if (limit === null) return false;
  if (familyOf(threshold) === "usage") return value.usage.compare(limit) > 0;
  return limit.isZero() ? !value.balance.isPositive() : value.balance.compare(limit) < 0;
}

/** The exceeded threshold of a family that is told: the highest of usage, a percentage before an amount; the lowest balance. */
export function selectThreshold(
  thresholds: readonly Threshold[],
  value: ThresholdValue,
  family: ThresholdFamily,
): Threshold | null {
  let selected: Threshold | null = null;
  for (const threshold of thresholds) {
    if (familyOf(threshold) !== family || !isExceeded(threshold, value)) continue;
    if (selected === null || isBefore(threshold, selected, value)) selected = threshold;
  }
  return selected;
}

function isBefore(one: Threshold, other: Threshold, value: ThresholdValue): boolean {
  const [a, b] = [resultingValue(one, value), resultingValue(other, value)];
  if (a === null || b === null) return false;
  const order = a.compare(b);
  if (order === 0) return TIE_ORDER.indexOf(one.type) < TIE_ORDER.indexOf(other.type);
  return familyOf(one) === "usage" ? order > 0 : order < 0;
}
