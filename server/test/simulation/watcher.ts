/**
 * A reader that never stops: it asks for the number of events all the time. A number that falls, or exceeds what was sent,
 * shows that events are lost or counted twice for a moment, even when the end is right.
 */

import { setTimeout as delay } from "node:timers/promises";
import { countEvents, HttpFailure } from "./snapshot.ts";
import type { Ledger } from "./traffic.ts";

const PAUSE_MS = 250;

export interface WatcherOptions {
  readonly ledger: Ledger;
  readonly url: () => string | null;
  readonly signal: AbortSignal;
}

/** Watches until aborted; adds what is wrong to the ledger's problems and returns the number of answers. */
export async function watchCounts({ ledger, url, signal }: WatcherOptions): Promise<number> {
  let highest = 0;
  let answers = 0;
  while (!signal.aborted) {
    const origin = url();
    const count = origin === null ? null : await countUnlessDown(origin, ledger);
    if (count !== null) {
      answers += 1;
      if (count < highest) ledger.problems.push(`the count fell from ${highest} to ${count}`);
      if (count > ledger.identities) ledger.problems.push(`${count} events count, ${ledger.identities} were sent`);
      highest = Math.max(highest, count);
    }
    await delay(PAUSE_MS);
  }
  return answers;
}

/** Null while the product or its engine is down, which a client learns from 503 or a broken connection. */
async function countUnlessDown(origin: string, ledger: Ledger): Promise<number | null> {
  try {
    return await countEvents(origin);
  } catch (error) {
    if (error instanceof HttpFailure && error.status !== 503) ledger.problems.push(error.message);
    return null;
  }
}
