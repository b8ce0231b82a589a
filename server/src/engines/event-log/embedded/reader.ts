/**
 * Reads segments, in the writer's process or in any other: it opens files read-only and takes no lock.
 *
 * Invariants:
 * 1. It returns nothing at or beyond the durable end that it was told; bytes behind that end may be half-written, may
 *    be taken back and are never interpreted.
 * 2. Sequential reads continue where the previous one stopped; finding any other place costs one scan from the nearest
 *    known record.
 */

import { join } from "node:path";
import { assert } from "../../../kernel/assert.ts";
import { instantFromMicros } from "../../../kernel/instant.ts";
import { LogDamaged, OffsetTrimmed } from "../log.ts";
import type { EventLogReader, LogRecord, ReadLimit } from "../log.ts";
import { isMissing, readUpTo } from "./files.ts";
import type { LogFile, LogFiles } from "./files.ts";
import {
  decodeRecordHeader,
  decodeSegmentHeader,
  isPayloadIntact,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  segmentBases,
  segmentName,
} from "./format.ts";
import type { RecordHeader } from "./format.ts";
import { PositionIndex } from "./position-index.ts";

const MIN_CHUNK_BYTES = 256 * 1024;
const MAX_CHUNK_BYTES = 1024 * 1024;

/** The reader of an embedded log. */
export interface EmbeddedLogReader extends EventLogReader {
  /** Tells that everything before `end` is durable; ends never go back. */
  setEnd(partition: number, end: number): void;
}

/** Where the record with `offset` starts: in the segment with base offset `segment`, at `position`. */
interface Place {
  readonly segment: number;
  readonly position: number;
  readonly offset: number;
}

/** A piece of a segment in memory. */
interface Chunk {
  readonly segment: number;
  readonly position: number;
  readonly bytes: Buffer;
  readonly syncWord: Buffer;
  /** The durable end when the piece was read: later records in it may have been half-written then. */
  readonly end: number;
}

interface OpenSegment {
  readonly base: number;
  readonly file: LogFile;
  readonly syncWord: Buffer;
}

interface Waiter {
  readonly offset: number;
  readonly resolve: () => void;
}

/** The embedded log has one partition. */
export function assertPartition(partition: number): void {
  assert(partition === 0, "the embedded event log has the partition 0 only");
}

export class SegmentReader implements EmbeddedLogReader {
  readonly partitions: readonly number[] = [0];
  readonly #files: LogFiles;
  readonly #directory: string;
  readonly #index = new PositionIndex();
  readonly #waiters = new Set<Waiter>();
  #bases: readonly number[] = [];
  #end: number;
  #cursor: Place | undefined;
  #chunk: Chunk | undefined;
  #open: OpenSegment | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  private constructor(files: LogFiles, directory: string, end: number) {
    this.#files = files;
    this.#directory = directory;
    this.#end = end;
  }

  static async open(files: LogFiles, directory: string, end: number): Promise<SegmentReader> {
    const reader = new SegmentReader(files, directory, end);
    await reader.refresh();
    return reader;
  }

  /** Looks again which segments there are; `start` follows. Needed after a trim by somebody else only. */
  async refresh(): Promise<void> {
    const bases = segmentBases(await this.#files.list(this.#directory));
    this.#bases = bases;
    if (this.#cursor !== undefined && !bases.includes(this.#cursor.segment)) this.#cursor = undefined;
  }

  end(partition: number): number {
    assertPartition(partition);
    return this.#end;
  }

  start(partition: number): number {
    assertPartition(partition);
    return this.#bases[0] ?? 0;
  }

  setEnd(partition: number, end: number): void {
    assertPartition(partition);
    assert(end >= this.#end, "the durable end of the log never goes back");
    this.#end = end;
    this.#wake((waiter) => waiter.offset < end);
  }

  read(partition: number, offset: number, limit: ReadLimit): Promise<readonly LogRecord[]> {
    assertPartition(partition);
    assert(Number.isSafeInteger(offset) && offset >= 0, "a log offset is a non-negative integer");
    // Reads share the cursor, the open file and the chunk; one after the other they need no further care.
    const records = this.#turn.then(() => this.#readOrLookAgain(offset, limit));
    this.#turn = records.catch(() => undefined);
    return records;
  }

  waitFor(partition: number, offset: number, signal: AbortSignal): Promise<void> {
    assertPartition(partition);
    if (this.#end > offset || signal.aborted || this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = (): void => this.#wake((candidate) => candidate === waiter);
      const waiter: Waiter = {
        offset,
        resolve: () => {
          signal.removeEventListener("abort", stop);
          resolve();
        },
      };
      signal.addEventListener("abort", stop, { once: true });
      this.#waiters.add(waiter);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake(() => true);
    await this.#turn;
    await this.#closeSegment();
    this.#chunk = undefined;
  }

  #wake(isDue: (waiter: Waiter) => boolean): void {
    for (const waiter of this.#waiters) {
      if (!isDue(waiter)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /** A segment that is gone was trimmed by the writer since this reader looked last. */
  async #readOrLookAgain(offset: number, limit: ReadLimit): Promise<LogRecord[]> {
    assert(!this.#isClosed, "a closed log is not read");
    try {
      return await this.#read(offset, limit);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.refresh();
      return this.#read(offset, limit);
    }
  }

  async #read(offset: number, limit: ReadLimit): Promise<LogRecord[]> {
    if (offset >= this.#end) return [];
    const chunkBytes = Math.min(Math.max(limit.bytes, MIN_CHUNK_BYTES), MAX_CHUNK_BYTES);
    const records: LogRecord[] = [];
    const end = this.#end;
    let events = 0;
    let bytes = 0;
    let place = await this.#locate(offset);
    while (place.offset < end) {
      // Most records lie in the loaded chunk: not awaiting anything for those makes small ones five times as fast.
      const headerChunk = this.#loaded(place, RECORD_HEADER_BYTES) ?? (await this.#load(place, chunkBytes));
      const header = this.#headerIn(headerChunk, place);
      if (header === undefined) {
        place = await this.#nextSegment(place);
        continue;
      }
      const isSeal = header.count === 0;
      if (!isSeal && place.offset + header.count > offset) {
        events += header.count;
        bytes += header.payloadBytes;
        if (records.length > 0 && (events > limit.events || bytes > limit.bytes)) break;
        const length = RECORD_HEADER_BYTES + header.payloadBytes;
        const chunk = this.#loaded(place, length) ?? (await this.#load(place, Math.max(length, chunkBytes)));
        records.push(this.#recordIn(chunk, place, header));
      }
      place = {
        segment: place.segment,
        position: place.position + RECORD_HEADER_BYTES + header.payloadBytes,
        offset: place.offset + header.count,
      };
      this.#index.note(place.segment, place);
    }
    this.#cursor = place;
    return records;
  }

  /** The place of a known record at or before `offset`, as near as possible. */
  async #locate(offset: number): Promise<Place> {
    if (this.#cursor?.offset === offset) return this.#cursor;
    await this.refresh();
    const segment = this.#bases.findLast((base) => base <= offset);
    if (segment === undefined) {
      throw new OffsetTrimmed(`The event log starts at offset ${this.start(0)}; offset ${offset} was trimmed.`);
    }
    const known = this.#index.floor(segment, offset);
    return known === undefined ? startOf(segment) : { segment, ...known };
  }

  /** The header of the record at `place`, which must be durable; undefined when the segment ends there. */
  #headerIn(chunk: Chunk, place: Place): RecordHeader | undefined {
    const at = place.position - chunk.position;
    if (at === chunk.bytes.length) return undefined;
    const header = decodeRecordHeader(chunk.bytes, at, chunk.syncWord);
    if (header === undefined) throw this.#damage(place, "the header of the record is damaged");
    if (header.offset !== place.offset) throw this.#damage(place, `the record has the offset ${header.offset}`);
    return header;
  }

  #recordIn(chunk: Chunk, place: Place, header: RecordHeader): LogRecord {
    const at = place.position - chunk.position + RECORD_HEADER_BYTES;
    if (at + header.payloadBytes > chunk.bytes.length) throw this.#damage(place, "the file ends inside the record");
    if (!isPayloadIntact(chunk.bytes, at, header)) throw this.#damage(place, "the payload of the record is damaged");
    return {
      partition: 0,
      offset: header.offset,
      count: header.count,
      ingestedAt: instantFromMicros(header.ingestedAtMicros),
      payload: chunk.bytes.subarray(at, at + header.payloadBytes),
    };
  }

  /** The chunk in memory, if it holds `length` bytes from `place` on and they were durable when it was read. */
  #loaded(place: Place, length: number): Chunk | undefined {
    const chunk = this.#chunk;
    const isUsable =
      chunk !== undefined &&
      chunk.segment === place.segment &&
      chunk.position <= place.position &&
      place.position + length <= chunk.position + chunk.bytes.length &&
      place.offset < chunk.end;
    return isUsable ? chunk : undefined;
  }

  /** Reads `length` bytes from `place` on, or as many as the file has. */
  async #load(place: Place, length: number): Promise<Chunk> {
    // The end is taken before reading: what becomes durable during the read may be in the buffer only in part.
    const end = this.#end;
    const { file, syncWord } = await this.#segment(place.segment);
    const bytes = await readUpTo(file, place.position, length);
    const chunk = { segment: place.segment, position: place.position, bytes, syncWord, end };
    this.#chunk = chunk;
    return chunk;
  }

  async #nextSegment(place: Place): Promise<Place> {
    if (!this.#bases.includes(place.offset)) await this.refresh();
    if (place.segment === place.offset || !this.#bases.includes(place.offset)) {
      throw this.#damage(place, `the segment ends, but the log goes on to offset ${this.#end}`);
    }
    return startOf(place.offset);
  }

  async #segment(base: number): Promise<OpenSegment> {
    if (this.#open?.base === base) return this.#open;
    await this.#closeSegment();
    const file = await this.#files.open(join(this.#directory, segmentName(base)), "read");
    const header = decodeSegmentHeader(await readUpTo(file, 0, SEGMENT_HEADER_BYTES));
    if (typeof header === "string" || header.baseOffset !== base) {
      await file.close();
      const what =
        typeof header === "string" ? header : `the header says that the segment starts at ${header.baseOffset}`;
      throw this.#damage({ segment: base, position: 0, offset: base }, what);
    }
    this.#open = { base, file, syncWord: header.syncWord };
    return this.#open;
  }

  async #closeSegment(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.file.close();
  }

  #damage(place: Place, what: string): LogDamaged {
    const path = join(this.#directory, segmentName(place.segment));
    return new LogDamaged(`${path}, byte ${place.position} (offset ${place.offset}): ${what}.`);
  }
}

function startOf(segment: number): Place {
  return { segment, position: SEGMENT_HEADER_BYTES, offset: segment };
}
