/**
 * Appends records to the last segment: all that wait are written together and synced once (group commit).
 *
 * Invariants:
 * 1. A record is acknowledged after the sync that covers it, in the order of the offsets.
 * 2. Offsets are given when a group is written, so that rejected records leave no gap.
 * 3. Memory is bounded: what waits and what is being written counts against the queue limits.
 * 4. After a failed *write* the file is cut back to its durable end and the next group tries again: space may have
 *    returned. After a failed *sync* the writer stops for good: the kernel may have dropped the pages and yet report
 *    success next time, so nothing that this process could do to the file would prove anything. Opening the log again
 *    verifies and rewrites the doubtful part.
 */

import { assert } from "../../../kernel/assert.ts";
import type { Fault } from "../../../kernel/fault.ts";
import type { LogAppend } from "../log.ts";
import { crc32c } from "./crc32c.ts";
import { writeAll } from "./files.ts";
import type { LogFiles } from "./files.ts";
import { encodeRecordHeader, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES } from "./format.ts";
import { createSegment, SegmentInDoubt } from "./recovery.ts";
import type { ActiveSegment, RecoveredLog } from "./recovery.ts";
import { Refusals } from "./refusals.ts";

/** More than this in one group would only make the first of it wait longer for the sync. */
const MAX_GROUP_BYTES = 4 * 1024 * 1024;

export interface WriterLimits {
  /** A segment that has events is followed by a new one before it outgrows this. */
  readonly segmentBytes: number;
  /** How much may wait or be in writing; a single larger record is accepted when nothing else is there. */
  readonly maxQueuedBytes: number;
  readonly maxQueuedRecords: number;
}

export interface WriterListener {
  /** More events became durable. */
  readonly onDurable: (end: number) => void;
  /** A write failed; its records were rejected with the fault and the next ones will try again. */
  readonly onWriteFailed: (fault: Fault) => void;
  /** The writer will accept nothing any more until the log is opened again, and answers with the fault. */
  readonly onStopped: (fault: Fault) => void;
}

interface Waiting {
  readonly record: LogAppend;
  readonly bytes: number;
  readonly resolve: (offset: number) => void;
  readonly reject: (fault: Fault) => void;
}

export class SegmentWriter {
  readonly #files: LogFiles;
  readonly #directory: string;
  readonly #limits: WriterLimits;
  readonly #listener: WriterListener;
  readonly #refusals: Refusals;
  readonly #waiting: Waiting[] = [];
  readonly #buffer = Buffer.allocUnsafeSlow(MAX_GROUP_BYTES);
  #queuedBytes = 0;
  #queuedRecords = 0;
  #segment: ActiveSegment;
  /** Length of the durable part of the segment. */
  #position: number;
  #end: number;
  /** Smallest instant for the next record: after the durable ones, and after all that were ever handed in. */
  #nextDurableMicros: number;
  #nextAppendMicros: number;
  #isSealed: boolean;
  #flushing: Promise<void> | undefined;
  /** Why new records are refused: closed, or stopped. */
  #refusal: Fault | undefined;
  #hasStopped = false;

  constructor(
    files: LogFiles,
    directory: string,
    recovered: RecoveredLog,
    limits: WriterLimits,
    listener: WriterListener,
  ) {
    this.#files = files;
    this.#directory = directory;
    this.#limits = limits;
    this.#listener = listener;
    this.#refusals = new Refusals(directory);
    this.#segment = recovered.active;
    this.#position = recovered.active.position;
    this.#end = recovered.end;
    this.#nextDurableMicros = recovered.nextIngestedAtMicros;
    this.#nextAppendMicros = recovered.nextIngestedAtMicros;
    this.#isSealed = recovered.isSealed;
  }

  /** Smallest ingestion instant after the last durable event, in microseconds; 0 when there is no event. */
  get nextIngestedAtMicros(): number {
    return this.#nextDurableMicros;
  }

  /** The segment that is written, and the length of its durable part. */
  get activeSegment(): { readonly baseOffset: number; readonly bytes: number } {
    return { baseOffset: this.#segment.header.baseOffset, bytes: this.#position };
  }

  /** Resolves with the offset of the record once it is durable; rejects with one of `Refusals`. */
  append(record: LogAppend): Promise<number> {
    assert(Number.isSafeInteger(record.count) && record.count > 0, "a log record has at least one event");
    assert(record.payload.length <= MAX_PAYLOAD_BYTES, "a log record is at most 1 GiB long");
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    const bytes = RECORD_HEADER_BYTES + record.payload.length;
    const isFull =
      this.#queuedRecords >= this.#limits.maxQueuedRecords || this.#queuedBytes + bytes > this.#limits.maxQueuedBytes;
    if (isFull && this.#queuedRecords > 0) {
      return Promise.reject(this.#refusals.queueFull());
    }
    assert(record.ingestedAt >= this.#nextAppendMicros, "ingestion instants in the log are strictly increasing");
    this.#nextAppendMicros = record.ingestedAt + record.count;
    this.#queuedBytes += bytes;
    this.#queuedRecords += 1;
    const offset = new Promise<number>((resolve, reject) => {
      this.#waiting.push({ record, bytes, resolve, reject });
    });
    this.#flushing ??= this.#flush();
    return offset;
  }

  /** Refuses new records, stores those that wait, seals the segment and closes it. */
  async close(): Promise<void> {
    this.#refusal ??= this.#refusals.closed();
    await this.#flushing;
    if (!this.#hasStopped && !this.#isSealed) await this.#seal();
    await this.#segment.file.close();
  }

  async #flush(): Promise<void> {
    // Leaving the current tick lets everything that is appended in it share the first write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      await this.#commit(group);
    }
    this.#flushing = undefined;
  }

  /** The longest run of waiting records that fits the buffer and the segment; at least one record. */
  #takeGroup(): Waiting[] {
    const room = Math.min(MAX_GROUP_BYTES, this.#limits.segmentBytes - this.#position);
    let bytes = 0;
    let count = 0;
    for (const { bytes: more } of this.#waiting) {
      if (count > 0 && bytes + more > room) break;
      bytes += more;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    const bytes = group.reduce((sum, waiting) => sum + waiting.bytes, 0);
    const start = this.#end;
    const failure = await this.#store(group, bytes);
    this.#queuedBytes -= bytes;
    this.#queuedRecords -= group.length;
    if (failure !== undefined) {
      for (const waiting of group) waiting.reject(failure);
      return;
    }
    let offset = start;
    for (const { record, resolve } of group) {
      resolve(offset);
      offset += record.count;
    }
    this.#listener.onDurable(offset);
  }

  /** Writes and syncs a group; the fault to answer with when that failed. */
  async #store(group: readonly Waiting[], bytes: number): Promise<Fault | undefined> {
    if (this.#hasStopped) return this.#refusal;
    try {
      if (this.#position + bytes > this.#limits.segmentBytes) await this.#startSegment();
    } catch (error) {
      return error instanceof SegmentInDoubt ? this.#stop(error) : this.#writeFailed(error);
    }
    const encoded = this.#encode(group, bytes);
    const { file } = this.#segment;
    try {
      await writeAll(file, encoded, this.#position);
    } catch (error) {
      return this.#takeBack(error);
    }
    try {
      await file.datasync();
    } catch (error) {
      return this.#stop(error);
    }
    this.#position += bytes;
    this.#isSealed = false;
    for (const { record } of group) {
      this.#end += record.count;
      this.#nextDurableMicros = record.ingestedAt + record.count;
    }
    return undefined;
  }

  #encode(group: readonly Waiting[], bytes: number): Buffer {
    const buffer = bytes <= this.#buffer.length ? this.#buffer.subarray(0, bytes) : Buffer.allocUnsafeSlow(bytes);
    let at = 0;
    let offset = this.#end;
    for (const { record } of group) {
      const { payload, count } = record;
      const payloadAt = at + RECORD_HEADER_BYTES;
      buffer.set(payload, payloadAt);
      encodeRecordHeader(buffer, at, this.#segment.header.syncWord, {
        offset,
        count,
        ingestedAtMicros: record.ingestedAt,
        payloadBytes: payload.length,
        durableEnd: this.#position,
        payloadCrc: crc32c(buffer, payloadAt, payloadAt + payload.length),
      });
      at = payloadAt + payload.length;
      offset += count;
    }
    return buffer;
  }

  async #startSegment(): Promise<void> {
    const { header, file } = this.#segment;
    // A segment without events would have the name of its successor.
    if (this.#end === header.baseOffset) return;
    const next = await createSegment(this.#files, this.#directory, {
      baseOffset: this.#end,
      nextIngestedAtMicros: this.#nextDurableMicros,
      previousBaseOffset: header.baseOffset,
      previousBytes: this.#position,
    });
    this.#segment = next;
    this.#position = next.position;
    // Everything in the old segment is durable, so that there is nothing that closing it could lose.
    await file.close();
  }

  /** Cuts a half-written group off, so that no piece of it can later stand behind other records. */
  async #takeBack(error: unknown): Promise<Fault> {
    const { file } = this.#segment;
    try {
      await file.truncate(this.#position);
      await file.datasync();
    } catch (cause) {
      return this.#stop(cause);
    }
    return this.#writeFailed(error);
  }

  #writeFailed(error: unknown): Fault {
    const fault = this.#refusals.writeFailed(error);
    this.#listener.onWriteFailed(fault);
    return fault;
  }

  #stop(error: unknown): Fault {
    this.#hasStopped = true;
    const fault = this.#refusals.stopped(error);
    this.#refusal = fault;
    this.#listener.onStopped(fault);
    return fault;
  }

  /** Writes the record without events that proves, at the next open, that everything before it was on disk. */
  async #seal(): Promise<void> {
    const bytes = Buffer.alloc(RECORD_HEADER_BYTES);
    encodeRecordHeader(bytes, 0, this.#segment.header.syncWord, {
      offset: this.#end,
      count: 0,
      ingestedAtMicros: this.#nextDurableMicros,
      payloadBytes: 0,
      durableEnd: this.#position,
      payloadCrc: crc32c(bytes, 0, 0),
    });
    try {
      await writeAll(this.#segment.file, bytes, this.#position);
      await this.#segment.file.datasync();
    } catch (error) {
      // The log is complete without its seal; a part of one is a torn tail.
      this.#writeFailed(error);
    }
  }
}
