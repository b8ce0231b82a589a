/** Which levels pay, and that merging chunks costs little and leaves few of them. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Aggregation, LEVELS, type LevelSize, type WindowSize } from "../../engines/event-store/index.ts";
import { chooseLevels, chunksToMerge, isChoiceDue, isSameLevels, withSubjectLevel } from "./choice.ts";

type Rows = Readonly<Record<WindowSize, number>>;

/** Sizes of the levels with windows: without subjects, with subjects; those without groups have `ungrouped` times the rows. */
function sizes(plain: Rows, bySubject: Rows, ungrouped = 1): readonly LevelSize[] {
  return LEVELS.flatMap((level) => {
    if (level.grain === "MICROSECOND") return [];
    const rows = (level.bySubject ? bySubject : plain)[level.grain];
    return { ...level, rows: level.byGroups ? rows : rows * ungrouped };
  });
}

function rows(minute: number, hour: number, day: number, month: number): Rows {
  return { MINUTE: minute, HOUR: hour, DAY: day, MONTH: month };
}

function chosen(aggregation: Aggregation, hasGroups: boolean, of: readonly LevelSize[], events: number): string {
  return withSubjectLevel(aggregation, chooseLevels(aggregation, hasGroups, of, events), events)
    .map(
      ({ grain, bySubject, byGroups }) =>
        `${grain}${bySubject ? " by subject" : ""}${hasGroups ? (byGroups ? " by groups" : " in all") : ""}`,
    )
    .toSorted()
    .join(", ");
}

describe("chooseLevels, over a million events of a month", () => {
  test.each<[string, Aggregation, readonly LevelSize[], string]>([
    [
      "a busy meter with few subjects",
      "SUM",
      sizes(rows(43_000, 720, 30, 1), rows(200_000, 7_200, 300, 10)),
      "DAY, DAY by subject, HOUR, HOUR by subject, MINUTE, MINUTE by subject, MONTH, MONTH by subject",
    ],
    [
      "many subjects, each with few events a day",
      "SUM",
      sizes(rows(43_000, 720, 30, 1), rows(999_000, 950_000, 300_000, 10_000)),
      "DAY, HOUR, MICROSECOND by subject, MINUTE, MONTH, MONTH by subject",
    ],
    [
      "subjects with few events an hour, but many a day",
      "SUM",
      sizes(rows(43_000, 720, 30, 1), rows(999_000, 950_000, 200_000, 10_000)),
      "DAY, DAY by subject, HOUR, MICROSECOND by subject, MINUTE, MONTH, MONTH by subject",
    ],
    [
      "an hour has almost as many rows as its minutes",
      "COUNT",
      sizes(rows(800, 720, 30, 1), rows(999_999, 999_999, 999_999, 999_999)),
      "DAY, MICROSECOND by subject, MINUTE, MONTH",
    ],
    ["nothing repeats", "MAX", sizes(rows(9e5, 9e5, 9e5, 9e5), rows(9e5, 9e5, 9e5, 9e5)), ""],
    [
      "sets pay when they have half as many members as there are events",
      "UNIQUE_COUNT",
      sizes(rows(490_000, 240_000, 200_000, 100_000), rows(9e5, 9e5, 5.1e5, 4e5)),
      "HOUR, MINUTE, MONTH, MONTH by subject",
    ],
  ])("%s", (_name, aggregation, of, expected) => {
    expect(chosen(aggregation, false, of, 1_000_000)).toBe(expected);
  });

  test("levels without groups pay only where they are much smaller than those with groups", () => {
    const of = (ungrouped: number) =>
      sizes(rows(100_000, 7_200, 300, 10), rows(9e5, 9e5, 9e5, 9e5), ungrouped).filter(
        ({ grain, bySubject }) => grain === "HOUR" && !bySubject,
      );
    expect(chosen("SUM", true, of(0.1), 1_000_000)).toBe(
      "HOUR by groups, HOUR in all, MICROSECOND by subject by groups",
    );
    expect(chosen("SUM", true, of(0.5), 1_000_000)).toBe("HOUR by groups, MICROSECOND by subject by groups");
  });

  test.each<[Aggregation, number, boolean]>([
    ["SUM", 1_000_000, true],
    ["SUM", 999_999, false],
    ["LATEST", 1_000_000, false],
    ["UNIQUE_COUNT", 1_000_000, false],
  ])("%s over %i events of subjects with few each: a level by subject is %s", (aggregation, events, isThere) => {
    const levels = [{ grain: "MONTH", bySubject: true, byGroups: true } as const];
    expect(withSubjectLevel(aggregation, levels, events).length).toBe(isThere ? 2 : 1);
    expect(withSubjectLevel(aggregation, [], events)).toEqual([]);
  });

  test("a month in which the meter has no events has no levels", () => {
    const none = rows(0, 0, 0, 0);
    expect(chooseLevels("SUM", true, [], 0)).toEqual([]);
    // Zero rows are within every limit; whoever asks has events.
    expect(chooseLevels("SUM", false, sizes(none, none), 0).length).toBeGreaterThan(0);
  });
});

test.each([
  [1_000, 3_999, false],
  [1_000, 4_000, true],
  // Whether a subject's events are kept side by side depends on a million, however few more there are.
  [900_000, 999_999, false],
  [900_000, 1_000_000, true],
  [1_000_000, 3_999_999, false],
])("levels chosen over %i events are due again over %i: %s", (before, events, expected) => {
  expect(isChoiceDue(before, events)).toBe(expected);
});

test("levels are the same in any order", () => {
  const [first, second, third] = LEVELS;
  if (first === undefined || second === undefined || third === undefined) throw new Error("there are levels");
  expect(isSameLevels([first, second], [second, first])).toBe(true);
  expect(isSameLevels([first, second], [first, third])).toBe(false);
  expect(isSameLevels([first], [first, second])).toBe(false);
  expect(isSameLevels([], [])).toBe(true);
});

interface Merged {
  readonly chunks: readonly number[];
  readonly written: number;
  readonly mostChunks: number;
}

/** Adds the chunks one after the other and merges as told, after each. */
function merge(arrivals: Iterable<number>): Merged {
  let chunks: number[] = [];
  let written = 0;
  let mostChunks = 0;
  for (const arrival of arrivals) {
    chunks.push(arrival);
    const count = chunksToMerge(chunks);
    expect(count === 0 || (count >= 2 && count <= chunks.length)).toBe(true);
    if (count > 0) {
      const size = chunks.slice(-count).reduce((sum, each) => sum + each, 0);
      chunks = [...chunks.slice(0, -count), size];
      written += size;
    }
    mostChunks = Math.max(mostChunks, chunks.length);
  }
  return { chunks, written, mostChunks };
}

describe("chunksToMerge", () => {
  test("nothing is merged while there are few chunks", () => {
    const few = [[], [7], [7, 7], [7, 7, 7], [100, 1], [9000, 100, 1]];
    expect(few.map((chunks) => chunksToMerge(chunks))).toEqual(few.map(() => 0));
  });

  test.each([10, 100, 1_000, 10_000])("%i equal chunks are written again O(log n) times each", (count) => {
    const { written, mostChunks } = merge(Array.from({ length: count }, () => 1));
    expect(written / count).toBeLessThanOrEqual(2 + Math.log2(count));
    expect(mostChunks).toBeLessThanOrEqual(12);
  });

  test("whatever arrives, few chunks are left and no row is lost", () => {
    const arrivals = fc.array(fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 1_000_000 })), { maxLength: 400 });
    fc.assert(
      // Besides a few small chunks there may be large ones, each with the small ones before it.
      fc.property(arrivals, (sizesOfChunks) => {
        const { chunks, mostChunks } = merge(sizesOfChunks);
        const sum = (all: readonly number[]) => all.reduce((total, each) => total + each, 0);
        expect(sum(chunks)).toBe(sum(sizesOfChunks));
        expect(mostChunks).toBeLessThanOrEqual(12 + 13 * Math.floor(sum(sizesOfChunks) / 200_000));
      }),
    );
  });

  test("a large chunk is never written again, and neither is what lies before it", () => {
    const large = 200_000;
    expect(chunksToMerge([large, large, large, large, large])).toBe(0);
    expect(chunksToMerge([...Array.from({ length: 12 }, () => 1), large, 1, 1, 1])).toBe(0);
    expect(chunksToMerge([...Array.from({ length: 12 }, () => 1), large, 1, 1, 1, 1])).toBe(4);
  });

  test("a long history is not written again for every new chunk", () => {
    const { written } = merge([1_000_000, ...Array.from({ length: 1_000 }, () => 1)]);
    expect(written).toBeLessThan(1_000_000);
  });
});
