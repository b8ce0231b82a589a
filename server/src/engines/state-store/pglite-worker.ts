/**
 * The thread that runs PGlite, so that its CPU never blocks the thread that answers HTTP.
 *
 * Invariants:
 * 1. One PGlite per directory: the directory lock is taken before anything is read.
 * 2. A transaction has PGlite to itself from begin to commit or rollback; statements of others wait their turn in order
 *    of arrival. This is PGlite's own transaction lock.
 * 3. A client that ends, or idles too long, inside a transaction has it rolled back, so nobody waits for it for ever.
 * 4. A database directory is complete or absent: a new one is made beside its place and moved there.
 * 5. A database that has given up ends the thread, so that requests fail instead of waiting for ever.
 */

import { PGlite, types, type PGliteInterface, type Transaction } from "@electric-sql/pglite";
import { btree_gist } from "@electric-sql/pglite/contrib/btree_gist";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import { assert } from "../../kernel/assert.ts";
import { columnParser, KNOWN_TYPES, refuseColumnType } from "./column-values.ts";
import { lockDirectory } from "./directory-lock.ts";
import { loadMigrations, migrate } from "./migrations.ts";
import {
  EmbeddedDatabaseError,
  errorFields,
  type Control,
  type Request,
  type Response,
  type Result,
  type Status,
  type WorkerConfig,
} from "./pglite-protocol.ts";
import { upkeep, UPKEEP_LIMITS } from "./pglite-upkeep.ts";

const UPKEEP_INTERVAL_MS = 30_000;
const CREATE_SCRIPT = fileURLToPath(new URL("./pglite-create.ts", import.meta.url));
/** The database's own directory in that of the store, beside the lock. */
const DATABASE_NAME = "postgres";

const PARSERS = Object.fromEntries(KNOWN_TYPES.map((type) => [type, columnParser(type)]));

// Parameters arrive as PostgreSQL text; PGlite's own serializers expect JavaScript values.
const SERIALIZERS = Object.fromEntries(Object.keys(types.serializers).map((type) => [type, String]));

const START_PARAMETERS = [
  ...PGlite.defaultStartParams,
  // The log is kept short (see upkeep); PGlite's default recycles up to 1 GB of it.
  "-c",
  "max_wal_size=64MB",
  "-c",
  "min_wal_size=32MB",
  // The state is small, and the memory of a WebAssembly instance is never given back.
  "-c",
  "shared_buffers=32MB",
];

/** PostgreSQL servers bring these along; PGlite has to be handed them. */
const EXTENSIONS = { btree_gist };

interface OpenTransaction {
  readonly statements: Transaction;
  readonly end: (outcome: "commit" | "rollback") => void;
  /** Settles when PGlite has committed or rolled back; rejects when a commit became a rollback. */
  readonly ended: Promise<void>;
  idleTimer: NodeJS.Timeout | undefined;
}

/** One client: the queries and transactions that arrive on one port. */
class Session {
  readonly #pglite: PGliteInterface;
  readonly #port: MessagePort;
  readonly #idleTransactionTimeoutMs: number;
  readonly #transactions = new Map<number, OpenTransaction>();
  #isClosed = false;

  constructor(pglite: PGliteInterface, port: MessagePort, idleTransactionTimeoutMs: number) {
    this.#pglite = pglite;
    this.#port = port;
    this.#idleTransactionTimeoutMs = idleTransactionTimeoutMs;
    port.on("message", (request: Request) => void this.#answer(request));
    port.on("close", () => this.close());
  }

  /** Rolls back what is open; the client is gone or told to go. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const id of this.#transactions.keys()) this.#remove(id)?.end("rollback");
    this.#port.close();
  }

  async #answer(request: Request): Promise<void> {
    let response: Response;
    try {
      response = { id: request.id, result: await this.#execute(request) };
    } catch (error) {
      response = { id: request.id, error: errorFields(error) };
    }
    if (!this.#isClosed) this.#port.postMessage(response);
  }

  async #execute(request: Request): Promise<Result> {
    switch (request.kind) {
      case "begin":
        await this.#begin(request.id);
        break;
      case "query":
        return await this.#query(request.sql, request.parameters, request.transaction);
      case "commit":
      case "rollback": {
        const transaction = this.#remove(request.transaction);
        // Rolling back what the idle limit has rolled back is no error; committing it is.
        if (transaction === undefined && request.kind === "rollback") break;
        if (transaction === undefined) throw this.#transactionGone();
        transaction.end(request.kind);
        await transaction.ended;
      }
    }
    return { rows: [], affectedRows: undefined };
  }

  async #begin(id: number): Promise<void> {
    const begun = Promise.withResolvers<Transaction>();
    const outcome = Promise.withResolvers<"commit" | "rollback">();
    const ended = this.#pglite.transaction(async (statements) => {
      begun.resolve(statements);
      if ((await outcome.promise) === "rollback") await statements.rollback();
    });
    // Rejects `begin` when the transaction could not start; once it has started, this is without effect.
    ended.catch(begun.reject);
    const statements = await begun.promise;
    // The client may have gone while it waited for its turn.
    if (this.#isClosed) {
      outcome.resolve("rollback");
      return;
    }
    this.#transactions.set(id, { statements, end: outcome.resolve, ended, idleTimer: undefined });
    this.#startIdleTimer(id);
  }

  async #query(sql: string, parameters: readonly (string | null)[], id: number | undefined): Promise<Result> {
    const options = { rowMode: "object", parsers: PARSERS, serializers: SERIALIZERS } as const;
    const transaction = id === undefined ? undefined : this.#transactions.get(id);
    if (id !== undefined && transaction === undefined) throw this.#transactionGone();
    clearTimeout(transaction?.idleTimer);
    try {
      const executor = transaction?.statements ?? this.#pglite;
      const result = await executor.query<Record<string, unknown>>(sql, [...parameters], options);
      for (const field of result.fields) if (!(field.dataTypeID in PARSERS)) refuseColumnType(field.dataTypeID);
      return { rows: result.rows, affectedRows: result.affectedRows };
    } finally {
      if (id !== undefined) this.#startIdleTimer(id);
    }
  }

  #startIdleTimer(id: number): void {
    const transaction = this.#transactions.get(id);
    if (transaction === undefined) return;
    clearTimeout(transaction.idleTimer);
    transaction.idleTimer = setTimeout(() => this.#remove(id)?.end("rollback"), this.#idleTransactionTimeoutMs);
  }

  #remove(id: number): OpenTransaction | undefined {
    const transaction = this.#transactions.get(id);
    this.#transactions.delete(id);
    clearTimeout(transaction?.idleTimer);
    return transaction;
  }

  #transactionGone(): EmbeddedDatabaseError {
    // SQLSTATE idle_in_transaction_session_timeout, as PostgreSQL reports it.
    const message = `the transaction was rolled back: it was idle for ${this.#idleTransactionTimeoutMs} ms`;
    return new EmbeddedDatabaseError({ message, code: "25P03" });
  }
}

async function openDatabase(directory: string): Promise<PGlite> {
  const place = join(directory, DATABASE_NAME);
  if (!existsSync(place)) {
    const unfinished = join(directory, "postgres.new");
    rmSync(unfinished, { recursive: true, force: true });
    await createDatabase(unfinished);
    renameSync(unfinished, place);
  }
  const pglite = await PGlite.create({ dataDir: place, startParams: START_PARAMETERS, extensions: EXTENSIONS });
  endOnPanic(pglite);
  try {
    await migrateAll(pglite);
  } catch (error) {
    await pglite.close();
    throw error;
  }
  return pglite;
}

/**
 * Makes a database in a process of its own: the 400 MB that it takes would never be given back by this one. Rejects with what
 * that process said.
 */
async function createDatabase(directory: string): Promise<void> {
  const child = spawn(process.execPath, [CREATE_SCRIPT, directory], { stdio: ["ignore", "ignore", "pipe"] });
  const said = text(child.stderr);
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error((await said).trim().split("\n").at(-1) ?? "");
}

async function migrateAll(pglite: PGlite): Promise<void> {
  const session = {
    query: async (sql: string, parameters: readonly string[]) =>
      (await pglite.query<Record<string, unknown>>(sql, [...parameters])).rows,
    script: async (sql: string) => void (await pglite.exec(sql)),
  };
  await migrate(session, await loadMigrations());
}

async function serve(owner: MessagePort, config: WorkerConfig): Promise<void> {
  const tell = (status: Status): void => owner.postMessage(status);
  mkdirSync(config.directory, { recursive: true });
  const unlock = lockDirectory(config.directory);
  const pglite = await openDatabase(config.directory).catch((error: unknown) => {
    unlock();
    throw error;
  });
  const sessions = new Set<Session>();
  // A failing upkeep leaves the database as it was; what broke it fails the next query too, where somebody hears of it.
  const timer = setInterval(() => void upkeep(pglite, UPKEEP_LIMITS).catch(() => undefined), UPKEEP_INTERVAL_MS);
  const close = async (): Promise<void> => {
    clearInterval(timer);
    for (const session of sessions) session.close();
    await pglite.close();
    unlock();
    tell({ kind: "closed" });
    owner.close();
  };
  owner.on("message", (control: Control) => {
    if (control.kind === "close") {
      void close();
      return;
    }
    if (control.kind === "copy") {
      const { id } = control;
      copyDatabase(pglite, config.directory, control.directory).then(
        () => tell({ kind: "copied", id, failure: null }),
        (error: unknown) => tell({ kind: "copied", id, failure: describe(error) }),
      );
      return;
    }
    const session = new Session(pglite, control.port, config.idleTransactionTimeoutMs);
    sessions.add(session);
    control.port.on("close", () => sessions.delete(session));
  });
  tell({ kind: "ready" });
}

/** The copy is what a kill at this moment would leave; the checkpoint keeps its recovery short. */
async function copyDatabase(pglite: PGlite, from: string, into: string): Promise<void> {
  await pglite.exec("checkpoint");
  mkdirSync(into, { recursive: true, mode: 0o700 });
  // No statement runs until the copy is complete.
  await pglite.runExclusive(() => cp(join(from, DATABASE_NAME), join(into, DATABASE_NAME), { recursive: true }));
}

/**
 * Ends the thread when PostgreSQL has given up, as it does when its disk has no room for its write-ahead log: the rollback
 * that PGlite tries next would never return and keep a processor busy. Whoever opens the database again recovers it, as
 * after a kill. Every statement passes through the method that is wrapped here.
 */
function endOnPanic(pglite: PGlite): void {
  const execute = pglite.execProtocolStream.bind(pglite);
  pglite.execProtocolStream = async (message, options) => {
    try {
      return await execute(message, options);
    } catch (error) {
      if (error instanceof Error && "severity" in error && error.severity === "PANIC") {
        const failed: Status = { kind: "failed", message: describe(error) };
        owner.postMessage(failed);
        process.exit(1);
      }
      throw error;
    }
  };
}

function describe(error: unknown): string {
  const { message } = errorFields(error);
  return error instanceof Error && error.cause !== undefined ? `${message}: ${describe(error.cause)}` : message;
}

assert(parentPort !== null, "the PGlite worker runs in a worker thread");
const owner = parentPort;
serve(owner, workerData as WorkerConfig).catch((error: unknown) => {
  const failed: Status = { kind: "failed", message: describe(error) };
  owner.postMessage(failed);
  owner.close();
});
