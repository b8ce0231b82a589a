/**
 * Clocks: the only way to learn what time it is. A service is handed a clock, so that a test can stop, set and advance time.
 */

import type { Instant } from "./instant.ts";
import { instantFromTemporal, plusMicros } from "./instant.ts";

/** Tells wall-clock time. It may step backwards when the machine's clock is corrected. */
export interface Clock {
  now(): Instant;
}

/** The machine's clock, to the microsecond. */
export const systemClock: Clock = {
  now: () => instantFromTemporal(Temporal.Now.instant()),
};

/** A clock that moves only when it is told to. */
export class ManualClock implements Clock {
  #now: Instant;

  constructor(now: Instant) {
    this.#now = now;
  }

  now(): Instant {
    return this.#now;
  }

  /** Moves the clock to `now`, backwards too. */
  set(now: Instant): void {
    this.#now = now;
  }

  advance(micros: number): void {
    this.#now = plusMicros(this.#now, micros);
  }
}
