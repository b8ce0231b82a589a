/**
 * The whole product on small real disks that fill up, break and rot. Laws: what was acknowledged counts exactly once, also
 * when it waited on a full disk; a refusal says why and what to do; and the product goes on by itself when the cause is
 * gone, or after a restart where the texts say so.
 */

import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, type TestContext, test } from "vitest";
import { makeEmbeddedDirectory } from "../../src/engines/state-store/fixture.ts";
import { ServedProduct, type Settings } from "./served-product.ts";
import { type DiskKind, mountSmallDisk, type SmallDisk } from "./small-disk.ts";

const MIB = 1024 * 1024;

let root: string;
let disk: SmallDisk | null = null;
let product: ServedProduct | null = null;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tallystick-storage-"));
});
afterEach(async () => {
  await product?.end("SIGKILL");
  await disk?.remove();
  product = null;
  disk = null;
  await rm(root, { recursive: true, force: true });
});

/** A disk for the test, which is skipped with a line of explanation where none can be mounted. */
async function diskOf(kind: DiskKind, bytes: number, context: TestContext): Promise<SmallDisk> {
  const mounted = await mountSmallDisk(kind, bytes);
  if (typeof mounted === "string") {
    process.stdout.write(`skipped: ${mounted}\n`);
    return context.skip(mounted);
  }
  disk = mounted;
  return mounted;
}

/** A data directory with an empty state store; the part named, or everything, lies on the disk. */
async function dataOn(small: SmallDisk, part: "everything" | "events" | "state"): Promise<string> {
  const data = join(part === "everything" ? small.path : root, "data");
  await mkdir(data);
  const state = await makeEmbeddedDirectory();
  await cp(state, join(part === "everything" ? data : part === "state" ? small.path : data, "state"), {
    recursive: true,
  });
  await rm(state, { recursive: true });
  if (part === "everything") return data;
  if (part === "events") await mkdir(join(small.path, part));
  await symlink(join(small.path, part), join(data, part));
  return data;
}

async function serve(data: string, settings: Settings = {}): Promise<ServedProduct> {
  product = new ServedProduct(data, root, settings);
  return await product.ready();
}

/** Sends numbered events in steps until it is refused; resolves with how many were acknowledged, and the refusal. */
async function sendUntilRefused(served: ServedProduct, from: number, step: number, padding = 0) {
  for (let next = from; ; next += step) {
    const refused = await served.send(next, step, padding);
    if (refused !== null) return { next, refused };
    if (next > from + 1000 * step) throw new Error("events are never refused");
  }
}

/** The sum of the numbers below `count`. */
const sumBelow = (count: number): number => (count * (count - 1)) / 2;

async function untilReady(served: ServedProduct, status: 200 | 503): Promise<string> {
  await served.until(`it does not answer ${status}`, async () => (await served.probe("ready")).status === status);
  return (await served.probe("ready")).text;
}

test("a disk that is nearly full: refused in time with the reason, and accepted again when there is room", async (context) => {
  const small = await diskOf("memory", 160 * MIB, context);
  const data = await dataOn(small, "everything");
  const served = await serve(data, { "eventLog.minFreeBytes": 16 * MIB });
  await served.createMeter();
  expect(await served.send(0, 100)).toBeNull();

  await small.fill(12 * MIB);
  expect(await untilReady(served, 503)).toMatch(
    /the disk of the event log in .*data\/log is nearly full: .* MiB are free/,
  );
  expect(await served.probe("live")).toMatchObject({ status: 200 });
  const refused = await served.send(100, 100);
  expect(refused).toMatchObject({ status: 503, retryAfter: "30" });
  expect(refused?.detail).toMatch(/data\/log is nearly full: .*eventLog\.minFreeBytes/);
  expect(await served.metric('tallystick_ingest_rejected_requests_total{code="storage_full"}')).toBe(1);
  expect(await served.metric("tallystick_storage_free_bytes")).toBeLessThan(16 * MIB);
  // What is kept free is there for what was accepted before.
  await served.settled();
  expect(await served.sum()).toBe(sumBelow(100));

  await small.empty();
  await untilReady(served, 200);
  expect(await served.send(100, 100)).toBeNull();
  await served.settled();
  expect(await served.sum()).toBe(sumBelow(200));
  expect(await served.end("SIGTERM")).toBe(0);
  expect(served.output).toMatch(/events are refused: .*nearly full/);
});

test("a disk that is full to the last byte, with no reserve: nothing acknowledged is lost, also after a kill", async (context) => {
  const small = await diskOf("memory", 160 * MIB, context);
  const data = await dataOn(small, "everything");
  const settings = { "eventLog.minFreeBytes": 0 };
  const served = await serve(data, settings);
  await served.createMeter();
  expect(await served.send(0, 100)).toBeNull();
  await served.settled();

  await small.fill(1.5 * MIB);
  const { next, refused } = await sendUntilRefused(served, 100, 100, 500);
  expect(refused).toMatchObject({ status: 503, retryAfter: "5" });
  expect(refused.detail).toMatch(/the disk of the event log in .*data\/log is full \(ENOSPC\)/);
  expect((await served.probe("ready")).text).toContain("is full (ENOSPC)");
  // The event store has no room either, and what waits for it waits in the log.
  expect(await served.sum()).toBeGreaterThanOrEqual(sumBelow(100));
  await served.end("SIGKILL");

  const again = await serve(data, settings);
  expect(await again.sum()).toBeGreaterThanOrEqual(sumBelow(100));
  await small.empty();
  await again.until("it never accepts again", async () => (await again.send(next, 100, 500)) === null);
  await again.settled();
  expect(await again.sum()).toBe(sumBelow(next + 100));
});

/** The log's segments, in order. */
async function segmentsOf(data: string): Promise<readonly string[]> {
  const names = await readdir(join(data, "log"));
  return names
    .filter((name) => name.endsWith(".log"))
    .toSorted()
    .map((name) => join(data, "log", name));
}

async function flipByte(path: string, place: (size: number) => number): Promise<void> {
  const bytes = await readFile(path);
  const at = place(bytes.length);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await writeFile(path, bytes);
}

test("an event store without room: the log goes on up to the backlog's limit, and damage to what waits is never skipped", async (context) => {
  const small = await diskOf("memory", 16 * MIB, context);
  const data = await dataOn(small, "events");
  const settings = { "ingest.maxBacklogEvents": 1000, "eventLog.segmentBytes": MIB };
  const served = await serve(data, settings);
  await served.createMeter();
  expect(await served.send(0, 1000, 1100)).toBeNull();
  await served.settled();

  await small.fill(0);
  const { next, refused } = await sendUntilRefused(served, 1000, 100);
  expect(next).toBe(2000);
  expect(refused).toMatchObject({ status: 503, retryAfter: "5" });
  expect(refused.detail).toMatch(/^1000 accepted events wait to be stored, .*ingest\.maxBacklogEvents/);
  expect((await served.probe("ready")).text).toContain("1000 accepted events wait to be stored");
  expect(await served.probe("live")).toMatchObject({ status: 200 });
  expect(await served.metric("tallystick_log_lag_events")).toBe(1000);
  await served.until("the sink does not try again", async () => {
    return (await served.metric('tallystick_engine_restarts_total{part="sink"}')) >= 2;
  });
  expect(await served.sum()).toBe(sumBelow(1000));
  await served.end("SIGKILL");

  // Acknowledged, not stored, and damaged: later records prove that it had been on the disk.
  const [first = "", last = ""] = await segmentsOf(data);
  await flipByte(last, (size) => Math.floor(size / 2));
  const refusing = new ServedProduct(data, root, settings);
  product = refusing;
  expect(await refusing.exitCode()).toBe(1);
  expect(refusing.output).toMatch(
    /^tallystick: cannot start: the event log is damaged: .*\.log, byte \d+ .* from a backup/m,
  );
  await flipByte(last, (size) => Math.floor(size / 2));

  // Damage to what is stored keeps nobody from going on.
  await flipByte(first, (size) => Math.floor(size / 2));
  await small.empty();
  const again = await serve(data, settings);
  await again.settled();
  expect(await again.sum()).toBe(sumBelow(2000));
  expect(await again.send(2000, 100)).toBeNull();
  await again.settled();
  expect(await again.sum()).toBe(sumBelow(2100));
});

test("a state store without room: it says that it needs a restart, events are still accepted, and none is lost", async (context) => {
  const small = await diskOf("memory", 192 * MIB, context);
  const data = await dataOn(small, "state");
  const served = await serve(data);
  await served.createMeter();
  expect(await served.send(0, 100)).toBeNull();
  await served.settled();
  // Room for the rows of conflicts, and not for the next 16 MiB of the write-ahead log.
  await small.fill(12 * MIB);
  const noise = () => randomBytes(9_000).toString("base64");
  const answer = { text: "" };
  await served.until("the state store takes everything", async () => {
    expect(await served.send(0, 100, noise)).toBeNull();
    answer.text = (await served.probe("ready")).text;
    return answer.text.includes("has stopped");
  });
  expect(answer.text).toMatch(/the state store has stopped \(.*No space left on device.*restart the server/);
  expect(await served.send(100, 100)).toBeNull();
  expect(await served.probe("live")).toMatchObject({ status: 200 });
  expect(await served.end("SIGTERM")).toBe(0);

  await small.empty();
  const again = await serve(data);
  await again.settled();
  expect(await again.sum()).toBe(sumBelow(200));
});

describe("a read-only disk", () => {
  test("while it runs: refused with the reason until it is repaired and restarted; at the start: said in one sentence", async (context) => {
    const small = await diskOf("ext4", 192 * MIB, context);
    const data = await dataOn(small, "everything");
    const served = await serve(data);
    await served.createMeter();
    expect(await served.send(0, 100)).toBeNull();
    await served.settled();
    // What the embedded state store writes is not forced to the disk, and this test is not about that.
    await small.flush();
    if (!(await small.breakDown())) return context.skip("this kernel lets nobody break an ext4");

    const refused = await served.send(100, 100);
    expect(refused).toMatchObject({ status: 503, retryAfter: "30" });
    expect(refused?.detail).toMatch(
      /the disk of the event log in .*data\/log has become read-only .*restart the server/,
    );
    expect((await served.probe("ready")).text).toContain("has become read-only");
    expect(await served.probe("live")).toMatchObject({ status: 200 });
    expect(await served.send(100, 100)).toMatchObject({ status: 503 });
    await served.end("SIGKILL");

    await small.mountAgain("ro");
    const refusing = new ServedProduct(data, root);
    product = refusing;
    expect(await refusing.exitCode()).toBe(1);
    expect(refusing.output).toMatch(
      /^tallystick: cannot start: the data directory .* mounted read-only; mount it writable/m,
    );

    await small.mountAgain();
    const again = await serve(data);
    await again.settled();
    expect(await again.sum()).toBe(sumBelow(100));
    expect(await again.send(100, 100)).toBeNull();
    await again.settled();
    expect(await again.sum()).toBe(sumBelow(200));
  });
});
