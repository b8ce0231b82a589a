/**
 * The event store over ClickHouse: a server, or chDB in the engine process, which speaks the same protocol on a socket.
 *
 * Invariants: a block is inserted as one block of the server (its token is compared per block); every read states how long
 * it may run and cannot write; results travel as text or safe integers, never as floats.
 */

import { randomUUID } from "node:crypto";
import * as http from "node:http";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { ClickHouseClient } from "@clickhouse/client";
import { ClickHouseError, ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { type Clock, systemClock } from "../../kernel/clock.ts";
import { Fault } from "../../kernel/fault.ts";
import { AFTER_INSERTS_HEADER, BACKGROUND_HEADER } from "./chdb/process-protocol.ts";
import { SocketClient } from "./chdb/socket-client.ts";
import type { AuditStore } from "./audit.ts";
import { ClickHouseAudit } from "./clickhouse-audit.ts";
import { ClickHouseRollUps } from "./clickhouse-roll-ups.ts";
import { QueryWatch } from "./query-watch.ts";
import { HotBuckets, type HotSource } from "./roll-ups/hot-buckets.ts";
import { KeptAnswers } from "./roll-ups/kept-answers.ts";
import { RecentQueries } from "./roll-ups/recent-queries.ts";
import type { RollUp, RollUpStore } from "./roll-ups/roll-up.ts";
import { EVENT_COLUMNS } from "./row-block.ts";
import { BOOTSTRAP, SCHEMA } from "./schema.ts";
import type { Cell } from "./sql/aggregations/aggregation.ts";
import type { Statement } from "./sql/fragment.ts";
import {
  countStatement,
  eventsAtStatement,
  lastOffsetStatement,
  listingStatement,
  storedEvent,
  storedOffsetsStatement,
  text,
  wholeNumber,
} from "./sql/listing.ts";
import { phaseUsages, phaseUsageStatement, placesOf } from "./sql/phase-usage.ts";
import { bucketRow, bucketRowsStatement } from "./sql/roll-up-rows.ts";
import { runningQueriesStatement, runningQuery } from "./sql/running-queries.ts";
import { subjectCount, subjectCountsStatement } from "./sql/subject-counts.ts";
import { EVENTS_TABLE, SCHEMA_VERSIONS_TABLE } from "./sql/table.ts";
import { placedState, statesStatement, usageRows, usageStatement } from "./sql/usage.ts";
import { valuesStatement } from "./sql/values.ts";
import type {
  EventListQuery,
  EventStore,
  PhaseUsage,
  PhaseUsageQuery,
  QueryProgress,
  RowBlock,
  StoredEvent,
  SubjectCount,
  SubjectCountQuery,
  UsageQuery,
  UsageRow,
  ValuesQuery,
} from "./store.ts";

export interface EventStoreOptions {
  readonly endpoint:
    | { readonly kind: "embedded"; readonly socketPath: string }
    | { readonly kind: "server"; readonly url: string; readonly username: string; readonly password: string };
  /** Longest time a query may take; 30 s by default. */
  readonly queryTimeoutMs?: number;
  /** Most rows a query may answer with; one million by default. */
  readonly maxResultRows?: number;
  /** Levels of roll-ups (days of those by the minute) with more rows than this are not kept in memory; 30,000 by default. */
  readonly maxHotBlockRows?: number;
  /** Dates the progress of queries; the machine's clock by default. */
  readonly clock?: Clock;
}

const DEFAULT_QUERY_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_RESULT_ROWS = 1_000_000;
/** Inserts and statements in line for a connection take longer than a query runs. */
const REQUEST_TIMEOUT_MS = 120_000;
const MAX_CONNECTIONS = 16;
/** More rows than a block can have, so that the server neither splits nor waits. */
const ONE_BLOCK_ROWS = "1000000000";

const INSERT = `INSERT INTO ${EVENTS_TABLE} (${EVENT_COLUMNS.map(([name]) => name).join(", ")}) FORMAT Native`;

/** Sent before and still running, on any connection. */
const RUNNING_INSERTS = `SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query LIKE 'INSERT INTO ${EVENTS_TABLE} %'`;
const SETTLE_POLL_MS = 20;

const CONNECTION_FAILURES = new Set(["ECONNREFUSED", "ECONNRESET", "ENOENT", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH"]);

/** Longest a statement in the background may take; it reads at most a month of one type of events. */
const BACKGROUND_TIMEOUT_SECONDS = 3600;
/**
 * No machine code is made of expressions: that takes 40 ms the fourth time a kind of statement is sent, in the middle of
 * somebody's query, and makes a scan of ten million events at most 5 % faster.
 */
const INTERPRETED = { compile_expressions: 0, compile_aggregate_expressions: 0 } as const;
/** One thread, so that queries and inserts keep the other cores, and of low priority, so that they go first on this one. */
const BACKGROUND_SETTINGS = {
  max_execution_time: BACKGROUND_TIMEOUT_SECONDS,
  max_threads: 1,
  os_threads_nice_value_query: 15,
  ...INTERPRETED,
};

/** An event store that keeps roll-ups and can be audited. */
export interface RollUpEventStore extends EventStore {
  readonly rollUps: RollUpStore;
  readonly audit: AuditStore;
}

/** Opens a client; nothing is sent before the first call. Every thread has its own. */
export function createEventStore(options: EventStoreOptions): RollUpEventStore {
  const { endpoint } = options;
  const shared = {
    request_timeout: REQUEST_TIMEOUT_MS,
    max_open_connections: MAX_CONNECTIONS,
    use_multipart_params_auto: true,
    // Failures are thrown; whoever catches them decides what to log.
    log: { level: ClickHouseLogLevel.OFF },
  };
  const client =
    endpoint.kind === "server"
      ? createClient({ ...shared, url: endpoint.url, username: endpoint.username, password: endpoint.password })
      : createClient({ ...shared, url: "http://localhost", http_agent: socketAgent(endpoint.socketPath) });
  return new ClickHouseStore(
    client,
    endpoint.kind === "embedded" ? new SocketClient(endpoint.socketPath, MAX_CONNECTIONS) : null,
    options,
  );
}

function socketAgent(socketPath: string): http.Agent {
  const options: http.AgentOptions & { socketPath: string } = {
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    socketPath,
  };
  return new http.Agent(options);
}

/** How a statement is sent. */
interface Sending {
  readonly settings: Readonly<Record<string, string | number>>;
  readonly format: "JSONCompactEachRow" | "JSONCompact";
  readonly headers?: Readonly<Record<string, string>>;
}

class ClickHouseStore implements RollUpEventStore {
  readonly rollUps: RollUpStore;
  readonly audit: AuditStore;
  readonly #hot: HotBuckets;
  readonly #kept = new KeptAnswers();
  readonly #recent = new RecentQueries();
  readonly #client: ClickHouseClient;
  /** The short way to the embedded engine; null for a server. */
  readonly #socket: SocketClient | null;
  readonly #querySettings: Readonly<Record<string, string | number>>;
  readonly #watch: QueryWatch;

  constructor(client: ClickHouseClient, socket: SocketClient | null, options: EventStoreOptions) {
    this.#client = client;
    this.#socket = socket;
    const source: HotSource = {
      rows: async ({ meter }, ...place) => (await this.#rows(bucketRowsStatement(meter, ...place))).map(bucketRow),
      states: async (query, ...parts) =>
        (await this.#rows(statesStatement(query, ...parts))).map((cells) => placedState(query, cells)),
    };
    this.#hot = new HotBuckets(source, options.maxHotBlockRows);
    this.rollUps = new ClickHouseRollUps({
      rows: (statement) => this.#backgroundRows(statement),
      command: (statement) => this.#backgroundCommand(statement),
      askAgain: (rollUp) => this.#askAgain(rollUp),
    });
    this.audit = new ClickHouseAudit((statement) => this.#rows(statement));
    this.#watch = new QueryWatch({
      clock: options.clock ?? systemClock,
      prefix: `tallystick/${randomUUID()}`,
      look: async (labels) => (await this.#rows(runningQueriesStatement(labels))).map(runningQuery),
    });
    this.#querySettings = {
      max_execution_time: Math.ceil((options.queryTimeoutMs ?? DEFAULT_QUERY_TIMEOUT_MS) / 1000),
      max_result_rows: String(options.maxResultRows ?? DEFAULT_MAX_RESULT_ROWS),
      result_overflow_mode: "throw",
      output_format_json_quote_64bit_integers: 0,
      // A failure must not arrive in the middle of an answer that began with 200.
      wait_end_of_query: 1,
      readonly: "2",
      ...INTERPRETED,
    };
  }

  async migrate(): Promise<void> {
    for (const statement of BOOTSTRAP) await this.#command(statement);
    const rows = await this.#rows({ sql: `SELECT max(version) FROM ${SCHEMA_VERSIONS_TABLE}`, params: {} });
    const current = wholeNumber(rows[0]?.[0]);
    const newest = SCHEMA.at(-1)?.version ?? 0;
    if (current > newest) {
      throw new Error(`The event store has schema version ${current}; this version of Tallystick knows ${newest}.`);
    }
    for (const { version, statements } of SCHEMA) {
      if (version <= current) continue;
      for (const statement of statements) await this.#command(statement);
      await this.#command(`INSERT INTO ${SCHEMA_VERSIONS_TABLE} SETTINGS async_insert = 0 VALUES (${version})`);
    }
  }

  async insert(block: RowBlock, token: string): Promise<void> {
    const { buffer, byteOffset, byteLength } = block.bytes;
    await this.#request(async () => {
      const { stream } = await this.#client.exec({
        query: INSERT,
        values: Readable.from(Buffer.from(buffer, byteOffset, byteLength), { objectMode: false }),
        clickhouse_settings: {
          insert_deduplicate: 1,
          insert_deduplication_token: token,
          deduplicate_blocks_in_dependent_materialized_views: 1,
          async_insert: 0,
          max_partitions_per_insert_block: "0",
          max_insert_block_size: ONE_BLOCK_ROWS,
          min_insert_block_size_rows: ONE_BLOCK_ROWS,
          min_insert_block_size_bytes: "0",
          wait_end_of_query: 1,
        },
      });
      await stream.toArray();
    });
  }

  async settle(): Promise<void> {
    while ((await this.#runningInserts()) > 0) await delay(SETTLE_POLL_MS);
  }

  async #runningInserts(): Promise<number> {
    const headers = { [AFTER_INSERTS_HEADER]: "1" };
    const sending = { settings: this.#querySettings, format: "JSONCompactEachRow", headers } as const;
    return wholeNumber(rowsOf(await this.#send({ sql: RUNNING_INSERTS, params: {} }, sending))[0]?.[0]);
  }

  async countEvents(partition: number): Promise<number> {
    return wholeNumber((await this.#rows(countStatement(partition)))[0]?.[0]);
  }

  async lastOffset(partition: number): Promise<number> {
    return wholeNumber((await this.#rows(lastOffsetStatement(partition)))[0]?.[0]);
  }

  async storedOffsets(partition: number, from: number, to: number): Promise<readonly number[]> {
    const rows = await this.#rows(storedOffsetsStatement(partition, from, to));
    return rows.map(([offset]) => wholeNumber(offset));
  }

  async eventsAt(partition: number, offsets: readonly number[]): Promise<readonly StoredEvent[]> {
    if (offsets.length === 0) return [];
    return (await this.#rows(eventsAtStatement(partition, offsets))).map(storedEvent);
  }

  async queryUsage(query: UsageQuery): Promise<readonly UsageRow[]> {
    this.#recent.note(query, performance.now());
    return await this.#usage(query);
  }

  /** Asks again what was asked lately, so that memory has the answer. Of a failure hears whoever asks next. */
  async #askAgain(rollUp: RollUp): Promise<void> {
    for (const query of this.#recent.of(rollUp, performance.now())) await this.#usage(query).catch(() => undefined);
  }

  async #usage(query: UsageQuery): Promise<readonly UsageRow[]> {
    const hot = await this.#hot.answer(query);
    const rows = usageRows(query, hot ?? (await this.#computed(query)));
    if (rows.length > (query.maxRows ?? Number.POSITIVE_INFINITY)) throw tooLarge();
    return rows;
  }

  async queryPhaseUsage(query: PhaseUsageQuery): Promise<readonly PhaseUsage[]> {
    const places = placesOf(query);
    if (places === null) return [];
    return phaseUsages(query, places, await this.#rows(phaseUsageStatement(query, places)));
  }

  async listEvents(query: EventListQuery): Promise<readonly StoredEvent[]> {
    return (await this.#rows(listingStatement(query), query.watchAs)).map(storedEvent);
  }

  async listValues(query: ValuesQuery): Promise<readonly string[]> {
    return (await this.#rows(valuesStatement(query))).map(([value]) => text(value));
  }

  async countBySubject(query: SubjectCountQuery): Promise<readonly SubjectCount[]> {
    return (await this.#rows(subjectCountsStatement(query))).map(subjectCount);
  }

  async progress(watchedAs: string): Promise<QueryProgress | null> {
    return await this.#watch.progress(watchedAs);
  }

  async ping(): Promise<void> {
    const result = await this.#request(() => this.#client.ping({ select: true }));
    if (!result.success) throw translated(result.error);
  }

  async close(): Promise<void> {
    this.#socket?.close();
    await this.#client.close();
  }

  /** The rows of a statement; it is watched if `watchAs` names it. */
  async #rows(statement: Statement, watchAs?: string): Promise<readonly (readonly Cell[])[]> {
    const settings = { ...this.#querySettings, ...statement.settings };
    if (watchAs === undefined) return rowsOf(await this.#send(statement, { settings, format: "JSONCompactEachRow" }));
    return await this.#watch.watch(watchAs, async (label) => {
      // This format ends in statistics, the only place where both engines tell how many rows they read.
      const labelled = { ...settings, log_comment: label };
      const answer = await this.#send(statement, { settings: labelled, format: "JSONCompact" });
      const { data, statistics }: StatisticsAnswer = JSON.parse(answer);
      return { found: data, rowsRead: statistics?.rows_read ?? null };
    });
  }

  /** What the engine makes of the query; a watched one tells how far the engine has got, so it is not answered from memory. */
  async #computed(query: UsageQuery): Promise<readonly (readonly Cell[])[]> {
    const statement = this.#limited(query);
    const load = (): Promise<readonly (readonly Cell[])[]> => this.#rows(statement, query.watchAs);
    const isKept = statement.isLasting === true && query.watchAs === undefined;
    return isKept ? await this.#kept.answer(statement, load) : await load();
  }

  /** The engine stops at the query's own limit, so that the rest is not even read. */
  #limited(query: UsageQuery): Statement {
    const statement = usageStatement(query);
    if (query.maxRows === undefined) return statement;
    const limit = Math.min(query.maxRows, Number(this.#querySettings["max_result_rows"]));
    return { ...statement, settings: { ...statement.settings, max_result_rows: limit } };
  }

  async #backgroundRows(statement: Statement): Promise<readonly (readonly Cell[])[]> {
    const settings = { ...this.#querySettings, ...BACKGROUND_SETTINGS };
    const headers = { [BACKGROUND_HEADER]: "1" };
    return rowsOf(await this.#send(statement, { settings, format: "JSONCompactEachRow", headers }));
  }

  async #backgroundCommand({ sql, params }: Statement): Promise<void> {
    // Deletions are mutations, which are over when the statement is.
    const settings = { ...BACKGROUND_SETTINGS, wait_end_of_query: 1, mutations_sync: "1" } as const;
    const headers = { [BACKGROUND_HEADER]: "1" };
    await this.#request(async () => {
      if (this.#socket === null) {
        const request = { query: sql, query_params: { ...params }, clickhouse_settings: settings };
        await this.#client.command({ ...request, http_headers: headers });
      } else {
        await this.#socket.send({ statement: { sql, params }, settings, format: null, headers });
      }
    });
  }

  /** The answer as text. */
  async #send(statement: Statement, { settings, format, headers }: Sending): Promise<string> {
    return await this.#request(async () => {
      if (this.#socket !== null) {
        const timeoutMs = REQUEST_TIMEOUT_MS;
        return await this.#socket.send({ statement, settings, format, ...(headers && { headers }), timeoutMs });
      }
      const result = await this.#client.query({
        query: statement.sql,
        query_params: { ...statement.params },
        format,
        clickhouse_settings: settings,
        ...(headers && { http_headers: headers }),
      });
      return await result.text();
    });
  }

  async #command(query: string): Promise<void> {
    await this.#request(() => this.#client.command({ query, clickhouse_settings: { wait_end_of_query: 1 } }));
  }

  async #request<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw translated(error);
    }
  }
}

interface StatisticsAnswer {
  readonly data: readonly (readonly Cell[])[];
  readonly statistics?: { readonly rows_read: number };
}

/** Reads `JSONCompactEachRow`. */
function rowsOf(answer: string): readonly (readonly Cell[])[] {
  const text = answer.trimEnd();
  if (text === "") return [];
  const rows: readonly (readonly Cell[])[] = JSON.parse(`[${text.replaceAll("\n", ",")}]`);
  return rows;
}

/** The fault for what a caller can do something about; any other error as it is. */
function translated(error: unknown): unknown {
  if (error instanceof ClickHouseError) {
    switch (error.type) {
      case "TIMEOUT_EXCEEDED":
        return new Fault("unavailable", "query_timeout", "The query takes too long; ask for a shorter period.", {
          cause: error,
        });
      case "TOO_MANY_ROWS_OR_BYTES":
        return tooLarge(error);
      case "MEMORY_LIMIT_EXCEEDED":
        return unavailable(error);
      default:
        return error;
    }
  }
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && CONNECTION_FAILURES.has(code) ? unavailable(error) : error;
}

function tooLarge(cause?: unknown): Fault {
  const message = "The result has too many rows; group by less or ask for a shorter period.";
  return new Fault("too_large", "result_too_large", message, { cause });
}

function unavailable(cause: unknown): Fault {
  return new Fault("unavailable", "event_store_unavailable", "The event store is not available; try again shortly.", {
    retryAfterSeconds: 1,
    cause,
  });
}
