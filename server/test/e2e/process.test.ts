/**
 * Tallystick as a process: it ends in order on SIGTERM, loses nothing when it is killed, guards its data directory, and
 * says what is wrong when it cannot start.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const START_MS = 60_000;

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  readonly output: () => string;
}

let root: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tallystick-process-"));
});
afterEach(async () => {
  for (const child of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) await end(child, "SIGKILL");
  await rm(root, { recursive: true, force: true });
});

/** Runs the executable; `output` is what it has written so far. */
function run(args: readonly string[]): { readonly child: ChildProcess; readonly output: () => string } {
  // What a killed process leaves in the temporary directory goes with the test's own. The database of the PostgreSQL suites
  // is one for all, and a state store belongs to one data directory.
  const env = { ...process.env, TMPDIR: root, TALLYSTICK_POSTGRES_URL: undefined };
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return { child, output: () => text };
}

async function start(...more: readonly string[]): Promise<Running> {
  const { child, output } = run(["serve", "--address", "127.0.0.1:0", "--data-dir", "data", ...more]);
  const url = await vi.waitFor(
    () => {
      const found = /^Tallystick is ready at (\S+)$/m.exec(output())?.[1];
      if (found === undefined && child.exitCode === null) throw new Error(`not ready: ${output()}`);
      return found;
    },
    { timeout: START_MS, interval: 20 },
  );
  expect(url, output()).toBeDefined();
  return { child, url: url ?? "", output };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, "exit");
  child.kill(signal);
  const [code] = await exited;
  return typeof code === "number" ? code : null;
}

/** Runs a command that must end by itself. */
async function outcome(...args: readonly string[]): Promise<{ readonly code: unknown; readonly output: string }> {
  const { child, output } = run(args);
  const [code] = await once(child, "close");
  return { code, output: output() };
}

function event(n: number): Readonly<Record<string, unknown>> {
  return {
    specversion: "1.0",
    id: `event-${n}`,
    source: "process",
    type: "process",
    subject: `s-${n % 3}`,
    data: { n },
  };
}

async function send(url: string, events: readonly unknown[]): Promise<void> {
  const headers = { "content-type": "application/cloudevents-batch+json" };
  const response = await fetch(`${url}/api/v1/events`, { method: "POST", headers, body: JSON.stringify(events) });
  expect(response.status).toBe(204);
}

async function createMeter(url: string): Promise<void> {
  const json = { slug: "process", eventType: "process", aggregation: "SUM", valueProperty: "$.n" };
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/api/v1/meters`, { method: "POST", headers, body: JSON.stringify(json) });
  expect(response.status).toBe(200);
}

async function usage(url: string): Promise<Readonly<Record<string, number>>> {
  const response = await fetch(`${url}/api/v1/meters/process/query?groupBy=subject`);
  const { data } = (await response.json()) as { data: { subject: string; value: number }[] };
  return Object.fromEntries(data.map(({ subject, value }) => [subject, value]));
}

/** Half of the body arrives before the signal, the rest after the server stopped listening. */
async function drain({ child, url, output }: Running, events: readonly unknown[]): Promise<void> {
  const body = JSON.stringify(events);
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  const request = httpRequest(`${url}/api/v1/events`, { method: "POST", headers });
  const answered = once(request, "response");
  request.write(body.slice(0, 40));
  await once(request, "socket");
  await vi.waitFor(() => expect(request.socket?.bytesWritten ?? 0).toBeGreaterThan(40));
  await fetch(`${url}/healthz/live`);

  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await vi.waitFor(async () => await expect(fetch(`${url}/healthz/live`)).rejects.toThrow(), { timeout: 10_000 });
  request.end(body.slice(40));
  const [response] = await answered;
  expect(response.statusCode).toBe(204);
  expect((await exited)[0]).toBe(0);
  expect(output()).toContain("stopped");
}

test("a life: drained on SIGTERM, killed right after an answer, started again; everything acknowledged counts once", async () => {
  const first = await start();
  await createMeter(first.url);
  await send(first.url, [event(1), event(2)]);
  await drain(first, [event(3), event(4)]);

  const second = await start();
  expect(await usage(second.url)).toEqual({ "s-1": 5, "s-2": 2, "s-0": 3 });
  const events = Array.from({ length: 30 }, (_, n) => event(n));
  await send(second.url, events);
  await end(second.child, "SIGKILL");

  const third = await start();
  await send(third.url, events.slice(0, 10));
  expect(await usage(third.url)).toEqual({ "s-0": 135, "s-1": 145, "s-2": 155 });
  await expectGuarded(third);
  expect(await end(third.child, "SIGINT")).toBe(0);

  // New events would get the offsets of stored ones.
  await rm(join(root, "data", "log"), { recursive: true });
  const { code, output } = await outcome("serve", "--address", "127.0.0.1:0", "--data-dir", "data");
  expect(code).toBe(1);
  expect(output).toMatch(
    /^tallystick: cannot start: the event log in .*log ends at offset 0, but events up to offset \d+/m,
  );
});

/** A second process on the same data directory or address is told so, and the first is not disturbed. */
async function expectGuarded({ url }: Running): Promise<void> {
  const second = await outcome("serve", "--address", "127.0.0.1:0", "--data-dir", "data");
  expect(second.code).toBe(1);
  expect(second.output).toMatch(/^tallystick: cannot start: .*data\/log is already open for writing by process \d+/m);
  expect(second.output).not.toMatch(/^\s+at /m);

  const taken = await outcome("serve", "--address", new URL(url).host, "--data-dir", "other");
  expect(taken.code).toBe(1);
  expect(taken.output).toMatch(/^tallystick: cannot start: .*address already in use/m);
  expect(taken.output).not.toMatch(/^\s+at /m);
  expect((await fetch(`${url}/healthz/ready`)).status).toBe(200);
}

describe("configuration", () => {
  async function configured(text: string): Promise<string> {
    const path = join(root, "tallystick.yaml");
    await mkdir(root, { recursive: true });
    await writeFile(path, text);
    return path;
  }

  test("mistakes: exit code 2, every key with its place", async () => {
    const path = await configured("ingest: { maxEvents: many }\nadress: 127.0.0.1:1\n");
    const { code, output } = await outcome("serve", "--config", path, "--log-level", "loud");
    expect(code).toBe(2);
    expect(output).toMatch(/ingest\.maxEvents: .*tallystick\.yaml/);
    expect(output).toMatch(/adress: .*address/);
    expect(output).toMatch(/log\.level: .*flag --log-level/);
    expect((await outcome("serve", "--config", join(root, "gone.yaml"))).code).toBe(2);
    expect((await outcome("serve", "--nonsense")).code).toBe(2);
  });

  test("a seeded meter that exists with another definition: refuses to start and names meter and field", async () => {
    const meter = (rest: string): string => `meters: [{ slug: seeded, eventType: a, aggregation: COUNT${rest} }]\n`;
    const path = await configured(meter(""));
    const first = await start("--config", path);
    expect(await (await fetch(`${first.url}/api/v1/meters/seeded`)).json()).toMatchObject({ eventType: "a" });
    expect(await end(first.child, "SIGTERM")).toBe(0);
    await configured(meter(", groupBy: { model: $.model }"));
    const refused = await outcome("serve", "--config", path, "--address", "127.0.0.1:0", "--data-dir", "data");
    expect(refused.code).toBe(1);
    expect(refused.output).toMatch(/^tallystick: .*meter "seeded" exists with another groupBy/m);
    expect(refused.output).not.toMatch(/^\s+at /m);
  });
});
