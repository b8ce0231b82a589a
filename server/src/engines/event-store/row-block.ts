/**
 * Row blocks: events on their way into the event store, encoded as ClickHouse RowBinary in the column order of
 * `EVENT_COLUMNS`. The sink writes a block straight from log bytes; the store passes it through without looking inside.
 */

/** Columns of the `events` table in the order in which a row block carries them, with their ClickHouse types. */
export const EVENT_COLUMNS = [
  ["namespace", "LowCardinality(String)"],
  ["type", "LowCardinality(String)"],
  ["subject", "String"],
  ["source", "LowCardinality(String)"],
  ["id", "String"],
  ["time", "DateTime64(6, 'UTC')"],
  ["time_given", "Bool"],
  // JSON text as received; the empty string stands for absent.
  ["data", "String"],
  // See values.ts.
  ["vals", "Map(LowCardinality(String), String)"],
  ["ingested_at", "DateTime64(6, 'UTC')"],
  ["stored_at", "DateTime64(6, 'UTC')"],
  ["log_partition", "UInt16"],
  ["log_offset", "UInt64"],
] as const;
