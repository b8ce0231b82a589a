/**
 * The usage of one entitlement in the phase that now lies in, in memory: what counts so far, and events of the future that
 * count when their time comes.
 *
 * Entries come in the order of the log, their times in any order. Whole minutes decide: an entry counts when the reading's
 * minute has passed its time. What cannot be added any more, because it belongs to a phase that is closed, is refused, and
 * the usage has to be read anew.
 */

import { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";

/** Usage of one minute, as the sink's feed tells it. */
export interface UsageEntry {
  /** Microseconds. */
  readonly time: number;
  /** LATEST: when the event was ingested, and its offset; they decide between events of one time. */
  readonly arrival: number;
  readonly offset: number;
  /** The decimal to add or to show; of UNIQUE_COUNT the value's text. */
  readonly value: string;
}

export type UsageKind = "SUM" | "COUNT" | "UNIQUE_COUNT" | "LATEST";

/** More entries of the future are not kept; the usage is read anew when the first of them counts. */
const MAX_QUEUED = 10_000;
/** More distinct values than this are left to the event store. */
export const MAX_DISTINCT_VALUES = 100_000;

/** What a kind of usage makes of entries that count. */
interface Accumulator {
  /** False when the entry cannot be added. */
  add(entry: UsageEntry): boolean;
  /** The usage of the phase so far, as the engine wants it. */
  total(): Decimal;
  nextPhase(from: Instant, isNewPeriod: boolean): void;
}

export class PhaseUsage {
  readonly #accumulator: Accumulator;
  readonly #queue: UsageEntry[] = [];
  #earliestQueued = Number.POSITIVE_INFINITY;
  #isQueueCut = false;
  #upTo: number;

  /** The usage of a usage period that begins at `from`, of which nothing counts yet. Times before `upTo` count at once. */
  constructor(kind: UsageKind, from: Instant, upTo: Instant) {
    this.#upTo = upTo;
    this.#accumulator = accumulatorOf(kind, from);
  }

  /** The end of the minutes that count. */
  get upTo(): number {
    return this.#upTo;
  }

  /** False when the entry belongs to what is closed: the usage has to be read anew. */
  add(entry: UsageEntry): boolean {
    if (entry.time < this.#upTo) return this.#accumulator.add(entry);
    this.#earliestQueued = Math.min(this.#earliestQueued, entry.time);
    if (this.#queue.length < MAX_QUEUED && !this.#isQueueCut) {
      this.#queue.push(entry);
    } else {
      this.#isQueueCut = true;
      this.#queue.length = 0;
    }
    return true;
  }

  /** Lets the minutes before `upTo` count; false when their entries were not kept. */
  advance(upTo: Instant): boolean {
    if (upTo <= this.#upTo) return true;
    this.#upTo = upTo;
    if (this.#earliestQueued >= upTo) return true;
    if (this.#isQueueCut) return false;
    const queued = this.#queue.splice(0);
    this.#earliestQueued = Number.POSITIVE_INFINITY;
    return queued.every((entry) => this.add(entry));
  }

  /** The usage of the phase so far. */
  total(): Decimal {
    return this.#accumulator.total();
  }

  /** A phase begins at `from`, up to which everything counts; with it a usage period, if a reset is what ended the last. */
  nextPhase(from: Instant, isNewPeriod: boolean): void {
    this.#accumulator.nextPhase(from, isNewPeriod);
  }
}

function accumulatorOf(kind: UsageKind, from: Instant): Accumulator {
  switch (kind) {
    case "UNIQUE_COUNT":
      return new DistinctValues(from);
    case "LATEST":
      return new LatestValue(from);
    default:
      return new Sum(from);
  }
}

class Sum implements Accumulator {
  #from: Instant;
  #sum = Decimal.zero;

  constructor(from: Instant) {
    this.#from = from;
  }

  add({ time, value }: UsageEntry): boolean {
    if (time < this.#from) return false;
    this.#sum = this.#sum.plus(Decimal.of(value));
    return true;
  }

  total(): Decimal {
    return this.#sum;
  }

  nextPhase(from: Instant): void {
    this.#from = from;
    this.#sum = Decimal.zero;
  }
}

/** Counts the values that the period has not seen before the phase. */
class DistinctValues implements Accumulator {
  readonly #values = new Set<string>();
  #from: Instant;
  #before = 0;

  constructor(from: Instant) {
    this.#from = from;
  }

  add({ time, value }: UsageEntry): boolean {
    if (time < this.#from) return false;
    this.#values.add(value);
    return this.#values.size <= MAX_DISTINCT_VALUES;
  }

  total(): Decimal {
    return Decimal.fromInteger(this.#values.size - this.#before);
  }

  nextPhase(from: Instant, isNewPeriod: boolean): void {
    this.#from = from;
    if (isNewPeriod) this.#values.clear();
    this.#before = this.#values.size;
  }
}

/** Nothing is carried over from one phase to the next, so no event of the period ever comes too late. */
class LatestValue implements Accumulator {
  #periodStart: Instant;
  #latest: UsageEntry | null = null;

  constructor(periodStart: Instant) {
    this.#periodStart = periodStart;
  }

  add(entry: UsageEntry): boolean {
    if (entry.time >= this.#periodStart && isLater(entry, this.#latest)) this.#latest = entry;
    return true;
  }

  total(): Decimal {
    return this.#latest === null ? Decimal.zero : Decimal.of(this.#latest.value);
  }

  nextPhase(from: Instant, isNewPeriod: boolean): void {
    if (!isNewPeriod) return;
    this.#periodStart = from;
    this.#latest = null;
  }
}

/** By time, then by the order of arrival. */
function isLater(entry: UsageEntry, than: UsageEntry | null): boolean {
  if (than === null) return true;
  return (entry.time - than.time || entry.arrival - than.arrival || entry.offset - than.offset) > 0;
}
