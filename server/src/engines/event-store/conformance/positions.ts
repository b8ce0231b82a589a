/**
 * Cases on what is stored and seen: repeated inserts, recovery by position, round trips of events, and queries that are
 * pinned to a vector of log positions.
 */

import { describe, expect, test } from "vitest";
import { formatInstant } from "../../../kernel/instant.ts";
import { encodeEvents } from "../row-block.ts";
import type { PositionVector, StoredEvent } from "../store.ts";
import { type Fixture, type Fixtures, valuesAndGroups } from "./fixture.ts";
import { awkwardTexts } from "./groups.ts";

export function positionConformance(fixtures: Fixtures): void {
  describe("inserts", () => {
    test("of a block with a token seen before add nothing", async () => {
      const fixture = fixtures();
      const events = [{}, { time: "2024-01-01T00:00:00Z" }, { time: "2026-01-01T00:00:00Z" }].map((each) =>
        fixture.event(each),
      );
      const block = encodeEvents(events);
      const token = `repeated/${fixture.namespace}`;
      await fixture.store.insert(block, token);
      await fixture.store.insert(block, token);
      await Promise.all([fixture.store.insert(block, token), fixture.store.insert(block, token)]);
      expect(valuesAndGroups(await fixture.usage({}))).toEqual([["3"]]);
      expect(await fixture.list({})).toHaveLength(3);
    });

    test("of different blocks all count, in any order and size", async () => {
      const fixture = fixtures();
      const events = Array.from({ length: 7 }, () => fixture.event({ data: '{"v":0.1}' }));
      for (const part of [events.slice(4), events.slice(0, 1), events.slice(1, 4)]) {
        await fixture.store.insert(encodeEvents(part), `part/${fixture.namespace}/${part[0]?.offset}`);
      }
      expect(valuesAndGroups(await fixture.usage({ aggregation: "SUM" }))).toEqual([["0.7"]]);
    });

    test("span a hundred months in one piece", async () => {
      const fixture = fixtures();
      const months = Array.from({ length: 100 }, (_, index) => {
        const month = String((index % 12) + 1).padStart(2, "0");
        return { time: `${2000 + Math.floor(index / 12)}-${month}-01T00:00:00Z` };
      });
      await fixture.insert(months);
      const rows = await fixture.usage({ window: { size: "MONTH", timeZone: "UTC" } });
      expect(rows.map((row) => formatInstant(row.windowStart))).toEqual(months.map(({ time }) => time));
    });

    test("can be found again by position", async () => {
      const fixture = fixtures();
      const base = fixture.event({}).offset + 10_000_000;
      await fixture.insert([3, 1, 5, 2].map((step) => ({ partition: 65_535, offset: base + step })));
      await fixture.insert([{ partition: 2, offset: base + 4 }]);
      const offsets = async (from: number, to: number) =>
        (await fixture.store.storedOffsets(65_535, base + from, base + to)).map((offset) => offset - base);
      expect(await offsets(0, 9)).toEqual([1, 2, 3, 5]);
      expect(await offsets(2, 3)).toEqual([2, 3]);
      expect(await offsets(4, 4)).toEqual([]);
      expect(await fixture.store.storedOffsets(9, 0, 2 ** 50)).toEqual([]);
      expect(await fixture.store.countEvents(65_535)).toBe(4);
      expect(await fixture.store.countEvents(9)).toBe(0);
      expect(await fixture.store.lastOffset(65_535)).toBe(base + 5);
      expect(await fixture.store.lastOffset(9)).toBe(-1);
    });
  });

  describe("events", () => {
    const sorted = (events: readonly StoredEvent[]) => events.toSorted((a, b) => a.offset - b.offset);

    test("come back as they were stored", async () => {
      const fixture = fixtures();
      const instants = { ingestedAt: "2025-01-01T00:00:00.000001Z", storedAt: "2199-12-31T23:59:59.999999Z" };
      const events = await fixture.insert([
        { time: "1970-01-01T00:00:00Z", ...instants, isTimeGiven: false, data: null },
        { time: "2199-12-31T23:59:59.999999Z", ...instants, isTimeGiven: true, data: "{}" },
        { data: ' { "v" : 1.50e+3 , "v":-0, "big": 18446744073709551616,\t"x":"\\u00e9\\ud800" }\n' },
        { data: `{"long":"${"x".repeat(100_000)}"}` },
        ...awkwardTexts.map((text) => ({
          id: text,
          source: text,
          subject: text,
          type: text,
          data: JSON.stringify({ text }),
        })),
      ]);
      const offsets = events.map((event) => event.offset);
      expect(sorted(await fixture.store.eventsAt(0, offsets))).toEqual(sorted(events));
      expect(sorted(await fixture.list({ limit: 1000 }))).toEqual(sorted(events));
    });

    test("that are not stored are left out", async () => {
      const fixture = fixtures();
      const [event] = await fixture.insert([{}]);
      const offset = event?.offset ?? 0;
      expect(await fixture.store.eventsAt(0, [offset, offset + 50_000_000])).toEqual([event]);
      expect(await fixture.store.eventsAt(9, [offset])).toEqual([]);
      expect(await fixture.store.eventsAt(0, [])).toEqual([]);
    });
  });

  visibilityConformance(fixtures);
}

function byName(a: string | null, b: string | null): number {
  return (a ?? "").localeCompare(b ?? "");
}

function visibilityConformance(fixtures: Fixtures): void {
  describe("a query", () => {
    const insert = async (fixture: Fixture): Promise<number> => {
      const base = fixture.event({}).offset + 100_000_000;
      await fixture.insert([
        { subject: "first", partition: 0, offset: base },
        { subject: "second", partition: 0, offset: base + 1 },
        { subject: "third", partition: 1, offset: base },
      ]);
      return base;
    };

    test("sees exactly the events at or before its positions", async () => {
      const fixture = fixtures();
      const base = await insert(fixture);
      const cases: readonly (readonly [readonly (readonly [number, number])[], readonly string[]])[] = [
        [[[0, base - 1]], []],
        [[[0, base]], ["first"]],
        [[[0, base + 1]], ["first", "second"]],
        [
          [
            [0, base + 1],
            [1, base - 1],
          ],
          ["first", "second"],
        ],
        [
          [
            [0, base],
            [1, base],
          ],
          ["first", "third"],
        ],
        [
          [
            [1, base + 9],
            [7, 5],
          ],
          ["third"],
        ],
        [[], []],
      ];
      for (const [positions, subjects] of cases) {
        const upTo: PositionVector = new Map(positions);
        const rows = await fixture.usage({ upTo, groupBySubject: true });
        expect(rows.map((row) => row.subject).toSorted(byName)).toEqual(subjects);
        expect((await fixture.list({ upTo })).map((event) => event.subject).toSorted(byName)).toEqual(subjects);
        expect(await fixture.values({ upTo }, { kind: "subject" })).toEqual(subjects);
      }
    });

    test("with a cut-off sees only what was stored before it", async () => {
      const fixture = fixtures();
      await fixture.insert([{ storedAt: "2025-04-01T00:00:00Z" }, { storedAt: "2025-04-01T00:00:00.000001Z" }]);
      const value = async (storedBefore: string) => (await fixture.usage({ storedBefore }))[0]?.value;
      expect(await value("2025-04-01T00:00:00Z")).toBe("0");
      expect(await value("2025-04-01T00:00:00.000001Z")).toBe("1");
      expect(await value("2025-04-01T00:00:00.000002Z")).toBe("2");
    });

    test("sees one namespace and one type, compared byte by byte", async () => {
      const fixture = fixtures();
      const other = `${fixture.namespace}-é`;
      await fixture.insert([
        {},
        { type: "Type" },
        { type: "type " },
        { namespace: other },
        { namespace: `${fixture.namespace}-e\u0301` },
      ]);
      expect(valuesAndGroups(await fixture.usage({}))).toEqual([["1"]]);
      expect(valuesAndGroups(await fixture.usage({ namespace: other }))).toEqual([["1"]]);
      expect(await fixture.list({ namespace: other })).toHaveLength(1);
    });

    test("of distinct values covers what the meter covers, in byte order", async () => {
      const fixture = fixtures();
      const values = ['"b"', '"B"', '"é"', '"😀"', '"\uffff"', "1.50", "null", "{}", '"b"'];
      await fixture.insert(values.map((v, index) => ({ subject: `s${index % 2}`, data: `{"v":${v}}` })));
      await fixture.insert([
        { subject: "early", time: "2025-02-01T00:00:00Z", data: '{"v":"early"}' },
        { subject: "late", time: "2025-05-01T00:00:00Z", data: null },
        { subject: "other", type: "other", data: '{"v":"other"}' },
      ]);
      const query = { dimensions: { key: "$.v" } };
      const all = ["", "1.5", "B", "b", "early", "null", "é", "\uffff", "😀"];
      const byKey = { kind: "groupBy", key: "key" } as const;
      expect(await fixture.values(query, byKey)).toEqual(all);
      expect(await fixture.values(query, { kind: "subject" })).toEqual(["early", "late", "s0", "s1"]);
      const eventFrom = { ...query, eventFrom: "2025-02-01T00:00:00.000001Z" };
      expect(await fixture.values(eventFrom, byKey)).toEqual(all.filter((text) => text !== "early"));
      expect(await fixture.values({ ...query, to: "2025-03-01T00:00:00Z" }, byKey)).toEqual(["early"]);
      expect(await fixture.values({ ...query, from: "2025-05-01T00:00:00Z" }, byKey)).toEqual([""]);
      expect(await fixture.values({ ...query, from: "2025-06-01T00:00:00Z" }, byKey)).toEqual([]);
    });
  });
}
