/**
 * At most so many requests per token and minute. A minute begins with the token's first request after the last one.
 *
 * Invariant: memory is bounded. All minutes are equally long, so the first of the map ends first; when there are too many,
 * the oldest one is forgotten and its token starts anew, which errs on the side of the client.
 */

import type { Instant } from "../kernel/instant.ts";

const MINUTE_MICROS = 60_000_000;
const MAX_TOKENS = 10_000;

interface Minute {
  readonly startedAt: Instant;
  requests: number;
}

export class RateLimit {
  readonly #perMinute: number;
  readonly #maxTokens: number;
  readonly #minutes = new Map<string, Minute>();

  constructor(perMinute: number, maxTokens = MAX_TOKENS) {
    this.#perMinute = perMinute;
    this.#maxTokens = maxTokens;
  }

  /** Counts a request. 0: it may go on; else the seconds, 1 to 60, after which the next one may. */
  count(tokenId: string, now: Instant): number {
    const minute = this.#minutes.get(tokenId);
    if (minute === undefined || isOver(minute, now)) {
      // Takes the token's own last minute along, so that the new one comes last.
      this.#forgetOld(now);
      this.#minutes.set(tokenId, { startedAt: now, requests: 1 });
      return 0;
    }
    if (minute.requests >= this.#perMinute) {
      return Math.ceil((minute.startedAt + MINUTE_MICROS - now) / 1_000_000);
    }
    minute.requests += 1;
    return 0;
  }

  /** How many tokens are remembered. */
  get size(): number {
    return this.#minutes.size;
  }

  #forgetOld(now: Instant): void {
    for (const [tokenId, minute] of this.#minutes) {
      if (!isOver(minute, now) && this.#minutes.size < this.#maxTokens) return;
      this.#minutes.delete(tokenId);
    }
  }
}

/** A clock that was set back ends the minute too: nobody must wait for it to come back. */
function isOver({ startedAt }: Minute, now: Instant): boolean {
  return now >= startedAt + MINUTE_MICROS || now < startedAt;
}
