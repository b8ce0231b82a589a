/**
 * What every implementation of the event log port must do, as a suite that each of them runs.
 *
 * The suite knows nothing about partitions except what `append` answers, so that it fits a log with one or with many.
 */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { instantFromMicros } from "../../kernel/instant.ts";
import type { EventLog, LogAppend, LogRecord } from "./log.ts";

/** A log that can be closed and opened again. */
export interface LogUnderTest {
  open(): Promise<EventLog>;
  /** Removes everything that the log stored. */
  remove(): Promise<void>;
}

const START_MICROS = Date.UTC(2026, 0, 1) * 1000;
const NO_LIMIT = { events: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };

/** Makes records with increasing instants and a payload that depends on everything in them. */
function recordSource(startMicros = START_MICROS): (count: number, bytes: number) => LogAppend {
  let next = startMicros;
  return (count, bytes) => {
    const ingestedAt = instantFromMicros(next);
    next += count + 1;
    return { count, ingestedAt, payload: new Uint8Array(bytes).map((_, at) => (next * 31 + at * 7) & 255) };
  };
}

/** A record whose payload is told by its length and digest, which compare quickly and print well. */
type Seen = Omit<LogRecord, "payload"> & { readonly payload: string };

function plain(record: LogRecord): Seen {
  const digest = createHash("sha256").update(record.payload).digest("hex");
  return { ...record, payload: `${record.payload.length} bytes, ${digest}` };
}

function placed(record: LogAppend, place: { partition: number; offset: number }): Seen {
  return plain({ ...record, ...place });
}

/** All records of the log, read step by step with the limit. */
async function readAll(log: EventLog, limit: { events: number; bytes: number } = NO_LIMIT): Promise<Seen[]> {
  const all: Seen[] = [];
  for (const partition of log.partitions) {
    for (let offset = log.start(partition); offset < log.end(partition);) {
      const records = await log.read(partition, offset, limit);
      expect(records.length).toBeGreaterThan(0);
      for (const record of records) {
        expect(record.offset).toBe(offset);
        offset += record.count;
        all.push(plain(record));
      }
    }
  }
  return all;
}

function inOrder(records: readonly Seen[]): Seen[] {
  return records.toSorted((a, b) => a.partition - b.partition || a.offset - b.offset);
}

async function appendAll(log: EventLog, records: readonly LogAppend[]): Promise<Seen[]> {
  const places = await Promise.all(records.map((record) => log.append(record)));
  return inOrder(records.map((record, at) => placed(record, places[at] ?? { partition: -1, offset: -1 })));
}

/** Runs the suite; `create` makes a new, empty log for every test. */
export function eventLogConformance(name: string, create: () => Promise<LogUnderTest>): void {
  describe(`${name}: event log conformance`, () => {
    let subject: LogUnderTest;
    let log: EventLog;

    beforeEach(async () => {
      subject = await create();
      log = await subject.open();
    });

    afterEach(async () => {
      await log.close();
      await subject.remove();
    });

    test("an empty log has nothing to read", async () => {
      expect(log.lastIngestedAt).toBeUndefined();
      for (const partition of log.partitions) {
        expect([log.start(partition), log.end(partition)]).toEqual([0, 0]);
        expect(await log.read(partition, 0, NO_LIMIT)).toEqual([]);
      }
    });

    test("a record is read back as it was appended", async () => {
      const record = recordSource()(3, 1000);
      const place = await log.append(record);
      expect(place.offset).toBe(0);
      expect(log.end(place.partition)).toBe(3);
      expect((await log.read(place.partition, 0, NO_LIMIT)).map(plain)).toEqual([placed(record, place)]);
    });

    test("an empty and a large payload survive", async () => {
      const next = recordSource();
      const written = await appendAll(log, [next(1, 0), next(2, 3_000_000), next(1, 1)]);
      expect(await readAll(log)).toEqual(written);
    });

    test("concurrent appends get consecutive offsets, none twice", async () => {
      const next = recordSource();
      const written = await appendAll(
        log,
        Array.from({ length: 500 }, (_, at) => next(1 + (at % 4), (at * 37) % 900)),
      );
      expect(await readAll(log)).toEqual(written);
      for (const partition of log.partitions) {
        const events = written
          .filter((record) => record.partition === partition)
          .reduce((sum, { count }) => sum + count, 0);
        expect(log.end(partition)).toBe(events);
      }
    });

    test("appends that wait for each other resolve in order and are readable at once", async () => {
      const next = recordSource();
      for (let round = 0; round < 5; round += 1) {
        const { partition, offset } = await log.append(next(2, 50));
        const [record] = await log.read(partition, offset, NO_LIMIT);
        expect(record?.offset).toBe(offset);
      }
    });

    test("an offset inside a record finds the whole record", async () => {
      const next = recordSource();
      const written = await appendAll(log, [next(4, 10), next(5, 10), next(6, 10)]);
      for (const record of written) {
        for (let inside = 0; inside < record.count; inside += 1) {
          const [found] = await log.read(record.partition, record.offset + inside, { events: 1, bytes: 1 });
          expect(found && plain(found)).toEqual(record);
        }
      }
    });

    test("limits hold, but one record is always returned", async () => {
      const next = recordSource();
      const { partition } = await log.append(next(10, 100));
      const first = { partition, offset: 0 };
      expect(await log.read(partition, 0, { events: 1, bytes: 1 })).toMatchObject([first]);
      const written = await appendAll(
        log,
        Array.from({ length: 40 }, () => next(10, 100)),
      );
      const available = written.filter((record) => record.partition === partition).length + 1;
      const byEvents = await log.read(partition, 0, { events: 35, bytes: 1_000_000 });
      expect(byEvents).toHaveLength(Math.min(3, available));
      const byBytes = await log.read(partition, 0, { events: 1_000_000, bytes: 250 });
      expect(byBytes).toHaveLength(Math.min(2, available));
    });

    test("any limits give the same records", async () => {
      const next = recordSource();
      const written = await appendAll(
        log,
        Array.from({ length: 60 }, (_, at) => next(1 + (at % 3), (at * 997) % 20_000)),
      );
      const limits = fc.record({
        events: fc.integer({ min: 1, max: 50 }),
        bytes: fc.integer({ min: 1, max: 400_000 }),
      });
      await fc.assert(
        fc.asyncProperty(limits, async (limit) => {
          expect(await readAll(log, limit)).toEqual(written);
        }),
        { numRuns: 20 },
      );
    });

    test("waiting ends with the event, with the signal and with the log", async () => {
      const { partition, offset } = await log.append(recordSource()(2, 10));
      const never = new AbortController().signal;
      await log.waitFor(partition, offset + 1, never);
      await log.waitFor(partition, 1000, AbortSignal.abort());
      const abort = new AbortController();
      const aborted = log.waitFor(partition, 1000, abort.signal);
      abort.abort();
      await aborted;
      const waits = log.partitions.map((each) => log.waitFor(each, log.end(each), never));
      await log.append(recordSource(START_MICROS + 100)(1, 10));
      await Promise.race(waits);
      const closed = log.waitFor(partition, 1000, never);
      await log.close();
      await closed;
    });

    test("a waiting reader sees neither less nor more than what is there", async () => {
      const partition = log.partitions[0] ?? 0;
      let waiting = "waits";
      const abort = new AbortController();
      const watch = async (): Promise<void> => {
        await log.waitFor(partition, 5, abort.signal);
        waiting = "is done";
      };
      const watching = watch();
      const next = recordSource();
      while (log.end(partition) <= 5) {
        expect(waiting).toBe("waits");
        await log.append(next(1, 10));
      }
      await watching;
      expect(log.end(partition)).toBe(6);
    });

    test("listeners hear every new end, in order", async () => {
      const ends = new Map<number, number[]>();
      log.onDurable((partition, end) => ends.set(partition, [...(ends.get(partition) ?? []), end]));
      const next = recordSource();
      for (let round = 0; round < 3; round += 1) await appendAll(log, [next(2, 10), next(1, 10), next(3, 10)]);
      expect(ends.size).toBeGreaterThan(0);
      for (const [partition, heard] of ends) {
        expect(heard).toEqual([...new Set(heard)].toSorted((a, b) => a - b));
        expect(heard.at(-1)).toBe(log.end(partition));
      }
    });

    test("everything is there after closing and opening again, and the log goes on behind it", async () => {
      const next = recordSource();
      let written = await appendAll(log, [next(3, 200), next(1, 0), next(7, 5000)]);
      for (let round = 0; round < 3; round += 1) {
        const last = log.lastIngestedAt;
        await log.close();
        log = await subject.open();
        expect(log.lastIngestedAt).toBe(last);
        expect(await readAll(log)).toEqual(written);
        written = inOrder(written.concat(await appendAll(log, [next(2, 100)])));
      }
      expect(await readAll(log)).toEqual(written);
    });

    test("the last ingestion instant is the one of the last event", async () => {
      await log.append({ count: 5, ingestedAt: instantFromMicros(START_MICROS), payload: new Uint8Array(1) });
      expect(log.lastIngestedAt).toBe(START_MICROS + 4);
    });

    test("a closed log accepts nothing", async () => {
      await log.close();
      await expect(log.append(recordSource()(1, 1))).rejects.toMatchObject({
        kind: "unavailable",
        code: "log_unavailable",
      });
    });

    test("trimming keeps everything from the given offset on", async () => {
      const next = recordSource();
      const written = await appendAll(
        log,
        Array.from({ length: 50 }, () => next(2, 100)),
      );
      for (const partition of log.partitions) {
        const middle = Math.floor(log.end(partition) / 2);
        await log.trim(partition, middle);
        expect(log.start(partition)).toBeLessThanOrEqual(middle);
      }
      const kept = written.filter((record) => record.offset >= log.start(record.partition));
      expect(await readAll(log)).toEqual(kept);
    });
  });
}
