/** What notifications ask about entitlements; the wiring answers it from the entitlements module. */

import type { Instant } from "../../kernel/instant.ts";
import type { BalanceValue, EntitlementFacts } from "../events/facts.ts";
import type { FeatureName } from "../rules/rule-service.ts";

/** A metered entitlement that rules may watch. */
export interface WatchedEntitlement {
  readonly id: string;
  readonly feature: FeatureName;
  /** Inclusive. */
  readonly activeFrom: Instant;
  /** Exclusive; null without an end. */
  readonly activeTo: Instant | null;
}

/** The value of an entitlement at an instant. */
export interface Reading {
  readonly periodStart: Instant;
  readonly value: BalanceValue;
}

export interface BalanceSource {
  /** Entitlement and present value, if both are in memory; else null. */
  live(entitlementId: string): { readonly entitlement: WatchedEntitlement; readonly reading: Reading } | null;
  /** Brings balances into memory in the background. */
  warm(entitlementIds: readonly string[]): void;
  /** The metered entitlement with this id, in any state; null when there is none. */
  find(entitlementId: string): Promise<WatchedEntitlement | null>;
  /** The value at an instant, which the entitlement is active at. */
  read(entitlementId: string, at: Instant): Promise<Reading>;
  /** How the API shows the entitlement and whom it belongs to at an instant. */
  facts(entitlementId: string, at: Instant): Promise<EntitlementFacts>;
  /** When the value changes next without any usage, strictly after an instant; null when never. */
  nextBoundary(entitlementId: string, after: Instant): Promise<Instant | null>;
  /** The next reset point strictly after an instant; null when there is none. */
  nextReset(entitlementId: string, after: Instant): Promise<Instant | null>;
}

/** Whether an entitlement is active at an instant. */
export function isActiveAt({ activeFrom, activeTo }: WatchedEntitlement, at: Instant): boolean {
  return activeFrom <= at && (activeTo === null || at < activeTo);
}
