/** When a delivery is tried again. Pure. */

import { type Instant, plusMicros } from "../../kernel/instant.ts";

const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Micros before the attempt after the first, second, ... failure; after the last attempt there is none. */
const DELAYS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR];
const MAX_JITTER = 0.1;
/** A delivery that is not finished this long after it was started, or started anew, has failed. */
const LONGEST = 48 * HOUR;

export interface FailedAttempt {
  /** Attempts since it was started, this one included. */
  readonly tries: number;
  readonly startedAt: Instant;
  readonly retryAfterMs: number | null;
}

/** When to try again, or that it is over. `random` is from [0, 1), so that receivers are not hit by all at once. */
export function nextAttempt(failed: FailedAttempt, now: Instant, random: number): Instant | "exhausted" {
  const delay = DELAYS[failed.tries - 1];
  if (delay === undefined) return "exhausted";
  const micros = Math.max(Math.round(delay * (1 + random * MAX_JITTER)), (failed.retryAfterMs ?? 0) * 1000);
  const at = plusMicros(now, micros);
  const end = plusMicros(failed.startedAt, LONGEST);
  return at < end ? at : end;
}

/** Whether a delivery has had its time. */
export function isOverdue(startedAt: Instant, now: Instant): boolean {
  return now >= plusMicros(startedAt, LONGEST);
}
