/**
 * Comparing roll-ups with their events while the server runs: now and then one day of one level, so that a difference, which
 * should never be, is found and repaired rather than billed.
 */

import {
  bucketStart,
  type MeterView,
  nextBucketStart,
  type RollUp,
  type RollUpStore,
} from "../../engines/event-store/index.ts";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";

const CHECK_INTERVAL_MICROS = 5 * 60 * 1_000_000;
/** Days back from now among which one is chosen. */
const CHECKED_DAYS = 35;
const DAY_MICROS = 86_400_000_000;

interface Checkable {
  readonly view: MeterView;
  readonly record: RollUp;
}

export class RollUpChecks {
  readonly #store: Pick<RollUpStore, "differences">;
  #nextAt = 0;
  #count = 0;

  constructor(store: Pick<RollUpStore, "differences">) {
    this.#store = store;
  }

  /** Checks one part of one roll-up if it is time; resolves with the first part found to differ. */
  async next<T extends Checkable>(
    ready: readonly T[],
    now: Instant,
  ): Promise<{ readonly kept: T; readonly period: Period } | null> {
    if (now < this.#nextAt) return null;
    this.#nextAt = now + CHECK_INTERVAL_MICROS;
    // Every roll-up, level and day has its turn.
    const kept = ready[this.#count % Math.max(1, ready.length)];
    const level = kept?.record.levels[Math.floor(this.#count / ready.length) % kept.record.levels.length];
    const day = instantFromMicros(Math.max(0, now - (this.#count % CHECKED_DAYS) * DAY_MICROS));
    this.#count += 1;
    if (kept === undefined || level === undefined) return null;
    const grain = level.grain === "MONTH" ? "MONTH" : "DAY";
    const period = { from: bucketStart(grain, day), to: nextBucketStart(grain, day) };
    const [difference] = await this.#store.differences(kept.record, kept.view, level, period, 1);
    return difference === undefined ? null : { kept, period };
  }
}
