/** Which balances are read together, and that reading them together gives what reading them one by one gives. */

import { expect, test } from "vitest";
import { encodeEvents, type EventStore, type StoredEvent } from "../../../engines/event-store/index.ts";
import { ReferenceStore } from "../../../engines/event-store/reference.ts";
import { microsPerDay, microsPerMinute } from "../../../kernel/civil.ts";
import { assert } from "../../../kernel/assert.ts";
import { Decimal } from "../../../kernel/decimal.ts";
import { parseDuration } from "../../../kernel/duration.ts";
import { Fault } from "../../../kernel/fault.ts";
import { type Instant, instantFromMicros } from "../../../kernel/instant.ts";
import { advance, initialState, phases, type Terms } from "../../engine/index.ts";
import type { LiveTerms } from "./live-terms.ts";
import { cohortsOf, rebuild } from "./rebuild.ts";

const START = 1_704_067_200_000_000;
const UP_TO = new Map([[0, 1_000_000]]);

function after(micros: number): Instant {
  return instantFromMicros(START + micros);
}

/** An entitlement by the day, from as many minutes after the start. */
function daily(customerId: string, minute: number, part: Partial<LiveTerms> = {}): LiveTerms {
  const interval = parseDuration("P1D");
  assert(interval !== null, "the duration is valid");
  const from = after(minute * microsPerMinute);
  const terms: Terms = {
    measureUsageFrom: from,
    usagePeriod: { interval, anchor: from },
    resets: [],
    preserveOverageAtReset: true,
    isSoftLimit: false,
    grants: [],
    gauge: false,
    conversion: null,
  };
  return {
    entitlementId: `of ${customerId}`,
    customer: { id: customerId, subjects: [customerId, `${customerId} too`] },
    meterId: "m",
    usage: {
      key: "m",
      meter: { namespace: "n", eventType: "t", aggregation: "COUNT", groupBy: new Map() },
      filters: new Map(),
    },
    kind: "COUNT",
    terms,
    stateAt: () => Promise.reject(new Error("nobody asked for a state")),
    rollUp: () => null,
    ...part,
  };
}

function event(offset: number, subject: string, time: Instant): StoredEvent {
  const texts = { namespace: "n", id: String(offset), source: "s", type: "t", subject, data: null };
  return { ...texts, time, isTimeGiven: true, ingestedAt: time, storedAt: time, partition: 0, offset };
}

test("sums and counts of one usage are read together whatever their phases, up to a bound", () => {
  const now = after(30 * microsPerDay);
  const sizes = (all: readonly LiveTerms[], at = now): number[] =>
    cohortsOf(all, at).map(({ members }) => members.length);
  const many = Array.from({ length: 1_500 }, (_, index) => daily(`c${index}`, 40_000 + index));
  expect(sizes(many)).toEqual([1_000, 500]);
  // 30 phases each, so that 20,000 of all are 666 customers.
  const long = Array.from({ length: 1_000 }, (_, index) => daily(`c${index}`, 1 + (index % 1_000)));
  expect(sizes(long)).toEqual([666, 334]);
  const other = { ...daily("x", 0).usage, key: "other" };
  expect(sizes([daily("a", 1), daily("b", 2, { usage: other }), daily("c", 3)])).toEqual([2, 1]);
  expect(sizes([daily("a", 1, { kind: "LATEST" }), daily("b", 1, { kind: "UNIQUE_COUNT" })])).toEqual([1, 1]);
  expect(sizes([daily("a", 1), daily("b", 1)], after(1_001 * microsPerDay))).toEqual([1, 1]);
});

test("reading together gives what reading one by one gives, which is done when the query takes too long", async () => {
  const store = new ReferenceStore();
  const now = after(3 * microsPerDay);
  const customers = ["a", "b", "c"];
  const events = Array.from({ length: 120 }, (_, index) => {
    const subject = `${customers[index % 3] ?? ""}${index % 2 === 0 ? "" : " too"}`;
    return event(index, subject, after(index * 45 * microsPerMinute));
  });
  await store.insert(encodeEvents(events), "all");
  const stateOf = async ({ terms, customer }: LiveTerms, at: Instant): ReturnType<LiveTerms["stateAt"]> => {
    const all = phases(terms, { at: terms.measureUsageFrom }, at);
    return advance(terms, initialState(terms), at, (index) => {
      const { from, to } = all[index] ?? { from: at, to: at };
      const own = events.filter(
        ({ subject, time }) => customer.subjects.includes(subject) && time >= from && time < to,
      );
      return Decimal.fromInteger(own.length);
    });
  };
  const members = customers.map((id, index) => {
    const plain = daily(id, 100 + index * 17);
    return { ...plain, stateAt: (at: Instant) => stateOf(plain, at) };
  });
  const values = async (queryPhaseUsage: EventStore["queryPhaseUsage"]): Promise<string[]> => {
    const reading = {
      queryUsage: store.queryUsage.bind(store),
      listEvents: store.listEvents.bind(store),
      queryPhaseUsage,
    };
    const [cohort, ...others] = cohortsOf(members, now);
    assert(cohort !== undefined && others.length === 0, "all are read together");
    const balances = await rebuild({ store: reading }, cohort, UP_TO);
    // Two days on, the events of the future count too.
    const at = [now, after(5 * microsPerDay)];
    return [...balances].flatMap(([id, balance]) =>
      at.map((each) => `${id}: ${balance.valueAt(each)?.usage.toText()}`),
    );
  };
  const together = await values(store.queryPhaseUsage.bind(store));
  expect(together.map((text) => text.split(":")[0])).toEqual(["of a", "of a", "of b", "of b", "of c", "of c"]);
  expect(new Set(together).size).toBeGreaterThan(3);
  const failing = (code: string) => () => Promise.reject(new Fault("unavailable", code, "The query takes too long."));
  expect(await values(failing("query_timeout"))).toEqual(together);
  await expect(values(failing("event_store_unavailable"))).rejects.toThrow(Fault);
});
