/** The event store: the port, its implementation over ClickHouse, and the embedded engine. */

export * from "./audit.ts";
export type { ChdbEngine, ChdbEngineOptions } from "./chdb/engine.ts";
export { startChdbEngine } from "./chdb/engine.ts";
export type { EventStoreOptions, RollUpEventStore } from "./clickhouse-store.ts";
export { createEventStore } from "./clickhouse-store.ts";
export * from "./json-path.ts";
export type * from "./store.ts";
export { bucketStart, mergedPeriods, nextBucketStart, outerBuckets, withoutPeriods } from "./roll-ups/buckets.ts";
export { coverOf } from "./roll-ups/cover.ts";
export { filterOf as textPredicate } from "./roll-ups/group-filter.ts";
export { hotCover } from "./roll-ups/hot-buckets.ts";
export * from "./roll-ups/roll-up.ts";
export * from "./row-block.ts";
export * from "./values.ts";
export { END_OF_EVENT_TIME, FIRST_EVENT_TIME } from "./windows.ts";
