/**
 * Backup and restore of the whole product: under traffic, of a stopped server, and with the server killed in the middle.
 *
 * The oracle is what clients sent and what was acknowledged to them. Requests are all or nothing, so a restored server has
 * every request that was acknowledged before the backup began, entirely, and any other entirely or not at all; and when the
 * clients send everything again, every identity counts once.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createEventStore, startChdbEngine } from "../../src/engines/event-store/index.ts";
import { makeEmbeddedDirectory } from "../../src/engines/state-store/fixture.ts";
import { openStateStore } from "../../src/engines/state-store/index.ts";
import { Random } from "../oracle/random.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const START_MS = 60_000;
const VISIBLE_WITHIN_MS = 30_000;
const SEED = Number(process.env["TALLYSTICK_TEST_SEED"] ?? 20261120);
const CLIENTS = 4;
const EVENTS_PER_REQUEST = 20;

let root: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tallystick-backup-"));
  await mkdir(join(root, "data"));
  await rename(await makeEmbeddedDirectory(), join(root, "data", "state"));
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) await end(child, "SIGKILL");
  }
  await rm(root, { recursive: true, force: true });
});

interface Ran {
  readonly child: ChildProcess;
  readonly output: () => string;
}

function run(...args: readonly string[]): Ran {
  // What a killed process leaves in the temporary directory goes with the test's own.
  const env = { ...process.env, TMPDIR: root, TALLYSTICK_POSTGRES_URL: undefined };
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return { child, output: () => text };
}

/** Runs a command that must succeed; resolves with what it wrote. */
async function succeed(...args: readonly string[]): Promise<string> {
  const { child, output } = run(...args);
  await once(child, "close");
  expect(child.exitCode, output()).toBe(0);
  return output();
}

/** Runs a command that must fail; resolves with what it wrote. */
async function fail(...args: readonly string[]): Promise<string> {
  const { child, output } = run(...args);
  await once(child, "close");
  expect(child.exitCode, output()).toBe(1);
  expect(output()).not.toMatch(/^\s+at /m);
  return output();
}

async function start(dataDirectory: string): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const { child, output } = run("serve", "--address", "127.0.0.1:0", "--data-dir", dataDirectory);
  const url = await vi.waitFor(
    () => {
      const found = /^Tallystick is ready at (\S+)$/m.exec(output())?.[1];
      if (found === undefined && child.exitCode === null) throw new Error(`not ready: ${output()}`);
      return found;
    },
    { timeout: START_MS, interval: 20 },
  );
  expect(url, output()).toBeDefined();
  return { child, url: url ?? "" };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

async function createMeters(url: string): Promise<void> {
  const meter = { eventType: "traffic", groupBy: { request: "$.request" } };
  for (const json of [
    { ...meter, slug: "events", aggregation: "COUNT" },
    { ...meter, slug: "amount", aggregation: "SUM", valueProperty: "$.amount" },
  ]) {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${url}/api/v1/meters`, { method: "POST", headers, body: JSON.stringify(json) });
    expect(response.status).toBe(200);
  }
}

interface Sent {
  readonly request: string;
  readonly amount: number;
  readonly events: readonly unknown[];
}

/** What the clients sent, and what they were told was accepted. */
class Traffic {
  readonly sent = new Map<string, Sent>();
  readonly acknowledged = new Set<string>();
  readonly #random: Random;
  #isStopped = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(random: Random) {
    this.#random = random;
  }

  start(url: string): void {
    this.#running = Promise.all(Array.from({ length: CLIENTS }, (_, client) => this.#client(url, client)));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #client(url: string, client: number): Promise<void> {
    for (let n = 0; !this.#isStopped; n += 1) {
      const fresh = this.next(`${client}-${n}`);
      await send(url, fresh);
      this.acknowledged.add(fresh.request);
      // A client that is not sure sends again.
      if (this.#random.oneIn(4)) await send(url, this.#random.pick([...this.sent.values()]));
    }
  }

  /** A request with events of its own, which counts as sent. */
  next(request: string): Sent {
    const amounts = Array.from({ length: EVENTS_PER_REQUEST }, () => this.#random.between(1, 1000));
    const events = amounts.map((amount, index) => ({
      specversion: "1.0",
      id: `${request}-${index}`,
      source: "backup",
      type: "traffic",
      subject: "s",
      data: { request, amount },
    }));
    const sent = { request, amount: amounts.reduce((sum, each) => sum + each, 0), events };
    this.sent.set(request, sent);
    return sent;
  }
}

async function send(url: string, ...requests: readonly Sent[]): Promise<void> {
  const headers = { "content-type": "application/cloudevents-batch+json" };
  const body = JSON.stringify(requests.flatMap(({ events }) => events));
  const response = await fetch(`${url}/api/v1/events`, { method: "POST", headers, body });
  expect(response.status).toBe(204);
}

/** A backup of a store that is still empty, as it may be in the first second of a busy machine, would show little. */
async function untilSomeIsStored(url: string): Promise<void> {
  const query = `${url}/api/v1/meters/events/query`;
  const stored = async (): Promise<number> => {
    const { data }: { data: { value: number }[] } = JSON.parse(await (await fetch(query)).text());
    return data[0]?.value ?? 0;
  };
  const some = { timeout: VISIBLE_WITHIN_MS, interval: 20 };
  await vi.waitFor(async () => expect(await stored()).toBeGreaterThan(0), some);
}

/** Count and sum by request, as the server has them once everything accepted is stored. */
async function usage(url: string): Promise<ReadonlyMap<string, { count: number; amount: number }>> {
  await vi.waitFor(
    async () => expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^tallystick_log_lag_events 0$/m),
    { timeout: VISIBLE_WITHIN_MS, interval: 20 },
  );
  const found = new Map<string, { count: number; amount: number }>();
  for (const [slug, member] of [
    ["events", "count"],
    ["amount", "amount"],
  ] as const) {
    const response = await fetch(`${url}/api/v1/meters/${slug}/query?groupBy=request`);
    expect(response.status).toBe(200);
    const { data } = (await response.json()) as { data: { groupBy: { request: string }; value: number }[] };
    for (const { groupBy, value } of data) {
      const entry = found.get(groupBy.request) ?? { count: 0, amount: 0 };
      found.set(groupBy.request, { ...entry, [member]: value });
    }
  }
  return found;
}

function expected(sent: Iterable<Sent>): ReadonlyMap<string, { count: number; amount: number }> {
  return new Map(Array.from(sent, ({ request, amount }) => [request, { count: EVENTS_PER_REQUEST, amount }]));
}

async function expectRestored(dataDirectory: string, before: ReadonlySet<string>, traffic: Traffic): Promise<void> {
  const { child, url } = await start(dataDirectory);
  const found = await usage(url);
  for (const request of before) expect(found.has(request), `${request} was acknowledged before the backup`).toBe(true);
  const known = [...found.keys()].map((request) => traffic.sent.get(request) ?? expect.fail(`${request} was not sent`));
  expect(found).toEqual(expected(known));
  const all = [...traffic.sent.values()];
  for (let from = 0; from < all.length; from += 50) await send(url, ...all.slice(from, from + 50));
  expect(await usage(url)).toEqual(expected(traffic.sent.values()));
  expect(existsSync(join(root, dataDirectory, "restored.json"))).toBe(false);
  await end(child, "SIGTERM");
}

/** The state, the event store and the claims of a backup agree without any recovery. */
async function expectConsistent(dataDirectory: string): Promise<void> {
  const manifest: { storedUpTo: number } = JSON.parse(await readFile(join(root, "backup", "manifest.json"), "utf8"));
  const state = await openStateStore({ kind: "embedded", directory: join(root, dataDirectory, "state") });
  const positions = await state.db.selectFrom("stored_position").selectAll().execute();
  const batches = await state.db.selectFrom("sink_batch").selectAll().where("status", "=", "recorded").execute();
  await state.close();
  expect(positions).toMatchObject([{ partition: 0, stored_upto: manifest.storedUpTo }]);
  expect(batches).toEqual([]);
  const engine = await startChdbEngine({ dataDirectory: join(root, dataDirectory, "events") });
  const store = createEventStore({ endpoint: { kind: "embedded", socketPath: engine.socketPath } });
  const last = await store.lastOffset(0);
  await store.close();
  await engine.stop();
  expect(last).toBeGreaterThanOrEqual(0);
  expect(last).toBeLessThanOrEqual(manifest.storedUpTo);
}

test(`a backup under traffic, restored, and of a stopped server (seed ${SEED})`, async () => {
  const { child, url } = await start("data");
  await createMeters(url);
  const traffic = new Traffic(new Random(SEED));
  traffic.start(url);
  await vi.waitFor(() => expect(traffic.acknowledged.size).toBeGreaterThan(60), { timeout: VISIBLE_WITHIN_MS });
  await untilSomeIsStored(url);
  const before = new Set(traffic.acknowledged);
  const output = await succeed("backup", "--data-dir", "data", "--to", "backup");
  expect(output).toMatch(/^Backed up to .*backup: \d+ files, \d+ bytes, \d+ events accepted so far\.$/m);
  // The server went on accepting, and nothing of the backup is left in its directory.
  expect(traffic.acknowledged.size).toBeGreaterThan(before.size);
  expect(existsSync(join(root, "data", "snapshot"))).toBe(false);
  await traffic.stop();
  expect(await usage(url)).toEqual(expected(traffic.sent.values()));
  await end(child, "SIGTERM");

  expect(await succeed("restore", "--from", "backup", "--data-dir", "restored")).toMatch(/^Restored to .*restored: /m);
  await expectConsistent("restored");
  await expectRestored("restored", before, traffic);

  expect(await succeed("backup", "--data-dir", "restored", "--to", "stopped")).toContain("No server was running.");
  await succeed("restore", "--from", "stopped", "--data-dir", "again");
  await expectRestored("again", traffic.acknowledged, traffic);
});

/** Asks the server for an image as `tallystick backup` does, and keeps it until the socket ends. */
async function askForImage(): Promise<Socket> {
  const { socket }: { socket: string } = JSON.parse(await readFile(join(root, "data", "control.json"), "utf8"));
  const connection = connect(socket);
  connection.on("error", () => undefined);
  await once(connection, "connect");
  return connection;
}

test(`a server killed in the middle of a backup loses nothing, and clears up when it starts (seed ${SEED})`, async () => {
  const random = new Random(SEED);
  const traffic = new Traffic(random);
  const acknowledged = new Set<string>();
  for (const moment of ["with the image made", "while it is made"]) {
    const { child, url } = await start("data");
    if (acknowledged.size === 0) await createMeters(url);
    expect(await readdir(join(root, "data"))).not.toContain("snapshot");
    expect(existsSync(join(root, "data", "events", "shadow"))).toBe(false);
    for (let n = 0; n < 20; n += 1) {
      const sent = traffic.next(`${moment} ${n}`);
      await send(url, sent);
      acknowledged.add(sent.request);
    }
    const connection = await askForImage();
    if (moment === "with the image made") {
      const [answer] = await once(connection, "data");
      expect(JSON.parse(String(answer))).toMatchObject({ kind: "image", info: { logEnd: 20 * EVENTS_PER_REQUEST } });
      expect(await fail("backup", "--data-dir", "data", "--to", "backup")).toContain("another backup of this data");
    } else {
      const part = random.pick(["claims", "state", "events", "log"]);
      await vi.waitFor(() => expect(readdirSync(join(root, "data", "snapshot"))).toContain(part), { interval: 1 });
    }
    await end(child, "SIGKILL");
    connection.destroy();
    expect(await readdir(join(root, "data"))).toContain("snapshot");
  }
  const { url } = await start("data");
  expect(await usage(url)).toEqual(expected(traffic.sent.values()));
  await succeed("backup", "--data-dir", "data", "--to", "backup");
  await succeed("restore", "--from", "backup", "--data-dir", "restored");
  await expectRestored("restored", acknowledged, traffic);
  expect(await fail("restore", "--from", "backup", "--data-dir", "data")).toMatch(
    /^tallystick: restore failed: .*data exists and is not empty/m,
  );
});
