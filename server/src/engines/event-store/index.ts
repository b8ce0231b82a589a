/** The event store: the port, its implementation over ClickHouse, and the embedded engine. */

export type { ChdbEngine, ChdbEngineOptions } from "./chdb/engine.ts";
export { startChdbEngine } from "./chdb/engine.ts";
export type { EventStoreOptions } from "./clickhouse-store.ts";
export { createEventStore } from "./clickhouse-store.ts";
export * from "./json-path.ts";
export type * from "./store.ts";
export * from "./row-block.ts";
export * from "./values.ts";
