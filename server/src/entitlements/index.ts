/** Entitlements: what customers may use, how much of it is left, and how that is computed. */

export { Balances, type EntitlementValue, NO_ACCESS, withHolds } from "./balances.ts";
export { Calculation } from "./calculation.ts";
export { type EntitlementChange, EntitlementChanges, type EntitlementParticipant } from "./changes.ts";
export {
  advance,
  floorToMinute,
  type Grant,
  initialState,
  type MeteredValue,
  nextBoundary,
  nextReset,
  periodAt,
  type Phase,
  phases,
  type Terms,
  valueBeforeMeasuring,
  valueOf,
} from "./engine/index.ts";
export { type Entitlement, isActiveAt, isMetered, type MeteredEntitlement, usagePeriodAt } from "./entitlement.ts";
export { GrantService } from "./grants/service.ts";
export { HeldAmounts } from "./holds/held-amounts.ts";
export { HoldService } from "./holds/hold-service.ts";
export { holdOperations } from "./holds/http.ts";
export { AccessMemory } from "./live/access.ts";
export { BalanceChecker } from "./live/checker.ts";
export { LiveBalances } from "./live/live-balances.ts";
export { activeMeteredIds, loadLiveTerms } from "./live/reading/loading.ts";
export { entitlementOperations } from "./http/operations.ts";
export { customerEntitlementBody, subjectEntitlementBody, valueBody } from "./http/wire.ts";
export { EntitlementService } from "./service.ts";
export { entitlementsWithIds, featuresWithUnended } from "./store.ts";
