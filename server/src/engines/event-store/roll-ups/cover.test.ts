/** Laws of buckets and of the split of a query between levels, edges and tail. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Instant, instantFromMicros, parseInstant } from "../../../kernel/instant.ts";
import type { Period } from "../../../kernel/period.ts";
import { zoneOffsetAt } from "../../../kernel/time-zone.ts";
import type { UsageQuery, WindowSize } from "../store.ts";
import { windowSpan } from "../windows.ts";
import { bucketStart, innerBuckets, mergedPeriods, nextBucketStart, outerBuckets, withoutPeriods } from "./buckets.ts";
import { type Cover, coverOf } from "./cover.ts";
import { type Grain, isSameLevel, LEVELS, levelNumber, type RollUp, type RollUpLevel } from "./roll-up.ts";

const END = 7_258_118_400_000_000;
const grains: readonly Grain[] = ["MICROSECOND", "MINUTE", "HOUR", "DAY", "MONTH"];
const sizes: readonly WindowSize[] = ["MINUTE", "HOUR", "DAY", "MONTH"];
const zones = ["UTC", "Europe/Budapest", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"];

const instants = fc.integer({ min: 0, max: END - 1 }).map(instantFromMicros);
/** Around a change of many zones' offsets, and often at round times. */
const nearInstants = fc
  .record({
    hours: fc.integer({ min: -24 * 45, max: 24 * 45 }),
    rest: fc.constantFrom(0, 0, 0, 1, 59_999_999, 1_800_000_000),
  })
  .map(({ hours, rest }) => instantFromMicros(1_743_296_400_000_000 + hours * 3_600_000_000 + rest));
const nearPeriods = fc.tuple(nearInstants, nearInstants).map(([a, b]) => ({ from: earlier(a, b), to: later(a, b) }));

function earlier(a: Instant, b: Instant): Instant {
  return a < b ? a : b;
}

function later(a: Instant, b: Instant): Instant {
  return a < b ? b : a;
}

function instant(text: string): Instant {
  const parsed = parseInstant(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

function isIn(at: number, periods: readonly Period[]): boolean {
  return periods.some(({ from, to }) => from <= at && at < to);
}

describe("buckets", () => {
  test.each([
    ["MINUTE", "2025-03-30T01:02:03.5Z", "2025-03-30T01:02:00Z", "2025-03-30T01:03:00Z"],
    ["HOUR", "2025-03-30T01:02:03.5Z", "2025-03-30T01:00:00Z", "2025-03-30T02:00:00Z"],
    ["DAY", "2025-03-30T01:02:03.5Z", "2025-03-30T00:00:00Z", "2025-03-31T00:00:00Z"],
    ["MONTH", "2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"],
    ["MONTH", "2199-12-31T23:59:59Z", "2199-12-01T00:00:00Z", "2200-01-01T00:00:00Z"],
    ["MONTH", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-02-01T00:00:00Z"],
  ] as const)("%s of %s", (grain, at, start, next) => {
    expect(bucketStart(grain, instant(at))).toBe(instant(start));
    expect(nextBucketStart(grain, instant(at))).toBe(instant(next));
  });

  test("tile: the next one starts where one ends, and both know the same start", () => {
    fc.assert(
      fc.property(instants, fc.constantFrom(...grains), (at, grain) => {
        const start = bucketStart(grain, at);
        const next = nextBucketStart(grain, at);
        return start <= at && at < next && bucketStart(grain, next) === next && bucketStart(grain, start) === start;
      }),
    );
  });

  test("the inner ones lie within the period and the outer ones around it", () => {
    fc.assert(
      fc.property(nearPeriods, fc.constantFrom(...grains), (period, grain) => {
        const inner = innerBuckets(grain, period);
        const outer = outerBuckets(grain, period);
        if (inner !== null) expect(inner.from >= period.from && inner.to <= period.to).toBe(true);
        expect(outer.from <= period.from && outer.to >= period.to).toBe(true);
      }),
    );
  });

  test("taking periods away leaves exactly the rest", () => {
    const lists = fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 20 })));
    const periods = lists.map((list) =>
      mergedPeriods(
        list.map(([from, length]) => ({ from: instantFromMicros(from), to: instantFromMicros(from + length) })),
      ),
    );
    fc.assert(
      fc.property(periods, periods, (all, others) => {
        const left = withoutPeriods(all, others);
        for (let at = 0; at < 90; at += 1) expect(isIn(at, left)).toBe(isIn(at, all) && !isIn(at, others));
        expect(mergedPeriods(left)).toEqual(left);
      }),
    );
  });
});

const allLevels = LEVELS.filter(({ grain }) => grain !== "MICROSECOND");
const rollUp = (part: Partial<RollUp> = {}): RollUp => ({
  id: 1,
  groupKeys: ["model"],
  levels: allLevels,
  coverage: new Map([[0, 100]]),
  chunks: [7],
  stale: [],
  rebuilt: [],
  ...part,
});

const query = (part: Partial<UsageQuery> = {}): UsageQuery => ({
  meter: { namespace: "default", eventType: "prompt", aggregation: "COUNT", groupBy: new Map() },
  groupBySubject: false,
  groupByCustomer: false,
  groupBy: [],
  filters: new Map(),
  upTo: new Map([[0, 100]]),
  ...part,
});

describe("cover", () => {
  const queries = fc.record({
    period: nearPeriods.filter(({ from, to }) => from < to),
    size: fc.constantFrom(...sizes, null),
    zone: fc.constantFrom(...zones),
    levels: fc.subarray([...LEVELS], { minLength: 1 }),
    stale: fc.array(nearPeriods, { maxLength: 2 }),
  });

  test("every instant is in exactly one part, and every bucket within the bounds, one window, and not stale", () => {
    let covered = 0;
    fc.assert(
      fc.property(
        queries,
        fc.array(nearInstants, { minLength: 20 }),
        ({ period, size, zone, levels, stale }, samples) => {
          const window = size === null ? {} : { window: { size, timeZone: zone } };
          const cover = coverOf(query({ ...period, ...window }), rollUp({ levels, stale }));
          if (cover === null) return;
          covered += 1;
          for (const at of samples) {
            const places = [cover.edges, ...cover.parts.map((part) => part.periods)].filter((list) => isIn(at, list));
            expect(places.length).toBe(isIn(at, [period]) ? 1 : 0);
          }
          for (const { level, periods } of cover.parts) {
            expect(levels.some((built) => isSameLevel(built, level))).toBe(true);
            for (const sample of [...samples, ...periods.map(({ from }) => from)]) {
              if (isIn(sample, periods)) expectUsable(level, sample, { period, stale, window: window.window });
            }
          }
        },
      ),
      { numRuns: 300 },
    );
    expect(covered).toBeGreaterThan(30);
  });

  function expectUsable(
    level: RollUpLevel,
    at: Instant,
    { period, stale, window }: { period: Period; stale: readonly Period[]; window: UsageQuery["window"] | undefined },
  ): void {
    const from = bucketStart(level.grain, at);
    const to = nextBucketStart(level.grain, at);
    expect(from >= period.from && to <= period.to).toBe(true);
    expect(stale.some((each) => each.from < to && from < each.to)).toBe(false);
    if (window === undefined) return;
    const last = instantFromMicros(to - 1);
    expect(windowAt(window, from)).toEqual(windowAt(window, last));
  }

  function windowAt(window: NonNullable<UsageQuery["window"]>, at: Instant): unknown {
    const offset = zoneOffsetAt(window.timeZone, at);
    const local = at + offset;
    const day = Math.floor(local / 86_400_000_000);
    const date = new Date(day * 86_400_000);
    const month = date.getUTCFullYear() * 100 + date.getUTCMonth() + 1;
    const number = {
      MINUTE: Math.floor(local / 60_000_000),
      HOUR: Math.floor(local / 3_600_000_000),
      DAY: day,
      MONTH: month,
    };
    return windowSpan(window, number[window.size], offset);
  }

  const month = { from: instant("2025-03-01T00:00:00Z"), to: instant("2025-04-01T00:00:00Z") };
  const plain = (grain: Grain): RollUpLevel => ({ grain, bySubject: false, byGroups: false });
  const parts = (cover: Cover | null): unknown =>
    cover?.parts.map(({ level, periods }) => [level.grain, level.bySubject, level.byGroups, periods.length]);

  test.each([
    ["a month, all subjects: the month", query(month), [["MONTH", false, false, 1]]],
    ["a month by day: days", query({ ...month, window: { size: "DAY", timeZone: "UTC" } }), [["DAY", false, false, 1]]],
    ["a subject's month", query({ ...month, subjects: ["a"] }), [["MONTH", true, false, 1]]],
    ["a month by group", query({ ...month, groupBy: ["model"] }), [["MONTH", false, true, 1]]],
    [
      "an unaligned month: days, then hours, then minutes",
      query({ from: instant("2025-03-01T10:30:30Z"), to: month.to }),
      [
        ["DAY", false, false, 1],
        ["HOUR", false, false, 1],
        ["MINUTE", false, false, 1],
      ],
    ],
    [
      "days of a zone with half hours: hours without those that two days share",
      query({ ...month, window: { size: "DAY", timeZone: "Asia/Kolkata" } }),
      [
        ["HOUR", false, false, 32],
        ["MINUTE", false, false, 31],
      ],
    ],
  ])("%s", (_, asked, want) => {
    const levels = allLevels;
    expect(parts(coverOf(asked, rollUp({ levels })))).toEqual(want);
  });

  test("what is stale is left to events", () => {
    const stale = [{ from: instant("2025-03-10T05:00:00Z"), to: instant("2025-03-10T05:00:01Z") }];
    const cover = coverOf(query(month), rollUp({ levels: [plain("DAY")], stale }));
    expect(cover?.edges).toEqual([{ from: instant("2025-03-10T00:00:00Z"), to: instant("2025-03-11T00:00:00Z") }]);
  });

  test("buckets of a microsecond answer for any bounds and windows", () => {
    const levels = [{ grain: "MICROSECOND", bySubject: true, byGroups: true } as const];
    const window = { size: "HOUR", timeZone: "Asia/Kolkata" } as const;
    const period = { from: instantFromMicros(month.from + 1), to: instantFromMicros(month.to - 1) };
    const cover = coverOf(query({ ...period, window, subjects: ["a"] }), rollUp({ levels }));
    expect(cover).toEqual({ parts: [{ level: levels[0], periods: [period] }], edges: [], hasTail: false });
  });

  test.each([
    ["it covers more than the query may see", query({ ...month, upTo: new Map([[0, 99]]) })],
    ["the query asks what was stored before an instant", query({ ...month, storedBefore: month.to })],
    ["no bucket fits", query({ from: month.from, to: instantFromMicros(month.from + 1) })],
    ["there is nothing to ask for", query({ from: month.from, to: month.from })],
  ])("null when %s", (_, asked) => {
    expect(coverOf(asked, rollUp())).toBeNull();
  });

  test("events after the coverage are the tail", () => {
    expect(coverOf(query(month), rollUp())?.hasTail).toBe(false);
    expect(coverOf(query({ ...month, upTo: new Map([[0, 101]]) }), rollUp())?.hasTail).toBe(true);
    expect(
      coverOf(
        query({
          ...month,
          upTo: new Map([
            [0, 100],
            [1, 0],
          ]),
        }),
        rollUp(),
      )?.hasTail,
    ).toBe(true);
  });
});

test("every level has a number of its own", () => {
  expect(new Set(LEVELS.map(levelNumber)).size).toBe(LEVELS.length);
});
