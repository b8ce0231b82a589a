/** What an event tells of an entitlement: JSON texts for its payload, and what the event is found by. */

import { exactNumber } from "@tallystick/contract";
import type { JsonValue } from "../../engines/state-store/index.ts";
import type { Decimal } from "../../kernel/decimal.ts";
import { formatInstant, type Instant } from "../../kernel/instant.ts";
import type { FeatureName } from "../rules/rule-service.ts";
import type { RuleType } from "../rules/rule.ts";

/** The value of a metered entitlement. */
export interface BalanceValue {
  readonly hasAccess: boolean;
  readonly balance: Decimal;
  readonly usage: Decimal;
  readonly overage: Decimal;
  readonly totalAvailableGrantAmount: Decimal;
}

/** Who an entitlement belongs to, and how the API shows it at some instant; the bodies are JSON texts. */
export interface EntitlementFacts {
  readonly feature: FeatureName;
  readonly subject: { readonly id: string | null; readonly key: string };
  readonly customer: { readonly id: string; readonly key: string | null };
  readonly bodies: {
    readonly entitlement: string;
    readonly feature: string;
    readonly subject: string;
    readonly customer: string;
  };
}

/** `data` of a payload about an entitlement, as JSON text; `extra` is appended to it. */
export function entitlementData(facts: EntitlementFacts, value: BalanceValue, extra = ""): string {
  const { entitlement, feature, subject, customer } = facts.bodies;
  return (
    `{"entitlement":${entitlement},"feature":${feature},"subject":${subject},"customer":${customer},` +
    `"value":${JSON.stringify(valueBody(value))}${extra}}`
  );
}

function valueBody(value: BalanceValue) {
  return {
    hasAccess: value.hasAccess,
    balance: exactNumber(value.balance.toText()),
    usage: exactNumber(value.usage.toText()),
    overage: exactNumber(value.overage.toText()),
    totalAvailableGrantAmount: exactNumber(value.totalAvailableGrantAmount.toText()),
  };
}

/** The annotations of an event about an entitlement. */
export function entitlementAnnotations({ feature, subject, customer }: EntitlementFacts): Record<string, JsonValue> {
  return {
    "event.feature.key": feature.key,
    "event.feature.id": feature.id,
    "event.subject.key": subject.key,
    ...(subject.id === null ? {} : { "event.subject.id": subject.id }),
    "event.customer.id": customer.id,
    ...(customer.key === null ? {} : { "event.customer.key": customer.key }),
  };
}

/** The body of the webhooks of an event; `data` is JSON text. Built once: receivers compare its bytes. */
export function payloadText(event: { id: string; type: RuleType; createdAt: Instant }, data: string): string {
  const head = JSON.stringify({ id: event.id, type: event.type, timestamp: formatInstant(event.createdAt) });
  return `${head.slice(0, -1)},"data":${data}}`;
}
