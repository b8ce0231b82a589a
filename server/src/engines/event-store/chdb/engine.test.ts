/** The supervisor: recovery from native faults, one process per data directory, no orphans. */

import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import { createEventStore } from "../clickhouse-store.ts";
import { encodeEvents } from "../row-block.ts";
import type { EventStore, RowBlock } from "../store.ts";
import type { ChdbEngine, ChdbEngineOptions } from "./engine.ts";
import { startChdbEngine } from "./engine.ts";

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "engine-"));
  cleanups.push(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function start(dataDirectory: string, options: Partial<ChdbEngineOptions> = {}): Promise<ChdbEngine> {
  const engine = await startChdbEngine({ dataDirectory, ...options });
  cleanups.push(() => engine.stop());
  return engine;
}

function openStore(engine: ChdbEngine): EventStore {
  const store = createEventStore({ endpoint: { kind: "embedded", socketPath: engine.socketPath } });
  cleanups.push(() => store.close());
  return store;
}

function block(from: number, rows: number): RowBlock {
  const time = instantFromMicros(1_740_787_200_000_000);
  const origin = { namespace: "default", source: "test", type: "call", subject: "acme" };
  return encodeEvents(
    Array.from({ length: rows }, (_, index) => ({
      ...origin,
      id: String(from + index),
      time,
      isTimeGiven: true,
      data: '{"v":1}',
      ingestedAt: time,
      storedAt: time,
      partition: 0,
      offset: from + index,
    })),
  );
}

function kill(pid: number | undefined): void {
  expect(pid).toBeGreaterThan(0);
  process.kill(pid ?? 0, "SIGKILL");
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const isAnswering = (store: EventStore): Promise<boolean> =>
  store.ping().then(
    () => true,
    () => false,
  );

test("a killed process is started again; inserts that are repeated count once", async () => {
  const exits: string[] = [];
  const engine = await start(join(await temporaryDirectory(), "data"), { onExit: (reason) => exits.push(reason) });
  const store = openStore(engine);
  await store.migrate();
  const rows = 5_000;
  const refusals = new Set<unknown>();
  for (let number = 0; number < 6; number++) {
    const token = `ev/0/${number * rows}`;
    const insert = store.insert(block(number * rows, rows), token);
    if (number % 2 === 1) kill(engine.pid);
    const isStored = await insert.then(
      () => true,
      (error: { code?: unknown }) => !refusals.add(error.code),
    );
    if (isStored) continue;
    await expect.poll(() => isAnswering(store), { timeout: 15_000 }).toBe(true);
    await store.insert(block(number * rows, rows), token);
  }
  expect(await store.countEvents(0)).toBe(6 * rows);
  expect([...refusals]).toEqual(["event_store_unavailable"]);
  expect(exits[0]).toContain("SIGKILL");
  // The token is remembered beyond the end of the process that saw it.
  await store.insert(block(0, rows), "ev/0/0");
  expect(await store.countEvents(0)).toBe(6 * rows);
});

test("settle waits for an insert whose client is gone", async () => {
  const engine = await start(await temporaryDirectory());
  const store = openStore(engine);
  await store.migrate();
  const client = createEventStore({ endpoint: { kind: "embedded", socketPath: engine.socketPath } });
  const rows = 50_000;
  const orphan = client.insert(block(0, rows), "orphan").catch(() => undefined);
  await expect.poll(() => runningFiles(engine)).toBe(1);
  await client.close();
  await store.settle();
  const stored = await store.countEvents(0);
  await orphan;
  await store.settle();
  // All or nothing, and nothing appears after settle.
  expect([0, rows]).toContain(stored);
  expect(await store.countEvents(0)).toBe(stored);
});

/** Rows of inserts that the engine has not finished with. */
function runningFiles(engine: ChdbEngine): number {
  return readdirSync(dirname(engine.socketPath)).filter((name) => name.endsWith(".rows")).length;
}

test("a data directory has one engine; the next one waits until it is free", async () => {
  const directory = join(await temporaryDirectory(), "data");
  const first = await start(directory);
  await expect(startChdbEngine({ dataDirectory: directory, startTimeoutMs: 1 })).rejects.toThrow("does not start");
  const refusals: string[] = [];
  const second = start(directory, { onExit: (reason) => refusals.push(reason) });
  await expect.poll(() => refusals.length, { timeout: 10_000 }).toBeGreaterThan(0);
  expect(refusals[0]).toContain("Failed to create connection");
  await first.stop();
  expect((await second).isReady).toBe(true);
});

test("stop lets a running insert finish and removes the socket", async () => {
  const directory = join(await temporaryDirectory(), "data");
  const engine = await start(directory);
  const store = openStore(engine);
  await store.migrate();
  const { pid } = engine;
  const insert = store.insert(block(0, 50_000), "long");
  await store.ping();
  await engine.stop();
  await insert;
  expect(isAlive(pid ?? 0)).toBe(false);
  expect(existsSync(engine.socketPath)).toBe(false);
  const again = openStore(await start(directory));
  expect(await again.countEvents(0)).toBe(50_000);
});

test("the engine ends with its parent, however that dies", async () => {
  const directory = join(await temporaryDirectory(), "data");
  const module = JSON.stringify(new URL("./engine.ts", import.meta.url).href);
  const script = `const { startChdbEngine } = await import(${module});
    const { pid, socketPath } = await startChdbEngine({ dataDirectory: ${JSON.stringify(directory)} });
    console.log(JSON.stringify({ pid, socketPath }));`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const line = await new Promise<string>((resolve) =>
    parent.stdout.once("data", (data: Buffer) => resolve(data.toString())),
  );
  const { pid, socketPath } = JSON.parse(line) as { pid: number; socketPath: string };
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  expect(existsSync(socketPath)).toBe(false);
  expect((await start(directory)).isReady).toBe(true);
});

test("a snapshot amid inserts is a data directory with every table, and nothing of it stays behind", async () => {
  const root = await temporaryDirectory();
  const place = join(root, "data");
  const engine = await start(place);
  const store = openStore(engine);
  await store.migrate();
  const quotedName = "`odd \\`name\\\\`";
  await statement(engine, `CREATE TABLE tallystick.${quotedName} (n UInt32) ENGINE = MergeTree ORDER BY n`);
  await statement(engine, "CREATE TABLE tallystick.empty (n UInt32) ENGINE = MergeTree ORDER BY n");
  await statement(engine, `INSERT INTO tallystick.${quotedName} SELECT number FROM numbers(7)`);
  await store.insert(block(0, 50), "before");
  const inserting = store.insert(block(50, 50), "meanwhile");
  const copy = join(root, "copy");
  await engine.snapshot(copy);
  await inserting;
  await store.insert(block(100, 50), "after");
  expect(existsSync(join(place, "shadow", "tallystick"))).toBe(false);
  expect(await store.countEvents(0)).toBe(150);

  const other = await start(copy);
  const restored = openStore(other);
  await restored.migrate();
  expect([50, 100]).toContain(await restored.countEvents(0));
  expect(await restored.storedOffsets(0, 0, 49)).toHaveLength(50);
  const names = "SELECT name FROM system.tables WHERE database = 'tallystick' ORDER BY name FORMAT JSONEachRow";
  expect(await statement(other, names)).toBe(await statement(engine, names));
  expect(await statement(other, "SELECT count() FROM tallystick.empty")).toBe("0\n");
  expect(await statement(other, `SELECT count() FROM tallystick.${quotedName}`)).toBe("7\n");
  await restored.insert(block(200, 50), "later");
  expect(await restored.storedOffsets(0, 200, 249)).toHaveLength(50);
});

test("what a killed process had frozen is removed at the next start", async () => {
  const place = join(await temporaryDirectory(), "data");
  const frozen = join(place, "shadow", "tallystick", "store");
  await mkdir(frozen, { recursive: true });
  await start(place);
  expect(existsSync(frozen)).toBe(false);
});

/** Runs a statement that the store has no method for; resolves with its tab-separated answer. */
async function statement(engine: ChdbEngine, sql: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const sent = request({ socketPath: engine.socketPath, method: "POST" }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => (response.statusCode === 200 ? resolve(text) : reject(new Error(text))));
    });
    sent.on("error", reject).end(sql);
  });
}
