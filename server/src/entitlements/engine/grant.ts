/**
 * Grants: what one is, when it is active, when it expires, and in which order grants are burnt.
 *
 * A grant is immutable but for its end, which is the earliest of expiry, voiding and deletion; one that ends no later than it
 * starts is never active. The order of burning is total, so the same grants in any order of input burn the same.
 */

import { civilFromDays, daysFromCivil, microsPerDay, microsPerHour } from "../../kernel/civil.ts";
import type { Decimal } from "../../kernel/decimal.ts";
import type { Duration } from "../../kernel/duration.ts";
import type { Instant } from "../../kernel/instant.ts";
import { instantFromMicros, instantInRange, laterInstant, maxInstant, plusMicros } from "../../kernel/instant.ts";
import { floorToMinute, pointAfter, utcRecurrence } from "./time.ts";

/** Amounts are in the units that clients see; instants that structure it are whole minutes. */
export interface Grant {
  readonly id: string;
  /** Greater than zero. */
  readonly amount: Decimal;
  /** 0 to 255; lower burns first. */
  readonly priority: number;
  readonly effectiveAt: Instant;
  /** Exclusive: at this instant the grant is gone. Null: it does not expire. */
  readonly expiresAt: Instant | null;
  readonly voidedAt: Instant | null;
  readonly deletedAt: Instant | null;
  /** At a reset the balance becomes `min(maxRollover, max(minRollover, balance))`. */
  readonly minRollover: Decimal;
  readonly maxRollover: Decimal;
  /** At each point while the grant is active, its balance is set to the amount. Whole minutes. */
  readonly recurrence: { readonly interval: Duration; readonly anchor: Instant } | null;
  readonly createdAt: Instant;
}

/** The units of time that an expiration is given in. */
export type ExpirationUnit = "HOUR" | "DAY" | "WEEK" | "MONTH" | "YEAR";

/** The first instant at which the grant no longer is active, whether or not it ever was; null: it has no end. */
export function endOfGrant({ expiresAt, voidedAt, deletedAt }: Grant): Instant | null {
  const ends = [expiresAt, voidedAt, deletedAt].filter((end) => end !== null);
  return ends.length === 0 ? null : floorToMinute(instantFromMicros(Math.min(...ends)));
}

export function isGrantActive(grant: Grant, at: Instant): boolean {
  const end = endOfGrant(grant);
  return floorToMinute(grant.effectiveAt) <= at && (end === null || at < end);
}

/**
 * Orders grants by who burns first: priority ascending, then the minute of expiry ascending with none last, then creation,
 * then id. Zero only for the same id.
 */
export function compareBurnOrder(a: Grant, b: Grant): number {
  if (a.priority !== b.priority) return a.priority - b.priority;
  const [expiryA, expiryB] = [expiryMinute(a), expiryMinute(b)];
  if (expiryA !== expiryB) return expiryA - expiryB;
  if (a.createdAt !== b.createdAt) return a.createdAt - b.createdAt;
  if (a.id === b.id) return 0;
  return a.id < b.id ? -1 : 1;
}

function expiryMinute({ expiresAt }: Grant): Instant {
  return expiresAt === null ? maxInstant : floorToMinute(expiresAt);
}

/**
 * `effectiveAt + count * unit` where the calendar overflows: a month after 31 January is the day that would be 31 February,
 * 2 or 3 March. The `Fault` `instant_out_of_range` beyond the year 2255.
 */
export function expiryOf(effectiveAt: Instant, unit: ExpirationUnit, count: number): Instant {
  switch (unit) {
    case "HOUR":
      return plusMicros(effectiveAt, count * microsPerHour);
    case "DAY":
      return plusMicros(effectiveAt, count * microsPerDay);
    case "WEEK":
      return plusMicros(effectiveAt, count * 7 * microsPerDay);
    case "MONTH":
      return plusOverflowingMonths(effectiveAt, count);
    case "YEAR":
      return plusOverflowingMonths(effectiveAt, count * 12);
  }
}

function plusOverflowingMonths(instant: Instant, months: number): Instant {
  const dayNumber = Math.floor(instant / microsPerDay);
  const { year, month, day } = civilFromDays(dayNumber);
  const monthIndex = year * 12 + month - 1 + months;
  const firstOfMonth = daysFromCivil(Math.floor(monthIndex / 12), (monthIndex % 12) + 1, 1);
  return instantInRange((firstOfMonth + day - 1) * microsPerDay + (instant - dayNumber * microsPerDay));
}

/**
 * When the grant recurs next: its first recurrence point at or after `at`, or after its start if that is later. Null without
 * recurrence and when the grant ends before.
 */
export function nextRecurrence(grant: Grant, at: Instant): Instant | null {
  if (grant.recurrence === null) return null;
  const from = laterInstant(at, grant.effectiveAt);
  // The point at `from` itself counts, and nothing is finer than a microsecond.
  const justBefore = instantFromMicros(from - 1);
  const point = pointAfter(utcRecurrence(grant.recurrence.interval, grant.recurrence.anchor), justBefore);
  const end = endOfGrant(grant);
  return point === null || (end !== null && point >= end) ? null : point;
}
