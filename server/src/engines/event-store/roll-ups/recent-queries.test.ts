/** Which queries are asked again when more is rolled up. */

import { expect, test } from "vitest";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { UsageQuery } from "../store.ts";
import { RecentQueries } from "./recent-queries.ts";
import type { RollUp } from "./roll-up.ts";

const DAY = 86_400_000_000;

const rollUp: RollUp = {
  id: 1,
  groupKeys: ["model"],
  levels: [
    { grain: "DAY", bySubject: false, byGroups: true },
    { grain: "DAY", bySubject: true, byGroups: true },
  ],
  coverage: new Map([[0, 9]]),
  chunks: [1],
  stale: [],
  rebuilt: [],
};
const grown: RollUp = { ...rollUp, coverage: new Map([[0, 20]]), chunks: [1, 2] };

const query = (part: Partial<UsageQuery> = {}): UsageQuery => ({
  meter: { namespace: "default", eventType: "prompt", aggregation: "COUNT", groupBy: new Map() },
  from: instantFromMicros(0),
  to: instantFromMicros(10 * DAY),
  groupBySubject: false,
  groupByCustomer: false,
  groupBy: [],
  filters: new Map(),
  upTo: rollUp.coverage,
  rollUp,
  ...part,
});

test("what was asked lately is asked of the new state, once, and not of another roll-up", () => {
  const recent = new RecentQueries();
  recent.note(query(), 0);
  recent.note(query(), 5);
  recent.note(query({ groupBy: ["model"] }), 5);
  const again = recent.of(grown, 10);
  expect(again.map(({ groupBy }) => groupBy)).toEqual([[], ["model"]]);
  expect(again.every((each) => each.rollUp === grown && each.upTo === grown.coverage)).toBe(true);
  expect(recent.of({ ...grown, id: 2 }, 10)).toEqual([]);
});

test.each([
  ["events have to be read at its edges", query({ from: instantFromMicros(1) })],
  ["events have to be read after the coverage", query({ upTo: new Map([[0, 10]]) })],
  ["it asks for a subject", query({ subjects: ["a"] })],
  ["it is watched", query({ watchAs: "x" })],
])("a query is not asked again when %s", (_, asked) => {
  const recent = new RecentQueries();
  recent.note(asked, 0);
  expect(recent.of(grown, 0)).toEqual([]);
});

test("a query that nobody repeats is forgotten, and so are the oldest of many", () => {
  const recent = new RecentQueries();
  for (let day = 1; day <= 9; day += 1) recent.note(query({ to: instantFromMicros(day * DAY) }), day);
  expect(recent.of(grown, 60_002).map(({ to }) => Number(to) / DAY)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  expect(recent.of(grown, 60_009).map(({ to }) => Number(to) / DAY)).toEqual([9]);
  expect(recent.of(grown, 60_010)).toEqual([]);
});
