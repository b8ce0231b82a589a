/** Changes of who owns a subject while balances are being loaded: those that they concern are loaded again, others are not. */

import { expect, test } from "vitest";
import { ReferenceStore } from "../../engines/event-store/reference.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { zeroDuration } from "../../kernel/duration.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { initialState, type Terms } from "../engine/index.ts";
import { LiveBalances } from "./live-balances.ts";
import type { LiveTerms } from "./reading/live-terms.ts";

const START = instantFromMicros(1_704_067_200_000_000);
const SUBJECT = "phone";

const terms: Terms = {
  measureUsageFrom: START,
  usagePeriod: { interval: { ...zeroDuration, months: 1 }, anchor: START },
  resets: [],
  preserveOverageAtReset: false,
  isSoftLimit: false,
  grants: [],
  gauge: false,
  conversion: null,
};
const acme: LiveTerms = {
  entitlementId: "e",
  customer: { id: "acme", subjects: [SUBJECT] },
  meterId: "m",
  usage: {
    key: "u",
    meter: { namespace: "default", eventType: "prompt", aggregation: "COUNT", groupBy: new Map() },
    filters: new Map(),
  },
  kind: "COUNT",
  terms,
  stateAt: async () => initialState(terms),
  rollUp: () => null,
};

/** Loads one balance while `change` happens in every load; resolves with the number of loads until it was in memory. */
async function loadsAcross(change: (balances: LiveBalances, load: number) => void): Promise<number> {
  let loads = 0;
  const balances: LiveBalances = new LiveBalances({
    clock: new ManualClock(instantFromMicros(START + 1_000_000)),
    store: new ReferenceStore(),
    load: async () => {
      loads += 1;
      // The loop that loads must not keep the test from looking.
      await new Promise((resolve) => setImmediate(resolve));
      change(balances, loads);
      return [acme];
    },
    feed: { watch: () => undefined, logEnd: () => 0, lagSeconds: () => 0 },
    positions: () => new Map(),
    onError: (error) => {
      throw error;
    },
  });
  const running = balances.run();
  balances.warm(["e"]);
  await expect.poll(() => loads >= 50 || balances.latest("e") !== null, { interval: 1, timeout: 10_000 }).toBe(true);
  await balances.stop();
  await running;
  return loads;
}

test.each<[string, (balances: LiveBalances, load: number) => void, number]>([
  ["somebody else, all the time", (balances) => balances.attributionChanged(["other"], ["elsewhere"]), 1],
  ["its customer", (balances, load) => load <= 2 && balances.attributionChanged(["acme"], []), 3],
  ["its subject", (balances, load) => load <= 2 && balances.attributionChanged(["other"], [SUBJECT]), 3],
])("a change of %s", async (_, change, loads) => {
  expect(await loadsAcross(change)).toBe(loads);
});
