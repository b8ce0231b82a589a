/**
 * Aggregates as integers: counts of 10^-24, read from and written to the plain decimal texts that ClickHouse prints for
 * `Decimal(76, 24)`.
 *
 * Invariant: nothing is rounded except by `divideHalfAwayFromZero`.
 */

import { assert } from "../../../../kernel/assert.ts";
import { Fault } from "../../../../kernel/fault.ts";
import { VALUE_SCALE } from "../../values.ts";
import type { Cell } from "./aggregation.ts";

/**
 * `Decimal(76, 24)` holds 52 integer digits and a value has at most 38 (`VALUE_LIMIT`), so no sum of fewer values than this
 * can leave the type. ClickHouse's sum would wrap around silently.
 */
const SAFE_COUNT = 10 ** 14;

const PLAIN_DECIMAL = /^(-?)([0-9]+)(?:\.([0-9]+))?$/;

/** Reads a plain decimal with at most 24 fractional digits. */
export function unitsFromText(text: string): bigint {
  const [, sign, integerDigits, fraction = ""] = PLAIN_DECIMAL.exec(text) ?? [];
  assert(integerDigits !== undefined && fraction.length <= VALUE_SCALE, "an aggregate is printed as a plain decimal");
  const units = BigInt(integerDigits + fraction.padEnd(VALUE_SCALE, "0"));
  return sign === "-" ? -units : units;
}

/** Canonical text: no trailing zeros, no negative zero. */
export function textFromUnits(units: bigint): string {
  const digits = (units < 0n ? -units : units).toString().padStart(VALUE_SCALE + 1, "0");
  const fraction = digits.slice(-VALUE_SCALE).replace(/0+$/, "");
  return `${units < 0n ? "-" : ""}${digits.slice(0, -VALUE_SCALE)}${fraction === "" ? "" : "."}${fraction}`;
}

/** The quotient in the same unit as `dividend`; `divisor` is positive. */
export function divideHalfAwayFromZero(dividend: bigint, divisor: bigint): bigint {
  const magnitude = dividend < 0n ? -dividend : dividend;
  const quotient = (2n * magnitude + divisor) / (2n * divisor);
  return dividend < 0n ? -quotient : quotient;
}

/** Canonical text of a decimal cell; null for an SQL null. */
export function decimalOf(cell: Cell | undefined): string | null {
  return typeof cell === "string" ? textFromUnits(unitsFromText(cell)) : null;
}

/** A sum in units, from the cells sum and count of values; null when there were no values. */
export function checkedSum(cells: readonly Cell[]): { readonly units: bigint; readonly count: bigint } | null {
  const [sum, count] = cells;
  assert(typeof count === "number", "a sum comes with the count of its values");
  if (count === 0) return null;
  assert(typeof sum === "string", "a sum of values is not null");
  if (count >= SAFE_COUNT) {
    throw new Fault("internal", "aggregate_overflow", "The sum is too large to be computed exactly.");
  }
  return { units: unitsFromText(sum), count: BigInt(count) };
}
