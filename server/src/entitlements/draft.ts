/** From what a client describes to a new entitlement with its first grants: pure rules, which name every offending field. */

import { isStorableText, type StringMap } from "../engines/state-store/index.ts";
import { assert } from "../kernel/assert.ts";
import { Decimal } from "../kernel/decimal.ts";
import type { Instant } from "../kernel/instant.ts";
import { type Conversion, floorToMinute, phases } from "./engine/index.ts";
import { pointAtOrBefore, utcRecurrence } from "./engine/time.ts";
import {
  type Entitlement,
  type EntitlementType,
  isMetered,
  type MeteredFields,
  termsOf,
  type UsagePeriod,
  usagePeriodAt,
} from "./entitlement.ts";
import { type EntitlementGrant, type GrantDraft, grantOf, issuedGrant } from "./grants/grant.ts";
import { InputErrors, isAtLeastAnHour } from "./input.ts";

/** An entitlement as a client describes it; which fields a type may have was checked with its shape. */
export interface EntitlementDraft {
  readonly type: EntitlementType;
  /** Wins over the key. */
  readonly featureId?: string | undefined;
  readonly featureKey?: string | undefined;
  readonly metadata?: StringMap | undefined;
  readonly usagePeriod?: { readonly interval: string; readonly anchor?: string | undefined } | undefined;
  /** JSON text. */
  readonly config?: string | undefined;
  readonly isSoftLimit?: boolean | undefined;
  readonly preserveOverageAtReset?: boolean | undefined;
  /** An instant, `CURRENT_PERIOD_START` or `NOW`. */
  readonly measureUsageFrom?: string | undefined;
  /** Decimal text. */
  readonly issueAmount?: string | undefined;
  readonly issuePriority?: number | undefined;
  readonly grants?: readonly GrantDraft[] | undefined;
}

/** What clients cannot say of an entitlement, but whoever manages it can. */
export interface ManagedPart {
  readonly managedBy: "subscription";
  readonly activeFrom?: Instant | undefined;
  readonly activeTo?: Instant | undefined;
  readonly conversion?: Conversion | undefined;
}

export interface DraftContext {
  readonly namespace: string;
  readonly now: Instant;
  readonly newId: () => string;
  readonly customerId: string;
  readonly feature: { readonly id: string; readonly key: string; readonly meterId: string | null };
  /** Where it starts; null: now. */
  readonly managed: ManagedPart | null;
}

export interface NewEntitlement {
  readonly entitlement: Entitlement;
  readonly grants: readonly EntitlementGrant[];
}

/** Half of what a balance is computed over, so that it can be read for as long again: eleven years of hours. */
const MAX_PAST_PERIODS = 100_000;

/** The entitlement that a draft describes. Fault: `invalid_entitlement`, or the one error's own code. */
export function newEntitlement(draft: EntitlementDraft, context: DraftContext): NewEntitlement {
  const { now, feature, managed } = context;
  const errors = new InputErrors();
  errors.storable(draft.metadata ?? null, "$.metadata");
  const usagePeriod = usagePeriodOf(draft, now, errors);
  const config = configOf(draft, errors);
  if (draft.type === "metered" && feature.meterId === null) {
    const message = `Feature has no meter: feature "${feature.key}" cannot be metered; use one that is linked to a meter`;
    errors.add("feature_has_no_meter", message, draft.featureId === undefined ? "$.featureKey" : "$.featureId");
  }
  const metered = draft.type === "metered" ? meteredOf(draft, usagePeriod, context, errors) : null;
  const entitlement: Entitlement = {
    id: context.newId(),
    namespace: context.namespace,
    customerId: context.customerId,
    customerKey: null,
    smallestSubjectKey: null,
    featureId: feature.id,
    featureKey: feature.key,
    type: draft.type,
    metadata: draft.metadata ?? null,
    annotations: null,
    managedBy: managed?.managedBy ?? null,
    activeFrom: managed?.activeFrom ?? now,
    activeTo: managed?.activeTo ?? null,
    usagePeriod,
    config,
    metered,
    resets: [],
    revision: 1,
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
  };
  const grants = grantsOf(draft, entitlement, context, errors);
  refuseTooLong(entitlement, now, errors);
  errors.throwIfAny("invalid_entitlement");
  return { entitlement, grants };
}

function usagePeriodOf({ usagePeriod }: EntitlementDraft, now: Instant, errors: InputErrors): UsagePeriod | null {
  if (usagePeriod === undefined) return null;
  const interval = errors.interval(usagePeriod.interval, "$.usagePeriod.interval");
  const anchor = usagePeriod.anchor === undefined ? now : errors.instant(usagePeriod.anchor, "$.usagePeriod.anchor");
  if (interval === null || anchor === null) return null;
  if (!isAtLeastAnHour(interval)) {
    const message = `"usagePeriod.interval" must be at least an hour (PT1H), not ${interval.text}`;
    errors.add("usage_period_less_than_an_hour", message, "$.usagePeriod.interval");
  }
  return { interval, anchor: floorToMinute(anchor) };
}

function configOf({ type, config }: EntitlementDraft, errors: InputErrors): string | null {
  if (type !== "static") return null;
  assert(config !== undefined, "a static entitlement comes with a configuration");
  if (!isJson(config) || !isStorableText(config)) {
    errors.add(
      "invalid_config",
      '"config" must be a string that holds valid JSON, such as "{\\"limit\\": 5}"',
      "$.config",
    );
  }
  return config;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function meteredOf(
  draft: EntitlementDraft,
  usagePeriod: UsagePeriod | null,
  { now, managed }: DraftContext,
  errors: InputErrors,
): MeteredFields | null {
  const issue = issueOf(draft, errors);
  const measureUsageFrom = measureInstant(draft, usagePeriod, managed?.activeFrom ?? now, errors);
  if (measureUsageFrom === null) return null;
  return {
    measureUsageFrom,
    issue,
    isSoftLimit: draft.isSoftLimit ?? false,
    preserveOverageAtReset: draft.preserveOverageAtReset ?? false,
    conversion: managed?.conversion ?? null,
  };
}

function issueOf(
  { issueAmount, issuePriority, grants }: EntitlementDraft,
  errors: InputErrors,
): MeteredFields["issue"] {
  if (issueAmount === undefined) {
    if (issuePriority !== undefined) {
      const message =
        '"issueAfterResetPriority" is the priority of an amount: send "issueAfterReset" too, or leave it out';
      errors.add("issue_priority_without_amount", message, "$.issueAfterResetPriority");
    }
    return null;
  }
  if ((grants ?? []).length > 0) {
    const message = "issueAfterReset and grants cannot be used together; leave one of them out";
    errors.add("issue_after_reset_with_grants", message, "$.grants");
  }
  return { amount: issueAmount, priority: issuePriority ?? 1 };
}

function measureInstant(
  { measureUsageFrom }: EntitlementDraft,
  usagePeriod: UsagePeriod | null,
  start: Instant,
  errors: InputErrors,
): Instant | null {
  if (measureUsageFrom === undefined || measureUsageFrom === "NOW") return floorToMinute(start);
  if (measureUsageFrom === "CURRENT_PERIOD_START") {
    return usagePeriod === null ? null : periodStart(usagePeriod, start);
  }
  const instant = errors.instant(measureUsageFrom, "$.measureUsageFrom");
  return instant === null ? null : floorToMinute(instant);
}

/**
 * Refuses an entitlement that would begin with more usage periods than a balance is computed over. Not with an interval that
 * was refused already, because less than an hour makes far more of them.
 */
function refuseTooLong(entitlement: Entitlement, now: Instant, errors: InputErrors): void {
  if (!isMetered(entitlement) || !isAtLeastAnHour(entitlement.usagePeriod.interval)) return;
  const terms = termsOf(entitlement, [], false);
  if (phases(terms, { at: terms.measureUsageFrom }, now, MAX_PAST_PERIODS + 1).length <= MAX_PAST_PERIODS) return;
  const message = `"measureUsageFrom" must not lie more than ${MAX_PAST_PERIODS} usage periods back; use a later one, or longer periods`;
  errors.add("too_many_periods", message, "$.measureUsageFrom");
}

/** The start of the usage period that contains `at`, however long usage periods had been recurring. */
function periodStart({ interval, anchor }: UsagePeriod, at: Instant): Instant {
  return pointAtOrBefore(utcRecurrence(interval.duration, anchor), at) ?? floorToMinute(at);
}

function grantsOf(
  draft: EntitlementDraft,
  entitlement: Entitlement,
  { namespace, now, newId }: DraftContext,
  errors: InputErrors,
): readonly EntitlementGrant[] {
  const { id: entitlementId, metered } = entitlement;
  const period = metered === null ? null : usagePeriodAt(entitlement, now);
  if (metered === null || period === null) return [];
  const context = { namespace, entitlementId, now };
  if (metered.issue !== null && Decimal.of(metered.issue.amount).isPositive()) {
    return [issuedGrant(metered.issue, { ...context, id: newId(), measureUsageFrom: metered.measureUsageFrom })];
  }
  return (draft.grants ?? []).flatMap((grant, index) => {
    const place = { id: newId(), periodStart: period.from, field: `$.grants[${index}]` };
    return grantOf(grant, { ...context, ...place }, errors) ?? [];
  });
}
