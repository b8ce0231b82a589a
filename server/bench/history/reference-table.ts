/**
 * The table to compare with, in the same ClickHouse process as the product's: one row per event with the JSON as text, times
 * in whole seconds, no roll-ups, as OpenMeter defined it in March 2025. Its queries read every matching event.
 *
 * It is filled from the product's own table, so that both hold the same rows with the same JSON text; `store_row_id` is a
 * ULID per row.
 */

import { request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { tell } from "./data-set.ts";

export const REFERENCE_TABLE = "reference.om_events";

const CREATE = [
  "CREATE DATABASE IF NOT EXISTS reference",
  `CREATE TABLE IF NOT EXISTS ${REFERENCE_TABLE} (namespace String, id String, type LowCardinality(String), subject String,
    source String, time DateTime, data String, ingested_at DateTime, stored_at DateTime,
    INDEX om_events_stored_at stored_at TYPE minmax GRANULARITY 4, store_row_id String)
  ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (namespace, type, subject, toStartOfHour(time))`,
];
/** ClickHouse in the process cannot make ULIDs: ten characters of the time in milliseconds, then sixteen that look random. */
const BASE_32 = "'0123456789ABCDEFGHJKMNPQRSTVWXYZ'";
const ULID =
  `concat(arrayStringConcat(arrayMap(i -> substring(${BASE_32}, ` +
  `bitAnd(bitShiftRight(toUnixTimestamp64Milli(toDateTime64(stored_at, 3)), 45 - 5 * i), 31) + 1, 1), range(10))), ` +
  `arrayStringConcat(arrayMap(i -> substring(${BASE_32}, bitAnd(cityHash64(id, i), 31) + 1, 1), range(16))))`;
const MERGE_POLL_MS = 500;
const MERGE_DEADLINE_MS = 300_000;

/** A row of an answer, by column name; numbers and texts. */
export type SqlRow = Readonly<Record<string, unknown>>;

/** Sends SQL to the product's ClickHouse process, past the product. */
export class SqlClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** The rows of a SELECT; instants are seconds since the epoch. */
  async rows(select: string): Promise<readonly SqlRow[]> {
    const answer: { readonly data: readonly SqlRow[] } = JSON.parse(
      await this.command(`${select}\nSETTINGS date_time_output_format = 'unix_timestamp' FORMAT JSON`),
    );
    return answer.data;
  }

  /** Runs any statement; rejects with ClickHouse's message. */
  async command(sql: string): Promise<string> {
    const { statusCode, body } = await new Promise<{ statusCode: number | undefined; body: string }>(
      (resolve, reject) => {
        const sent = request({ socketPath: this.#socketPath, method: "POST", path: "/" }, (response) => {
          text(response).then((body) => resolve({ statusCode: response.statusCode, body }), reject);
        });
        sent.on("error", reject);
        sent.end(sql);
      },
    );
    if (statusCode !== 200) throw new Error(`${body}\nof the statement: ${sql}`);
    return body;
  }
}

async function number(sql: SqlClient, select: string): Promise<number> {
  return Number((await sql.rows(select))[0]?.["value"]);
}

/** Makes sure that the table holds exactly the product's events, and that ClickHouse has nothing left to merge. */
export async function fillReferenceTable(sql: SqlClient, events: number): Promise<void> {
  for (const statement of CREATE) await sql.command(statement);
  const count = `SELECT count() AS value FROM ${REFERENCE_TABLE}`;
  if ((await number(sql, count)) !== events) {
    await sql.command(`TRUNCATE TABLE ${REFERENCE_TABLE}`);
    const months = await sql.rows(
      "SELECT DISTINCT toInt32(toYYYYMM(time)) AS month FROM tallystick.events ORDER BY month",
    );
    for (const { month } of months) {
      tell(`copying the events of ${String(month)} to the reference table`);
      await sql.command(
        `INSERT INTO ${REFERENCE_TABLE} SELECT namespace, id, type, subject, source, toDateTime(time), data,
          toDateTime(ingested_at), toDateTime(stored_at), ${ULID} FROM tallystick.events WHERE toYYYYMM(time) = ${String(month)}`,
      );
    }
    const copied = await number(sql, count);
    if (copied !== events) throw new Error(`the reference table has ${copied} rows instead of ${events}`);
  }
  await waitForMerges(sql);
}

async function waitForMerges(sql: SqlClient): Promise<void> {
  const deadlineMs = performance.now() + MERGE_DEADLINE_MS;
  for (let quietLooks = 0; quietLooks < 4;) {
    const running = await number(sql, "SELECT count() AS value FROM system.merges");
    quietLooks = running === 0 ? quietLooks + 1 : 0;
    if (performance.now() > deadlineMs) return tell(`${running} merges are still running; going on`);
    await delay(MERGE_POLL_MS);
  }
}

/** What a table takes on disk, without parts that merges have replaced. */
export interface TableSize {
  readonly table: string;
  readonly rows: number;
  readonly parts: number;
  readonly bytes: number;
}

/** All tables of the product and the reference table, by name. */
export async function tableSizes(sql: SqlClient): Promise<readonly TableSize[]> {
  const rows = await sql.rows(
    `SELECT database || '.' || table AS name, sum(rows) AS row_count, count() AS part_count, sum(bytes_on_disk) AS bytes
    FROM system.parts WHERE active AND database IN ('tallystick', 'reference') GROUP BY name ORDER BY name`,
  );
  return rows.map((row) => ({
    table: String(row["name"]),
    rows: Number(row["row_count"]),
    parts: Number(row["part_count"]),
    bytes: Number(row["bytes"]),
  }));
}
