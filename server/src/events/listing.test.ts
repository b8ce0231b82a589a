/** Listing over the reference store: how far back, which page, whose events. */

import { beforeEach, describe, expect, test } from "vitest";
import { encodeEvents } from "../engines/event-store/index.ts";
import { ReferenceStore } from "../engines/event-store/reference.ts";
import { ManualClock } from "../kernel/clock.ts";
import { instantFromMicros, parseInstant } from "../kernel/instant.ts";
import { EventListing } from "./listing.ts";

const DAY = 24 * 3600 * 1_000_000;
const now = parseInstant("2026-03-01T00:00:00Z") ?? instantFromMicros(0);
const clock = new ManualClock(now);
let listing: EventListing;
let stored = 4;

beforeEach(async () => {
  const store = new ReferenceStore();
  const event = (offset: number, ageMicros: number, subject: string, data: string | null = null) => ({
    namespace: "default",
    id: `e${offset}`,
    source: "test",
    type: "t",
    subject,
    time: instantFromMicros(now - ageMicros),
    isTimeGiven: true,
    data,
    ingestedAt: instantFromMicros(now + offset),
    storedAt: instantFromMicros(now + 10),
    partition: 0,
    offset,
  });
  const events = [
    event(0, 32 * DAY, "a"),
    event(1, 32 * DAY + 1, "a"),
    event(2, 5, "b", `{"n": 1.10}`),
    event(3, 5, "b"),
    event(4, 1, "a"),
  ];
  await store.insert(encodeEvents(events), "all");
  stored = 4;
  listing = new EventListing({
    store,
    namespace: "default",
    clock,
    positions: () => new Map([[0, stored]]),
    explain: async (page) =>
      page.map(({ id }) => ({
        customerId: id === "e1" ? "c1" : null,
        reasons: id === "e2" ? ["first", "second"] : [],
      })),
  });
});

function ids(items: readonly string[]): readonly string[] {
  return items.map((item) => (JSON.parse(item) as { event: { id: string } }).event.id);
}

describe("recent events", () => {
  test("reach back exactly 32 days, newest first, the later arrival first among equals", async () => {
    expect(ids(await listing.recent({ limit: 10 }))).toEqual(["e4", "e3", "e2", "e0"]);
  });

  test("only what is stored is seen", async () => {
    stored = 2;
    expect(ids(await listing.recent({ limit: 10 }))).toEqual(["e2", "e0"]);
  });

  test("of a customer's subjects; of none when it has none", async () => {
    expect(ids(await listing.recent({ limit: 10, subjects: ["b"] }))).toEqual(["e3", "e2"]);
    expect(ids(await listing.recent({ limit: 10, subjects: ["b"], subject: "a" }))).toEqual([]);
    expect(ids(await listing.recent({ limit: 10, subjects: [] }))).toEqual([]);
  });

  test.each([
    [{ from: now - 32 * DAY - 1 }, "$.from"],
    [{ ingestedAtFrom: now - 32 * DAY - 1 }, "$.ingestedAtFrom"],
    [{ from: now, to: now - 1 }, "$.to"],
    [{ to: now - 33 * DAY }, "$.to"],
    [{ ingestedAtFrom: now, ingestedAtTo: now - 1 }, "$.ingestedAtTo"],
  ])("%j is refused", async (bounds, field) => {
    const instants = Object.fromEntries(Object.entries(bounds).map(([name, at]) => [name, instantFromMicros(at)]));
    await expect(listing.recent({ ...instants, limit: 1 })).rejects.toMatchObject({
      code: "invalid_period",
      fields: [{ field }],
    });
  });

  test("an item has the event as sent and every reason on a line", async () => {
    const [, , item = ""] = await listing.recent({ limit: 10 });
    expect(item).toContain(`"datacontenttype":"application/json","data":{"n": 1.10}}`);
    expect(JSON.parse(item)).toMatchObject({
      validationError: "first\nsecond",
      ingestedAt: "2026-03-01T00:00:00.000002Z",
      storedAt: "2026-03-01T00:00:00.00001Z",
    });
  });
});

describe("pages", () => {
  test("follow each other without skip or repeat, also between events of one instant", async () => {
    const first = await listing.page({ limit: 2 });
    const second = await listing.page({ limit: 2, cursor: first.nextCursor ?? "" });
    const third = await listing.page({ limit: 2, cursor: second.nextCursor ?? "" });
    expect([first, second, third].map(({ items }) => ids(items))).toEqual([["e4", "e3"], ["e2", "e0"], ["e1"]]);
    expect(third.nextCursor).toBeNull();
  });

  test.each(["", "x", "MjAyNi0wMS0wMVQwMDowMDowMFosMS0x"])("the cursor %j is refused", async (cursor) => {
    await expect(listing.page({ limit: 2, cursor })).rejects.toMatchObject({ code: "invalid_cursor" });
  });
});
