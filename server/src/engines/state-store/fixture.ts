/**
 * State stores for tests, the same on both engines: a fresh store with nothing in it, gone afterwards. PostgreSQL is used
 * when `TALLYSTICK_POSTGRES_URL` names a server that answers; each store is then a database of its own.
 */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { openStateStore } from "./index.ts";
import { loadMigrations } from "./migrations.ts";
import type { EmbeddedConfig, PostgresConfig, StateStore } from "./store.ts";

export interface StateStoreFixture {
  /** Opens another store on the same data, as a second process would; only PostgreSQL allows it. */
  readonly config: EmbeddedConfig | PostgresConfig;
  readonly store: StateStore;
  /** Closes the store and removes its data. */
  close(): Promise<void>;
}

/** An engine that the suites run on. */
export interface FixtureEngine {
  readonly name: string;
  open(options?: { readonly idleTransactionTimeoutMs?: number }): Promise<StateStoreFixture>;
}

/** Kept between test runs: making a database takes seconds of CPU, a copy of one a fraction of a second. */
const TEMPLATES = join(import.meta.dirname, "../../../../node_modules/.cache/tallystick");

/** A migrated, empty database directory for this PGlite and these migrations; made by whoever comes first. */
async function findTemplate(): Promise<string> {
  const key = createHash("sha256").update(await readFile(PGLITE_WASM));
  for (const migration of await loadMigrations()) key.update(migration.checksum);
  const template = join(TEMPLATES, `state-store-${key.digest("hex").slice(0, 16)}`);
  if (existsSync(template)) return template;
  await mkdir(TEMPLATES, { recursive: true });
  const made = await mkdtemp(join(TEMPLATES, "new-"));
  const store = await openStateStore({ kind: "embedded", directory: made });
  await store.close();
  // Another test process may have been faster; its template is as good.
  await rename(made, template).catch(async () => await rm(made, { recursive: true, force: true }));
  return template;
}

const PGLITE_WASM = new URL("pglite.wasm", import.meta.resolve("@electric-sql/pglite"));

/** A fresh directory with a migrated, empty embedded database in it, not opened. */
export async function makeEmbeddedDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "tallystick-state-"));
  await cp(await findTemplate(), directory, { recursive: true });
  return directory;
}

/** PGlite in a directory of its own. */
export const EMBEDDED: FixtureEngine = {
  name: "PGlite",
  open: async (options = {}) => {
    const directory = await makeEmbeddedDirectory();
    const config: EmbeddedConfig = { kind: "embedded", directory, ...options };
    const store = await openStateStore(config);
    const close = async (): Promise<void> => {
      await store.close();
      await rm(directory, { recursive: true, force: true });
    };
    return { config, store, close };
  },
};

/** PostgreSQL if a test server is named and answers, else the reason why not. */
export async function findPostgres(): Promise<FixtureEngine | string> {
  const url = process.env["TALLYSTICK_POSTGRES_URL"];
  if (url === undefined || url === "") return "TALLYSTICK_POSTGRES_URL is not set";
  try {
    await execute(url, "select 1");
  } catch {
    return "no server answers at TALLYSTICK_POSTGRES_URL";
  }
  return { name: "PostgreSQL", open: async (options = {}) => await openDatabase(url, options) };
}

async function openDatabase(
  serverUrl: string,
  options: { readonly idleTransactionTimeoutMs?: number },
): Promise<StateStoreFixture> {
  const name = `test_${process.pid}_${crypto.randomUUID().replaceAll("-", "")}`;
  await execute(serverUrl, `create database ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const config: PostgresConfig = { kind: "postgres", url: url.href, ...options };
  const store = await openStateStore(config);
  const close = async (): Promise<void> => {
    await store.close();
    await execute(serverUrl, `drop database ${name} with (force)`);
  };
  return { config, store, close };
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Empties every table, so that tests of one suite share a store without seeing each other. */
export async function emptyTables(store: StateStore): Promise<void> {
  await store.db.transaction().execute(async (transaction) => {
    for (const table of TABLES) await transaction.deleteFrom(table).execute();
  });
}

const TABLES = [
  "hold",
  "notification_progress",
  "notification_watch",
  "notification_threshold_state",
  "notification_delivery",
  "notification_event",
  "notification_rule_channel",
  "notification_rule",
  "notification_channel",
  "entitlement_grant",
  "entitlement_reset",
  "entitlement",
  "feature",
  "portal_token",
  "portal_secret",
  "meter",
  "subject",
  "customer_subject",
  "customer",
  "sink_batch",
  "stored_position",
  "event_conflict",
  "outbox",
  "lease",
  "scheduled_job",
] as const;
