/**
 * `tallystick verify` on the data directory of a whole product: clean after traffic with duplicates, conflicts and late
 * events; and whatever is damaged on purpose is found by the checks that are about it and by no others.
 *
 * Every damage is done to a copy of one data directory that a server process has filled.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, open, readdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { CheckReport, VerifyReport } from "../../src/app/verify/report.ts";
import { verifyDataDirectory } from "../../src/app/verify/verify.ts";
import { openEmbeddedLog } from "../../src/engines/event-log/index.ts";
import {
  createEventStore,
  encodeEvents,
  type RollUpEventStore,
  startChdbEngine,
} from "../../src/engines/event-store/index.ts";
import { makeEmbeddedDirectory } from "../../src/engines/state-store/fixture.ts";
import { openStateStore, type StateStore } from "../../src/engines/state-store/index.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { instantFromMicros } from "../../src/kernel/instant.ts";
import { RollUpKeeper } from "../../src/meters/index.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const WITHIN_MS = 60_000;
/** Roll-ups begin at 20,000 events of a type. */
const EVENTS = 24_000;
const EVENTS_PER_REQUEST = 1_000;
/** Every so many events one is a repetition of an earlier one, in turn with the same and with other data. */
const REPEATED_EVERY = 100;
const REPEATED = EVENTS / REPEATED_EVERY;
const DAY_MS = 86_400_000;
const SETTINGS = ["--set", "eventLog.segmentBytes=1048576", "--set", "sink.lingerMs=0"];

let root = "";
let clean = "";
const children: ChildProcess[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "tallystick-verify-"));
  clean = join(root, "clean");
  await mkdir(clean);
  await rename(await makeEmbeddedDirectory(), join(clean, "state"));
  const { child, url } = await start(clean);
  await createMeters(url);
  for (let from = 0; from < EVENTS; from += EVENTS_PER_REQUEST) await sendEvents(url, from);
  await untilStored(url);
  await expect(verifyDataDirectory({ dataDirectory: clean })).rejects.toThrow(/A running server cannot be verified/);
  await end(child);
  await keepRollUps(clean);
});
afterEach(async () => {
  for (const child of children.splice(0)) if (child.exitCode === null && child.signalCode === null) await end(child);
});
afterAll(async () => await rm(root, { recursive: true, force: true }));

function run(...args: readonly string[]): { readonly child: ChildProcess; readonly output: () => string } {
  const env = { ...process.env, TMPDIR: root, TALLYSTICK_POSTGRES_URL: undefined };
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let written = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (written += chunk.toString()));
  return { child, output: () => written };
}

/** Runs `tallystick verify`; resolves with its exit code and what it wrote. */
async function verifyCommand(
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly output: string }> {
  const { child, output } = run("verify", ...args);
  await once(child, "close");
  return { code: child.exitCode, output: output() };
}

async function start(dataDirectory: string): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const { child, output } = run("serve", "--address", "127.0.0.1:0", "--data-dir", dataDirectory, ...SETTINGS);
  const url = await vi.waitFor(
    () => /^Tallystick is ready at (\S+)$/m.exec(output())?.[1] ?? expect.fail(`not ready: ${output()}`),
    { timeout: WITHIN_MS, interval: 20 },
  );
  return { child, url };
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

async function createMeters(url: string): Promise<void> {
  const meter = { eventType: "traffic" };
  for (const json of [
    { ...meter, slug: "amounts", aggregation: "SUM", valueProperty: "$.amount", groupBy: { model: "$.model" } },
    { ...meter, slug: "users", aggregation: "UNIQUE_COUNT", valueProperty: "$.user" },
    { ...meter, slug: "latest", aggregation: "LATEST", valueProperty: "$.amount" },
  ]) {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${url}/api/v1/meters`, { method: "POST", headers, body: JSON.stringify(json) });
    expect(response.status).toBe(200);
  }
}

/** Events of three days, every tenth of them two months before; some without a time, some without data. */
function eventText(index: number): string {
  const isRepeated = index % REPEATED_EVERY === 50;
  const number = isRepeated ? index - 30 : index;
  const amount = isRepeated && index % (2 * REPEATED_EVERY) === 50 ? "0.125" : `${number % 97}.50`;
  const at = Date.UTC(2026, 5, 10) + ((number * 7919) % (3 * 86_400)) * 1000 - (number % 10 === 3 ? 61 * DAY_MS : 0);
  const data = `{"amount":${amount},"model":"m${number % 3}","user":"u${number % 40}","\\u00fc\\n":"é\\u0001","a":1,"a":[2.0,null]}`;
  const time = number % 1_000 === 5 ? "" : `"time":"${new Date(at).toISOString()}",`;
  const rest = number % 1_000 === 6 ? "" : `,"data":${data}`;
  return `{"specversion":"1.0","id":"ä-${number}","source":"s","type":"traffic","subject":"c${number % 5}",${time}"datacontenttype":"application/json"${rest}}`;
}

async function sendEvents(url: string, from: number): Promise<void> {
  const events = Array.from({ length: EVENTS_PER_REQUEST }, (_, index) => eventText(from + index));
  const headers = { "content-type": "application/cloudevents-batch+json" };
  const response = await fetch(`${url}/api/v1/events`, { method: "POST", headers, body: `[${events.join()}]` });
  expect(response.status, await response.text()).toBe(204);
}

async function untilStored(url: string): Promise<void> {
  await vi.waitFor(
    async () => expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^tallystick_log_lag_events 0$/m),
    { timeout: WITHIN_MS, interval: 20 },
  );
}

interface Parts {
  readonly store: RollUpEventStore;
  readonly state: StateStore;
  /** Sends a statement to the engine. */
  readonly sql: (statement: string) => Promise<void>;
}

/** Does `work` on the engines of a data directory that nobody uses. */
async function withParts<T>(dataDirectory: string, work: (parts: Parts) => Promise<T>): Promise<T> {
  const engine = await startChdbEngine({ dataDirectory: join(dataDirectory, "events") });
  const store = createEventStore({ endpoint: { kind: "embedded", socketPath: engine.socketPath } });
  const state = await openStateStore({ kind: "embedded", directory: join(dataDirectory, "state") });
  const sql = async (statement: string): Promise<void> => {
    const sent = request({ socketPath: engine.socketPath, method: "POST", path: "/?mutations_sync=1" }).end(statement);
    const [answer] = await once(sent, "response");
    expect([answer.statusCode, await text(answer)]).toEqual([200, ""]);
  };
  try {
    return await work({ store, state, sql });
  } finally {
    await state.close();
    await store.close();
    await engine.stop();
  }
}

/** Keeps the roll-ups as the server does, until everything is in them and nothing is stale. */
async function keepRollUps(dataDirectory: string): Promise<void> {
  await withParts(dataDirectory, async ({ store, state }) => {
    const errors: unknown[] = [];
    const positions = await state.db.selectFrom("stored_position").selectAll().execute();
    const keeper = new RollUpKeeper({
      db: state.db,
      store: store.rollUps,
      clock: systemClock,
      positions: () => new Map(positions.map((row) => [row.partition, row.stored_upto])),
      isBusy: () => false,
      isIngesting: () => false,
      onError: (error) => errors.push(error),
      onDifference: (meter) => errors.push(meter.slug),
    });
    void keeper.run();
    const isDone = (): boolean =>
      keeper.isCaughtUp &&
      keeper.records.length === 3 &&
      keeper.records.every(({ record }) => record.stale.length === 0);
    await vi.waitFor(() => expect([errors, isDone()]).toEqual([[], true]), { timeout: WITHIN_MS, interval: 20 });
    await keeper.stop();
  });
}

/** A copy of the clean data directory to be damaged. */
async function copyOfClean(name: string): Promise<string> {
  const copy = join(root, name);
  await cp(clean, copy, { recursive: true });
  return copy;
}

async function flipByte(path: string, at: number): Promise<void> {
  const file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  await file.write(Buffer.of((byte[0] ?? 0) ^ 0xff), 0, 1, at);
  await file.close();
}

/** Checks that are not clean, by name. */
function findings(report: VerifyReport): Readonly<Record<string, CheckReport["status"]>> {
  return Object.fromEntries(
    report.checks.filter(({ status }) => status !== "clean").map((each) => [each.name, each.status]),
  );
}

function checkOf(report: VerifyReport, name: string): CheckReport {
  return report.checks.find((check) => check.name === name) ?? expect.fail(`no check ${name}`);
}

test("a directory in order is clean", async () => {
  const { code, output } = await verifyCommand("--data-dir", clean, "--json");
  const report: VerifyReport = JSON.parse(output);
  expect([code, findings(report), report.isClean, report.repaired]).toEqual([0, {}, true, []]);
  const compared = Object.fromEntries(report.checks.map((check) => [check.name, check.compared]));
  const kept = EVENTS - REPEATED;
  expect(compared).toMatchObject({
    events_log: `${kept} events and ${REPEATED} duplicates of the log with ${kept} stored events`,
    claims_events: `${kept} claims with ${kept} stored events, both ways`,
    conflicts: `${REPEATED / 2} conflicts with the events they lost to`,
  });
  expect(compared["roll_ups"]).toMatch(/^3 roll-ups on \d+ levels/);
  expect(compared["log_files"]).toMatch(/in [2-9] segments/);
  expect(report.checks.flatMap(({ notes }) => notes)).toEqual([]);
});

test("events that are missing, changed, or stored twice are named, and then nothing is repaired", async () => {
  const directory = await copyOfClean("events");
  await withParts(directory, async ({ store, sql }) => {
    await sql("ALTER TABLE tallystick.events DELETE WHERE log_offset = 4321");
    await sql("ALTER TABLE tallystick.events UPDATE source = 'other' WHERE log_offset = 100");
    await sql(
      "ALTER TABLE tallystick.events UPDATE vals = mapUpdate(vals, map('amount', '#7')) WHERE log_offset = 200",
    );
    const [repeated, twice] = (await store.eventsAt(0, [20, 300])).toSorted((a, b) => a.offset - b.offset);
    if (repeated === undefined || twice === undefined) throw new Error("the events at offsets 20 and 300 are stored");
    await store.insert(encodeEvents([{ ...repeated, offset: 50 }]), "repeated");
    await store.insert(encodeEvents([twice]), "twice");
    await store.insert(encodeEvents([{ ...twice, id: "nowhere", offset: EVENTS + 5 }]), "beyond");
  });
  const report = await verifyDataDirectory({ dataDirectory: directory, repair: true });
  expect(findings(report)).toEqual({
    events_log: "different",
    events_once: "different",
    claims_events: "different",
    roll_ups: "different",
  });
  expect(checkOf(report, "events_log").examples).toEqual([
    "the event at offset 50 (type traffic, source s, id ä-20) is stored, but is a duplicate of the event at offset 20",
    "the event at offset 100 (type traffic, source s, id ä-100) is stored with another source",
    "the event at offset 200 (type traffic, source s, id ä-200) is stored with other properties for meters than its data says",
    "the event at offset 4321 (type traffic, source s, id ä-4321) is not stored",
    expect.stringMatching(
      /^1 events at offsets 24000 to 24999 are stored, but the state store counts those up to 23999/,
    ),
  ]);
  expect(checkOf(report, "events_once").examples).toEqual([
    "source s, id ä-20 is stored 2 times, at offsets 20, 50",
    "source s, id ä-300 is stored 2 times, at offsets 300, 300",
  ]);
  expect(checkOf(report, "claims_events").examples).toEqual([
    "the event stored at offset 50 has no claim",
    "the claim of offset 100 is of another identity than the event stored there",
    "a claim names offset 4321, where no event is stored",
  ]);
  expect(report.repaired).toEqual([]);
  expect(checkOf(report, "roll_ups").notes).toEqual([
    expect.stringMatching(/^not repaired: the events themselves differ/),
  ]);
});

test("roll-ups that differ are found, marked by --repair, and right again after the next run of the server", async () => {
  const directory = await copyOfClean("roll-ups");
  const rows = "FROM tallystick.roll_ups WHERE subject = 'c3'";
  await withParts(directory, async ({ sql }) => {
    const first = `bucket = (SELECT min(bucket) ${rows})`;
    await sql(`ALTER TABLE tallystick.roll_ups UPDATE events = events + 1 WHERE subject = 'c3' AND ${first}`);
  });
  const repaired = await verifyCommand("--data-dir", directory, "--repair", "--json");
  const report: VerifyReport = JSON.parse(repaired.output);
  expect([repaired.code, findings(report)]).toEqual([1, { roll_ups: "different" }]);
  for (const example of checkOf(report, "roll_ups").examples) {
    expect(example).toMatch(/^meter (amounts|users|latest), the (HOUR|DAY|MONTH) from 2026-04-[^,]+, subject "c3"/);
  }
  expect(report.repaired.length).toBeGreaterThan(0);
  for (const each of report.repaired) expect(each).toContain(": 2026-04-01T00:00:00Z to 2026-05-01T00:00:00Z is stale");
  const { child, url } = await start(directory);
  const answer = await fetch(`${url}/api/v1/meters/latest/query?from=2026-04-01T00:00:00Z&to=2026-05-01T00:00:00Z`);
  expect(answer.status).toBe(200);
  await end(child);
  await keepRollUps(directory);
  const after = await verifyDataDirectory({ dataDirectory: directory });
  expect([findings(after), after.checks.flatMap(({ notes }) => notes)]).toEqual([{}, []]);
});

test("lost rows of a roll-up are found, and so are rows where no event ever was", async () => {
  const directory = await copyOfClean("chunks");
  await withParts(directory, async ({ sql }) => {
    const rows = "FROM tallystick.roll_ups WHERE subject = 'c4'";
    await sql(`ALTER TABLE tallystick.roll_ups DELETE WHERE subject = 'c4' AND bucket = (SELECT max(bucket) ${rows})`);
    const columns = "SELECT * REPLACE (toInt64(4102444800000000) AS bucket)";
    await sql(`INSERT INTO tallystick.roll_ups ${columns} FROM tallystick.roll_ups LIMIT 1`);
  });
  const report = await verifyDataDirectory({ dataDirectory: directory });
  expect([findings(report), report.repaired]).toEqual([{ roll_ups: "different", roll_up_chunks: "different" }, []]);
  expect(checkOf(report, "roll_up_chunks").examples[0]).toMatch(/^meter \w+: chunk \d+ has \d+ rows instead of \d+$/);
  const examples = checkOf(report, "roll_ups").examples.join("\n");
  expect(examples).toContain("from 2100-01-01T00:00:00Z");
  expect(examples).toMatch(/the \w+ from 2026-06-[^,]+, subject "c4"/);
});

test("claims that are damaged or lost are found", async () => {
  const directory = await copyOfClean("claims");
  const claims = join(directory, "claims");
  const journal = join(claims, (await readdir(claims)).find((name) => name.startsWith("journal")) ?? "");
  await flipByte(journal, 12);
  const damaged = await verifyDataDirectory({ dataDirectory: directory });
  expect(findings(damaged)).toEqual({
    claims_files: "different",
    events_log: "skipped",
    claims_events: "skipped",
    conflicts: "skipped",
  });
  expect(checkOf(damaged, "claims_files").examples).toEqual([expect.stringContaining(`${journal} is damaged`)]);

  // A last frame that is cut short looks like a torn write, so its claims are gone without a trace in the files.
  await flipByte(journal, 12);
  await truncate(journal, (await stat(journal)).size - 32);
  const lost = await verifyDataDirectory({ dataDirectory: directory });
  expect(findings(lost)).toEqual({ claims_events: "different" });
  expect(checkOf(lost, "claims_events").examples[0]).toMatch(/^the event stored at offset \d+ has no claim$/);
});

test("a trimmed log is in order, a flipped byte in any segment is not", async () => {
  const directory = await copyOfClean("log");
  const segments = (await readdir(join(directory, "log"))).filter((name) => name.endsWith(".log")).toSorted();
  const [, second = "", third = ""] = segments;
  const log = await openEmbeddedLog({ directory: join(directory, "log"), report: () => undefined });
  const base = Number(second.slice(0, 20));
  await log.trim(0, base + 1);
  await log.close();
  await flipByte(join(directory, "log", second), 5_000);
  const gap = await verifyDataDirectory({ dataDirectory: directory });
  expect(findings(gap)).toEqual({ log_files: "different" });
  expect(checkOf(gap, "log_files").examples).toEqual([expect.stringMatching(`${second}, byte \\d+ \\(offset \\d+\\)`)]);
  expect(checkOf(gap, "events_log").notes).toEqual([
    expect.stringContaining(`${base} offsets were trimmed`),
    expect.stringMatching(`^offsets ${base} to ${Number(third.slice(0, 20)) - 1} of the log cannot be read$`),
  ]);

  await flipByte(join(directory, "log", segments.at(-1) ?? ""), 5_000);
  const refused = await verifyDataDirectory({ dataDirectory: directory });
  expect(findings(refused)).toEqual({ log_files: "different", state: "skipped", events_log: "skipped" });
});

test("positions that are not of this log and untrue conflicts are found", async () => {
  const directory = await copyOfClean("state");
  await withParts(directory, async ({ state }) => {
    await state.db
      .updateTable("stored_position")
      .set({ stored_upto: EVENTS + 7 })
      .execute();
    await state.db
      .insertInto("sink_batch")
      .values({ partition: 0, from_offset: 5, to_offset: 9, stored_at: instantFromMicros(1), status: "recorded" })
      .onConflict((conflict) => conflict.columns(["partition", "from_offset"]).doNothing())
      .execute();
    const wrong = { first_seen_at: instantFromMicros(1) };
    await state.db.updateTable("event_conflict").set(wrong).where("log_offset", "=", 50).execute();
  });
  const report = await verifyDataDirectory({ dataDirectory: directory });
  expect(findings(report)).toEqual({ state: "different", conflicts: "different" });
  expect(checkOf(report, "state").examples).toEqual([
    `events up to offset ${EVENTS + 7} count as stored, but the log ends at offset ${EVENTS - 1}`,
    expect.stringMatching(/^the batch under way has offsets 5 to 9/),
  ]);
  expect(checkOf(report, "conflicts").examples).toEqual([
    "the conflict at offset 50 (s, ä-20) lost to offset 20, which came at another time than it says",
  ]);
});

test("a batch that was under way is no difference, whichever of its rows are stored", async () => {
  const directory = await copyOfClean("batch");
  const [from, to] = [EVENTS - 10, EVENTS - 1];
  await withParts(directory, async ({ state, store, sql }) => {
    await state.db
      .updateTable("stored_position")
      .set({ stored_upto: from - 1 })
      .execute();
    await state.db.deleteFrom("sink_batch").execute();
    const batch = { partition: 0, from_offset: from, to_offset: to, stored_at: instantFromMicros(1) };
    await state.db
      .insertInto("sink_batch")
      .values({ ...batch, status: "recorded" })
      .execute();
    // Roll-ups are kept up to the position only.
    await state.db.deleteFrom("roll_up").execute();
    await sql(`ALTER TABLE tallystick.events DELETE WHERE log_offset = ${from + 2}`);
    expect(await store.lastOffset(0)).toBe(to);
  });
  const report = await verifyDataDirectory({ dataDirectory: directory });
  expect(findings(report)).toEqual({});
  expect(checkOf(report, "state").notes).toEqual([expect.stringContaining(`offsets ${from} to ${to} was under way`)]);
  expect(checkOf(report, "events_log").notes).toEqual([
    expect.stringContaining("10 events of the log are not stored yet"),
  ]);
  expect(checkOf(report, "claims_events").notes).toEqual([expect.stringContaining("10 claims are of events")]);
});

test("what is no data directory, or half a one, could not be checked", async () => {
  const directory = join(root, "half");
  await mkdir(join(directory, "log"), { recursive: true });
  await expect(verifyDataDirectory({ dataDirectory: directory })).rejects.toThrow(/events is missing: bring it back/);
  await mkdir(join(directory, "events"));
  await mkdir(join(directory, "state"));
  await writeFile(join(directory, "restored.json"), '{"kind":"unfinished"}\n');
  await expect(verifyDataDirectory({ dataDirectory: directory })).rejects.toThrow(/did not finish/);
  const { code, output } = await verifyCommand("--data-dir", join(root, "nothing"));
  expect([code, output]).toEqual([2, expect.stringMatching(/^tallystick: verify could not check: .*no log/)]);
});
