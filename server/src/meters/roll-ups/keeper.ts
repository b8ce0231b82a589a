/**
 * Keeps the roll-ups of all meters: builds them for meters that have enough events, adds new events, merges chunks, rebuilds
 * what is stale, deletes what does not count any more, and compares a part with the events now and then.
 *
 * Everything happens in small steps of one loop, in the background, and stops for the sink when that is behind: roll-ups make
 * queries faster and never more or less right. `of` tells a query what it may use at this moment.
 *
 * Invariants: after a change whose recording failed, the roll-up is read again before anything else is done with it, because
 * the state store may have recorded the change all the same. A meter whose upkeep fails holds up no other.
 */

import type { Kysely } from "kysely";
import type { MeterView, PositionVector, RollUp, RollUpStore } from "../../engines/event-store/index.ts";
import { Loop, Pause } from "../../engines/jobs/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Period } from "../../kernel/period.ts";
import { type Meter, meterView } from "../meter.ts";
import { liveMeters } from "../store.ts";
import { RollUpChecks } from "./checks.ts";
import { isChoiceDue } from "./choice.ts";
import { deleteRetired, deleteUnknown } from "./deletion.ts";
import { type RollUpPace, USUAL_PACE } from "./pace.ts";
import {
  applyChange,
  loadRollUps,
  removeRollUp,
  retireUnfinished,
  type RollUpChange,
  type RollUpRecord,
} from "./record.ts";
import { TypeCounts } from "./type-counts.ts";
import { buildMonth, chooseRollUp, foldNew, mergeLast, rebuildStale, type Work } from "./work.ts";

export interface RollUpKeeperOptions {
  readonly db: Kysely<Database>;
  readonly store: RollUpStore;
  readonly clock: Clock;
  /** How far events are stored, at this moment. */
  readonly positions: () => PositionVector;
  /** True while the sink is behind: then roll-ups wait. */
  readonly isBusy: () => boolean;
  /** True while events arrive: then roll-ups take only a part of the time, however urgent they are. */
  readonly isIngesting: () => boolean;
  readonly onError: (error: unknown) => void;
  /** A roll-up said something else than the events: the period is read from events until it is rebuilt. */
  readonly onDifference: (meter: Meter, period: Period) => void;
  /** Whatever is left out is `USUAL_PACE`. */
  readonly pace?: Partial<RollUpPace>;
}

/** A meter with so many events that are not rolled up yet goes first, whatever the upkeep has cost lately. */
const MANY_EVENTS = 10_000;
/** With so many events not rolled up a meter does not even wait for the sink, or the wait would have no end. */
const TOO_MANY_EVENTS = 2_000_000;

interface Kept {
  readonly meter: Meter;
  readonly view: MeterView;
  record: RollUpRecord;
  /** A roll-up with other levels that queries use until this one is ready. */
  former: RollUpRecord | null;
  /** What queries may use; null while the first one is being built. */
  offered: RollUp | null;
  /** Events after the coverage. */
  pending: number;
  /** Whether recording a change failed, so that `record` may not be what is recorded. */
  isDoubtful: boolean;
}

export class RollUpKeeper {
  readonly #options: RollUpKeeperOptions;
  readonly #pace: RollUpPace;
  readonly #loop: Loop;
  readonly #rest = new Pause();
  readonly #kept = new Map<string, Kept>();
  readonly #counts: TypeCounts;
  readonly #checks: RollUpChecks;
  #meters: readonly Meter[] = [];
  #metersUntilMs = 0;
  #isLoaded = false;
  /** Meters for which a roll-up was found to be of no use, with the number of events they had then. */
  readonly #declined = new Map<string, number>();
  /** Meters whose upkeep failed, with the time of the next attempt. */
  readonly #retryAtMs = new Map<string, number>();
  #restUntilMs = 0;
  #tidyAtMs = 0;
  #holds = 0;
  #deletion: Promise<void> = Promise.resolve();

  constructor(options: RollUpKeeperOptions) {
    this.#options = options;
    this.#counts = new TypeCounts(options.store);
    this.#checks = new RollUpChecks(options.store);
    this.#pace = { ...USUAL_PACE, ...options.pace };
    this.#loop = new Loop({
      intervalMs: this.#pace.intervalMs,
      step: () => this.step(),
      onError: options.onError,
    });
  }

  run(): Promise<void> {
    return this.#loop.run();
  }

  stop(): Promise<void> {
    this.#rest.wake();
    return this.#loop.stop();
  }

  /** What is rolled up of the meter; null when nothing is. */
  of(meter: Meter): RollUp | null {
    return this.#kept.get(keyOf(meter.id, meter.version))?.offered ?? null;
  }

  /**
   * Keeps rows that do not count any more from being deleted, until the function it returns is called; resolves when a
   * deletion under way is over.
   */
  async holdDeletions(): Promise<() => void> {
    this.#holds += 1;
    // Whoever deletes tells of its failure.
    await this.#deletion.catch(() => undefined);
    let isHeld = true;
    return () => {
      if (isHeld) this.#holds -= 1;
      isHeld = false;
    };
  }

  /** Whether every event that is stored now is in the roll-ups of the meters that have one, and none is being built. */
  get isCaughtUp(): boolean {
    const isCurrent = (kept: Kept): boolean =>
      kept.record.status === "ready" &&
      kept.offered !== null &&
      isCovered(this.#options.positions(), kept.offered.coverage);
    return (
      this.#isLoaded &&
      // Right after a start nothing is counted yet, and no meter seems to deserve a roll-up.
      isCovered(this.#options.positions(), this.#counts.position) &&
      !this.#meters.some((meter) => this.#deservesChoice(meter)) &&
      [...this.#kept.values()].every(isCurrent)
    );
  }

  /** Stored events that are not yet in roll-ups, counted once for each meter; may be too many after a start. */
  get lagEvents(): number {
    return [...this.#kept.values()].reduce((sum, { pending }) => sum + pending, 0);
  }

  /** The roll-ups as recorded, with their meters. */
  get records(): readonly { readonly meter: Meter; readonly record: RollUpRecord }[] {
    return [...this.#kept.values()].map(({ meter, record }) => ({ meter, record }));
  }

  /** One piece of work, which `run` repeats; never two at a time. True when there is more to do at once. */
  async step(): Promise<boolean> {
    if (!this.#isLoaded) await this.#load();
    if (performance.now() >= this.#metersUntilMs) await this.#loadMeters();
    await this.#countNew();
    if (this.#isWaiting()) return false;
    const startedMs = performance.now();
    const hasWorked = await this.#work();
    const endedMs = performance.now();
    if (!hasWorked) return false;
    this.#restUntilMs = endedMs + (endedMs - startedMs) / this.#pace.shareOfTime;
    if (!this.#isUrgent()) return false;
    const share = this.#pace.urgentShareOfTime;
    if (this.#options.isIngesting()) await this.#rest.wait((endedMs - startedMs) * (1 / share - 1));
    return true;
  }

  #isWaiting(): boolean {
    if (this.#options.isBusy()) return !this.#able().some(({ pending }) => pending >= TOO_MANY_EVENTS);
    return performance.now() < this.#restUntilMs && !this.#isUrgent();
  }

  /** New roll-ups and many new events do not wait for their share of time. */
  #isUrgent(): boolean {
    const isUrgent = ({ record, pending }: Kept): boolean => record.status === "building" || pending >= MANY_EVENTS;
    return this.#able().some(isUrgent) || this.#nextToChoose() !== undefined;
  }

  /** The roll-ups that may be worked on at this moment. */
  #able(): readonly Kept[] {
    return [...this.#kept.values()].filter(({ meter }) => this.#isAble(meter));
  }

  #isAble(meter: Meter): boolean {
    return performance.now() >= (this.#retryAtMs.get(keyOf(meter.id, meter.version)) ?? 0);
  }

  async #load(): Promise<void> {
    const { db, store, clock } = this.#options;
    // An attempt that failed may have left roll-ups here, which are found again.
    this.#kept.clear();
    await retireUnfinished(db, clock.now());
    const rows = await store.chunkRows();
    await this.#loadMeters();
    const meters = new Map(this.#meters.map((meter) => [keyOf(meter.id, meter.version), meter]));
    for (const record of await loadRollUps(db)) {
      const meter = meters.get(keyOf(record.meterId, record.meterVersion));
      // After a power cut the state store may remember chunks that were deleted since.
      const isWhole = record.chunkRecords.every((chunk) => (rows.get(chunk.id) ?? 0) === chunk.rows);
      if (meter === undefined || !isWhole) await this.#remove(record);
      else await this.#keepYounger(meter, record);
    }
    await deleteUnknown(db, store, rows);
    this.#isLoaded = true;
  }

  /** Keeps a roll-up that was made to take the place of those found before it, and the one that queries use until then. */
  async #keepYounger(meter: Meter, record: RollUpRecord): Promise<void> {
    const before = this.#kept.get(keyOf(meter.id, meter.version));
    const ready = before?.record.status === "ready" ? before.record : (before?.former ?? null);
    const former = record.status === "ready" ? null : ready;
    for (const older of [before?.record ?? null, before?.former ?? null]) {
      if (older !== former) await this.#remove(older);
    }
    this.#keep(meter, record, former);
  }

  async #loadMeters(): Promise<void> {
    this.#metersUntilMs = performance.now() + this.#pace.metersTtlMs;
    this.#meters = await liveMeters(this.#options.db);
    const keys = new Set(this.#meters.map((meter) => keyOf(meter.id, meter.version)));
    for (const key of [...this.#declined.keys(), ...this.#retryAtMs.keys()]) {
      if (keys.has(key)) continue;
      this.#declined.delete(key);
      this.#retryAtMs.delete(key);
    }
    for (const [key, { record, former }] of this.#kept) {
      if (keys.has(key)) continue;
      await this.#remove(record);
      await this.#remove(former);
      this.#kept.delete(key);
    }
  }

  async #remove(record: RollUpRecord | null): Promise<void> {
    if (record !== null) await removeRollUp(this.#options.db, record.id, this.#options.clock.now());
  }

  #keep(meter: Meter, record: RollUpRecord, former: RollUpRecord | null): void {
    const pending = this.#counts.after(record.coverage, meter.namespace, meter.eventType);
    const offered = record.status === "ready" ? record : former;
    const kept = { meter, view: meterView(meter), record, former, offered, pending, isDoubtful: false };
    this.#kept.set(keyOf(meter.id, meter.version), kept);
  }

  /** Learns of events stored since the last time; meters without any are covered further at no cost. */
  async #countNew(): Promise<void> {
    const positions = this.#options.positions();
    if (!(await this.#counts.advance(positions))) return;
    for (const kept of this.#kept.values()) {
      kept.pending = this.#counts.after(kept.record.coverage, kept.meter.namespace, kept.meter.eventType);
      if (kept.pending === 0 && kept.record.status === "ready") kept.offered = { ...kept.record, coverage: positions };
    }
  }

  /** Does the most important piece of work there is; false when there is none. */
  async #work(): Promise<boolean> {
    const able = this.#able();
    const doubtful = able.find(({ isDoubtful }) => isDoubtful);
    if (doubtful !== undefined) return await this.#attempt(doubtful.meter, () => this.#recall(doubtful));
    const stale = able.find(({ record }) => record.stale.length > 0 && record.status === "ready");
    if (stale !== undefined) return await this.#change(stale, rebuildStale);
    const behind = able
      .filter(({ pending, record }) => pending > 0 && record.status === "ready")
      .toSorted((a, b) => b.pending - a.pending)[0];
    // Where events never stop, small folds would leave no time for anything else.
    if (behind !== undefined && behind.pending >= MANY_EVENTS) return await this.#takeIn(behind);
    const building = able.find(({ record }) => record.status === "building");
    if (building !== undefined) return await this.#change(building, buildMonth);
    const meter = this.#nextToChoose();
    if (meter !== undefined) return await this.#attempt(meter, () => this.#choose(meter));
    if (performance.now() >= this.#tidyAtMs) {
      this.#tidyAtMs = performance.now() + this.#pace.tidyIntervalMs;
      await this.#delete();
      await this.#check();
    }
    return behind === undefined ? false : await this.#takeIn(behind);
  }

  /** Adds new events, and merges chunks if there are many now. */
  async #takeIn(kept: Kept): Promise<true> {
    await this.#change(kept, foldNew);
    return await this.#change(kept, mergeLast);
  }

  async #delete(): Promise<void> {
    const { db, store, clock } = this.#options;
    if (this.#holds > 0) return;
    this.#deletion = deleteRetired(db, store, clock.now(), this.#pace.minDeletedChunks);
    await this.#deletion;
  }

  /** Does work for a meter, and lets the other meters go first for a while when it fails. */
  async #attempt(meter: Meter, work: () => Promise<void>): Promise<true> {
    const { db, clock } = this.#options;
    try {
      await work();
      return true;
    } catch (error) {
      this.#retryAtMs.set(keyOf(meter.id, meter.version), performance.now() + this.#pace.retryMs);
      // Only this loop writes chunks, and it writes one at a time.
      await retireUnfinished(db, clock.now());
      throw error;
    }
  }

  async #change(kept: Kept, work: Work): Promise<true> {
    const { db, store, clock } = this.#options;
    return await this.#attempt(kept.meter, async () => {
      const change = await work({ db, store, clock, upTo: this.#counts.position }, kept.record, kept.view);
      if (change === null) return;
      await this.#apply(kept, change);
      await this.#settle(kept);
    });
  }

  /** Records a change. When that fails, the roll-up is doubtful. */
  async #apply(kept: Kept, change: RollUpChange): Promise<void> {
    const { db, clock } = this.#options;
    kept.isDoubtful = true;
    await applyChange(db, change, clock.now());
    kept.isDoubtful = false;
    const chunkRecords = [
      ...kept.record.chunkRecords.filter(({ id }) => !change.retired.includes(id)),
      ...change.added,
    ];
    kept.record = { ...change.rollUp, chunkRecords, chunks: chunkRecords.map(({ id }) => id) };
  }

  /** Reads what is recorded of a doubtful roll-up. */
  async #recall(kept: Kept): Promise<void> {
    const record = (await loadRollUps(this.#options.db)).find(({ id }) => id === kept.record.id);
    if (record === undefined) {
      this.#kept.delete(keyOf(kept.meter.id, kept.meter.version));
      return;
    }
    // What was found to differ stays so, recorded or not; at worst a period is rebuilt twice.
    const stale = [...record.stale, ...kept.record.stale.filter((each) => !record.stale.some(isSamePeriod(each)))];
    kept.record = { ...record, stale };
    kept.isDoubtful = false;
    await this.#settle(kept);
  }

  /** Offers the roll-up as it is now, if it is ready. */
  async #settle(kept: Kept): Promise<void> {
    kept.pending = this.#counts.after(kept.record.coverage, kept.meter.namespace, kept.meter.eventType);
    if (kept.record.status !== "ready") return;
    // Until it is prepared, queries use what they had.
    await this.#options.store.prepare(kept.record);
    kept.offered = kept.record;
    await this.#remove(kept.former);
    kept.former = null;
  }

  /** A meter that has no roll-up but enough events, or levels that were chosen over far fewer. */
  #nextToChoose(): Meter | undefined {
    return this.#meters.find((meter) => this.#isAble(meter) && this.#deservesChoice(meter));
  }

  #deservesChoice(meter: Meter): boolean {
    const key = keyOf(meter.id, meter.version);
    const events = this.#counts.total(meter.namespace, meter.eventType);
    const before = this.#kept.get(key)?.record.sizedAtEvents ?? this.#declined.get(key);
    return before === undefined ? events >= this.#pace.minEvents : isChoiceDue(before, events);
  }

  async #choose(meter: Meter): Promise<void> {
    const { db, store, clock } = this.#options;
    const key = keyOf(meter.id, meter.version);
    const former = this.#kept.get(key);
    const events = this.#counts.total(meter.namespace, meter.eventType);
    const work = { db, store, clock, upTo: this.#counts.position };
    const record = await chooseRollUp(work, meter, events, former?.record ?? null);
    if (record !== null) this.#keep(meter, record, former?.record ?? null);
    else if (former === undefined) this.#declined.set(key, events);
    else former.record = { ...former.record, sizedAtEvents: events };
  }

  async #check(): Promise<void> {
    const { clock, onDifference } = this.#options;
    const ready = this.#able().filter(({ record, isDoubtful }) => record.status === "ready" && !isDoubtful);
    const found = await this.#checks.next(ready, clock.now());
    if (found === null) return;
    const { kept, period } = found;
    onDifference(kept.meter, period);
    kept.record = { ...kept.record, stale: [...kept.record.stale, period] };
    // Queries must not use the period, even when this cannot be recorded.
    kept.offered = kept.record;
    await this.#apply(kept, { rollUp: kept.record, added: [], retired: [] });
  }
}

function keyOf(meterId: string, version: number): string {
  return `${meterId}/${version}`;
}

function isSamePeriod(a: Period): (b: Period) => boolean {
  return (b) => a.from === b.from && a.to === b.to;
}

function isCovered(positions: PositionVector, coverage: PositionVector): boolean {
  return [...positions].every(([partition, offset]) => offset <= (coverage.get(partition) ?? -1));
}
