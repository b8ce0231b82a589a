/** Meters: definitions and what they make of an event's data. */

export { meterOperations } from "./http.ts";
export { type Meter, type MeterDraft, meterView } from "./meter.ts";
export { explainValue } from "./property-value.ts";
export { MeterService, type SeededMeter } from "./service.ts";
