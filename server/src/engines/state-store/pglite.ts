/**
 * The embedded state store: PGlite in its own worker thread, and the clients that reach it through message ports.
 *
 * Every thread that uses the store has one port and its own Kysely. The worker gives transactions PGlite to themselves,
 * so Kysely's connections here are handles without a lock of their own: as many as there are callers.
 */

import {
  AbortedTransactionError,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryCompiler,
  type QueryResult,
} from "kysely";
import { once } from "node:events";
import { MessageChannel, Worker, type MessagePort } from "node:worker_threads";
import { assert } from "../../kernel/assert.ts";
import type { Database } from "./database.ts";
import {
  EmbeddedDatabaseError,
  encodeParameter,
  type Control,
  type Request,
  type Response,
  type Result,
  type Status,
  type WorkerConfig,
} from "./pglite-protocol.ts";
import { IDLE_TRANSACTION_TIMEOUT_MS, type EmbeddedConfig, type SharedConfig, type StateStore } from "./store.ts";

/** `Omit` that keeps a union a union. */
type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

/** Requests and their answers over one port. */
class PortClient {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, PromiseWithResolvers<Result>>();
  #lastId = 0;
  #isClosed = false;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on("message", (response: Response) => this.#settle(response));
    port.on("close", () => this.close());
  }

  /** Resolves with the answer; rejects with the database's error, or when the store closes before it answers. */
  async request(request: WithoutId<Request>): Promise<Result & { readonly id: number }> {
    if (this.#isClosed) throw storeClosed();
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<Result>();
    this.#waiting.set(id, answer);
    this.#port.postMessage({ ...request, id });
    return { ...(await answer.promise), id };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#port.close();
    for (const answer of this.#waiting.values()) answer.reject(storeClosed());
    this.#waiting.clear();
  }

  #settle(response: Response): void {
    const answer = this.#waiting.get(response.id);
    this.#waiting.delete(response.id);
    if ("error" in response) answer?.reject(new EmbeddedDatabaseError(response.error));
    else answer?.resolve(response.result);
  }
}

function storeClosed(): Error {
  return new Error("the state store is closed");
}

class PortConnection implements DatabaseConnection {
  readonly #client: PortClient;
  #transaction: number | undefined;

  constructor(client: PortClient) {
    this.#client = client;
  }

  async begin(): Promise<void> {
    assert(this.#transaction === undefined, "a connection has one transaction at a time");
    this.#transaction = (await this.#client.request({ kind: "begin" })).id;
  }

  async end(kind: "commit" | "rollback"): Promise<void> {
    const transaction = this.#transaction;
    assert(transaction !== undefined, "a transaction ends once, after it began");
    this.#transaction = undefined;
    await this.#client.request({ kind, transaction });
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const parameters = query.parameters.map(encodeParameter);
    const transaction = this.#transaction;
    const { rows, affectedRows } = await this.#client.request({
      kind: "query",
      sql: query.sql,
      parameters,
      transaction,
    });
    return {
      rows: rows as R[],
      ...(affectedRows === undefined ? {} : { numAffectedRows: BigInt(affectedRows) }),
    };
  }

  streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("the state store does not stream: page through the rows");
  }
}

/** SQLSTATE in_failed_sql_transaction: a commit after a failed statement, which is a rollback. */
const IN_FAILED_TRANSACTION = "25P02";

class PortDriver implements Driver {
  readonly #client: PortClient;

  constructor(client: PortClient) {
    this.#client = client;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<PortConnection> {
    return new PortConnection(this.#client);
  }

  async releaseConnection(): Promise<void> {}

  /** PGlite runs one transaction at a time, which satisfies every isolation level. */
  async beginTransaction(connection: PortConnection): Promise<void> {
    await connection.begin();
  }

  async commitTransaction(connection: PortConnection): Promise<void> {
    try {
      await connection.end("commit");
    } catch (error) {
      if (error instanceof EmbeddedDatabaseError && error.code === IN_FAILED_TRANSACTION) {
        throw new AbortedTransactionError({ cause: error });
      }
      throw error;
    }
  }

  async rollbackTransaction(connection: PortConnection): Promise<void> {
    await connection.end("rollback");
  }

  async destroy(): Promise<void> {
    this.#client.close();
  }
}

class PortDialect implements Dialect {
  readonly #client: PortClient;

  constructor(client: PortClient) {
    this.#client = client;
  }

  createDriver(): Driver {
    return new PortDriver(this.#client);
  }

  createQueryCompiler(): QueryCompiler {
    return new PostgresQueryCompiler();
  }

  createAdapter(): PostgresAdapter {
    return new PostgresAdapter();
  }

  createIntrospector(db: Kysely<unknown>): PostgresIntrospector {
    return new PostgresIntrospector(db);
  }
}

/** Uses a store that another thread of this process opened. Closing it closes the port. */
export function openShared(config: SharedConfig): StateStore {
  const client = new PortClient(config.port);
  return {
    db: new Kysely<Database>({ dialect: new PortDialect(client) }),
    ping: async () => void (await client.request(PING)),
    close: async () => client.close(),
  };
}

const PING = { kind: "query", sql: "select 1 as one", parameters: [], transaction: undefined } as const;

/** A checkpoint of a database of this size takes a second on a slow disk. */
const CLOSE_TIMEOUT_MS = 30_000;

/** Starts the worker, which makes the directory and applies the migrations. */
export async function openEmbedded(config: EmbeddedConfig): Promise<StateStore> {
  const workerConfig: WorkerConfig = {
    directory: config.directory,
    idleTransactionTimeoutMs: config.idleTransactionTimeoutMs ?? IDLE_TRANSACTION_TIMEOUT_MS,
  };
  const worker = new Worker(new URL("./pglite-worker.ts", import.meta.url), { workerData: workerConfig });
  let failure: Error | undefined;
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  // A crash of the worker closes its ports, which fails whatever waits on them; here it must not end the process.
  worker.on("error", (error: Error) => (failure = error));
  await started(worker, exited, () => failure);

  let isClosing = false;
  let hasExited = false;
  const connectPort = (): MessagePort => {
    // What is sent to a thread that is gone is lost without a word.
    if (isClosing || hasExited) throw storeClosed();
    const { port1, port2 } = new MessageChannel();
    const connect: Control = { kind: "connect", port: port2 };
    worker.postMessage(connect, [port2]);
    return port1;
  };
  worker.on("message", (status: Status) => {
    if (status.kind === "failed") failure = new Error(status.message);
  });
  void exited.then(() => {
    hasExited = true;
    if (!isClosing) config.onFailure?.(failure?.message ?? "its thread ended");
  });
  const own = openShared({ kind: "shared", port: connectPort() });
  const copyTo = copier(worker, exited);
  const close = async (): Promise<void> => {
    if (!isClosing) {
      isClosing = true;
      await own.close();
      const command: Control = { kind: "close" };
      worker.postMessage(command);
    }
    // Cutting it short is as good as a kill, which the database recovers from.
    const overdue = setTimeout(() => void worker.terminate(), CLOSE_TIMEOUT_MS);
    await exited;
    clearTimeout(overdue);
  };
  return { db: own.db, ping: async () => await own.ping(), connectPort, copyTo, close };
}

/** Asks the worker for copies, each with a number of its own. */
function copier(worker: Worker, exited: Promise<void>): (directory: string) => Promise<void> {
  let lastId = 0;
  return async (directory) => {
    lastId += 1;
    const id = lastId;
    const copied = Promise.withResolvers<string | null>();
    const listener = (status: Status): void => {
      if (status.kind === "copied" && status.id === id) copied.resolve(status.failure);
    };
    worker.on("message", listener);
    void exited.then(() => copied.resolve(storeClosed().message));
    const command: Control = { kind: "copy", id, directory };
    worker.postMessage(command);
    const failure = await copied.promise;
    worker.off("message", listener);
    if (failure !== null) throw new Error(`cannot copy the embedded state store: ${failure}`);
  };
}

async function started(worker: Worker, exited: Promise<void>, failure: () => Error | undefined): Promise<void> {
  const status = once(worker, "message").then(([message]) => message as Status);
  const ended = exited.then((): Status => ({ kind: "failed", message: failure()?.message ?? "its thread ended" }));
  const first = await Promise.race([status, ended]);
  if (first.kind === "failed") {
    await worker.terminate();
    throw new Error(`cannot open the embedded state store: ${first.message}`);
  }
}
