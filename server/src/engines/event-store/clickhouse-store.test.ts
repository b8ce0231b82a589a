/** The ClickHouse store on the embedded engine: the conformance suite, and what only this implementation promises. */

import { mkdtemp, rm } from "node:fs/promises";
import * as http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { instantFromMicros } from "../../kernel/instant.ts";
import type { ChdbEngine } from "./chdb/engine.ts";
import { startChdbEngine } from "./chdb/engine.ts";
import type { EventStoreOptions } from "./clickhouse-store.ts";
import { createEventStore } from "./clickhouse-store.ts";
import { eventStoreConformance } from "./conformance.ts";
import type { JsonPath } from "./json-path.ts";
import { encodeEvents } from "./row-block.ts";
import { usageStatement } from "./sql/usage.ts";
import type { EventStore, QueryProgress, StoredEvent, UsageQuery } from "./store.ts";

const HOUR = 3_600_000_000;
const MARCH_2025 = Date.parse("2025-03-01T00:00:00Z") * 1000;
const EVERYTHING = new Map([[0, Number.MAX_SAFE_INTEGER]]);

function property(name: string): JsonPath {
  return { text: `$[${JSON.stringify(name)}]`, steps: [{ kind: "name", name }] };
}

async function openEngine(): Promise<{ engine: ChdbEngine; close: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), "event-store-"));
  const engine = await startChdbEngine({ dataDirectory: join(directory, "data") });
  const close = async (): Promise<void> => {
    await engine.stop();
    await rm(directory, { recursive: true });
  };
  return { engine, close };
}

function storeOn(engine: ChdbEngine, options: Partial<EventStoreOptions> = {}): EventStore {
  return createEventStore({ endpoint: { kind: "embedded", socketPath: engine.socketPath }, ...options });
}

eventStoreConformance("ClickHouse on the embedded engine", async () => {
  const { engine, close } = await openEngine();
  const store = storeOn(engine);
  return { store, close: () => store.close().then(close) };
});

describe("ClickHouse store", () => {
  let opened: Awaited<ReturnType<typeof openEngine>>;
  let store: EventStore;
  let nextOffset = 0;

  beforeAll(async () => {
    opened = await openEngine();
    store = storeOn(opened.engine);
    await store.migrate();
  });

  afterAll(async () => {
    await store.close();
    await opened.close();
  });

  function event(namespace: string, change: Partial<StoredEvent>): StoredEvent {
    const offset = nextOffset++;
    return {
      namespace,
      id: `id-${offset}`,
      source: "test",
      type: "call",
      subject: "acme",
      time: instantFromMicros(MARCH_2025),
      isTimeGiven: true,
      data: '{"v":1}',
      ingestedAt: instantFromMicros(MARCH_2025 + offset),
      storedAt: instantFromMicros(MARCH_2025 + offset),
      partition: 0,
      offset,
      ...change,
    };
  }

  function query(namespace: string, change: Partial<UsageQuery> = {}): UsageQuery {
    const meter = {
      namespace,
      eventType: "call",
      aggregation: "SUM",
      valuePath: property("v"),
      groupBy: new Map([["g", property("g")]]),
    } as const;
    return {
      meter,
      groupBySubject: false,
      groupByCustomer: false,
      groupBy: [],
      filters: new Map(),
      upTo: EVERYTHING,
      ...change,
    };
  }

  async function raw(sql: string, params: Record<string, unknown> = {}): Promise<string> {
    const agentOptions: http.AgentOptions & { socketPath: string } = { socketPath: opened.engine.socketPath };
    const client = createClient({ url: "http://localhost", http_agent: new http.Agent(agentOptions) });
    try {
      const result = await client.query({ query: sql, query_params: params, format: "TabSeparatedRaw" });
      return await result.text();
    } finally {
      await client.close();
    }
  }

  test("a block is inserted as one block, and its token makes it count once", async () => {
    const rows = 50_000;
    const partition = 7;
    const events = Array.from({ length: rows }, (_, offset) =>
      event("one-block", { time: instantFromMicros(HOUR * (offset % 700)), partition, offset }),
    );
    const block = encodeEvents(events);
    await store.insert(block, "one/block");
    await store.insert(block, "one/block");
    expect(await store.countEvents(partition)).toBe(rows);
    // Every block that reached the table became a part; merges keep the range of block numbers.
    const blocks = await raw(
      "SELECT min(min_block_number), max(max_block_number) FROM system.parts WHERE table = 'events' AND partition = '197001'",
    );
    expect(blocks).toMatch(/^(\d+)\t\1\n$/);
  });

  test.each([
    "it's",
    "a\\",
    "tab\tline\nreturn\r",
    "nul\0",
    "😀",
    "{p0:String}",
    "100%_",
    '"x"',
    "--",
    "/*",
    "\uFEFFbom",
    "\\N",
  ])("the text %j survives every way", async (text) => {
    const namespace = `text ${text}`;
    const path = property(text);
    const stored = event(namespace, {
      id: text,
      subject: text,
      source: text,
      type: text,
      data: JSON.stringify({ [text]: text }),
    });
    await store.insert(encodeEvents([stored]), `token ${text}`);
    const meter = { namespace, eventType: text, aggregation: "COUNT", groupBy: new Map([[text, path]]) } as const;
    const rows = await store.queryUsage(
      query(namespace, {
        meter,
        subjects: [text],
        customers: [{ id: text, subjects: [text] }],
        groupBySubject: true,
        groupByCustomer: true,
        groupBy: [text],
        filters: new Map([[text, { op: "in", values: [text, "other"] }]]),
      }),
    );
    expect(rows).toMatchObject([{ value: "1", subject: text, customerId: text, groups: [text] }]);
    const id = { op: "contains", value: text } as const;
    const sort = { by: "time", direction: "desc" } as const;
    expect(await store.listEvents({ namespace, id, sort, limit: 10, upTo: EVERYTHING })).toEqual([stored]);
  });

  test("long lists of subjects", async () => {
    const namespace = "long-lists";
    await store.insert(encodeEvents([event(namespace, { subject: "s'4999" }), event(namespace, {})]), namespace);
    const subjects = Array.from({ length: 5_000 }, (_, index) => `s'${index}`);
    expect(await store.queryUsage(query(namespace, { subjects }))).toMatchObject([{ value: "1" }]);
    const customers = subjects.map((subject) => ({ id: `customer of ${subject}`, subjects: [subject] }));
    const rows = await store.queryUsage(query(namespace, { customers, groupByCustomer: true }));
    expect(rows).toMatchObject([{ value: "1", customerId: "customer of s'4999" }]);
  });

  test("bounds select months and hours by the indexes", async () => {
    const namespace = "indexes";
    const events = Array.from({ length: 60_000 }, (_, index) =>
      event(namespace, { time: instantFromMicros(MARCH_2025 + (index % 1_400) * HOUR), data: null }),
    );
    await store.insert(encodeEvents(events), namespace);
    const from = instantFromMicros(MARCH_2025 + 240 * HOUR);
    const statement = usageStatement(query(namespace, { from, to: instantFromMicros(from + 24 * HOUR) }));
    const plan = await raw(`EXPLAIN indexes = 1 ${statement.sql}`, statement.params);
    const [, kept, all] = /PrimaryKey[\s\S]*?Granules: (\d+)\/(\d+)/.exec(plan) ?? [];
    expect(Number(all)).toBeGreaterThan(2);
    expect(Number(kept)).toBeLessThan(Number(all));
    const [, months, allMonths] = /Min-Max[\s\S]*?Parts: (\d+)\/(\d+)/.exec(plan) ?? [];
    expect(Number(months)).toBeLessThan(Number(allMonths));
  });

  test("a result with too many rows is a fault, not a cut result", async () => {
    const namespace = "many-rows";
    const limited = storeOn(opened.engine, { maxResultRows: 2 });
    const events = ["a", "b", "c"].map((subject) => event(namespace, { subject }));
    await limited.insert(encodeEvents(events), namespace);
    await expect(limited.queryUsage(query(namespace, { groupBySubject: true }))).rejects.toMatchObject({
      kind: "too_large",
      code: "result_too_large",
    });
    await expect(limited.queryUsage(query(namespace))).resolves.toMatchObject([{ value: "3" }]);
    // A query's own limit holds too, but gives no more than the store's.
    const bySubject = query(namespace, { groupBySubject: true });
    await expect(limited.queryUsage({ ...bySubject, maxRows: 3 })).rejects.toMatchObject({ code: "result_too_large" });
    await expect(store.queryUsage({ ...bySubject, maxRows: 2 })).rejects.toMatchObject({ code: "result_too_large" });
    expect(await store.queryUsage({ ...bySubject, maxRows: 3 })).toHaveLength(3);
    await limited.close();
  });

  test("a watched query tells what it reads while it runs, and in the end what it read", async () => {
    const namespace = "watched";
    const rows = 200_000;
    const data = JSON.stringify({ v: 1, g: "x".repeat(200) });
    await store.insert(encodeEvents(Array.from({ length: rows }, () => event(namespace, { data }))), namespace);
    const watchAs = "watched 'name'\\\0";
    const slow = query(namespace, { watchAs, filters: new Map([["g", { op: "nlike", pattern: "%y%z%" }]]) });
    // On a machine that is busy at the wrong moment the query may end unseen; then it runs again.
    const deadlineMs = performance.now() + 20_000;
    let seen: QueryProgress | null = null;
    while (seen === null && performance.now() < deadlineMs) {
      const state = { isRunning: true };
      const answer = store.queryUsage(slow).finally(() => (state.isRunning = false));
      while (state.isRunning) {
        const progress = await store.progress(watchAs);
        if (progress?.total === rows && progress.read < rows) seen = progress;
      }
      expect(await answer).toMatchObject([{ value: String(rows) }]);
    }
    expect(seen).toMatchObject({ failed: 0, total: rows });
    expect(await store.progress(watchAs)).toMatchObject({ read: rows, failed: 0, total: rows });
    expect(await store.progress("another name")).toBeNull();
  });

  test("a watched list tells what it read; a watched query that fails, that it failed", async () => {
    const namespace = "watched-end";
    const limited = storeOn(opened.engine, { maxResultRows: 2 });
    const events = ["a", "b", "c"].map((subject) => event(namespace, { subject }));
    await limited.insert(encodeEvents(events), namespace);
    const sort = { by: "time", direction: "desc" } as const;
    await limited.listEvents({ namespace, sort, limit: 1, upTo: EVERYTHING, watchAs: "list" });
    const listed = await limited.progress("list");
    // The engine counts a row again when it fetches the columns of the rows it chose.
    expect(listed?.read).toBeGreaterThanOrEqual(3);
    expect(listed).toMatchObject({ failed: 0, total: listed?.read });
    await expect(limited.queryUsage(query(namespace, { groupBySubject: true, watchAs: "query" }))).rejects.toThrow();
    expect(await limited.progress("query")).toMatchObject({ read: 0, failed: 1, total: 1 });
    await limited.close();
  });

  test("what a failed statement had begun to answer does not reach another one", async () => {
    const late = "SELECT number, throwIf(number = 300000) FROM numbers(1000000) SETTINGS max_block_size = 1000";
    for (let round = 0; round < 5; round += 1) {
      await expect(raw(late)).rejects.toThrow("throwIf");
      expect(await raw("SELECT 'clean'")).toBe("clean\n");
    }
  });

  test("rejects rows that are cut off, and stores none of them", async () => {
    const block = encodeEvents([event("cut", {}), event("cut", {})]);
    await expect(store.insert({ rows: 2, bytes: block.bytes.subarray(0, -3) }, "cut")).rejects.toThrow();
    expect(await store.queryUsage(query("cut"))).toEqual([]);
    await store.insert(block, "cut");
    expect(await store.queryUsage(query("cut"))).toMatchObject([{ value: "2" }]);
  });
});
