/**
 * The distributed state store: a PostgreSQL server through a connection pool.
 *
 * Invariants:
 * 1. The URL holds a password: neither it nor anything quoted from it appears in an error or a log line.
 * 2. Processes that start together migrate one after the other, under an advisory lock of the database.
 * 3. Every session uses UTC and the output styles that `column-values.ts` reads, whatever the server's defaults are.
 */

import { CompiledQuery, Kysely, PostgresDialect, sql, type DatabaseConnection } from "kysely";
import { Client, Pool, type ClientConfig } from "pg";
import { columnParser } from "./column-values.ts";
import type { Database } from "./database.ts";
import { loadMigrations, migrate } from "./migrations.ts";
import { IDLE_TRANSACTION_TIMEOUT_MS, type PostgresConfig, type StateStore } from "./store.ts";

/** The oldest version that the tests run on. */
const OLDEST_VERSION = 15;

/** Advisory lock of the migrations: "tally" in ASCII. */
const MIGRATION_LOCK = 0x74616c6c79;

/** Connects and applies the migrations. Rejects with an error that names host and database, never the URL. */
export async function openPostgres(config: PostgresConfig): Promise<StateStore> {
  const target = parseUrl(config.url);
  const connection: ClientConfig = {
    connectionString: config.url,
    application_name: "tallystick",
    connectionTimeoutMillis: 10_000,
    types: { getTypeParser: (type: number) => columnParser(type) },
  };
  await migrateUnderLock(connection).catch((error: unknown) => {
    // No `cause`: the driver's error may quote the URL.
    throw new Error(`cannot open the state store at ${target.name}: ${target.redact(describe(error))}`);
  });
  const pool = new Pool({ ...connection, max: config.maxConnections ?? 10 });
  // A connection can break while it is idle and while it is lent out (a restart, the idle limit of a transaction). Its
  // next query fails and the pool drops it; but without both listeners the event would end the process.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  const settings = sessionSettings(config.idleTransactionTimeoutMs ?? IDLE_TRANSACTION_TIMEOUT_MS);
  const db = new Kysely<Database>({
    dialect: new PostgresDialect({
      pool,
      onCreateConnection: async (created: DatabaseConnection) => {
        await created.executeQuery(CompiledQuery.raw(settings));
      },
    }),
  });
  let closed: Promise<void> | undefined;
  return {
    db,
    ping: async () => void (await sql`select 1 as one`.execute(db)),
    close: () => (closed ??= closeAll(db, pool)),
  };
}

async function closeAll(db: Kysely<Database>, pool: Pool): Promise<void> {
  await db.destroy();
  // Kysely leaves alone a pool that it never used.
  if (!pool.ending) await pool.end();
}

function sessionSettings(idleTransactionTimeoutMs: number): string {
  return [
    "set time zone 'UTC'",
    "set datestyle to 'ISO'",
    "set bytea_output to 'hex'",
    `set idle_in_transaction_session_timeout to ${Math.ceil(idleTransactionTimeoutMs)}`,
  ].join("; ");
}

async function migrateUnderLock(connection: ClientConfig): Promise<void> {
  const client = new Client(connection);
  client.on("error", () => undefined);
  await client.connect();
  try {
    const version = await client.query<{ version: number }>(
      "select current_setting('server_version_num')::int / 10000 as version",
    );
    const major = version.rows[0]?.version ?? 0;
    if (major < OLDEST_VERSION) throw new Error(`PostgreSQL ${major} is too old, at least ${OLDEST_VERSION} is needed`);
    await client.query("select pg_advisory_lock($1)", [MIGRATION_LOCK]);
    const session = {
      query: async (text: string, parameters: readonly string[]) =>
        (await client.query<Record<string, unknown>>(text, [...parameters])).rows,
      script: async (text: string) => void (await client.query(text)),
    };
    await migrate(session, await loadMigrations());
  } finally {
    // Ending the session frees the advisory lock.
    await client.end();
  }
}

interface Target {
  /** Host, port and database. */
  readonly name: string;
  /** Removes the URL and its secrets from a message. */
  redact(message: string): string;
}

/** Reads the URL without letting it into an error: the built-in error of `new URL` carries its input. */
function parseUrl(text: string): Target {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "postgres:" && url.protocol !== "postgresql:")) {
    throw new Error("the URL of the state store is not of the form postgres://user:password@host:port/database");
  }
  const encoded = [
    url.password,
    ...url.searchParams
      .entries()
      .filter(([key]) => /password/i.test(key))
      .map(([, value]) => value),
  ];
  const secrets = [text, ...encoded.flatMap((secret) => [secret, decode(secret)])].filter((secret) => secret !== "");
  return {
    name: `${url.host}${url.pathname}`,
    redact: (message) => secrets.reduce((result, secret) => result.replaceAll(secret, "***"), message),
  };
}

function decode(secret: string): string {
  try {
    return decodeURIComponent(secret);
  } catch {
    return secret;
  }
}

function describe(error: unknown): string {
  // A failed connection to a host with several addresses is an AggregateError without a message of its own.
  if (error instanceof AggregateError) return error.errors.map(describe).join("; ");
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describe(error.cause)}`;
}
