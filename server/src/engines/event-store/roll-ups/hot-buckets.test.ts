/** Rows in memory: what is loaded, kept and let go. That sums equal the engine's is for the oracle to show. */

import { expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { UsageQuery } from "../store.ts";
import type { BucketRow } from "./bucket-sum.ts";
import { HotBuckets, hotCover } from "./hot-buckets.ts";
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

/** A store of rows that counts how often it is asked. */
function shelf(rows: readonly BucketRow[]): { readonly hot: HotBuckets; readonly loads: number[][] } {
  const loads: number[][] = [];
  const hot = new HotBuckets(async (_query, _rollUp, _level, chunks, limit) => {
    loads.push([...chunks]);
    await Promise.resolve();
    return rows.filter(({ chunk }) => chunks.includes(chunk)).slice(0, limit);
  });
  return { hot, loads };
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
  const hot = new HotBuckets(async () => {
    if (fails) throw new Error("down");
    return [row(1, 0, 2)];
  });
  await expect(hot.answer(query())).rejects.toThrow("down");
  fails = false;
  expect(await hot.answer(query())).toEqual([[2, 0, HOUR, 0, 0, 2]]);
});

test.each([
  ["sets", query({ meter: { ...query().meter, aggregation: "UNIQUE_COUNT" } })],
  ["patterns", query({ filters: new Map([["model", { op: "like", pattern: "%" } as const]]) })],
  ["watched queries", query({ watchAs: "me" })],
  ["subjects", query({ groupBySubject: true })],
  ["edges", query({ from: instantFromMicros(1) })],
  ["a tail", query({ upTo: new Map([[0, 10]]) })],
])("%s are left to the engine", (_, asked) => {
  expect(hotCover(asked, rollUp())).toBeNull();
});
