/**
 * The balance of one metered entitlement in memory: the engine's state at the start of the phase that now lies in, and the
 * usage since then. Reading it costs as much as there are grants; entries of the feed cost an addition.
 *
 * Invariant: the value at an instant is the value that a recomputation gives at the position up to which the feed was
 * taken. Where that cannot be promised, `take` and `valueAt` say so, and the balance has to be rebuilt.
 */

import type { Instant } from "../../kernel/instant.ts";
import {
  advance,
  ceilToMinute,
  type EngineState,
  type MeteredValue,
  nextBoundary,
  periodAt,
  type Terms,
  valueInPhase,
} from "../engine/index.ts";
import type { PhaseUsage, UsageEntry } from "./phase-usage.ts";

export class LiveBalance {
  readonly terms: Terms;
  #state: EngineState;
  #nextBoundary: Instant | null;
  readonly #usage: PhaseUsage;
  #value: MeteredValue | null = null;

  /** `state` is at the start of the phase that `usage` counts. */
  constructor(terms: Terms, state: EngineState, usage: PhaseUsage) {
    this.terms = terms;
    this.#state = state;
    this.#nextBoundary = nextBoundary(terms, state.at);
    this.#usage = usage;
  }

  /** Adds an entry of the feed; false when the balance has to be rebuilt because the entry changes what is closed. */
  take(entry: UsageEntry): boolean {
    // Usage from before the entitlement began to measure never counts.
    if (entry.time < this.terms.measureUsageFrom) return true;
    this.#value = null;
    return this.#usage.add(entry);
  }

  /** The value at `now`; null when the balance has to be rebuilt because what it would take is not in memory. */
  valueAt(now: Instant): MeteredValue | null {
    const upTo = ceilToMinute(now);
    // The clock went back to before a minute that counts already.
    if (upTo < this.#usage.upTo || now < this.#state.at) return null;
    while (this.#nextBoundary !== null && this.#nextBoundary <= now) {
      if (!this.#cross(this.#nextBoundary)) return null;
    }
    if (upTo > this.#usage.upTo) {
      this.#value = null;
      if (!this.#usage.advance(upTo)) return null;
    }
    this.#value ??= valueInPhase(this.terms, this.#state, this.#usage.total());
    return this.#value;
  }

  /** When the value changes by itself, without usage; null: never. */
  get nextBoundary(): Instant | null {
    return this.#nextBoundary;
  }

  /** Closes the phase that ends at the boundary and begins the next one. */
  #cross(boundary: Instant): boolean {
    if (!this.#usage.advance(boundary)) return false;
    const total = this.#usage.total();
    const isNewPeriod = periodAt(this.terms, boundary).from === boundary;
    this.#state = advance(this.terms, this.#state, boundary, () => total);
    this.#usage.nextPhase(boundary, isNewPeriod);
    this.#nextBoundary = nextBoundary(this.terms, boundary);
    this.#value = null;
    return true;
  }
}
