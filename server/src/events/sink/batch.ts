/**
 * A sink batch: consecutive log offsets turned into the rows that the event store gets.
 *
 * Which rows those are depends on the log and the claims alone: an event is stored if and only if its claim names its own
 * position. Preparing the same offsets again, after any crash, yields the same rows.
 */

import type { Claims } from "../../engines/claims/index.ts";
import type { EventLogReader, LogRecord } from "../../engines/event-log/index.ts";
import { type RowBlock, RowBlockWriter } from "../../engines/event-store/index.ts";
import { assert } from "../../kernel/assert.ts";
import { civilFromDays, microsPerDay } from "../../kernel/civil.ts";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import { EventReader } from "../event-codec.ts";
import { eventJson } from "../event-json.ts";
import { EventBatchHasher } from "../event-hash.ts";
import { FeedExtractor } from "../feed/extractor.ts";
import { type CheckedMeter, InvalidValueCounter, type InvalidValues } from "../feed/invalid-values.ts";
import { LatinTexts } from "../feed/latin-texts.ts";
import type { UsageFeed, WatchedUsage } from "../feed/usage-feed.ts";

/** How large a batch may become. */
export interface BatchLimits {
  readonly events: number;
  readonly bytes: number;
  /**
   * Distinct event months, which are the event table's partitions: the store remembers insert tokens per partition, and
   * a batch over too many of them would push its own token out of that memory.
   */
  readonly months: number;
}

/** Offsets `from` to `to`, both inclusive, of one partition. */
export interface BatchRange {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  readonly storedAt: Instant;
}

/** An event that lost its identity to an earlier one with another payload. */
export interface ConflictingArrival {
  readonly offset: number;
  readonly namespace: string;
  readonly source: string;
  readonly id: string;
  readonly seenAt: Instant;
  readonly payloadHash: Uint8Array;
  /** The event as JSON text. */
  readonly event: string;
  readonly firstPartition: number;
  readonly firstOffset: number;
}

export interface PreparedBatch extends BatchRange {
  readonly block: RowBlock;
  /** Offsets of the block's rows, ascending. */
  readonly rowOffsets: readonly number[];
  readonly duplicates: number;
  readonly conflicts: readonly ConflictingArrival[];
  /** The watched usage of all events that count, whichever rows the block has; null when nothing is watched. */
  readonly feed: UsageFeed | null;
  /** Of all events that count, whichever rows the block has. */
  readonly invalidValues: readonly InvalidValues[];
  /** Ingestion instant of the last event. */
  readonly lastIngestedAt: Instant;
}

const HASH_BYTES = 32;
const FINGERPRINT_BYTES = 8;

/** Prepares batches of one partition. */
export class BatchBuilder {
  readonly #log: EventLogReader;
  readonly #claims: Claims;
  readonly #limits: BatchLimits;
  readonly #hasher = new EventBatchHasher();
  readonly #writer = new RowBlockWriter(1 << 16);
  readonly #feed = new FeedExtractor();
  readonly #invalid = new InvalidValueCounter();
  readonly #types = new LatinTexts();

  constructor(log: EventLogReader, claims: Claims, limits: BatchLimits) {
    this.#log = log;
    this.#claims = claims;
    this.#limits = limits;
  }

  /** Replaces the usage that batches tell about, from the next one on. */
  watch(usages: readonly WatchedUsage[]): void {
    this.#feed.watch(usages);
  }

  /** Replaces the meters for which batches count invalid values, from the next one on. */
  check(meters: readonly CheckedMeter[]): void {
    this.#invalid.check(meters);
  }

  /** Prepares as many events from `from` on as the limits allow; there must be one at least. */
  async next(partition: number, from: number, storedAt: Instant): Promise<PreparedBatch> {
    const records = await this.#log.read(partition, from, this.#limits);
    return await this.#prepare(records, { partition, from, to: from + this.#limits.events - 1, storedAt }, true);
  }

  /** Prepares exactly these offsets again. `isMissing` tells which of the rows are still to be inserted. */
  async again(range: BatchRange, isMissing: (offset: number) => boolean): Promise<PreparedBatch> {
    const records: LogRecord[] = [];
    for (let at = range.from; at <= range.to;) {
      const read = await this.#log.read(range.partition, at, { events: range.to - at + 1, bytes: this.#limits.bytes });
      assert(read.length > 0, "a recorded batch lies within the durable log");
      records.push(...read);
      at = endOf(read.at(-1));
    }
    return await this.#prepare(records, range, false, isMissing);
  }

  async #prepare(
    records: readonly LogRecord[],
    range: BatchRange,
    isOpenEnded: boolean,
    isMissing: (offset: number) => boolean = () => true,
  ): Promise<PreparedBatch> {
    const { partition, from, storedAt } = range;
    const capacity = Math.min(range.to, endOf(records.at(-1)) - 1) - from + 1;
    this.#hasher.start(capacity);
    const months = new Set<number>();
    const feed = this.#feed.begin();
    const invalid = this.#invalid.begin();
    let count = 0;
    let lastIngestedAt = storedAt;
    collecting: for (const record of records) {
      const reader = new EventReader(record.payload);
      for (let offset = record.offset; reader.next(); offset++) {
        if (offset < from) continue;
        if (count === capacity) break collecting;
        months.add(monthOf(reader.time));
        if (isOpenEnded && months.size > this.#limits.months) break collecting;
        this.#hasher.add(reader.namespace, reader);
        lastIngestedAt = instantFromMicros(record.ingestedAt + offset - record.offset);
        const place = { ingestedAt: lastIngestedAt, storedAt, partition, offset };
        this.#writer.add(reader.namespace, reader, place, this.#hasher.tape);
        if (feed !== null || invalid !== null) {
          const type = this.#types.of(reader.bytes, reader.typeStart, reader.typeEnd);
          feed?.add(count, type, reader.namespace, reader, lastIngestedAt, this.#hasher.tape);
          invalid?.add(count, type, reader.namespace, reader, this.#hasher.tape);
        }
        count += 1;
      }
    }
    const { identities, payloads: hashes } = this.#hasher.finish();
    const claimed = await this.#claim(partition, from, count, identities, hashes);
    const conflicts = conflictingArrivals(records, from, hashes, claimed);
    const isOwn = (row: number): boolean =>
      claimed.offsets[row] === from + row && claimed.partitions[row] === partition;
    const rowOffsets: number[] = [];
    let duplicates = 0;
    for (let row = 0; row < count; row++) {
      if (!isOwn(row)) duplicates += 1;
      else if (isMissing(from + row)) rowOffsets.push(from + row);
    }
    const block = this.#writer.finish((row) => isOwn(row) && isMissing(from + row));
    return {
      partition,
      from,
      to: from + count - 1,
      storedAt,
      block,
      rowOffsets,
      duplicates,
      conflicts,
      feed: feed?.finish(isOwn, from) ?? null,
      invalidValues: invalid?.finish(isOwn) ?? [],
      lastIngestedAt,
    };
  }

  async #claim(
    partition: number,
    from: number,
    count: number,
    identities: Uint8Array,
    hashes: Uint8Array,
  ): Promise<Claimed> {
    const fingerprints = new Uint8Array(count * FINGERPRINT_BYTES);
    const offsets = new Float64Array(count);
    for (let row = 0; row < count; row++) {
      const at = row * HASH_BYTES;
      fingerprints.set(hashes.subarray(at, at + FINGERPRINT_BYTES), row * FINGERPRINT_BYTES);
      offsets[row] = from + row;
    }
    const result = await this.#claims.claim({
      partition,
      count,
      identities,
      fingerprints,
      offsets,
    });
    return { ...result, sent: fingerprints };
  }
}

interface Claimed {
  readonly partitions: Uint16Array;
  readonly offsets: Float64Array;
  readonly fingerprints: Uint8Array;
  readonly sent: Uint8Array;
}

/** The events whose identity was claimed by another position with another payload. Rare, so it reads the records again. */
function conflictingArrivals(
  records: readonly LogRecord[],
  from: number,
  hashes: Uint8Array,
  claimed: Claimed,
): ConflictingArrival[] {
  const isConflict = (row: number): boolean => {
    for (let at = row * FINGERPRINT_BYTES; at < (row + 1) * FINGERPRINT_BYTES; at++) {
      if (claimed.fingerprints[at] !== claimed.sent[at]) return true;
    }
    return false;
  };
  const rows = new Set<number>();
  for (let row = 0; row < claimed.offsets.length; row++) if (isConflict(row)) rows.add(row);
  if (rows.size === 0) return [];
  const conflicts: ConflictingArrival[] = [];
  for (const record of records) {
    const reader = new EventReader(record.payload);
    for (let offset = record.offset; reader.next(); offset++) {
      const row = offset - from;
      if (!rows.has(row)) continue;
      const text = (start: number, end: number): string => Buffer.from(reader.bytes.subarray(start, end)).toString();
      const event = {
        id: text(reader.idStart, reader.idEnd),
        source: text(reader.sourceStart, reader.sourceEnd),
        type: text(reader.typeStart, reader.typeEnd),
        subject: text(reader.subjectStart, reader.subjectEnd),
        time: reader.time,
        data: reader.dataEnd > reader.dataStart ? text(reader.dataStart, reader.dataEnd) : null,
      };
      conflicts.push({
        offset,
        namespace: Buffer.from(reader.namespace).toString(),
        source: event.source,
        id: event.id,
        seenAt: instantFromMicros(record.ingestedAt + offset - record.offset),
        payloadHash: hashes.slice(row * HASH_BYTES, (row + 1) * HASH_BYTES),
        event: eventJson(event),
        firstPartition: claimed.partitions[row] ?? 0,
        firstOffset: claimed.offsets[row] ?? 0,
      });
    }
  }
  return conflicts;
}

function endOf(record: LogRecord | undefined): number {
  assert(record !== undefined, "a read at a durable offset returns a record");
  return record.offset + record.count;
}

/** The partition of the event table that an event falls into. */
function monthOf(time: Instant): number {
  const date = civilFromDays(Math.floor(time / microsPerDay));
  return date.year * 12 + date.month;
}
