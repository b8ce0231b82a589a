/**
 * Reads the log for comparison: what each event's claim says, and the words that stand for its content.
 *
 * Memory is that of one read. A damaged part is told and left out up to the next segment; nothing else is.
 */

import { basename } from "node:path";
import type { ClaimsReader } from "../../engines/claims/index.ts";
import { type FileLog, LogDamaged, type LogRecord } from "../../engines/event-log/index.ts";
import { EventDigest, type StoredEvent } from "../../engines/event-store/index.ts";
import { EventBatchHasher, EventReader } from "../../events/index.ts";
import { instantFromMicros } from "../../kernel/instant.ts";

const READ_LIMIT = { events: 20_000, bytes: 4 * 1024 * 1024 };

/** Consecutive events of the log, in columns. */
export interface LogEvents {
  readonly kind: "events";
  readonly from: number;
  readonly count: number;
  /** Offset of the first claim of each event's identity; -1 where there is none. Empty without claims. */
  readonly claimedAt: Float64Array;
  /** Two words of content each. Empty without claims. */
  readonly contents: Float64Array;
}

/** A part that cannot be read: offsets `[from, to)`. */
export interface LogGap {
  readonly kind: "gap";
  readonly from: number;
  readonly to: number;
  readonly finding: string;
}

export class LogReading {
  readonly #log: FileLog;
  readonly #claims: ClaimsReader | null;
  readonly #hasher = new EventBatchHasher();
  readonly #digest = new EventDigest();

  /** Without claims only the records themselves are verified. */
  constructor(log: FileLog, claims: ClaimsReader | null) {
    this.#log = log;
    this.#claims = claims;
  }

  /** The events with offsets in `[from, to)`, which must lie in the log. */
  async *events(from: number, to: number): AsyncGenerator<LogEvents | LogGap, undefined> {
    for (let at = from; at < to;) {
      const read = await this.#read(at, to);
      if (!Array.isArray(read)) {
        yield read;
        at = read.to;
        continue;
      }
      const end = Math.min(to, endOf(read) ?? to);
      yield await this.#hashed(read, at, end);
      at = end;
    }
  }

  /** The event at an offset as it should be stored; null when it cannot be read. */
  async event(offset: number): Promise<Omit<StoredEvent, "storedAt"> | null> {
    const read = await this.#read(offset, offset + 1);
    if (!Array.isArray(read)) return null;
    for (const record of read) {
      const reader = new EventReader(record.payload);
      for (let at = record.offset; reader.next(); at++) {
        if (at === offset) return eventOf(reader, record, offset);
      }
    }
    return null;
  }

  async #read(at: number, to: number): Promise<LogRecord[] | LogGap> {
    try {
      return [...(await this.#log.read(0, at, { ...READ_LIMIT, events: Math.min(READ_LIMIT.events, to - at) }))];
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error;
      const next = await this.#nextSegment(at);
      return { kind: "gap", from: at, to: Math.min(to, next), finding: error.message };
    }
  }

  /** Offset of the first event of the segment after the one with this offset: segments are named by it. */
  async #nextSegment(offset: number): Promise<number> {
    return await this.#log.withFiles(async ({ sealed, active, end }) => {
      const bases = [...sealed, active.path].map((path) => Number(basename(path).replace(/\.log$/u, "")));
      return bases.find((base) => base > offset) ?? end;
    });
  }

  async #hashed(records: readonly LogRecord[], from: number, to: number): Promise<LogEvents> {
    const count = to - from;
    const nothing = new Float64Array(0);
    if (this.#claims === null) return { kind: "events", from, count, claimedAt: nothing, contents: nothing };
    const contents = new Float64Array(2 * count);
    this.#hasher.start(count);
    for (const record of records) {
      const reader = new EventReader(record.payload);
      for (let offset = record.offset; reader.next(); offset++) {
        if (offset < from || offset >= to) continue;
        this.#hasher.add(reader.namespace, reader);
        const ingestedAt = instantFromMicros(record.ingestedAt + offset - record.offset);
        const place = { ingestedAt, partition: 0, offset };
        contents.set(this.#digest.content(reader.namespace, reader, place, this.#hasher.tape), 2 * (offset - from));
      }
    }
    const claimedAt = await this.#claims.find(this.#hasher.finish().identities);
    return { kind: "events", from, count, claimedAt, contents };
  }
}

function endOf(records: readonly LogRecord[]): number | undefined {
  const last = records.at(-1);
  return last === undefined ? undefined : last.offset + last.count;
}

function eventOf(reader: EventReader, record: LogRecord, offset: number): Omit<StoredEvent, "storedAt"> {
  const text = (start: number, end: number): string => Buffer.from(reader.bytes.subarray(start, end)).toString();
  return {
    namespace: Buffer.from(reader.namespace).toString(),
    id: text(reader.idStart, reader.idEnd),
    source: text(reader.sourceStart, reader.sourceEnd),
    type: text(reader.typeStart, reader.typeEnd),
    subject: text(reader.subjectStart, reader.subjectEnd),
    time: reader.time,
    isTimeGiven: reader.isTimeGiven,
    data: reader.dataEnd > reader.dataStart ? text(reader.dataStart, reader.dataEnd) : null,
    ingestedAt: instantFromMicros(record.ingestedAt + offset - record.offset),
    partition: 0,
    offset,
  };
}
