/**
 * How long to wait before preparing the batch after the one that is being inserted.
 *
 * Preparing takes less time than inserting, and a batch that is ready early only grows old: events that arrive meanwhile
 * wait for the batch after it. So preparing begins as late as it can without making the insert wait for it, which takes half
 * an insert off the time until an event is visible. Both times are guessed from the last batch. A wrong guess costs a little
 * time and never a row.
 */

/** Preparing may take so much longer than the last time before an insert has to wait for it. */
const MARGIN = 1.5;
/** A timer is late by a few milliseconds on a busy machine, so shorter waits are none. */
const LEAST_WAIT_MS = 5;

export class LeadTime {
  #insertMs = 0;
  #prepareMs = 0;
  /** Events of the batch that was prepared last. */
  #events = 1;

  inserted(ms: number): void {
    this.#insertMs = ms;
  }

  prepared(ms: number, events: number): void {
    this.#prepareMs = ms;
    this.#events = events;
  }

  /** Milliseconds from the start of the insert, when so many events wait now; 0 when they fill a batch of at most `limit`. */
  waitMs(waiting: number, limit: number): number {
    if (waiting >= limit || this.#insertMs === 0) return 0;
    const perEventMs = (MARGIN * this.#prepareMs) / this.#events;
    // As many arrive during an insert as were in the last batch, and those that arrive during the wait are prepared too.
    const arrivalsPerMs = this.#events / this.#insertMs;
    const ms = (this.#insertMs - perEventMs * waiting) / (1 + perEventMs * arrivalsPerMs);
    return ms < LEAST_WAIT_MS ? 0 : ms;
  }
}
