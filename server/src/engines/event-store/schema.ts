/**
 * The schema of the event store, as a list of versions that only grows. A version's statements can run again after a crash
 * in the middle: each is idempotent, and the version is recorded after the last one.
 */

import { EVENT_COLUMNS } from "./row-block.ts";
import { STATE_TYPES } from "./sql/aggregations/aggregation.ts";
import { DAY_OF_EVENT } from "./sql/filters.ts";
import { DATABASE, EVENTS_TABLE, ROLL_UPS_TABLE, SCHEMA_VERSIONS_TABLE } from "./sql/table.ts";

export interface SchemaVersion {
  readonly version: number;
  readonly statements: readonly string[];
}

/**
 * A part is on disk before its insert is answered: the log position that covers it is committed next, and the log may be
 * trimmed after that. Costs about 5 ms for an insert of 100 rows and 10 % for one of 50,000 (see README).
 */
const DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1";

/**
 * Blocks whose tokens are remembered; one insert makes a block for every month it touches, at most 100. A repetition that
 * is older than that is found by the sink, which looks up the stored offsets after a crash.
 */
const REMEMBERED_BLOCKS = 10_000;

/** Measured on 900,000 random events: delta codecs save 5 % of the whole table, inserts are as fast as without them. */
const CODECS: Readonly<Record<string, string>> = {
  subject: "CODEC(ZSTD(1))",
  id: "CODEC(ZSTD(1))",
  time: "CODEC(DoubleDelta, ZSTD(1))",
  data: "CODEC(ZSTD(1))",
  vals: "CODEC(ZSTD(1))",
  ingested_at: "CODEC(Delta, ZSTD(1))",
  stored_at: "CODEC(Delta, ZSTD(1))",
  log_partition: "CODEC(ZSTD(1))",
  log_offset: "CODEC(Delta, ZSTD(1))",
};

const eventColumns = EVENT_COLUMNS.map(([name, type]) => `${name} ${type} ${CODECS[name] ?? ""}`.trimEnd()).join(
  ",\n  ",
);

/** What must exist before versions can be recorded. */
export const BOOTSTRAP: readonly string[] = [
  `CREATE DATABASE IF NOT EXISTS ${DATABASE}`,
  `CREATE TABLE IF NOT EXISTS ${SCHEMA_VERSIONS_TABLE} (version UInt32) ENGINE = MergeTree ORDER BY version SETTINGS ${DURABLE}`,
];

/** Where the events of a data directory wait that was made before version 2, until version 4. */
const FORMER_EVENTS_TABLE = `${EVENTS_TABLE}_by_hour`;

const eventIndexes = `INDEX positions (log_partition, log_offset) TYPE minmax,
  INDEX stored stored_at TYPE minmax`;

/**
 * Small granules in small compressed blocks, because one subject's events of a month lie in as many places as it has days.
 * Measured over 4 million events: one subject's month takes 18 ms instead of 25, and the table grows by 1 %.
 */
const SMALL_READS = "index_granularity = 1024, min_compress_block_size = 16384";

/** Merged parts keep every property in a file of its own, so that a query reads only those that it names. */
const PROPERTY_FILES =
  "map_serialization_version = 'with_buckets', map_serialization_version_for_zero_level_parts = 'basic', " +
  "map_buckets_strategy = 'linear', map_buckets_coefficient = 2, map_buckets_min_avg_size = 0";

const stateColumns = Object.entries(STATE_TYPES)
  .map(([name, type]) => `${name} ${type} CODEC(ZSTD(1))`)
  .join(",\n  ");

export const SCHEMA: readonly SchemaVersion[] = [
  {
    version: 1,
    statements: [
      `CREATE TABLE IF NOT EXISTS ${EVENTS_TABLE} (
  ${eventColumns},
  ${eventIndexes},
  INDEX ids id TYPE bloom_filter(0.01)
) ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (namespace, type, intDiv(toUnixTimestamp64Micro(time), 3600000000), subject, time)
SETTINGS non_replicated_deduplication_window = ${REMEMBERED_BLOCKS}, ${DURABLE}`,
    ],
  },
  { version: 2, statements: [`RENAME TABLE IF EXISTS ${EVENTS_TABLE} TO ${FORMER_EVENTS_TABLE}`] },
  {
    // Days before subjects instead of hours, and the properties apart.
    version: 3,
    statements: [
      `CREATE TABLE IF NOT EXISTS ${EVENTS_TABLE} (
  ${eventColumns},
  ${eventIndexes},
  INDEX ids id TYPE bloom_filter(0.01) GRANULARITY 8
) ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (namespace, type, ${DAY_OF_EVENT}, subject, time)
SETTINGS non_replicated_deduplication_window = ${REMEMBERED_BLOCKS}, ${SMALL_READS}, ${PROPERTY_FILES}, ${DURABLE}`,
      `TRUNCATE TABLE ${EVENTS_TABLE}`,
      `INSERT INTO ${EVENTS_TABLE} SELECT * FROM ${FORMER_EVENTS_TABLE} SETTINGS max_partitions_per_insert_block = 0`,
    ],
  },
  { version: 4, statements: [`DROP TABLE IF EXISTS ${FORMER_EVENTS_TABLE} SYNC`] },
  {
    version: 5,
    statements: [
      `CREATE TABLE IF NOT EXISTS ${ROLL_UPS_TABLE} (
  roll_up UInt32,
  level UInt8,
  subject String CODEC(ZSTD(1)),
  bucket Int64 CODEC(Delta, ZSTD(1)),
  group_texts Array(LowCardinality(String)) CODEC(ZSTD(1)),
  chunk UInt64 CODEC(ZSTD(1)),
  events UInt64 CODEC(ZSTD(1)),
  first_after UInt64 CODEC(ZSTD(1)),
  last_after UInt64 CODEC(ZSTD(1)),
  ${stateColumns}
) ENGINE = MergeTree
ORDER BY (roll_up, level, subject, bucket)
SETTINGS ${SMALL_READS}, ${DURABLE}`,
    ],
  },
];
