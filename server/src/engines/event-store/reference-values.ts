/**
 * What the reference event store makes of one property of one event: its canonical text, its numeric value, and
 * whether a filter accepts it. Like the rest of the reference it is written for obviousness and shares nothing with
 * the real stores.
 *
 * Numbers are BigInt counts of 10^-24, read digit by digit; no number ever becomes a double.
 */

import { assert } from "../../kernel/assert.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { Resolution } from "./json-path.ts";
import type { TextFilter, TimeFilter } from "./store.ts";

/** What a condition sees of a property. */
export interface PropertyText {
  readonly text: string;
  /** Whether the property is a string, number or boolean. */
  readonly isPresent: boolean;
}

const SCALE = 24;
/** How many units of 10^-24 make 1. */
export const ONE = 10n ** BigInt(SCALE);
/** A value must be below 10^38 after rounding. */
const VALUE_LIMIT = 10n ** 38n * ONE;
const MAX_PLAIN_CHARACTERS = 400;

/** Canonical text of a property: what group-by, filters and UNIQUE_COUNT see. */
export function propertyText(node: Resolution): PropertyText {
  switch (node.kind) {
    case "string":
      return { text: node.text, isPresent: true };
    case "number":
      return { text: canonicalNumber(node.token), isPresent: true };
    case "boolean":
      return { text: String(node.value), isPresent: true };
    case "null":
      return { text: "null", isPresent: false };
    default:
      return { text: "", isPresent: false };
  }
}

/** A number as `digits` * 10^`exponent`, the digits without leading zeros; zero has none. */
function readNumber(text: string): { isNegative: boolean; digits: string; exponent: number } | null {
  if (!/^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(text)) return null;
  const [mantissa = "", exponent = "0"] = text.toLowerCase().split("e");
  const [integer = "", fraction = ""] = mantissa.replace(/^[+-]/, "").split(".");
  const digits = (integer + fraction).replace(/^0+/, "");
  return { isNegative: text.startsWith("-"), digits, exponent: Number(exponent) - fraction.length };
}

/** Plain decimal notation of a JSON number; the token itself where that would take more than 400 characters. */
function canonicalNumber(token: string): string {
  const number = readNumber(token);
  assert(number !== null, "a JSON number token is a number");
  if (number.digits === "") return "0";
  const { digits, exponent, isNegative } = number;
  if (Math.abs(exponent) > token.length + MAX_PLAIN_CHARACTERS) return token;
  const padded = digits.padStart(1 - exponent, "0");
  const integer = exponent < 0 ? padded.slice(0, exponent) : digits + "0".repeat(exponent);
  const fraction = exponent < 0 ? padded.slice(exponent).replace(/0+$/, "") : "";
  const plain = `${isNegative ? "-" : ""}${integer}${fraction && "."}${fraction}`;
  return plain.length > MAX_PLAIN_CHARACTERS ? token : plain;
}

/** The value in units of 10^-24, rounded half away from zero; null for what is no number or is out of range. */
export function numericValue(node: Resolution): bigint | null {
  const text = node.kind === "number" ? node.token : node.kind === "string" ? node.text : null;
  const number = text === null ? null : readNumber(text);
  if (number === null) return null;
  const { digits, exponent, isNegative } = number;
  if (digits === "") return 0n;
  const shift = exponent + SCALE;
  if (digits.length + exponent > 38) return null;
  // Fewer than half a unit, however many digits the exponent would ask for.
  if (digits.length + shift < 0) return 0n;
  const scaled = shift >= 0 ? BigInt(digits + "0".repeat(shift)) : roundDigits(digits, -shift);
  if (scaled >= VALUE_LIMIT) return null;
  return isNegative ? -scaled : scaled;
}

/** Drops the last `count` digits, rounding half up; `count` is at most the number of digits. */
function roundDigits(digits: string, count: number): bigint {
  const kept = digits.slice(0, digits.length - count);
  const next = digits[digits.length - count] ?? "0";
  return BigInt(kept || "0") + (next >= "5" ? 1n : 0n);
}

export function fixedPointText(value: bigint): string {
  const digits = magnitude(value)
    .toString()
    .padStart(SCALE + 1, "0");
  const fraction = digits.slice(-SCALE).replace(/0+$/, "");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -SCALE)}${fraction && "."}${fraction}`;
}

/** Both in units of 10^-24; the quotient is rounded to the same unit. */
export function divideHalfAwayFromZero(dividend: bigint, divisor: bigint): bigint {
  const quotient = (2n * magnitude(dividend) + divisor) / (2n * divisor);
  return dividend < 0n ? -quotient : quotient;
}

export function magnitude(value: bigint): bigint {
  return value < 0n ? -value : value;
}

export function isMatch(filter: TextFilter, property: PropertyText): boolean {
  const { text, isPresent } = property;
  switch (filter.op) {
    case "eq":
      return text === filter.value;
    case "ne":
      return text !== filter.value;
    case "gt":
      return compareBytes(text, filter.value) > 0;
    case "gte":
      return compareBytes(text, filter.value) >= 0;
    case "lt":
      return compareBytes(text, filter.value) < 0;
    case "lte":
      return compareBytes(text, filter.value) <= 0;
    case "in":
      return filter.values.includes(text);
    case "nin":
      return !filter.values.includes(text);
    case "like":
      return isLike(text, filter.pattern);
    case "nlike":
      return !isLike(text, filter.pattern);
    case "ilike":
      return isLike(text.toLowerCase(), filter.pattern.toLowerCase());
    case "nilike":
      return !isLike(text.toLowerCase(), filter.pattern.toLowerCase());
    case "contains":
      return text.toLowerCase().includes(filter.value.toLowerCase());
    case "ncontains":
      return !text.toLowerCase().includes(filter.value.toLowerCase());
    case "exists":
      return isPresent === filter.value;
    case "and":
      return filter.filters.every((each) => isMatch(each, property));
    case "or":
      return filter.filters.some((each) => isMatch(each, property));
  }
}

/**
 * `_` is one code point. A `\` that escapes neither `%`, `_` nor `\` stands for itself, also at the end of the
 * pattern.
 */
function isLike(text: string, pattern: string): boolean {
  const tokens = pattern.match(/\\[%_\\]|[^]/gu) ?? [];
  const source = tokens.map((token) => {
    if (token === "%") return ".*";
    if (token === "_") return ".";
    return RegExp.escape(token.length === 2 && token.startsWith("\\") ? token.slice(1) : token);
  });
  return new RegExp(`^${source.join("")}$`, "su").test(text);
}

export function isInstantMatch(filter: TimeFilter, instant: Instant): boolean {
  switch (filter.op) {
    case "eq":
      return instant === filter.value;
    case "gt":
      return instant > filter.value;
    case "gte":
      return instant >= filter.value;
    case "lt":
      return instant < filter.value;
    case "lte":
      return instant <= filter.value;
    case "and":
      return filter.filters.every((each) => isInstantMatch(each, instant));
    case "or":
      return filter.filters.some((each) => isInstantMatch(each, instant));
  }
}

/** Order of the UTF-8 bytes, which differs from the order of UTF-16 units beyond U+FFFF. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
