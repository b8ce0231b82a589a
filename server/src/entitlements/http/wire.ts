/**
 * Entitlements, grants, values and histories as the API writes them: v1 for subjects, v2 for customers. Numbers are written
 * from their exact decimals.
 */

import {
  type BalanceHistoryBody,
  type CustomerAccess,
  type EntitlementBody,
  type EntitlementBodyV2,
  type EntitlementValueV2,
  type ExactBody,
  exactNumber,
  type GrantBody,
  type GrantBodyV2,
} from "@tallystick/contract";
import { microsPerDay } from "../../kernel/civil.ts";
import type { Decimal } from "../../kernel/decimal.ts";
import { formatInstant, type Instant, maxInstant } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";
import type { EntitlementValue } from "../balances.ts";
import { endOfGrant, expiryOf, type History, nextRecurrence } from "../engine/index.ts";
import { type Entitlement, isMetered, lastReset, type UsagePeriod, usagePeriodAt } from "../entitlement.ts";
import type { EntitlementGrant } from "../grants/grant.ts";
import { type Interval, isoText } from "../input.ts";

/** v1 has to show when a grant expires; one that never does shows this. */
const SHOWN_EXPIRATION = { duration: "YEAR", count: 100 } as const;
/** A hundred and one years before the last instant. */
const LAST_SHOWN_START = maxInstant - 101 * 366 * microsPerDay;

/** The entitlement as v1 answers it at the instant `now`. */
export function subjectEntitlementBody(entitlement: Entitlement, now: Instant): ExactBody<EntitlementBody> {
  const owner = { subjectKey: entitlement.smallestSubjectKey ?? entitlement.customerKey ?? "" };
  const common = { ...commonFields(entitlement), ...owner };
  const metered = meteredFields(entitlement, now);
  if (metered !== null) return { ...common, ...metered, isUnlimited: false };
  return { ...common, ...otherFields(entitlement, now) };
}

/** The entitlement as v2 answers it at the instant `now`. */
export function customerEntitlementBody(entitlement: Entitlement, now: Instant): ExactBody<EntitlementBodyV2> {
  const { customerId, customerKey, metered: fields } = entitlement;
  const common = {
    ...commonFields(entitlement),
    customerId,
    ...(customerKey === null ? {} : { customerKey }),
  };
  const metered = meteredFields(entitlement, now);
  if (metered === null) return { ...common, ...otherFields(entitlement, now) };
  const issue = fields?.issue ?? null;
  const issued = issue === null ? {} : { issue: { amount: exactNumber(issue.amount), priority: issue.priority } };
  return { ...common, ...metered, ...issued };
}

function commonFields(entitlement: Entitlement) {
  return {
    id: entitlement.id,
    featureKey: entitlement.featureKey,
    featureId: entitlement.featureId,
    ...(entitlement.metadata === null ? {} : { metadata: { ...entitlement.metadata } }),
    ...(entitlement.annotations === null ? {} : { annotations: { ...entitlement.annotations } }),
    activeFrom: formatInstant(entitlement.activeFrom),
    ...(entitlement.activeTo === null ? {} : { activeTo: formatInstant(entitlement.activeTo) }),
    ...timesOf(entitlement),
  };
}

function timesOf(record: {
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly deletedAt: Instant | null;
}) {
  return {
    createdAt: formatInstant(record.createdAt),
    updatedAt: formatInstant(record.updatedAt),
    ...(record.deletedAt === null ? {} : { deletedAt: formatInstant(record.deletedAt) }),
  };
}

/** Null for an entitlement that is not metered. */
function meteredFields(entitlement: Entitlement, now: Instant) {
  if (!isMetered(entitlement)) return null;
  const { metered, usagePeriod } = entitlement;
  const current = usagePeriodAt(entitlement, now);
  const { issue } = metered;
  return {
    type: "metered" as const,
    isSoftLimit: metered.isSoftLimit,
    preserveOverageAtReset: metered.preserveOverageAtReset,
    ...(issue === null ? {} : { issueAfterReset: exactNumber(issue.amount), issueAfterResetPriority: issue.priority }),
    lastReset: formatInstant(lastReset(entitlement)),
    measureUsageFrom: formatInstant(metered.measureUsageFrom),
    usagePeriod: recurringBody(usagePeriod.interval, usagePeriod.anchor),
    currentUsagePeriod: current === null ? periodBody({ from: now, to: now }) : periodBody(current),
  };
}

function otherFields(entitlement: Entitlement, now: Instant) {
  const { usagePeriod, config } = entitlement;
  const shown = usagePeriod === null ? {} : shownPeriod(entitlement, usagePeriod, now);
  return config === null ? { type: "boolean" as const, ...shown } : { type: "static" as const, config, ...shown };
}

function shownPeriod(entitlement: Entitlement, { interval, anchor }: UsagePeriod, now: Instant) {
  const current = usagePeriodAt(entitlement, now);
  return {
    usagePeriod: recurringBody(interval, anchor),
    ...(current === null ? {} : { currentUsagePeriod: periodBody(current) }),
  };
}

function recurringBody(interval: Interval, anchor: Instant) {
  return { interval: interval.text, intervalISO: isoText(interval), anchor: formatInstant(anchor) };
}

function periodBody({ from, to }: Period) {
  return { from: formatInstant(from), to: formatInstant(to) };
}

/** The grant as v1 answers it at the instant `now`. */
export function subjectGrantBody(grant: EntitlementGrant, now: Instant): ExactBody<GrantBody> {
  const { expiration, effectiveAt } = grant;
  return {
    ...grantFields(grant, now),
    expiration: expiration === null ? SHOWN_EXPIRATION : { duration: expiration.unit, count: expiration.count },
    expiresAt: formatInstant(grant.expiresAt ?? shownExpiry(effectiveAt)),
  };
}

/** A hundred years after the start, or the last instant that can be written. */
function shownExpiry(effectiveAt: Instant): Instant {
  const { duration, count } = SHOWN_EXPIRATION;
  return effectiveAt > LAST_SHOWN_START ? maxInstant : expiryOf(effectiveAt, duration, count);
}

/** The grant as v2 answers it at the instant `now`. */
export function customerGrantBody(grant: EntitlementGrant, now: Instant): ExactBody<GrantBodyV2> {
  const { expiration, expiresAt } = grant;
  return {
    ...grantFields(grant, now),
    ...(expiration === null ? {} : { expiration: { duration: expiration.unit, count: expiration.count } }),
    ...(expiresAt === null ? {} : { expiresAt: formatInstant(expiresAt) }),
  };
}

function grantFields(grant: EntitlementGrant, now: Instant) {
  const { recurrence, recurrenceInterval } = grant;
  const end = endOfGrant(grant);
  const next = end !== null && end <= now ? null : nextRecurrence(grant, now);
  return {
    id: grant.id,
    entitlementId: grant.entitlementId,
    amount: exactNumber(grant.amount.toText()),
    priority: grant.priority,
    effectiveAt: formatInstant(grant.effectiveAt),
    minRolloverAmount: exactNumber(grant.minRollover.toText()),
    maxRolloverAmount: exactNumber(grant.maxRollover.toText()),
    ...(grant.metadata === null ? {} : { metadata: { ...grant.metadata } }),
    ...(grant.annotations === null ? {} : { annotations: { ...grant.annotations } }),
    ...(recurrence === null || recurrenceInterval === null
      ? {}
      : { recurrence: recurringBody(recurrenceInterval, recurrence.anchor) }),
    ...(next === null ? {} : { nextRecurrence: formatInstant(next) }),
    ...(grant.voidedAt === null ? {} : { voidedAt: formatInstant(grant.voidedAt) }),
    ...timesOf(grant),
  };
}

/** A value, with the balances of single grants if the API's version shows them. */
export function valueBody(answer: EntitlementValue, { withGrants = false } = {}): ExactBody<EntitlementValueV2> {
  switch (answer.kind) {
    case "none":
      return { hasAccess: false };
    case "boolean":
      return { hasAccess: true };
    case "static":
      return { hasAccess: true, config: answer.config };
    case "metered": {
      const { hasAccess, balance, usage, overage, totalAvailableGrantAmount, grantBalances } = answer.value;
      return {
        hasAccess,
        balance: numberBody(balance),
        usage: numberBody(usage),
        overage: numberBody(overage),
        totalAvailableGrantAmount: numberBody(totalAvailableGrantAmount),
        ...(answer.holds === undefined
          ? {}
          : { held: numberBody(answer.holds.held), available: numberBody(answer.holds.available) }),
        ...(withGrants ? { grantBalances: balancesBody(grantBalances) } : {}),
      };
    }
  }
}

/** What a customer may use, by feature key. */
export function accessBody(values: ReadonlyMap<string, EntitlementValue>): ExactBody<CustomerAccess> {
  return { entitlements: Object.fromEntries([...values].map(([featureKey, value]) => [featureKey, valueBody(value)])) };
}

export function historyBody({ windows, burnDown }: History): ExactBody<BalanceHistoryBody> {
  return {
    windowedHistory: windows.map(({ period, usage, balanceAtStart }) => ({
      period: periodBody(period),
      usage: numberBody(usage),
      balanceAtStart: numberBody(balanceAtStart),
    })),
    burndownHistory: burnDown.map((segment) => ({
      period: periodBody(segment.period),
      usage: numberBody(segment.usage),
      overage: numberBody(segment.overage),
      balanceAtStart: numberBody(segment.balanceAtStart),
      grantBalancesAtStart: balancesBody(segment.grantBalancesAtStart),
      balanceAtEnd: numberBody(segment.balanceAtEnd),
      grantBalancesAtEnd: balancesBody(segment.grantBalancesAtEnd),
      grantUsages: segment.grantUsages.map(({ grantId, usage }) => ({ grantId, usage: numberBody(usage) })),
    })),
  };
}

function balancesBody(balances: ReadonlyMap<string, Decimal>) {
  return Object.fromEntries([...balances].map(([id, balance]) => [id, numberBody(balance)]));
}

function numberBody(value: Decimal) {
  return exactNumber(value.toText());
}
