/**
 * Entitlements: what a customer may use. Types and the rules that need no state; see README.md for the meaning.
 *
 * An entitlement is immutable but for its end and its manual resets. What a metered one says follows from its terms (these
 * fields, its resets and its grants) and from usage, and from nothing else.
 */

import type { JsonValue, StringMap } from "../engines/state-store/index.ts";
import { type Instant, earlierInstant } from "../kernel/instant.ts";
import type { Period } from "../kernel/period.ts";
import { type Conversion, floorToMinute, type Grant, periodAt, type Reset, type Terms } from "./engine/index.ts";
import type { Interval } from "./input.ts";

export type EntitlementType = "metered" | "static" | "boolean";

export interface UsagePeriod {
  readonly interval: Interval;
  /** A whole minute. */
  readonly anchor: Instant;
}

/** What only metered entitlements have. */
export interface MeteredFields {
  /** Usage before it never counts; a whole minute. */
  readonly measureUsageFrom: Instant;
  /** The grant that makes this balance at the start and after every reset is one of the entitlement's grants. */
  readonly issue: { /** Decimal text. */ readonly amount: string; readonly priority: number } | null;
  readonly isSoftLimit: boolean;
  readonly preserveOverageAtReset: boolean;
  readonly conversion: Conversion | null;
}

export interface Entitlement {
  readonly id: string;
  readonly namespace: string;
  readonly customerId: string;
  /** The customer's key when this was read. */
  readonly customerKey: string | null;
  /** The customer's smallest subject key when this was read. */
  readonly smallestSubjectKey: string | null;
  readonly featureId: string;
  readonly featureKey: string;
  readonly type: EntitlementType;
  readonly metadata: StringMap | null;
  readonly annotations: { readonly [key: string]: JsonValue } | null;
  /** A managed entitlement is not for clients to end or to reset. */
  readonly managedBy: "subscription" | null;
  readonly activeFrom: Instant;
  readonly activeTo: Instant | null;
  /** Never null for metered entitlements. */
  readonly usagePeriod: UsagePeriod | null;
  /** JSON text; not null exactly for static entitlements. */
  readonly config: string | null;
  /** Not null exactly for metered entitlements. */
  readonly metered: MeteredFields | null;
  /** Manual resets by time. */
  readonly resets: readonly Reset[];
  /** Grows with every change of what balances are computed from. */
  readonly revision: number;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly deletedAt: Instant | null;
}

/** An entitlement that has a balance. */
export interface MeteredEntitlement extends Entitlement {
  readonly metered: MeteredFields;
  readonly usagePeriod: UsagePeriod;
}

export function isMetered(entitlement: Entitlement): entitlement is MeteredEntitlement {
  return entitlement.metered !== null && entitlement.usagePeriod !== null;
}

/** The first instant at which it gives no access any more; null: none. It may lie before `activeFrom`. */
export function endOf({ activeTo, deletedAt }: Pick<Entitlement, "activeTo" | "deletedAt">): Instant | null {
  if (activeTo === null || deletedAt === null) return activeTo ?? deletedAt;
  return earlierInstant(activeTo, deletedAt);
}

export function isActiveAt(entitlement: Entitlement, at: Instant): boolean {
  const end = endOf(entitlement);
  return entitlement.activeFrom <= at && (end === null || at < end);
}

/** The terms of a metered entitlement with these grants, in any order; `isGauge`: its meter shows the latest value. */
export function termsOf(entitlement: MeteredEntitlement, grants: readonly Grant[], isGauge: boolean): Terms {
  const { metered, usagePeriod, resets } = entitlement;
  return {
    measureUsageFrom: metered.measureUsageFrom,
    usagePeriod: { interval: usagePeriod.interval.duration, anchor: usagePeriod.anchor },
    resets,
    preserveOverageAtReset: metered.preserveOverageAtReset,
    isSoftLimit: metered.isSoftLimit,
    grants,
    gauge: isGauge,
    conversion: metered.conversion,
  };
}

/** The usage period that contains `at`; null for an entitlement without usage periods. */
export function usagePeriodAt(entitlement: Entitlement, at: Instant): Period | null {
  const { usagePeriod, resets } = entitlement;
  if (usagePeriod === null) return null;
  // An entitlement that is not metered only shows its periods; they begin with it.
  const measureUsageFrom = entitlement.metered?.measureUsageFrom ?? floorToMinute(entitlement.activeFrom);
  const terms: Terms = {
    measureUsageFrom,
    usagePeriod: { interval: usagePeriod.interval.duration, anchor: usagePeriod.anchor },
    resets,
    preserveOverageAtReset: false,
    isSoftLimit: false,
    grants: [],
    gauge: false,
    conversion: null,
  };
  return periodAt(terms, at);
}

/** The last manual reset, or else when measuring began. */
export function lastReset(entitlement: MeteredEntitlement): Instant {
  return entitlement.resets.at(-1)?.at ?? entitlement.metered.measureUsageFrom;
}
