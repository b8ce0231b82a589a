import { expect, test } from "vitest";
import { encodeEvents, parseJsonPath, type StoredEvent } from "../../../engines/event-store/index.ts";
import { ReferenceStore } from "../../../engines/event-store/reference.ts";
import type { WatchedUsage } from "../../../events/index.ts";
import { assert } from "../../../kernel/assert.ts";
import { instantFromMicros } from "../../../kernel/instant.ts";
import { MAX_DISTINCT_VALUES } from "../phase-usage.ts";
import { TooMuchUsage, UsageReads } from "./usage-reads.ts";

const TO = instantFromMicros(1_000_000);

/** An event at the time; `arrival` is when it was ingested, `value` null: it has none. */
function event(offset: number, time: number, arrival: number, value: number | null): StoredEvent {
  return {
    namespace: "n",
    id: String(offset),
    source: "s",
    type: "t",
    subject: "a",
    time: instantFromMicros(time),
    isTimeGiven: true,
    data: value === null ? null : `{"v":${value}}`,
    ingestedAt: instantFromMicros(arrival),
    storedAt: instantFromMicros(arrival),
    partition: 0,
    offset,
  };
}

async function readsOf(aggregation: "LATEST" | "UNIQUE_COUNT", events: readonly StoredEvent[]): Promise<UsageReads> {
  const store = new ReferenceStore();
  await store.insert(encodeEvents(events), "t");
  const valuePath = parseJsonPath("$.v");
  assert(valuePath !== null, "the path is valid");
  const usage: WatchedUsage = {
    key: "k",
    meter: { namespace: "n", eventType: "t", aggregation, valuePath, groupBy: new Map() },
    filters: new Map(),
  };
  return new UsageReads({ store, usage, rollUp: null, upTo: new Map([[0, 1_000_000]]) });
}

async function latestOf(events: readonly StoredEvent[]): Promise<string | undefined> {
  const reads = await readsOf("LATEST", events);
  const entries = await reads.latest({ id: "a", subjects: ["a"] }, instantFromMicros(0), TO);
  return entries.toSorted((a, b) => a.time - b.time || a.arrival - b.arrival || a.offset - b.offset).at(-1)?.value;
}

test("the latest value is that of the last arrival, also when a page ends between events of one time", async () => {
  const without = Array.from({ length: 150 }, (_, offset) => event(offset, 500, 1, null));
  // The later an event's offset, the earlier it was ingested: the last arrival is on the second page.
  const same = Array.from({ length: 100 }, (_, index) => event(150 + index, 400, 1_000 - index, index));
  const store = [...without, ...same, event(900, 300, 5_000, 777)];
  expect(await latestOf(store)).toBe("0");
});

test("a latest value behind many events that do not count is found some pages on, but not behind too many", async () => {
  const without = (count: number): StoredEvent[] =>
    Array.from({ length: count }, (_, index) => event(index + 1, 1_000 + index, 1, null));
  expect(await latestOf([event(0, 10, 1, 5), ...without(700)])).toBe("5");
  await expect(latestOf([event(0, 10, 1, 5), ...without(3_000)])).rejects.toThrow(TooMuchUsage);
});

test("no event, no value", async () => {
  expect(await latestOf([])).toBeUndefined();
});

test("no more distinct values are read than are kept", async () => {
  const customer = { id: "a", subjects: ["a"] };
  const events = Array.from({ length: MAX_DISTINCT_VALUES + 1 }, (_, offset) => event(offset, 10, 1, offset));
  const all = await readsOf("UNIQUE_COUNT", events);
  await expect(all.distinctValues(customer, instantFromMicros(0), TO)).rejects.toThrow(TooMuchUsage);
  const most = await readsOf("UNIQUE_COUNT", events.slice(1));
  expect(await most.distinctValues(customer, instantFromMicros(0), TO)).toHaveLength(MAX_DISTINCT_VALUES);
});
