/**
 * The event log port: a partitioned, ordered, durable sequence of events.
 *
 * Invariants every implementation keeps (see `conformance.ts`):
 * 1. `append` resolves only after the whole record is durable; a record is found entirely or not at all after a crash.
 * 2. Every event of a partition has its own offset; offsets are consecutive, start at 0 and are never reused.
 * 3. Readers see durable records only, in offset order, the same bytes every time.
 */

import type { Instant } from "../../kernel/instant.ts";

/** The durable part of the log cannot be read as it was written: an operator has to look. */
export class LogDamaged extends Error {
  override readonly name = "LogDamaged";

  /** `finding` is a sentence that names file and byte. */
  constructor(finding: string) {
    super(
      `the event log is damaged: ${finding} Acknowledged events may be in the damaged part, so nothing was skipped or ` +
        "changed: bring back the file, or the whole data directory, from a backup; docs/operations.md tells how",
    );
  }
}

/** Somebody reads before `start`: what was there has been trimmed. */
export class OffsetTrimmed extends Error {
  override readonly name = "OffsetTrimmed";
}

/** One accepted request: `count` events that stand or fall together. */
export interface LogRecord {
  readonly partition: number;
  /** Offset of the record's first event; its events have the offsets `offset .. offset + count - 1`. */
  readonly offset: number;
  readonly count: number;
  /** Ingestion instant of the first event; event `i` of the record was ingested at `ingestedAt + i` microseconds. */
  readonly ingestedAt: Instant;
  /** The encoded events; the log does not look inside. */
  readonly payload: Uint8Array;
}

/** What a writer hands over: the record without its place in the log. */
export interface LogAppend {
  readonly count: number;
  readonly ingestedAt: Instant;
  readonly payload: Uint8Array;
}

/** How much one `read` returns at most; at least one record is returned if there is one. */
export interface ReadLimit {
  readonly events: number;
  readonly bytes: number;
}

/** The reading side, all that the sink needs. */
export interface EventLogReader {
  readonly partitions: readonly number[];
  /** One past the offset of the last durable event of the partition. */
  end(partition: number): number;
  /** Oldest offset that can still be read. */
  start(partition: number): number;
  /**
   * Reads records from the one that contains `offset` on. Resolves with an empty list when there is nothing durable
   * there yet. Rejects with `OffsetTrimmed` when `offset` lies before `start`, with `LogDamaged` when a record in the
   * durable part is damaged. Payloads may be views into a larger buffer: do not change or transfer them.
   */
  read(partition: number, offset: number, limit: ReadLimit): Promise<readonly LogRecord[]>;
  /** Resolves as soon as `end(partition) > offset`, when `signal` is aborted, or when the log is closed. */
  waitFor(partition: number, offset: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The whole log, as its single writer sees it. */
export interface EventLog extends EventLogReader {
  /** Ingestion instant of the last event in the log; undefined for an empty log. The next one must be greater. */
  readonly lastIngestedAt: Instant | undefined;
  /**
   * Appends a record durably and resolves with its place. Rejects with a fault `unavailable` when the log cannot accept
   * writes: `queue_full`, `storage_full`, `storage_read_only`, `log_stopped`, `log_unavailable`. The record may still turn
   * out durable when the process died meanwhile: the client re-sends, and identities make that safe.
   */
  append(record: LogAppend): Promise<{ readonly partition: number; readonly offset: number }>;
  /** Calls `listener` with the new `end` whenever more events of the partition became durable. */
  onDurable(listener: (partition: number, end: number) => void): void;
  /** Lets the log delete whole segments that lie before `offset`. */
  trim(partition: number, offset: number): Promise<void>;
}
