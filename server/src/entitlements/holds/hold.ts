/**
 * Holds: amounts of a balance that are kept for one caller before its usage counts. A reservation holds the amount of one
 * piece of work; a lease lends a slice that its holder spends by itself. Pure types and rules; see README.md for the meaning.
 *
 * Invariants: what a hold holds is decided by the hold, an instant and how far events are stored, and by nothing else, so
 * it needs no job to expire; a hold that ended never holds again; what was used stays held until the events that were
 * acknowledged before its end are part of the balance, so there is no instant in which neither is deducted.
 */

import { exactNumber } from "@tallystick/contract";
import type { LogPosition } from "../../events/index.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { type Duration, parseDuration } from "../../kernel/duration.ts";
import { Fault } from "../../kernel/fault.ts";
import { type Instant, laterInstant, plusMicros } from "../../kernel/instant.ts";

/** What is stored of a hold's status; one that was held until its time ran out is still `held` here. */
export type StoredHoldStatus = "held" | "confirmed" | "released" | "returned" | "expired";

/** An amount that stays held until events up to a place in the log are part of the balance. */
export interface Settling {
  readonly amount: Decimal;
  /** Of the last event that is meant. */
  readonly until: LogPosition;
}

export interface Hold {
  readonly id: string;
  readonly namespace: string;
  readonly entitlementId: string;
  readonly customerId: string;
  readonly featureKey: string;
  readonly kind: "reservation" | "lease";
  /** The caller's name for a reservation; unique per entitlement. */
  readonly key: string | null;
  /** What was reserved, or everything that was granted under the lease. */
  readonly amount: Decimal;
  /** What was confirmed, or what the holder of the lease said to have used so far. */
  readonly used: Decimal;
  readonly status: StoredHoldStatus;
  readonly expiresAt: Instant;
  /** From here on it holds nothing: `expiresAt`, for a lease later by the grace. */
  readonly countsUntil: Instant;
  /** How long it was made to last, in microseconds. */
  readonly lastsMicros: number;
  readonly settling: Settling | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly createdAt: Instant;
  /** When it was confirmed, released or returned. */
  readonly endedAt: Instant | null;
}

/** What every new hold has, of either kind. */
export interface HoldOrigin {
  readonly id: string;
  readonly namespace: string;
  readonly entitlementId: string;
  readonly customerId: string;
  readonly featureKey: string;
  readonly at: Instant;
  readonly lastsMicros: number;
}

export interface ReservationDraft {
  readonly amount: Decimal;
  readonly lastsMicros: number;
  readonly key: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
}

export interface LeaseDraft {
  readonly amount: Decimal;
  /** The least that is of use. */
  readonly minAmount: Decimal;
  readonly lastsMicros: number;
}

export interface LeaseRenewal {
  readonly consumed: Decimal;
  /** How much is wanted on top. */
  readonly amount: Decimal;
  /** Null: as long as before. */
  readonly lastsMicros: number | null;
}

/** The balance at a moment, what is held of it, and what that leaves. */
export interface Standing {
  readonly balance: Decimal;
  readonly held: Decimal;
  /** Negative when more is held than there is. */
  readonly available: Decimal;
  readonly isSoftLimit: boolean;
}

/** The status that callers see at `at`. */
export function statusAt(hold: Hold, at: Instant): StoredHoldStatus {
  return hold.status === "held" && at >= hold.countsUntil ? "expired" : hold.status;
}

/** When the hold ended, as seen at `at`; null while it holds. */
export function endOf(hold: Hold, at: Instant): Instant | null {
  return statusAt(hold, at) === "expired" ? hold.countsUntil : hold.endedAt;
}

/** What the hold itself holds while its status is `held`, besides what is settling. */
export function remainder(hold: Hold): Decimal {
  if (hold.status !== "held") return Decimal.zero;
  const left = hold.amount.minus(hold.used);
  return left.isNegative() ? Decimal.zero : left;
}

/**
 * A reservation of the whole amount. Faults: `amount_must_be_positive`, `insufficient_balance` when a hard limit leaves less.
 */
export function reservation(origin: HoldOrigin, draft: ReservationDraft, standing: Standing): Hold {
  requirePositive(draft.amount, "amount");
  if (!standing.isSoftLimit && draft.amount.compare(standing.available) > 0) {
    throw insufficient(standing, draft.amount, "amount");
  }
  return {
    ...begin(origin, draft.amount, plusMicros(origin.at, origin.lastsMicros)),
    kind: "reservation",
    key: draft.key,
    metadata: draft.metadata,
  };
}

/** Whether a repeated call with the same key asks for the same. Fault: `reservation_key_reused`. */
export function requireSameAmount(existing: Hold, amount: Decimal): void {
  if (existing.amount.equals(amount)) return;
  const message =
    `the key ${JSON.stringify(existing.key)} was used before for a reservation of ${existing.amount.toText()}, ` +
    `not of ${amount.toText()}: ` +
    "repeat the call with the same amount, or use another key";
  throw new Fault("conflict", "reservation_key_reused", message, {
    fields: [{ code: "reservation_key_reused", message, field: "$.key" }],
    extensions: { reservationId: existing.id },
  });
}

/**
 * The reservation after its work was done, which took `amount`. The reserved amount stays held until events up to
 * `settlesAt` are part of the balance. Confirming again changes nothing. Fault: `reservation_not_held`.
 */
export function confirmed(hold: Hold, amount: Decimal, settlesAt: LogPosition | null, at: Instant): Hold {
  const status = statusAt(hold, at);
  if (status === "confirmed") return hold;
  if (status !== "held") throw notHeld(hold, status, "confirmed");
  const settling = settlesAt === null ? null : { amount: hold.amount, until: settlesAt };
  return { ...hold, status: "confirmed", used: amount, settling, endedAt: at };
}

/** The reservation after it turned out not to be needed. What has ended without being used stays as it is. Fault: `reservation_not_held`. */
export function released(hold: Hold, at: Instant): Hold {
  const status = statusAt(hold, at);
  if (status === "confirmed") throw notHeld(hold, status, "released");
  return status === "held" ? { ...hold, status: "released", endedAt: at } : hold;
}

/** A lease of as much as is available and asked for. Faults: `amount_must_be_positive`, `invalid_min_amount`, `insufficient_balance`. */
export function lease(origin: HoldOrigin, draft: LeaseDraft, standing: Standing, graceMicros: number): Hold {
  requirePositive(draft.amount, "amount");
  if (draft.minAmount.compare(draft.amount) > 0) {
    const [least, most] = [draft.minAmount.toText(), draft.amount.toText()];
    const message = `minAmount must not be more than amount, ${least} is more than ${most}`;
    throw new Fault("validation", "invalid_min_amount", message, {
      fields: [{ code: "invalid_min_amount", message, field: "$.minAmount" }],
    });
  }
  const granted = grantable(standing, draft.amount);
  if (granted.compare(draft.minAmount) < 0) throw insufficient(standing, draft.minAmount, "minAmount");
  return {
    ...begin(origin, granted, plusMicros(origin.at, origin.lastsMicros + graceMicros)),
    kind: "lease",
    key: null,
    metadata: null,
  };
}

/**
 * The lease with `consumed` used in all, as granted before. What was used since the last report settles at `settlesAt`. Faults:
 * `lease_not_held`, `consumed_decreased`.
 */
export function reported(hold: Hold, consumed: Decimal, settlesAt: LogPosition | null, at: Instant): Hold {
  const status = statusAt(hold, at);
  if (status !== "held") {
    const message = `the lease ${hold.id} ${status === "expired" ? "has expired" : "was returned"}: take a new one`;
    throw new Fault("conflict", "lease_not_held", message, { extensions: { status } });
  }
  if (consumed.compare(hold.used) < 0) {
    const message = `consumed is the total so far and never decreases: it was ${hold.used.toText()} already, not ${consumed.toText()}`;
    throw new Fault("validation", "consumed_decreased", message, {
      fields: [{ code: "consumed_decreased", message, field: "$.consumed" }],
    });
  }
  const after = { ...hold, used: consumed };
  const freed = remainder(hold).minus(remainder(after));
  if (settlesAt === null || freed.isZero()) return after;
  return { ...after, settling: together(hold.settling, { amount: freed, until: settlesAt }) };
}

/** The reported lease with a new time to live and as much on top as is available and asked for. */
export function renewed(
  hold: Hold,
  renewal: LeaseRenewal,
  standing: Standing,
  { at, graceMicros }: { readonly at: Instant; readonly graceMicros: number },
): Hold {
  const lastsMicros = renewal.lastsMicros ?? hold.lastsMicros;
  const expiresAt = plusMicros(at, lastsMicros);
  return {
    ...hold,
    amount: hold.amount.plus(grantable(standing, renewal.amount)),
    lastsMicros,
    // A shorter time than before must not end what the holder was promised.
    expiresAt: laterInstant(hold.expiresAt, expiresAt),
    countsUntil: laterInstant(hold.countsUntil, plusMicros(expiresAt, graceMicros)),
  };
}

/** The reported lease after its holder gave it back. */
export function returned(hold: Hold, at: Instant): Hold {
  return { ...hold, status: "returned", endedAt: at };
}

/**
 * Microseconds of an ISO 8601 text between `min` and `max`, both ISO 8601 as well. Fault: `invalid_duration`, which names
 * `field`.
 */
export function lengthOfTime(text: string, field: string, min: string, max: string): number {
  const micros = fixedMicros(parseDuration(text));
  const [least, most] = [fixedMicros(parseDuration(min)), fixedMicros(parseDuration(max))];
  if (micros !== null && least !== null && most !== null && micros >= least && micros <= most) return micros;
  const message = `${field} must be an ISO 8601 duration from ${min} to ${max}, such as PT45S, not ${JSON.stringify(text)}`;
  throw new Fault("validation", "invalid_duration", message, {
    fields: [{ code: "invalid_duration", message, field: `$.${field}` }],
  });
}

/** Null for no duration and for one of years or months, which have no fixed length. */
function fixedMicros(duration: Duration | null): number | null {
  if (duration === null || duration.years !== 0 || duration.months !== 0) return null;
  const hours = (duration.weeks * 7 + duration.days) * 24 + duration.hours;
  return ((hours * 60 + duration.minutes) * 60 + duration.seconds) * 1_000_000 + duration.micros;
}

function begin(origin: HoldOrigin, amount: Decimal, countsUntil: Instant): Omit<Hold, "kind" | "key" | "metadata"> {
  const { at, ...rest } = origin;
  return {
    ...rest,
    amount,
    used: Decimal.zero,
    status: "held",
    expiresAt: plusMicros(at, origin.lastsMicros),
    countsUntil,
    settling: null,
    createdAt: at,
    endedAt: null,
  };
}

/** As much of `wanted` as may be held. */
function grantable({ isSoftLimit, available }: Standing, wanted: Decimal): Decimal {
  if (isSoftLimit || wanted.compare(available) <= 0) return wanted;
  return available.isNegative() ? Decimal.zero : available;
}

/** Both amounts are held until both have settled: never less than either, and for a moment more. */
function together(earlier: Settling | null, later: Settling): Settling {
  return earlier === null ? later : { amount: earlier.amount.plus(later.amount), until: later.until };
}

function requirePositive(amount: Decimal, field: string): void {
  if (amount.isPositive()) return;
  const message = `${field} must be more than 0, not ${amount.toText()}`;
  throw new Fault("validation", "amount_must_be_positive", message, {
    fields: [{ code: "amount_must_be_positive", message, field: `$.${field}` }],
  });
}

/** An amount that the client may see: what is available is never below 0. */
export function shownAvailable({ available }: Pick<Standing, "available">): Decimal {
  return available.isNegative() ? Decimal.zero : available;
}

function insufficient(standing: Standing, requested: Decimal, field: string): Fault {
  const available = shownAvailable(standing);
  const message =
    `${field} is ${requested.toText()}, but only ${available.toText()} is available: the balance is ` +
    `${standing.balance.toText()} and ${standing.held.toText()} of it is held; ask for less, or wait until holds end or a grant is made`;
  return new Fault("conflict", "insufficient_balance", message, {
    fields: [{ code: "insufficient_balance", message, field: `$.${field}` }],
    extensions: {
      balance: exactNumber(standing.balance.toText()),
      held: exactNumber(standing.held.toText()),
      available: exactNumber(available.toText()),
      requested: exactNumber(requested.toText()),
    },
  });
}

function notHeld(hold: Hold, status: StoredHoldStatus, verb: string): Fault {
  const what = status === "expired" ? `expired at its time` : `was ${status} before`;
  const message = `the reservation ${hold.id} ${what} and cannot be ${verb}: its amount is no longer held`;
  return new Fault("conflict", "reservation_not_held", message, { extensions: { status } });
}
