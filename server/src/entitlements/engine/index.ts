/** What the rest of the entitlements module uses of the engine. */

export type { Phase } from "./boundaries.ts";
export { nextBoundary, phases, phaseStart } from "./boundaries.ts";
export type { ExpirationUnit, Grant } from "./grant.ts";
export { compareBurnOrder, endOfGrant, expiryOf, isGrantActive, nextRecurrence } from "./grant.ts";
export type { BurnDown, History, HistoryRequest, WindowUsage } from "./history.ts";
export { history, historyPieces, historyStart } from "./history.ts";
export type { EngineState, GrantUsage, Run, Segment, UsageOfPhase } from "./run.ts";
export { advance, initialState, run } from "./run.ts";
export type { Conversion, Reset, Terms } from "./terms.ts";
export { ceilToMinute, floorToMinute, isEngineInterval } from "./time.ts";
export type { ResetPoint } from "./usage-periods.ts";
export { nextReset, periodAt, resetPoints } from "./usage-periods.ts";
export type { MeteredValue } from "./value.ts";
export { valueBeforeMeasuring, valueInPhase, valueOf } from "./value.ts";
export type { HistoryWindowSize } from "./windows.ts";
export { windowsBetween } from "./windows.ts";
