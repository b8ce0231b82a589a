/** Notifications: telling customers' systems, by webhook, what happened. */

export { parseNetwork } from "./channels/addresses.ts";
export { countUnfinished } from "./delivery/delivery-store.ts";
export type { AttemptResult } from "./delivery/worker.ts";
export type { EntitlementFacts } from "./events/facts.ts";
export { Notifications } from "./notifications.ts";
export type { FeatureLookup } from "./rules/rule-service.ts";
export type { BalanceSource, Reading, WatchedEntitlement } from "./thresholds/balance-source.ts";
