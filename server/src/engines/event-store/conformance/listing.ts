/**
 * Cases on event listings: order, pages that neither skip nor repeat, and filters.
 */

import { describe, expect, test } from "vitest";
import type { EventListQuery, StoredEvent, TextFilter, TimeFilter } from "../store.ts";
import { at, type EventCase, type Fixture, type Fixtures } from "./fixture.ts";

const [first, second, third] = ["2025-03-01T00:00:00Z", "2025-03-01T00:00:00.000001Z", "2025-03-02T00:00:00Z"] as const;

const sorts = (["time", "ingestedAt", "storedAt"] as const).flatMap((by) =>
  (["asc", "desc"] as const).map((direction): EventListQuery["sort"] => ({ by, direction })),
);

export function listingConformance(fixtures: Fixtures): void {
  describe("listing", () => {
    /** Many events on few instants, over two partitions, so that pages end within ties. */
    const insertTies = async (fixture: Fixture): Promise<readonly StoredEvent[]> => {
      const base = fixture.event({}).offset + 200_000_000;
      const instants = [first, second, third];
      const events = Array.from({ length: 24 }, (_, index): EventCase => {
        const pick = (step: number) => instants[(index * step) % 3] ?? first;
        const place = { partition: index % 2, offset: base + ((index * 7) % 24) };
        return { time: pick(2), ingestedAt: pick(1), storedAt: instants[Math.floor(index / 3) % 3] ?? first, ...place };
      });
      return [...(await fixture.insert(events.slice(0, 10))), ...(await fixture.insert(events.slice(10)))];
    };

    test.each(sorts)("pages by $by $direction neither skip nor repeat", async (sort) => {
      const fixture = fixtures();
      const stored = await insertTies(fixture);
      const sign = sort.direction === "asc" ? 1 : -1;
      const expected = stored.toSorted(
        (a, b) => sign * (a[sort.by] - b[sort.by] || a.partition - b.partition || a.offset - b.offset),
      );
      for (const limit of [1, 5, 24, 100]) {
        const listed: StoredEvent[] = [];
        for (;;) {
          const last = listed.at(-1);
          const after = last && { sortValue: last[sort.by], partition: last.partition, offset: last.offset };
          const page = await fixture.list({ sort, limit, ...(after && { after }) });
          expect(page.length).toBe(Math.min(limit, expected.length - listed.length));
          if (page.length === 0) break;
          listed.push(...page);
        }
        expect(listed).toEqual(expected);
      }
    });

    test("starts after any position, stored or not", async () => {
      const fixture = fixtures();
      const [event] = await fixture.insert([{ time: second }]);
      const offset = event?.offset ?? 0;
      const sort = { by: "time", direction: "asc" } as const;
      const count = async (sortValue: string, partition: number, step: number) =>
        (await fixture.list({ sort, after: { sortValue: at(sortValue), partition, offset: offset + step } })).length;
      expect(await count(first, 5, 99)).toBe(1);
      expect(await count(second, 0, -1)).toBe(1);
      expect(await count(second, 0, 0)).toBe(0);
      expect(await count(second, 1, -1)).toBe(0);
      expect(await count(third, 0, -1)).toBe(0);
    });

    test("lists events of every type of one namespace", async () => {
      const fixture = fixtures();
      await fixture.insert([{ type: "a" }, { type: "b" }, { namespace: `${fixture.namespace}-other` }]);
      expect((await fixture.list({})).map((event) => event.type)).toEqual(["b", "a"]);
    });

    listingFilterConformance(fixtures);
  });
}

/** Conditions and the ids of the events that they let through. */
const listFilterCases: readonly (readonly [Partial<EventListQuery>, readonly string[]])[] = [
  [{ id: { op: "eq", value: "one" } }, ["one"]],
  [{ id: { op: "contains", value: "O" } }, ["one", "two"]],
  [{ id: { op: "in", values: ["one", "three"] } }, ["one", "three"]],
  [{ id: { op: "exists", value: true } }, ["one", "two", "three"]],
  [{ id: { op: "exists", value: false } }, []],
  [{ source: { op: "ne", value: "src-1" } }, ["three"]],
  [{ source: { op: "like", pattern: "src-_" } }, ["one", "two", "three"]],
  [{ subject: { op: "gt", value: "a" } }, ["two", "three"]],
  [{ subject: { op: "nin", values: ["a"] } }, ["two", "three"]],
  [{ type: { op: "ilike", pattern: "T%" } }, ["one", "two", "three"]],
  [{ type: { op: "nlike", pattern: "t%" } }, ["three"]],
  [
    {
      type: {
        op: "or",
        filters: [
          { op: "eq", value: "T3" },
          { op: "eq", value: "t1" },
        ],
      },
    },
    ["one", "three"],
  ],
  [
    {
      id: {
        op: "and",
        filters: [
          { op: "gte", value: "t" },
          { op: "lt", value: "tw" },
        ],
      },
    },
    ["three"],
  ],
  [{ subjects: ["a", "c", "unknown"] }, ["one", "three"]],
  [{ subjects: [] }, []],
  [{ subjects: ["a", "b"], subject: { op: "eq", value: "b" } }, ["two"]],
  [{ source: { op: "eq", value: "src-1" }, type: { op: "eq", value: "t2" } }, ["two"]],
  ...(["time", "ingestedAt", "storedAt"] as const).flatMap((field) =>
    timeFilterCases().map(([filter, ids]) => [{ [field]: filter }, ids] as const),
  ),
];

function timeFilterCases(): readonly (readonly [TimeFilter, readonly string[]])[] {
  const [one, two] = [at(first), at(second)];
  return [
    [{ op: "eq", value: two }, ["two"]],
    [{ op: "gt", value: two }, ["three"]],
    [{ op: "gte", value: two }, ["two", "three"]],
    [{ op: "lt", value: two }, ["one"]],
    [{ op: "lte", value: two }, ["one", "two"]],
    [
      {
        op: "and",
        filters: [
          { op: "gt", value: one },
          { op: "lte", value: two },
        ],
      },
      ["two"],
    ],
    [
      {
        op: "or",
        filters: [
          { op: "eq", value: one },
          { op: "gt", value: two },
        ],
      },
      ["one", "three"],
    ],
  ];
}

function listingFilterConformance(fixtures: Fixtures): void {
  test("keeps what all conditions let through", async () => {
    const fixture = fixtures();
    const ids = ["one", "two", "three"];
    await fixture.insert([
      { id: "one", source: "src-1", subject: "a", type: "t1", time: first, ingestedAt: first, storedAt: first },
      { id: "two", source: "src-1", subject: "b", type: "t2", time: second, ingestedAt: second, storedAt: second },
      { id: "three", source: "src-3", subject: "c", type: "T3", time: third, ingestedAt: third, storedAt: third },
    ]);
    const seen = [];
    for (const [conditions] of listFilterCases) {
      const listed = new Set((await fixture.list(conditions)).map((event) => event.id));
      seen.push([conditions, ids.filter((id) => listed.has(id))]);
    }
    expect(seen).toEqual(listFilterCases);
  });

  test("finds awkward attributes", async () => {
    const fixture = fixtures();
    const texts = ["it's", "back\\slash", "100%", "a\u0000b", "😀", "a\nb"];
    await fixture.insert(texts.map((text) => ({ id: text, source: text, subject: text, type: text })));
    for (const text of texts) {
      const filter: TextFilter = { op: "eq", value: text };
      const listed = await fixture.list({
        id: filter,
        source: filter,
        subject: filter,
        type: filter,
        subjects: [text],
      });
      expect(listed.map((event) => event.id)).toEqual([text]);
    }
  });
}
