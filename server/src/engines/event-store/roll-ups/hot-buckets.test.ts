/** Rows in memory: what is loaded, kept and let go. That sums equal the engine's is for the oracle to show. */

import { expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { UsageQuery } from "../store.ts";
import type { BucketRow } from "./bucket-sum.ts";
import type { Cover } from "./cover.ts";
import { HotBuckets, hotCover, type PlacedState } from "./hot-buckets.ts";
import type { RollUp } from "./roll-up.ts";

const DAY = 86_400_000_000;
const HOUR = 3_600_000_000;

const rollUp = (part: Partial<RollUp> = {}): RollUp => ({
  id: 1,
  groupKeys: ["model"],
  levels: [{ grain: "DAY", bySubject: false, byGroups: true }],
  coverage: new Map([[0, 9]]),
  chunks: [1, 2],
  stale: [],
  rebuilt: [],
  ...part,
});

const query = (part: Partial<UsageQuery> = {}): UsageQuery => ({
  meter: { namespace: "default", eventType: "prompt", aggregation: "COUNT", groupBy: new Map() },
  from: instantFromMicros(0),
  to: instantFromMicros(10 * DAY),
  groupBySubject: false,
  groupByCustomer: false,
  groupBy: [],
  filters: new Map(),
  upTo: new Map([[0, 9]]),
  rollUp: rollUp(),
  ...part,
});

const row = (chunk: number, day: number, events: number, model = "=a"): BucketRow => ({
  chunk,
  bucket: day * DAY,
  groups: [model],
  events,
  first: day * DAY,
  last: day * DAY + HOUR,
  valueCount: events,
  sum: 0n,
  min: null,
  max: null,
  latest: [0, 0, 0, 0, 0n],
});

interface Shelf {
  readonly hot: HotBuckets;
  /** The chunks of each load. */
  readonly loads: number[][];
  /** The covers of which states were asked. */
  readonly rests: Cover[];
}

/** A store of rows, and of states of everything else, that remembers what it was asked. */
function shelf(rows: readonly BucketRow[], states: readonly PlacedState[] = []): Shelf {
  const loads: number[][] = [];
  const rests: Cover[] = [];
  const hot = new HotBuckets({
    rows: async (_query, _rollUp, { level: { grain }, period }, chunks, limit) => {
      loads.push([...chunks]);
      await Promise.resolve();
      const isOn = ({ bucket }: BucketRow): boolean =>
        (bucket % DAY === 0) === (grain === "DAY") && period.from <= bucket && bucket < period.to;
      return rows.filter((each) => chunks.includes(each.chunk) && isOn(each)).slice(0, limit);
    },
    states: async (_query, _rollUp, cover) => {
      rests.push(cover);
      await Promise.resolve();
      return states;
    },
  });
  return { hot, loads, rests };
}

test("a chunk is loaded once, also by queries at the same time, and a new one alone", async () => {
  const { hot, loads } = shelf([row(1, 0, 2), row(2, 1, 3), row(3, 1, 5)]);
  const answers = await Promise.all([hot.answer(query()), hot.answer(query())]);
  expect(answers).toEqual([[[5, 0, DAY + HOUR, 0, 0, 5]], [[5, 0, DAY + HOUR, 0, 0, 5]]]);
  const more = query({ rollUp: rollUp({ chunks: [1, 2, 3] }) });
  expect(await hot.answer(more)).toEqual([[10, 0, DAY + HOUR, 0, 0, 10]]);
  expect(loads).toEqual([[1, 2], [3]]);
});

test("chunks that do not count are not counted, whatever is kept", async () => {
  const { hot, loads } = shelf([row(1, 0, 2), row(2, 1, 3)]);
  await hot.answer(query());
  expect(await hot.answer(query({ rollUp: rollUp({ chunks: [2] }) }))).toEqual([[3, DAY, DAY + HOUR, 0, 0, 3]]);
  expect(loads).toEqual([[1, 2]]);
});

test("a rebuilt period counts in its own chunk only", async () => {
  const { hot } = shelf([row(1, 0, 2), row(1, 1, 3), row(2, 1, 7)]);
  const period = { from: instantFromMicros(DAY + 5), to: instantFromMicros(DAY + 6) };
  const rebuilt = [{ period, chunk: 2, replaces: [1] }];
  expect(await hot.answer(query({ rollUp: rollUp({ rebuilt }) }))).toEqual([[9, 0, DAY + HOUR, 0, 0, 9]]);
});

test("groups, filters and windows", async () => {
  const { hot } = shelf([row(1, 0, 2), row(1, 1, 3, "=b"), row(2, 1, 7, "-")]);
  const byDay = query({ window: { size: "DAY", timeZone: "UTC" }, groupBy: ["model"] });
  expect(await hot.answer(byDay)).toEqual([
    [2, 0, HOUR, 0, 0, "a", 2],
    [3, DAY, DAY + HOUR, 1, 0, "b", 3],
    [7, DAY, DAY + HOUR, 1, 0, "", 7],
  ]);
  const missing = query({ filters: new Map([["model", { op: "exists", value: false } as const]]) });
  expect(await hot.answer(missing)).toEqual([[7, DAY, DAY + HOUR, 0, 0, 7]]);
  const none = query({ filters: new Map([["model", { op: "in", values: ["x"] } as const]]) });
  expect(await hot.answer(none)).toEqual([[0, 0, 0, 0, 0, 0]]);
});

const state = (place: PlacedState["place"], events: number, first: number): PlacedState => ({
  place,
  state: { ...row(0, 0, events), first, last: first },
});

test("edges and tail come as states, which are added to the rows", async () => {
  const rows = [row(1, 0, 9), row(1, 1, 2), row(2, 2, 3)];
  const { hot, rests } = shelf(rows, [state([0, 0], 4, 7), state([0, 0], 5, 20 * DAY)]);
  const asked = query({ from: instantFromMicros(5), upTo: new Map([[0, 10]]) });
  expect(await hot.answer(asked)).toEqual([[14, 7, 20 * DAY, 0, 0, 14]]);
  const edges = [{ from: 5, to: DAY }];
  expect(rests).toEqual([{ parts: [], edges, hasTail: true }]);
});

test("a bucket that a bound cuts needs no events when those of each row are on one side of the bound", async () => {
  const rows = [
    row(1, 1, 2),
    row(2, 2, 3),
    { ...row(2, 2, 5, "=b"), first: 2 * DAY + 6 * HOUR, last: 2 * DAY + 7 * HOUR },
  ];
  // Rows of a day end an hour after midnight here.
  const { hot, rests } = shelf(rows);
  const bounds = { from: instantFromMicros(DAY), to: instantFromMicros(2 * DAY + 2 * HOUR) };
  expect(await hot.answer(query(bounds))).toEqual([[5, DAY, 2 * DAY + HOUR, 0, 0, 5]]);
  const windows = { window: { size: "DAY", timeZone: "UTC" } } as const;
  expect(await hot.answer(query({ ...bounds, ...windows }))).toEqual([
    [2, DAY, DAY + HOUR, 1, 0, 2],
    [3, 2 * DAY, 2 * DAY + HOUR, 2, 0, 3],
  ]);
  expect(rests).toEqual([]);
});

test.each([
  ["the row has events on both sides", query({ from: instantFromMicros(0), to: instantFromMicros(2 * DAY + HOUR) })],
  [
    "the first event of the row is before the period",
    query({ from: instantFromMicros(1), to: instantFromMicros(3 * DAY) }),
  ],
  [
    "the bucket is stale",
    query({
      to: instantFromMicros(2 * DAY + 2 * HOUR),
      rollUp: rollUp({ stale: [{ from: instantFromMicros(2 * DAY + 9 * HOUR), to: instantFromMicros(3 * DAY) }] }),
    }),
  ],
  [
    "the events of the row are in two windows",
    query({
      to: instantFromMicros(DAY),
      window: { size: "DAY", timeZone: "Asia/Kolkata" },
      rollUp: rollUp({ levels: [{ grain: "HOUR", bySubject: false, byGroups: true }] }),
    }),
  ],
])("the events of a bucket that a bound cuts are read when %s", async (_, asked) => {
  const ofHour = { ...row(1, 0, 4), bucket: 18 * HOUR, first: 18 * HOUR, last: 19 * HOUR - 1 };
  const { hot, rests } = shelf([row(1, 0, 1), row(1, 1, 2), row(1, 2, 3), ofHour]);
  await hot.answer(asked);
  expect(rests.flatMap(({ edges }) => edges).length).toBe(1);
});

test("states meet rows of the same window and group, and others stand alone", async () => {
  const states = [state([1, 0, "b"], 10, DAY), state([2, 0, "b"], 20, 2 * DAY)];
  const { hot } = shelf([row(1, 0, 2), row(1, 1, 3, "=b")], states);
  const asked = query({
    window: { size: "DAY", timeZone: "UTC" },
    groupBy: ["model"],
    upTo: new Map([[0, 10]]),
  });
  expect(await hot.answer(asked)).toEqual([
    [2, 0, HOUR, 0, 0, "a", 2],
    [13, DAY, DAY + HOUR, 1, 0, "b", 13],
    [20, 2 * DAY, 2 * DAY, 2, 0, "b", 20],
  ]);
});

test("a level with too many rows comes as states, beside one that is kept", async () => {
  const hours = Array.from({ length: 30_001 }, (_, index): BucketRow => ({
    ...row(1, 0, 1),
    bucket: index * DAY + HOUR,
  }));
  const { hot, rests } = shelf([row(1, 0, 2), ...hours], [state([0, 0], 4, 7)]);
  const levels = (["HOUR", "DAY"] as const).map((grain) => ({ grain, bySubject: false, byGroups: true }));
  const asked = query({ to: instantFromMicros(DAY + 2 * HOUR), rollUp: rollUp({ levels }) });
  expect(await hot.answer(asked)).toEqual([[6, 0, HOUR, 0, 0, 6]]);
  const periods = [{ from: DAY, to: DAY + 2 * HOUR }];
  expect(rests).toEqual([{ parts: [{ level: levels[0], periods }], edges: [], hasTail: false }]);
});

test("a level with too many rows is left to the engine, and asked for once", async () => {
  const { hot, loads } = shelf(Array.from({ length: 30_001 }, (_, day) => row(1, day, 1)));
  expect(await hot.answer(query())).toBeNull();
  expect(await hot.answer(query())).toBeNull();
  expect(loads).toHaveLength(1);
});

test("what is longest unused goes when there are too many rows", async () => {
  const { hot, loads } = shelf(Array.from({ length: 30_000 }, (_, day) => row(1, day, 1)));
  for (let id = 1; id <= 7; id += 1) await hot.answer(query({ rollUp: rollUp({ id, chunks: [1] }) }));
  expect(loads).toHaveLength(7);
  await hot.answer(query({ rollUp: rollUp({ id: 7, chunks: [1] }) }));
  expect(loads).toHaveLength(7);
  await hot.answer(query({ rollUp: rollUp({ id: 1, chunks: [1] }) }));
  expect(loads).toHaveLength(8);
});

test("a load that fails is tried again", async () => {
  let fails = true;
  const hot = new HotBuckets({
    rows: async () => {
      if (fails) throw new Error("down");
      return [row(1, 0, 2)];
    },
    states: async () => [],
  });
  await expect(hot.answer(query())).rejects.toThrow("down");
  fails = false;
  expect(await hot.answer(query())).toEqual([[2, 0, HOUR, 0, 0, 2]]);
});

test("minutes are loaded by the day, as far as a query asks for them, and those of many days come as states", async () => {
  const minute = (day: number, events: number): BucketRow => ({ ...row(1, 0, events), bucket: day * DAY + HOUR });
  const rows = [row(1, 0, 1), row(1, 1, 2), minute(0, 1), minute(2, 4), minute(3, 8)];
  const { hot, loads, rests } = shelf(rows, [state([0, 0], 100, 7)]);
  const levels = (["MINUTE", "DAY"] as const).map((grain) => ({ grain, bySubject: false, byGroups: true }));
  const asked = query({ to: instantFromMicros(2 * DAY + 2 * HOUR), rollUp: rollUp({ levels }) });
  expect((await hot.answer(asked))?.[0]?.[0]).toBe(7);
  expect((await hot.answer(asked))?.[0]?.[0]).toBe(7);
  expect(loads).toHaveLength(2);
  const stale = [0, 1, 2, 3, 4].map((day) => ({
    from: instantFromMicros(day * DAY),
    to: instantFromMicros(day * DAY + 1),
  }));
  const manyDays = query({ to: instantFromMicros(6 * DAY), rollUp: rollUp({ levels, stale }) });
  expect((await hot.answer(manyDays))?.[0]?.[0]).toBe(100);
  expect(rests.map(({ parts }) => parts.map(({ level }) => level.grain))).toEqual([["MINUTE"]]);
});

test.each([
  ["sets", query({ meter: { ...query().meter, aggregation: "UNIQUE_COUNT" } })],
  ["patterns", query({ filters: new Map([["model", { op: "like", pattern: "%" } as const]]) })],
  ["watched queries", query({ watchAs: "me" })],
  ["subjects", query({ groupBySubject: true })],
])("%s are left to the engine", (_, asked) => {
  expect(hotCover(asked, rollUp())).toBeNull();
});
