/**
 * A client that creates, changes and deletes meters while events come in, so that whatever is killed is killed in the middle
 * of rolling up old events too. What it asked for and got no answer to may have happened or not; both are right.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../oracle/random.ts";
import { MADE_PREFIX, MADE_LIKE } from "./snapshot.ts";
import { EVENT_TYPE, type Ledger } from "./traffic.ts";

/** Every change of a meter makes the product read all its events again. */
const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 8_000;
const MOST_METERS = 4;
const REQUEST_TIMEOUT_MS = 15_000;
/** Done; there is no such meter; not now. */
const EXPECTED = new Set([200, 201, 204, 404, 503]);

const GROUP_BYS: readonly Readonly<Record<string, string>>[] = [
  {},
  { variant: "$.variant" },
  { variant: "$.variant", kind: "$.missing" },
  { kind: "$.variant" },
];

export interface MeterMakerOptions {
  readonly ledger: Ledger;
  readonly random: Random;
  readonly url: () => string | null;
  readonly signal: AbortSignal;
}

/** Works until aborted; adds answers that nobody should get to the ledger's problems and returns how many changes were made. */
export async function makeMeters(options: MeterMakerOptions): Promise<number> {
  const { ledger, random, url, signal } = options;
  const slugs: string[] = [];
  let made = 0;
  let changes = 0;
  while (!signal.aborted) {
    await delay(random.between(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS));
    const origin = url();
    if (origin === null) continue;
    const slug = slugs.length === 0 ? undefined : random.pick(slugs);
    let status: number | null;
    if (slug === undefined || (made < MOST_METERS && random.oneIn(2))) {
      made += 1;
      const created = `${MADE_PREFIX}${made}`;
      const definition = { ...random.pick(Object.values(MADE_LIKE)), eventType: EVENT_TYPE };
      const body = { ...definition, slug: created, groupBy: random.pick(GROUP_BYS) };
      status = await send(ledger, `${origin}/api/v1/meters`, "POST", body);
      if (status === 200 || status === 201) slugs.push(created);
    } else if (slugs.length > 2 && random.oneIn(8)) {
      status = await send(ledger, `${origin}/api/v1/meters/${slug}`, "DELETE", null);
      if (status === 204) slugs.splice(slugs.indexOf(slug), 1);
    } else {
      status = await send(ledger, `${origin}/api/v1/meters/${slug}`, "PUT", { groupBy: random.pick(GROUP_BYS) });
    }
    if (status !== null && status < 300) changes += 1;
  }
  return changes;
}

/** The status of the answer; null when there was none. */
async function send(ledger: Ledger, address: string, method: string, body: unknown): Promise<number | null> {
  try {
    const response = await fetch(address, {
      method,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      ...(body === null ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!EXPECTED.has(response.status)) ledger.problems.push(`${method} ${address} got ${response.status}: ${text}`);
    return response.status;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return null;
  }
}
