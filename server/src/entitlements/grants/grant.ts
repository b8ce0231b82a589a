/**
 * Grants as they are kept: what the engine burns, and what else a client said of them. Making one from a draft is a pure rule;
 * whether its entitlement takes it is the service's business.
 */

import type { JsonValue, StringMap } from "../../engines/state-store/index.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { Fault } from "../../kernel/fault.ts";
import { formatInstant, type Instant } from "../../kernel/instant.ts";
import { type ExpirationUnit, expiryOf, floorToMinute, type Grant } from "../engine/index.ts";
import { type InputErrors, type Interval, isAtLeastAnHour } from "../input.ts";

export interface Expiration {
  readonly unit: ExpirationUnit;
  readonly count: number;
}

export interface EntitlementGrant extends Grant {
  readonly namespace: string;
  readonly entitlementId: string;
  /** Null: it does not expire. */
  readonly expiration: Expiration | null;
  /** As `recurrence`, with the text of its interval. */
  readonly recurrenceInterval: Interval | null;
  readonly metadata: StringMap | null;
  readonly annotations: { readonly [key: string]: JsonValue } | null;
  readonly updatedAt: Instant;
}

/** A grant as a client describes it. Amounts are decimal text, instants RFC 3339 text. */
export interface GrantDraft {
  readonly amount: string;
  readonly priority?: number | undefined;
  readonly effectiveAt: string;
  readonly expiration?: { readonly duration: ExpirationUnit; readonly count: number } | undefined;
  readonly recurrence?: { readonly interval: string; readonly anchor?: string | undefined } | undefined;
  readonly minRolloverAmount?: string | undefined;
  readonly maxRolloverAmount: string;
  readonly metadata?: StringMap | undefined;
  readonly annotations?: Readonly<Record<string, unknown>> | undefined;
}

/** What a grant is made in. */
export interface GrantContext {
  readonly namespace: string;
  readonly id: string;
  readonly entitlementId: string;
  readonly now: Instant;
  /** Start of the usage period that contains now. */
  readonly periodStart: Instant;
  /** JSONPath of the draft in the request: `$`, `$.grants[0]`. */
  readonly field: string;
}

/** The grant that a draft describes; null, and errors, when it breaks a rule. */
export function grantOf(draft: GrantDraft, context: GrantContext, errors: InputErrors): EntitlementGrant | null {
  const { now, field } = context;
  const amount = Decimal.of(draft.amount);
  if (!amount.isPositive()) {
    const message = `"amount" must be greater than 0, not ${amount.toText()}`;
    errors.add("grant_amount_must_be_positive", message, `${field}.amount`);
  }
  const effectiveAt = effectiveInstant(draft, context, errors);
  const recurrence = recurrenceOf(draft, effectiveAt, field, errors);
  errors.storable(draft.metadata ?? null, `${field}.metadata`);
  errors.storable(draft.annotations ?? null, `${field}.annotations`);
  const expiresAt = expiryInstant(draft, effectiveAt, field, errors);
  const minRollover = rollover(draft.minRolloverAmount ?? "0", `${field}.minRolloverAmount`, errors);
  // By default it is the amount, of which one complaint is enough.
  const maxRollover =
    draft.maxRolloverAmount === draft.amount
      ? amount
      : rollover(draft.maxRolloverAmount, `${field}.maxRolloverAmount`, errors);
  if (effectiveAt === null) return null;
  const { expiration } = draft;
  return {
    id: context.id,
    namespace: context.namespace,
    entitlementId: context.entitlementId,
    amount,
    priority: draft.priority ?? 0,
    effectiveAt,
    expiration: expiration === undefined ? null : { unit: expiration.duration, count: expiration.count },
    expiresAt,
    voidedAt: null,
    deletedAt: null,
    minRollover,
    maxRollover,
    recurrence: recurrence === null ? null : { interval: recurrence.interval.duration, anchor: recurrence.anchor },
    recurrenceInterval: recurrence?.interval ?? null,
    metadata: draft.metadata ?? null,
    // What a body holds is JSON, however deep the type of its parser looks.
    annotations: (draft.annotations as EntitlementGrant["annotations"] | undefined) ?? null,
    createdAt: now,
    updatedAt: now,
  };
}

/** The grant of `issueAfterReset`: the amount at the start and after every reset, for ever. */
export function issuedGrant(
  issue: { readonly amount: string; readonly priority: number },
  context: Pick<GrantContext, "namespace" | "id" | "entitlementId" | "now"> & { readonly measureUsageFrom: Instant },
): EntitlementGrant {
  const amount = Decimal.of(issue.amount);
  return {
    id: context.id,
    namespace: context.namespace,
    entitlementId: context.entitlementId,
    amount,
    priority: issue.priority,
    effectiveAt: context.measureUsageFrom,
    expiration: null,
    expiresAt: null,
    voidedAt: null,
    deletedAt: null,
    minRollover: amount,
    maxRollover: amount,
    recurrence: null,
    recurrenceInterval: null,
    metadata: null,
    annotations: { issueAfterReset: true },
    createdAt: context.now,
    updatedAt: context.now,
  };
}

function effectiveInstant(
  draft: GrantDraft,
  { periodStart, field }: GrantContext,
  errors: InputErrors,
): Instant | null {
  const path = `${field}.effectiveAt`;
  const sent = errors.instant(draft.effectiveAt, path);
  if (sent === null) return null;
  const effectiveAt = floorToMinute(sent);
  if (effectiveAt < periodStart) {
    const message =
      `"effectiveAt" must not be before the start of the present usage period, ${formatInstant(periodStart)}, ` +
      `not ${draft.effectiveAt}`;
    errors.add("grant_before_usage_period", message, path);
  }
  return effectiveAt;
}

function recurrenceOf(
  { recurrence }: GrantDraft,
  effectiveAt: Instant | null,
  field: string,
  errors: InputErrors,
): { readonly interval: Interval; readonly anchor: Instant } | null {
  if (recurrence === undefined) return null;
  const interval = errors.interval(recurrence.interval, `${field}.recurrence.interval`);
  if (interval !== null && !isAtLeastAnHour(interval)) {
    // Every recurrence is a step of the balance's computation; by the minute they would soon be too many.
    const message = `"recurrence.interval" must be at least an hour, such as "PT1H", not ${JSON.stringify(interval.text)}`;
    errors.add("invalid_interval", message, `${field}.recurrence.interval`);
  }
  const anchor =
    recurrence.anchor === undefined ? effectiveAt : errors.instant(recurrence.anchor, `${field}.recurrence.anchor`);
  return interval === null || anchor === null ? null : { interval, anchor: floorToMinute(anchor) };
}

function expiryInstant(
  { expiration }: GrantDraft,
  effectiveAt: Instant | null,
  field: string,
  errors: InputErrors,
): Instant | null {
  if (expiration === undefined || effectiveAt === null) return null;
  try {
    return expiryOf(effectiveAt, expiration.duration, expiration.count);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const message = `"expiration" ends after the year 2254; make it shorter`;
    errors.add(error.code, message, `${field}.expiration`);
    return null;
  }
}

function rollover(text: string, field: string, errors: InputErrors): Decimal {
  const amount = Decimal.of(text);
  if (amount.isNegative()) {
    errors.add("negative_rollover", `"${field.replace(/^.*\./, "")}" must be 0 or more, not ${text}`, field);
  }
  return amount;
}
