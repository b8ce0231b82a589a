/**
 * The embedded event log: one writer and one reader over the segments of a directory. `FORMAT.md` describes the files.
 */

import { join } from "node:path";
import { assert } from "../../../kernel/assert.ts";
import type { Fault } from "../../../kernel/fault.ts";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { Instant } from "../../../kernel/instant.ts";
import type { EventLog, LogAppend, LogRecord, ReadLimit } from "../log.ts";
import { diskFiles } from "./files.ts";
import type { LogFiles } from "./files.ts";
import { segmentBases, segmentName } from "./format.ts";
import { assertPartition, SegmentReader } from "./reader.ts";
import type { EmbeddedLogReader } from "./reader.ts";
import { recoverLog } from "./recovery.ts";
import type { TailCut } from "./recovery.ts";
import { SegmentWriter } from "./writer.ts";
import type { WriterLimits } from "./writer.ts";

const DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024;
const DEFAULT_MAX_QUEUED_BYTES = 64 * 1024 * 1024;
const DEFAULT_MAX_QUEUED_RECORDS = 65_536;

/** What an operator should know; none of it is about a single request. A fault is what its senders were answered. */
export type EmbeddedLogReport =
  /** The last process died while it wrote: what was cut had never been acknowledged. */
  | ({ readonly kind: "tail_cut" } & TailCut)
  /** A write failed, for example because the disk is full; the next append tries again. */
  | { readonly kind: "write_failed"; readonly fault: Fault }
  /** A sync failed, or a failed write could not be taken back: nothing is accepted until the log is opened again. */
  | { readonly kind: "stopped"; readonly fault: Fault };

export interface EmbeddedLogOptions extends Partial<WriterLimits> {
  /** Directory of the segments, `<data-dir>/log`; it is created when it does not exist. */
  readonly directory: string;
  readonly report: (report: EmbeddedLogReport) => void;
}

/** What the durable log consists of at a moment; `openEmbeddedLog` opens a directory with exactly these files. */
export interface LogFilesView {
  /** Paths of segments that are never written again, oldest first. */
  readonly sealed: readonly string[];
  /** The last segment: its first `bytes` bytes count, and more are being appended. */
  readonly active: { readonly path: string; readonly bytes: number };
  /** One past the last offset in these files. */
  readonly end: number;
}

/** A log in files of the local disk. */
export interface FileLog extends EventLog {
  /** Calls `work` with the files of the log; until it has ended nothing is trimmed. Appending goes on. */
  withFiles<T>(work: (files: LogFilesView) => Promise<T>): Promise<T>;
}

export interface EmbeddedLogReaderOptions {
  readonly directory: string;
  /** The durable end as far as it is known; nothing is read before `setEnd` otherwise. */
  readonly end?: number;
}

class EmbeddedLog implements FileLog {
  readonly partitions: readonly number[] = [0];
  readonly #files: LogFiles;
  readonly #directory: string;
  readonly #reader: SegmentReader;
  readonly #writer: SegmentWriter;
  readonly #listeners: ((partition: number, end: number) => void)[];
  readonly #unlock: () => Promise<void>;
  #closing: Promise<void> | undefined;
  /** Settles when nobody trims or needs the files as they are; never rejects. */
  #filesTurn: Promise<unknown> = Promise.resolve();

  constructor(parts: {
    files: LogFiles;
    directory: string;
    reader: SegmentReader;
    writer: SegmentWriter;
    listeners: ((partition: number, end: number) => void)[];
    unlock: () => Promise<void>;
  }) {
    this.#files = parts.files;
    this.#directory = parts.directory;
    this.#reader = parts.reader;
    this.#writer = parts.writer;
    this.#listeners = parts.listeners;
    this.#unlock = parts.unlock;
  }

  get lastIngestedAt(): Instant | undefined {
    const next = this.#writer.nextIngestedAtMicros;
    return next === 0 ? undefined : instantFromMicros(next - 1);
  }

  async append(record: LogAppend): Promise<{ partition: number; offset: number }> {
    return { partition: 0, offset: await this.#writer.append(record) };
  }

  onDurable(listener: (partition: number, end: number) => void): void {
    this.#listeners.push(listener);
  }

  end(partition: number): number {
    return this.#reader.end(partition);
  }

  start(partition: number): number {
    return this.#reader.start(partition);
  }

  read(partition: number, offset: number, limit: ReadLimit): Promise<readonly LogRecord[]> {
    return this.#reader.read(partition, offset, limit);
  }

  waitFor(partition: number, offset: number, signal: AbortSignal): Promise<void> {
    return this.#reader.waitFor(partition, offset, signal);
  }

  async trim(partition: number, offset: number): Promise<void> {
    assertPartition(partition);
    assert(offset <= this.end(0), "the log is trimmed up to its durable end at most");
    await this.#inTurn(() => this.#trim(offset));
  }

  withFiles<T>(work: (files: LogFilesView) => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      // Taken together, in one instruction of this thread: the end is that of the durable part.
      const { baseOffset, bytes } = this.#writer.activeSegment;
      const end = this.end(0);
      const path = (base: number): string => join(this.#directory, segmentName(base));
      const bases = segmentBases(await this.#files.list(this.#directory));
      const sealed = bases.filter((base) => base < baseOffset).map(path);
      return await work({ sealed, active: { path: path(baseOffset), bytes }, end });
    });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#filesTurn.then(work);
    this.#filesTurn = turn.catch(() => undefined);
    return await turn;
  }

  async #trim(offset: number): Promise<void> {
    const bases = segmentBases(await this.#files.list(this.#directory));
    // A segment lies before `offset` when its successor starts there or earlier; the last one has none and stays.
    const doomed = bases.filter((_, place) => (bases[place + 1] ?? Number.POSITIVE_INFINITY) <= offset);
    for (const base of doomed) {
      await this.#files.remove(join(this.#directory, segmentName(base)));
      // One after the other: a power cut must not bring back an older segment without its successor.
      await this.#files.syncDirectory(this.#directory);
    }
    await this.#reader.refresh();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#writer.close();
      await this.#reader.close();
    } finally {
      await this.#unlock();
    }
  }
}

/** Opens the log on the given file system; `openEmbeddedLog` does so on the machine's own. */
export async function openLogOn(files: LogFiles, options: EmbeddedLogOptions): Promise<FileLog> {
  const { directory, report } = options;
  await files.makeDirectory(directory);
  const unlock = await files.lock(directory);
  try {
    const recovered = await recoverLog(files, directory, (cut) => report({ kind: "tail_cut", ...cut }));
    const reader = await SegmentReader.open(files, directory, recovered.end);
    const listeners: ((partition: number, end: number) => void)[] = [];
    const limits = {
      segmentBytes: options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
      maxQueuedBytes: options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES,
      maxQueuedRecords: options.maxQueuedRecords ?? DEFAULT_MAX_QUEUED_RECORDS,
    };
    const writer = new SegmentWriter(files, directory, recovered, limits, {
      onDurable: (end) => {
        reader.setEnd(0, end);
        for (const listener of listeners) listener(0, end);
      },
      onWriteFailed: (fault) => report({ kind: "write_failed", fault }),
      onStopped: (fault) => report({ kind: "stopped", fault }),
    });
    return new EmbeddedLog({ files, directory, reader, writer, listeners, unlock });
  } catch (error) {
    await unlock();
    throw error;
  }
}

/**
 * Opens the log in `options.directory` as its only writer. Rejects with `LogLocked` when another process writes it, and
 * with `LogDamaged`, naming file and byte, when what had been stored is not intact.
 */
export function openEmbeddedLog(options: EmbeddedLogOptions): Promise<FileLog> {
  return openLogOn(diskFiles, options);
}

/**
 * Opens a reader of the log that another thread or process writes. It sees what `setEnd` told it to be durable; its
 * `start` follows the writer's trims when a read notices them.
 */
export function openEmbeddedLogReader(options: EmbeddedLogReaderOptions): Promise<EmbeddedLogReader> {
  return SegmentReader.open(diskFiles, options.directory, options.end ?? 0);
}
