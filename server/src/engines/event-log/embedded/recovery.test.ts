/** What opening the log does with files that a crash, a broken disk or a person has changed. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { EventLog, LogRecord } from "../log.ts";
import { openLogOn } from "./embedded-log.ts";
import type { EmbeddedLogReport } from "./embedded-log.ts";
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "./format.ts";
import { seededRandom } from "./seeded-random.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const DIRECTORY = "/log";
const FIRST_SEGMENT = "/log/00000000000000000000.log";
const PAYLOAD_BYTES = 20;
const RECORD_BYTES = RECORD_HEADER_BYTES + PAYLOAD_BYTES;

function open(disk: SimulatedDisk, reports: EmbeddedLogReport[] = [], segmentBytes = 1 << 20): Promise<EventLog> {
  return openLogOn(disk, { directory: DIRECTORY, segmentBytes, report: (report) => reports.push(report) });
}

/** Record `number` has two events and a payload of `PAYLOAD_BYTES` that tells its number. */
function append(log: EventLog, number: number): Promise<unknown> {
  const payload = new Uint8Array(PAYLOAD_BYTES).fill(number);
  return log.append({ count: 2, ingestedAt: instantFromMicros(1000 + number * 10), payload });
}

async function readAll(log: EventLog): Promise<readonly LogRecord[]> {
  return log.read(0, log.start(0), { events: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY });
}

/** The first segment of a log whose process died after it stored the given groups of records. */
async function segmentWith(groups: readonly number[]): Promise<Buffer> {
  const disk = new SimulatedDisk();
  const log = await open(disk);
  let number = 0;
  for (const size of groups) {
    await Promise.all(Array.from({ length: size }, () => append(log, number++)));
  }
  return disk.bytesOf(FIRST_SEGMENT);
}

interface Outcome {
  readonly numbers: readonly number[];
  readonly cutBytes: number;
  readonly error: string;
}

/** Opens a log with this first segment, checks that it accepts another record, and says what was found. */
async function outcomeOf(segment: Uint8Array): Promise<Outcome> {
  const disk = new SimulatedDisk();
  disk.put(FIRST_SEGMENT, segment);
  const reports: EmbeddedLogReport[] = [];
  try {
    const log = await open(disk, reports);
    const numbers = (await readAll(log)).map((record) => record.payload[0] ?? -1);
    expect(log.end(0)).toBe(numbers.length * 2);
    await append(log, 200);
    await log.close();
    const again = await open(disk);
    expect((await readAll(again)).map((record) => record.payload[0])).toEqual([...numbers, 200]);
    await again.close();
    const cutBytes = reports.reduce((sum, report) => sum + (report.kind === "tail_cut" ? report.bytes : 0), 0);
    return { numbers, cutBytes, error: "" };
  } catch (error) {
    if (error instanceof Error && error.name === "LogDamaged")
      return { numbers: [], cutBytes: 0, error: error.message };
    throw error;
  }
}

function startOfRecord(number: number): number {
  return SEGMENT_HEADER_BYTES + number * RECORD_BYTES;
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number);
}

describe("a torn tail", () => {
  test("a file that ends at any byte of its last records keeps the whole ones", async () => {
    const segment = await segmentWith([1, 1, 3]);
    expect(segment.length).toBe(startOfRecord(5));
    for (let length = startOfRecord(2); length <= segment.length; length += 1) {
      const whole = Math.floor((length - SEGMENT_HEADER_BYTES) / RECORD_BYTES);
      const cutBytes = length - startOfRecord(whole);
      expect(await outcomeOf(segment.subarray(0, length)), `length ${length}`).toEqual({
        numbers: upTo(whole),
        cutBytes,
        error: "",
      });
    }
  });

  test("any flipped bit in the last group cuts from the flipped record on", async () => {
    const segment = await segmentWith([2, 3]);
    for (let at = startOfRecord(2); at < segment.length; at += 1) {
      const damaged = Buffer.from(segment);
      damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << (at % 8)), at);
      const whole = Math.floor((at - SEGMENT_HEADER_BYTES) / RECORD_BYTES);
      const outcome = await outcomeOf(damaged);
      expect(outcome, `byte ${at}`).toMatchObject({ numbers: upTo(whole), error: "" });
    }
  });

  test("zeros in the middle of the last group, with an intact record behind them, are a torn tail", async () => {
    const segment = await segmentWith([2, 3]);
    segment.fill(0, startOfRecord(2), startOfRecord(4));
    expect(await outcomeOf(segment)).toEqual({ numbers: [0, 1], cutBytes: 3 * RECORD_BYTES, error: "" });
  });

  test("zeros behind the last record are cut", async () => {
    const segment = await segmentWith([2]);
    const longer = Buffer.concat([segment, Buffer.alloc(5000)]);
    expect(await outcomeOf(longer)).toEqual({ numbers: [0, 1], cutBytes: 5000, error: "" });
  });
});

describe("damage", () => {
  test("any flipped bit before the last group is refused, with file and byte", async () => {
    const segment = await segmentWith([1, 2, 1]);
    for (let at = SEGMENT_HEADER_BYTES; at < startOfRecord(3); at += 1) {
      const damaged = Buffer.from(segment);
      damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << (at % 8)), at);
      const record = startOfRecord(Math.floor((at - SEGMENT_HEADER_BYTES) / RECORD_BYTES));
      expect((await outcomeOf(damaged)).error, `byte ${at}`).toContain(`${FIRST_SEGMENT}, byte ${record} `);
    }
  });

  test("any flipped bit in the segment header is refused", async () => {
    const segment = await segmentWith([2]);
    for (let at = 0; at < SEGMENT_HEADER_BYTES; at += 1) {
      const damaged = Buffer.from(segment);
      damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << (at % 8)), at);
      expect((await outcomeOf(damaged)).error, `byte ${at}`).toContain(`${FIRST_SEGMENT}, byte 0`);
    }
  });

  test("after a clean close the last group is protected, too", async () => {
    const disk = new SimulatedDisk();
    const log = await open(disk);
    await Promise.all([append(log, 0), append(log, 1)]);
    await log.close();
    const segment = disk.bytesOf(FIRST_SEGMENT);
    expect(segment.length).toBe(startOfRecord(2) + RECORD_HEADER_BYTES);
    segment.writeUInt8(segment.readUInt8(startOfRecord(1) + 60) ^ 1, startOfRecord(1) + 60);
    expect((await outcomeOf(segment)).error).toContain(`byte ${startOfRecord(1)} (offset 2)`);
  });

  test("bytes of a record inside a payload do not pass for a record", async () => {
    const foreign = await segmentWith([1, 1, 1]);
    const disk = new SimulatedDisk();
    const log = await open(disk);
    await append(log, 0);
    await log.append({ count: 1, ingestedAt: instantFromMicros(5000), payload: foreign });
    const segment = disk.bytesOf(FIRST_SEGMENT);
    segment.writeUInt8(segment.readUInt8(startOfRecord(1)) ^ 1, startOfRecord(1));
    expect(await outcomeOf(segment)).toMatchObject({ numbers: [0], error: "" });
  });

  test.each([
    ["is missing", (disk: SimulatedDisk, path: string) => disk.delete(path), "is missing"],
    ["is cut", (disk: SimulatedDisk, path: string) => disk.put(path, disk.bytesOf(path).subarray(0, -1)), "bytes long"],
    [
      "has grown",
      (disk: SimulatedDisk, path: string) => disk.put(path, Buffer.concat([disk.bytesOf(path), Buffer.alloc(1)])),
      "bytes long",
    ],
    ["is empty", (disk: SimulatedDisk, path: string) => disk.put(path, Buffer.alloc(0)), "incomplete"],
    [
      "is another one",
      (disk: SimulatedDisk, path: string) => disk.put(path, disk.bytesOf(FIRST_SEGMENT)),
      "starts at 0",
    ],
  ])("an earlier segment that %s is refused", async (_, change, message) => {
    const disk = new SimulatedDisk();
    const log = await open(disk, [], 300);
    for (const number of upTo(12)) await append(log, number);
    await log.close();
    const middle = disk.paths().filter((path) => path.endsWith(".log"))[1] ?? "";
    change(disk, middle);
    await expect(open(disk, [], 300)).rejects.toThrow(message);
  });

  test("reading a record that was damaged while the log was open is refused", async () => {
    const disk = new SimulatedDisk();
    const log = await open(disk, [], 300);
    for (const number of upTo(12)) await append(log, number);
    const segment = disk.bytesOf(FIRST_SEGMENT);
    segment.writeUInt8(segment.readUInt8(startOfRecord(1) + 50) ^ 1, startOfRecord(1) + 50);
    disk.put(FIRST_SEGMENT, segment);
    await expect(readAll(log)).rejects.toThrow(`${FIRST_SEGMENT}, byte ${startOfRecord(1)} (offset 2)`);
    expect(await log.read(0, 6, { events: 1, bytes: 1 })).toHaveLength(1);
    await log.close();
  });
});

describe("power cuts", () => {
  const plan = fc.record({
    seed: fc.integer(),
    lives: fc.array(
      fc.record({
        operations: fc.integer({ min: 1, max: 30 }),
        groups: fc.array(fc.array(fc.integer({ min: 0, max: 1500 }), { minLength: 1, maxLength: 6 }), {
          maxLength: 10,
        }),
        isClosed: fc.boolean(),
      }),
      { minLength: 1, maxLength: 6 },
    ),
  });

  /** Opens the log again, cutting the power once more right after; what was readable must still be there. */
  async function reopen(disk: SimulatedDisk, segmentBytes: number): Promise<{ log: EventLog; lengths: number[] }> {
    const first = await open(disk, [], segmentBytes);
    const seen = (await readAll(first)).map((record) => record.payload.length);
    disk.cutPower();
    const log = await open(disk, [], segmentBytes);
    const lengths = (await readAll(log)).map((record) => record.payload.length);
    expect(lengths).toEqual(seen);
    return { log, lengths };
  }

  test("at any moment, with any sectors lost, keep what was acknowledged", async () => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ seed, lives }) => {
        const disk = new SimulatedDisk(seededRandom(seed));
        const segmentBytes = 4000;
        // Offset to payload length of everything acknowledged so far.
        const acknowledged = new Map<number, number>();
        for (const { operations, groups, isClosed } of lives) {
          const { log } = await reopen(disk, segmentBytes);
          disk.operationsUntilPowerCut = operations;
          let micros = Number(log.lastIngestedAt ?? 0) + 1;
          for (const group of groups) {
            const appends = group.map(async (bytes) => {
              const record = { count: 1, ingestedAt: instantFromMicros(micros++), payload: new Uint8Array(bytes) };
              acknowledged.set((await log.append(record)).offset, bytes);
            });
            await Promise.allSettled(appends);
          }
          if (isClosed) await log.close();
          disk.cutPower();
          // Recovery itself may be cut short as well.
          disk.operationsUntilPowerCut = 1 + (operations % 5);
          await open(disk, [], segmentBytes).catch(() => undefined);
          disk.cutPower();
        }
        const { log, lengths } = await reopen(disk, segmentBytes);
        expect(log.end(0)).toBe(lengths.length);
        for (const [offset, bytes] of acknowledged) expect(lengths[offset]).toBe(bytes);
      }),
      { numRuns: 100 },
    );
  });
});
