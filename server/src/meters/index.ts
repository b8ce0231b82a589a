/** Meters: definitions and what they make of an event's data. */

export { meterOperations } from "./http.ts";
export { type Meter, type MeterDraft, meterView } from "./meter.ts";
export { explainValue } from "./property-value.ts";
export { MeterService, type MeterUse, type SeededMeter } from "./service.ts";
export { RollUpKeeper, type RollUpKeeperOptions } from "./roll-ups/keeper.ts";
export type { RollUpPace } from "./roll-ups/pace.ts";
export { applyChange, loadRollUps, recordedChunks, type RollUpRecord } from "./roll-ups/record.ts";
export { liveMeters } from "./store.ts";
