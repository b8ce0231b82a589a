/**
 * The sink: moves events from the log into the event store, each identity exactly once.
 *
 * A batch goes through these steps, and a crash after any of them is made good by the next run:
 *
 *     prepared   offsets chosen, identities claimed; nothing visible yet. Replayed: the same claims, perhaps other offsets
 *     recorded   boundaries and stored-at durable. Replayed: the same boundaries, hence the same rows and insert token
 *     inserted   rows in the store. Replayed: the rows that are there are not inserted again
 *     committed  position advanced; queries see the events
 *
 * Why it is exact: a claim remembers the position that made it, so a replay keeps its own events and drops only true
 * duplicates (`batch.ts`); the insert token and the look at the stored offsets keep a replay from inserting twice, and the
 * look afterwards from leaving rows out.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Kysely } from "kysely";
import type { Claims } from "../../engines/claims/index.ts";
import type { EventLogReader } from "../../engines/event-log/index.ts";
import type { EventStore } from "../../engines/event-store/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import type { CheckedMeter, InvalidValues } from "../feed/invalid-values.ts";
import type { UsageFeed, WatchedUsage } from "../feed/usage-feed.ts";
import { BatchBuilder, type BatchLimits, type BatchRange, type PreparedBatch } from "./batch.ts";
import { commitBatch, loadProgress, recordBatch } from "./batch-store.ts";
import { rebuildClaims } from "./claims-rebuild.ts";
import { LeadTime } from "./lead-time.ts";

/** The steps of a batch, in order. */
export type SinkStep = "prepared" | "recorded" | "inserted" | "committed";

/** What the sink tells about a committed batch, for metrics and for readers that wait for it. */
export interface SinkReport {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  readonly rows: number;
  readonly bytes: number;
  readonly duplicates: number;
  readonly conflicts: number;
  readonly lastIngestedAt: Instant;
  /** The watched usage of the batch; null when nothing is watched. */
  readonly feed: UsageFeed | null;
  /** The events of the batch that yield no value for a checked meter. */
  readonly invalidValues: readonly InvalidValues[];
  /** From the start of the preparation to the commit. */
  readonly durationMs: number;
}

export interface SinkOptions {
  readonly partition: number;
  readonly log: EventLogReader;
  readonly claims: Claims;
  readonly store: EventStore;
  readonly db: Kysely<Database>;
  readonly clock: Clock;
  readonly limits: BatchLimits;
  /** How long a batch waits for company after its first event. */
  readonly lingerMs: number;
  /** Called once, when what the sink before this one left behind is made good: everything before `next` is stored. */
  readonly onRecovered: (partition: number, next: number) => void;
  readonly onCommitted: (report: SinkReport) => void;
  /** Called after each step and awaited: for tests that stop the world between two steps. */
  readonly onStep?: (step: SinkStep) => Promise<void>;
}

/**
 * With this many events waiting a batch needs no linger, and preparing it may overlap with the insert before it. Smaller
 * batches would be visible no sooner: at 60,000 events a second 2,000 instead took a seventh more of two cores, for files,
 * syncs and merges of many small parts, and the slowest percentile became visible later.
 */
const BUSY_EVENTS = 10_000;

/** Stores one partition: one `run` per sink. */
export class Sink {
  readonly #options: SinkOptions;
  readonly #builder: BatchBuilder;
  readonly #leadTime = new LeadTime();
  readonly #stopping = new AbortController();
  /** What waits for the moment between two batches; `#pausing` is aborted as soon as there is something. */
  readonly #pauses: (() => Promise<void>)[] = [];
  #pausing = new AbortController();
  #lastStoredAt = 0;

  constructor(options: SinkOptions) {
    this.#options = options;
    this.#builder = new BatchBuilder(options.log, options.claims, options.limits);
  }

  /**
   * Runs until `stop`. Rejects when a batch cannot be stored: whoever runs the sink starts a new one, which finishes the
   * batch; what was acknowledged is never skipped.
   */
  async run(): Promise<void> {
    const next = await this.#recover();
    this.#options.onRecovered(this.#options.partition, next);
    await this.#follow(next);
  }

  /** Replaces the usage that reports tell about, from the next batch on that is prepared. */
  watch(usages: readonly WatchedUsage[]): void {
    this.#builder.watch(usages);
  }

  /** Replaces the meters for which reports count invalid values, from the next batch on that is prepared. */
  check(meters: readonly CheckedMeter[]): void {
    this.#builder.check(meters);
  }

  /** Ends `run` after the step under way. */
  stop(): void {
    this.#stopping.abort();
  }

  /**
   * Calls `work` between two batches and waits for it: the event store then holds what the stored position covers and no
   * more, and nothing is claimed, stored or committed until it has ended. Settles as `work` does; it is never called when
   * `run` ends before.
   */
  pause(work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pauses.push(() => work().then(resolve, reject));
      this.#pausing.abort();
    });
  }

  async #pauseIfAsked(): Promise<void> {
    for (let work = this.#pauses.shift(); work !== undefined; work = this.#pauses.shift()) await work();
    if (this.#pausing.signal.aborted) this.#pausing = new AbortController();
  }

  /** Finishes the batch that was under way and returns the first offset that is not stored. */
  async #recover(): Promise<number> {
    const { partition, log, store, db, claims, limits } = this.#options;
    // An insert of the sink before this one may still be running in the store.
    await store.settle();
    const progress = await loadProgress(db, partition);
    assert(log.end(partition) >= progress.next, "the event log holds every event that was stored from it");
    // Every stored event was claimed before it was inserted, so fewer claims than events means that claims were lost.
    if ((await claims.count()) < (await store.countEvents(partition))) {
      await rebuildClaims(claims, store, partition, log.end(partition));
    }
    this.#lastStoredAt = progress.lastStoredAt;
    // The log forgets only what is stored.
    let next = Math.max(progress.next, log.start(partition));
    if (progress.recorded !== null) next = await this.#replay(progress.recorded);
    // Events beyond the position mean that the state store lost its last commits, as it may in a power cut, or was
    // restored from a backup. What is stored stays, what is missing in between is added.
    const last = await store.lastOffset(partition);
    while (next <= last) {
      const storedAt = this.#nextStoredAt();
      const range = { partition, from: next, to: Math.min(last, next + limits.events - 1), storedAt };
      await recordBatch(db, range);
      next = await this.#replay(range);
    }
    return next;
  }

  /** Stores those rows of a recorded batch that are not stored yet; returns the offset after the batch. */
  async #replay(range: BatchRange): Promise<number> {
    const startedMs = performance.now();
    const batch = await this.#withMissingRows(range);
    await this.#insert(batch);
    // ClickHouse notes a token before it makes the rows visible. Killed in between, it ignores that token's rows although
    // it does not have them (2 of 87 kills amid inserts of 100 parts), so what is still missing goes in under another one.
    let left = batch.block.rows === 0 ? batch : await this.#withMissingRows(range);
    for (let attempt = 1; left.block.rows > 0; attempt++) {
      await this.#insert(left, attempt);
      left = await this.#withMissingRows(range);
    }
    await this.#commit(batch, startedMs);
    return batch.to + 1;
  }

  /** Prepares a recorded batch again, with those of its rows that are not stored. */
  async #withMissingRows(range: BatchRange): Promise<PreparedBatch> {
    const present = new Set(await this.#options.store.storedOffsets(range.partition, range.from, range.to));
    return await this.#builder.again(range, (offset) => !present.has(offset));
  }

  #nextStoredAt(): Instant {
    const storedAt = instantFromMicros(Math.max(this.#options.clock.now(), this.#lastStoredAt));
    this.#lastStoredAt = storedAt;
    return storedAt;
  }

  async #follow(first: number): Promise<void> {
    const { db } = this.#options;
    let next = first;
    let startedMs = performance.now();
    let ahead: PreparedBatch | null = null;
    while (!this.#stopping.signal.aborted) {
      await this.#pauseIfAsked();
      if (ahead === null) {
        if (!(await this.#waitForEvents(next))) continue;
        startedMs = performance.now();
        ahead = await this.#prepare(next);
      }
      const batch: PreparedBatch = ahead;
      await recordBatch(db, batch);
      await this.#step("recorded");
      next = batch.to + 1;
      const insertion = this.#insert(batch);
      // The engine inserts in its own process meanwhile. Claims of a batch that is never recorded do no harm.
      const [prepared, inserted] = await Promise.allSettled([this.#prepareDuring(insertion, next), insertion]);
      // Both have ended before a failure of either is passed on: a retry must not meet the builder at work.
      if (inserted.status === "rejected") throw inserted.reason;
      if (prepared.status === "rejected") throw prepared.reason;
      await this.#commit(batch, startedMs);
      ahead = prepared.value?.batch ?? null;
      startedMs = prepared.value?.startedMs ?? startedMs;
    }
  }

  /** Prepares the next batch so that it is ready when the insert is over; null when few events wait for it. */
  async #prepareDuring(
    insertion: Promise<void>,
    next: number,
  ): Promise<{ readonly batch: PreparedBatch; readonly startedMs: number } | null> {
    const { partition, log, limits } = this.#options;
    const insertMs = performance.now();
    const ended = insertion.then(
      () => this.#leadTime.inserted(performance.now() - insertMs),
      // Whoever waits for the insert is told of its failure.
      () => undefined,
    );
    const waitMs = this.#leadTime.waitMs(log.end(partition) - next, limits.events);
    if (waitMs > 0) {
      const over = new AbortController();
      await Promise.race([ended, delay(waitMs, undefined, { signal: over.signal }).catch(() => undefined)]);
      over.abort();
    }
    if (log.end(partition) - next < BUSY_EVENTS) return null;
    const startedMs = performance.now();
    const batch = await this.#prepare(next);
    this.#leadTime.prepared(performance.now() - startedMs, batch.to - batch.from + 1);
    return { batch, startedMs };
  }

  /**
   * Waits until there is something to store, and a little longer for a fuller batch; false when the sink is to stop or to
   * pause before there is.
   */
  async #waitForEvents(next: number): Promise<boolean> {
    const { partition, log, lingerMs } = this.#options;
    const signal = AbortSignal.any([this.#stopping.signal, this.#pausing.signal]);
    await log.waitFor(partition, next, signal);
    if (signal.aborted) return false;
    const enough = AbortSignal.any([signal, AbortSignal.timeout(lingerMs)]);
    await log.waitFor(partition, next + BUSY_EVENTS, enough);
    return !signal.aborted;
  }

  async #prepare(next: number): Promise<PreparedBatch> {
    const batch = await this.#builder.next(this.#options.partition, next, this.#nextStoredAt());
    await this.#step("prepared");
    return batch;
  }

  /**
   * The same attempt at the same recorded batch has the same token, so that a repeated one adds nothing. The stored-at
   * instant tells a batch from an earlier one with the same boundaries, whose record was lost in a power cut: the store may
   * have noted that one's token without having its rows.
   */
  async #insert(batch: PreparedBatch, attempt = 0): Promise<void> {
    const { partition, from, to, storedAt, block } = batch;
    const token = `ev/${partition}/${from}/${to}/${storedAt}/${attempt}`;
    if (block.rows > 0) await this.#options.store.insert(block, token);
    await this.#step("inserted");
  }

  async #commit(batch: PreparedBatch, startedMs: number): Promise<void> {
    const { store, db, onCommitted } = this.#options;
    const firstOffsets = new Set(batch.conflicts.map((conflict) => conflict.firstOffset));
    const winners = firstOffsets.size === 0 ? [] : await store.eventsAt(batch.partition, [...firstOffsets]);
    await commitBatch(db, batch, winners);
    onCommitted({
      partition: batch.partition,
      from: batch.from,
      to: batch.to,
      rows: batch.rowOffsets.length,
      bytes: batch.block.bytes.length,
      duplicates: batch.duplicates,
      conflicts: batch.conflicts.length,
      feed: batch.feed,
      invalidValues: batch.invalidValues,
      lastIngestedAt: batch.lastIngestedAt,
      durationMs: performance.now() - startedMs,
    });
    await this.#step("committed");
  }

  async #step(step: SinkStep): Promise<void> {
    await this.#options.onStep?.(step);
  }
}
