/**
 * A snapshot of all tables of the running engine, as a directory that another engine opens as its data directory.
 *
 * `ALTER TABLE ... FREEZE` links the files of a table's parts into `shadow/<name>/`, in milliseconds and without stopping
 * inserts, queries or merges; parts are never written again once they are there. To them come the statements that attach
 * database and tables (`*.sql`) and each table's format version. The rest makes itself when an engine opens the directory:
 * the links to tables by their names, and the memory of insert tokens, which starts empty.
 *
 * Invariants: every table of our database is covered, whatever its name; what a crash leaves in `shadow/` is removed at the
 * next start. Unfinished mutations are not part of a snapshot.
 */

import { rmSync } from "node:fs";
import { copyFile, mkdir, readdir, rename, rm } from "node:fs/promises";
import * as http from "node:http";
import { dirname, join } from "node:path";
import type { ClickHouseClient } from "@clickhouse/client";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { DATABASE } from "../sql/table.ts";

/** Name of the folder in `shadow/`. */
const FROZEN = "tallystick";

interface Table {
  readonly name: string;
  readonly uuid: string;
}

function shadowOf(dataDirectory: string): string {
  return join(dataDirectory, "shadow");
}

/** Removes what an earlier process had frozen. Parts that the engine still has keep their own links. */
export function removeFrozen(dataDirectory: string): void {
  rmSync(shadowOf(dataDirectory), { recursive: true, force: true });
}

/** Asks the engine at `socketPath`, whose files are in `dataDirectory`, for a snapshot in `into`, which is made. */
export async function snapshotTables(socketPath: string, dataDirectory: string, into: string): Promise<void> {
  const options: http.AgentOptions & { socketPath: string } = { socketPath };
  const client = createClient({
    url: "http://localhost",
    http_agent: new http.Agent(options),
    log: { level: ClickHouseLogLevel.OFF },
  });
  const frozen = join(shadowOf(dataDirectory), FROZEN);
  try {
    await rm(frozen, { recursive: true, force: true });
    const { tables, definitions } = await describeDatabase(client);
    for (const { name } of tables) {
      const table = `${DATABASE}.\`${name.replaceAll(/[\\`]/gu, "\\$&")}\``;
      await client.command({ query: `ALTER TABLE ${table} FREEZE WITH NAME '${FROZEN}'` });
    }
    await mkdir(into, { recursive: true, mode: 0o700 });
    // A database without a single row has frozen nothing.
    await rename(join(frozen, "store"), join(into, "store")).catch(ignoreMissing);
    await copyInto(dataDirectory, into, join("metadata", `${DATABASE}.sql`));
    for (const name of await readdir(join(dataDirectory, definitions))) {
      if (name.endsWith(".sql")) await copyInto(dataDirectory, into, join(definitions, name));
    }
    for (const { uuid } of tables) {
      await copyInto(dataDirectory, into, join("store", uuid.slice(0, 3), uuid, "format_version.txt"));
    }
  } finally {
    await client.close();
    await rm(frozen, { recursive: true, force: true });
  }
}

/** The tables that have files, and the directory of all definitions, relative to the data directory. */
async function describeDatabase(client: ClickHouseClient): Promise<{ tables: readonly Table[]; definitions: string }> {
  const format = "JSONEachRow";
  const tables = await client.query({
    query: `SELECT name, toString(uuid) AS uuid FROM system.tables WHERE database = '${DATABASE}' AND engine LIKE '%MergeTree'`,
    format,
  });
  const databases = await client.query({
    query: `SELECT metadata_path AS path FROM system.databases WHERE name = '${DATABASE}'`,
    format,
  });
  const [database] = await databases.json<{ readonly path: string }>();
  if (database === undefined) throw new Error(`the event store has no database ${DATABASE}`);
  return { tables: await tables.json<Table>(), definitions: database.path };
}

async function copyInto(dataDirectory: string, into: string, path: string): Promise<void> {
  await mkdir(join(into, dirname(path)), { recursive: true });
  await copyFile(join(dataDirectory, path), join(into, path));
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
}
