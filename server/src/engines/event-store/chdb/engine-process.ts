/**
 * The engine process: chDB behind the part of ClickHouse's HTTP interface that `@clickhouse/client` uses, on a Unix domain
 * socket. It is a process of its own because a fault in native code takes its process down; the supervisor in `engine.ts`
 * starts it and starts it again.
 *
 * Invariants: it never outlives its parent (the IPC channel closes with the parent, however that dies), so nobody is left
 * holding the data directory; inserts and queries use different connections, so neither waits for the other; the rows of an
 * insert pass through a file that is deleted afterwards.
 */

import { randomUUID } from "node:crypto";
import { createWriteStream, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { assert } from "../../../kernel/assert.ts";
import { bindParameters } from "./binding.ts";
import type { EngineProcessOptions, EngineReport } from "./process-protocol.ts";
import { AFTER_INSERTS_HEADER, BACKGROUND_HEADER, SOCKET_NAME } from "./process-protocol.ts";
import { decodeRequest, insertFromFile, settingsClause } from "./request.ts";
import { SessionPool } from "./session-pool.ts";

/** Statements with parameters in the URL; larger parameters come as a form. */
const MAX_HEADER_BYTES = 256 * 1024;
/** Bound lists, such as the subjects of many customers, are part of the statement that chDB parses. */
const MAX_STATEMENT_BYTES = 64 * 1024 * 1024;
const MARK_CACHE_BYTES = 256 * 1024 * 1024;
/** Merges can wait a little for inserts and queries, not for ever: they keep about a quarter of a core that others want. */
const MERGE_NICE_VALUE = 5;
/** Merges of one thread keep up with 120,000 events a second, and leave the other cores to inserts and queries. */
const MERGE_SHARE = 1 / 2;
const DEFAULT_FORMAT = "TabSeparated";

const options = readOptions(process.argv[2]);

function readOptions(argument: string | undefined): EngineProcessOptions {
  assert(argument !== undefined, "the engine process is started with its options");
  return JSON.parse(argument) as EngineProcessOptions;
}

/** Server settings that chDB takes only from a file. */
function writeServerConfig(path: string): void {
  const settings = {
    max_server_memory_usage: options.memoryLimitBytes,
    mark_cache_size: MARK_CACHE_BYTES,
    primary_index_cache_size: MARK_CACHE_BYTES,
    background_pool_size: Math.max(1, Math.floor(options.threads * MERGE_SHARE)),
    os_threads_nice_value_merge_mutate: MERGE_NICE_VALUE,
  };
  const elements = Object.entries(settings).map(([name, value]) => `<${name}>${value}</${name}>`);
  writeFileSync(path, `<clickhouse>${elements.join("")}</clickhouse>`);
}

function endAtOnce(): void {
  rmSync(options.runtimeDirectory, { recursive: true, force: true });
  // A native call may be running on another thread; ClickHouse's files survive a kill at any moment, and exit() would wait.
  process.kill(process.pid, "SIGKILL");
}

interface Pools {
  readonly queries: SessionPool;
  readonly inserts: SessionPool;
  readonly background: SessionPool;
}

function openPools(): Pools {
  mkdirSync(options.dataDirectory, { recursive: true });
  const config = join(options.runtimeDirectory, "server.xml");
  writeServerConfig(config);
  const connectionArgs = [
    `--config-file=${config}`,
    `--max_threads=${options.threads}`,
    `--max_query_size=${MAX_STATEMENT_BYTES}`,
  ];
  return {
    queries: new SessionPool(options.dataDirectory, options.querySessions, connectionArgs),
    inserts: new SessionPool(options.dataDirectory, options.insertSessions, connectionArgs),
    background: new SessionPool(options.dataDirectory, options.backgroundSessions, connectionArgs),
  };
}

/** Inserts from the arrival of their headers on. */
const insertsUnderWay = new Set<Promise<unknown>>();

async function answer(pools: Pools, request: IncomingMessage): Promise<Uint8Array> {
  const url = new URL(request.url ?? "/", "http://engine");
  if (url.pathname === "/ping") return Buffer.from("Ok.\n");
  const body = url.searchParams.has("query") ? Buffer.alloc(0) : await readBody(request);
  const { sql, params, settings, isBodyData } = decodeRequest(url, request.headers["content-type"], body);
  if (!isBodyData) {
    if (request.headers[AFTER_INSERTS_HEADER] !== undefined) await Promise.allSettled(insertsUnderWay);
    const pool = request.headers[BACKGROUND_HEADER] === undefined ? pools.queries : pools.background;
    const bound = params.size === 0 ? sql : bindParameters(sql, params);
    return await pool.run(bound + settingsClause(settings), DEFAULT_FORMAT);
  }
  const insert = insertRows(pools, request, (path) => insertFromFile(sql, path, settings));
  insertsUnderWay.add(insert);
  try {
    return await insert;
  } finally {
    insertsUnderWay.delete(insert);
  }
}

/** Inserts the rows in the request's body; a request whose client went away before its end inserts nothing. */
async function insertRows(
  pools: Pools,
  request: IncomingMessage,
  statement: (path: string) => string,
): Promise<Uint8Array> {
  const path = join(options.runtimeDirectory, `${randomUUID()}.rows`);
  try {
    await pipeline(request, createWriteStream(path));
    return await pools.inserts.run(statement(path), DEFAULT_FORMAT);
  } finally {
    await rm(path, { force: true });
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function sendFailure(response: ServerResponse, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const code = /^Code: ([0-9]+)/.exec(message)?.[1];
  response.statusCode = 500;
  if (code !== undefined) response.setHeader("x-clickhouse-exception-code", code);
  response.setHeader("content-type", "text/plain; charset=UTF-8");
  response.end(message);
}

function serve(pools: Pools): void {
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: 0 }, (request, response) => {
    // Once the server is closing, a connection that stays open would keep the process alive.
    if (!server.listening) response.setHeader("connection", "close");
    answer(pools, request).then(
      (bytes) => response.end(bytes),
      (error: unknown) => sendFailure(response, error),
    );
  });
  // The rows of a large insert may take their time on a busy machine.
  server.requestTimeout = 0;
  process.on("message", () => {
    // Ends when the last running request has been answered.
    server.close(() => {
      pools.queries.close();
      pools.inserts.close();
      pools.background.close();
      rmSync(options.runtimeDirectory, { recursive: true, force: true });
      process.exit(0);
    });
  });
  const socketPath = join(options.runtimeDirectory, SOCKET_NAME);
  rmSync(socketPath, { force: true });
  const ready: EngineReport = { kind: "ready" };
  server.listen(socketPath, () => process.send?.(ready));
}

process.on("disconnect", endAtOnce);
// The supervisor decides when the engine stops; a Ctrl-C in a terminal reaches the whole process group.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => undefined);

try {
  serve(openPools());
} catch (error) {
  const failure: EngineReport = { kind: "failed", message: error instanceof Error ? error.message : String(error) };
  process.send?.(failure, () => process.exit(1));
}
