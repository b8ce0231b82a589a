/** The embedded log on a real disk: the conformance suite, segments, readers beside the writer, the lock. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import { eventLogConformance } from "../conformance.ts";
import type { EventLog, EventLogReader, LogRecord } from "../log.ts";
import { openEmbeddedLog, openEmbeddedLogReader } from "./embedded-log.ts";
import type { EmbeddedLogOptions, EmbeddedLogReport } from "./embedded-log.ts";

const NO_LIMIT = { events: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };
const SEGMENT_BYTES = 8 * 1024;

let directory: string;
let reports: EmbeddedLogReport[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tallystick-log-"));
  reports = [];
});

afterEach(() => rm(directory, { recursive: true, force: true }));

function open(options: Partial<EmbeddedLogOptions> = {}): Promise<EventLog> {
  return openEmbeddedLog({ directory, report: (report) => reports.push(report), ...options });
}

/** Appends one record of `count` events whose payload is `bytes` times the record's number. */
async function append(log: EventLog, number: number, count = 1, bytes = 500): Promise<number> {
  const ingestedAt = instantFromMicros(1_000_000 + number * 1000);
  return (await log.append({ count, ingestedAt, payload: new Uint8Array(bytes).fill(number) })).offset;
}

async function readAll(reader: EventLogReader, from = reader.start(0)): Promise<LogRecord[]> {
  const all: LogRecord[] = [];
  for (let offset = from; offset < reader.end(0);) {
    for (const record of await reader.read(0, offset, { events: 7, bytes: 3000 })) {
      expect(record.offset).toBe(offset);
      offset += record.count;
      all.push(record);
    }
  }
  return all;
}

async function segments(): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.endsWith(".log")).toSorted();
}

async function conformanceDirectory(segmentBytes: number) {
  const own = await mkdtemp(join(tmpdir(), "tallystick-log-"));
  return {
    open: () => openEmbeddedLog({ directory: join(own, "data", "log"), segmentBytes, report: () => undefined }),
    remove: () => rm(own, { recursive: true, force: true }),
  };
}

eventLogConformance("embedded", () => conformanceDirectory(64 * 1024 * 1024));
eventLogConformance("embedded with tiny segments", () => conformanceDirectory(SEGMENT_BYTES));

describe("segments", () => {
  test("a full segment is followed by one that is named by its first offset", async () => {
    const log = await open({ segmentBytes: SEGMENT_BYTES });
    for (let number = 0; number < 60; number += 1) expect(await append(log, number)).toBe(number);
    const names = await segments();
    expect(names.length).toBeGreaterThan(3);
    // (8192 - 64) / (48 + 500) = 14.8 records fit.
    expect(names.slice(0, 3)).toEqual([0, 14, 28].map((base) => `${String(base).padStart(20, "0")}.log`));
    expect((await readAll(log)).map((record) => record.payload[0])).toEqual(Array.from({ length: 60 }, (_, at) => at));
    await log.close();
    const again = await open({ segmentBytes: SEGMENT_BYTES });
    expect(await readAll(again)).toHaveLength(60);
    expect(await append(again, 60)).toBe(60);
    await again.close();
    expect(reports).toEqual([]);
  });

  test("a record larger than a segment has one for itself", async () => {
    const log = await open({ segmentBytes: SEGMENT_BYTES });
    const sizes = [10, 3 * SEGMENT_BYTES, 5 * SEGMENT_BYTES, 10, 10];
    for (const [number, bytes] of sizes.entries()) await append(log, number, 1, bytes);
    await log.close();
    const again = await open({ segmentBytes: SEGMENT_BYTES });
    expect((await readAll(again)).map((record) => record.payload.length)).toEqual(sizes);
    expect(await segments()).toHaveLength(4);
    await again.close();
  });

  test("opening and closing again and again neither loses nor adds anything", async () => {
    const first = await open();
    await append(first, 1);
    await first.close();
    for (let round = 0; round < 3; round += 1) {
      const log = await open();
      expect([log.start(0), log.end(0), await segments().then((names) => names.length)]).toEqual([0, 1, 1]);
      await log.close();
    }
    expect(reports).toEqual([]);
  });

  test("trimming deletes the segments before the offset and nothing else", async () => {
    const log = await open({ segmentBytes: SEGMENT_BYTES });
    for (let number = 0; number < 60; number += 1) await append(log, number);
    const other = await openEmbeddedLogReader({ directory, end: log.end(0) });
    await other.read(0, 3, { events: 1, bytes: 1 });
    await log.trim(0, 13);
    expect(log.start(0)).toBe(0);
    await log.trim(0, 30);
    expect(log.start(0)).toBe(28);
    await expect(log.read(0, 27, NO_LIMIT)).rejects.toMatchObject({ name: "OffsetTrimmed" });
    expect(await readAll(log)).toHaveLength(32);
    await expect(other.read(0, 20, NO_LIMIT)).rejects.toMatchObject({ name: "OffsetTrimmed" });
    expect(other.start(0)).toBe(28);
    await other.close();
    await log.trim(0, log.end(0));
    expect(await segments()).toHaveLength(1);
    const { start, end } = { start: log.start(0), end: log.end(0) };
    await log.close();
    const again = await open({ segmentBytes: SEGMENT_BYTES });
    expect([again.start(0), again.end(0)]).toEqual([start, end]);
    expect(again.lastIngestedAt).toBe(1_000_000 + 59 * 1000);
    await again.close();
  });
});

describe("a reader beside the writer", () => {
  test("sees what it was told and continues through new segments", async () => {
    const log = await open({ segmentBytes: SEGMENT_BYTES });
    const reader = await openEmbeddedLogReader({ directory });
    const done = new AbortController();
    const seen: number[] = [];
    const follow = async (): Promise<void> => {
      let offset = 0;
      while (offset < 300) {
        await reader.waitFor(0, offset, done.signal);
        for (const record of await reader.read(0, offset, { events: 50, bytes: 100_000 })) {
          expect(record.offset).toBe(offset);
          expect(record.payload.every((byte) => byte === record.offset % 251)).toBe(true);
          seen.push(record.offset);
          offset += record.count;
        }
      }
    };
    log.onDurable((partition, end) => reader.setEnd(partition, end));
    const following = follow();
    await Promise.all(
      Array.from({ length: 300 }, (_, number) =>
        log.append({
          count: 1,
          ingestedAt: instantFromMicros(1_000_000 + number),
          payload: new Uint8Array(number * 3).fill(number % 251),
        }),
      ),
    );
    await following;
    expect(seen).toEqual(Array.from({ length: 300 }, (_, at) => at));
    await reader.close();
    await log.close();
  });

  test("returns nothing behind the end that it was told", async () => {
    const log = await open();
    for (let number = 0; number < 10; number += 1) await append(log, number);
    const reader = await openEmbeddedLogReader({ directory, end: 4 });
    expect(await reader.read(0, 0, NO_LIMIT)).toHaveLength(4);
    expect(await reader.read(0, 4, NO_LIMIT)).toEqual([]);
    reader.setEnd(0, 6);
    expect(await reader.read(0, 4, NO_LIMIT)).toHaveLength(2);
    expect(() => reader.setEnd(0, 5)).toThrow("never goes back");
    await reader.close();
    await log.close();
  });

  test("finds any offset, also in segments that it never read", async () => {
    const log = await open({ segmentBytes: 512 * 1024 });
    await Promise.all(Array.from({ length: 400 }, (_, number) => append(log, number, 3, 5000)));
    const reader = await openEmbeddedLogReader({ directory, end: log.end(0) });
    for (const number of [399, 0, 200, 199, 50, 398, 120, 121, 5]) {
      const [record] = await reader.read(0, number * 3 + 1, { events: 1, bytes: 1 });
      expect([record?.offset, record?.payload[4999]]).toEqual([number * 3, number & 255]);
    }
    await reader.close();
    await log.close();
  });
});

describe("one writer", () => {
  test("a second one in the same process is refused and told which directory", async () => {
    const log = await open();
    await expect(open()).rejects.toThrow(`${directory} is already open for writing by process ${process.pid}`);
    await log.close();
    await open().then((again) => again.close());
  });

  test("another process is refused until the first one is killed", async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, "crash-writer.ts"), directory], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(createInterface(child.stdout), "line");
    await expect(open()).rejects.toThrow(`by process ${child.pid}`);
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    const log = await open();
    expect(log.end(0)).toBeGreaterThan(0);
    const others = (await readdir(directory)).filter((name) => !name.endsWith(".log"));
    expect(others.toSorted()).toEqual(["lock", "lock.owner"]);
    await log.close();
  });

  test("instants that do not increase are a defect of the caller", async () => {
    const log = await open();
    await append(log, 5, 10);
    await expect(append(log, 5)).rejects.toMatchObject({ name: "InvariantViolation" });
    expect(await append(log, 6)).toBe(10);
    await log.close();
  });
});
