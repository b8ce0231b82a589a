/** Histories: the published example, what is cut how, and every number against the value at that instant. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Decimal } from "../../../kernel/decimal.ts";
import { microsPerHour } from "../../../kernel/civil.ts";
import type { Instant } from "../../../kernel/instant.ts";
import type { BurnDown, History } from "../history.ts";
import { history, historyPieces, historyStart } from "../history.ts";
import type { EngineState } from "../run.ts";
import { initialState } from "../run.ts";
import type { Terms } from "../terms.ts";
import { phaseStart } from "../boundaries.ts";
import type { HistoryWindowSize } from "../windows.ts";
import { windowsBetween } from "../windows.ts";
import { arbitraryMetered, arbitraryMinute, arbitraryTerms, metering } from "./arbitraries.ts";
import type { Metered } from "./fixtures.ts";
import { decimal, grantOf, hour, line, runEvents, start, termsOf, usageOf, valueAt } from "./fixtures.ts";

interface Range {
  readonly from: Instant;
  readonly to: Instant;
  readonly size: HistoryWindowSize;
  readonly zone?: string;
}

/** The history of a range, from `state` or from the beginning. */
function historyOf(terms: Terms, range: Range, metered: Metered, state?: EngineState): History {
  const windows = windowsBetween(range.size, range.zone ?? "UTC", range, 10_000);
  const request = { from: range.from, to: range.to, windows };
  const first = state ?? initialState(terms);
  const pieces = historyPieces(terms, first, request);
  expect(historyPieces(terms, first, request, 2)).toEqual(pieces.slice(0, 2));
  return history(terms, first, request, (index) => {
    const piece = pieces[index];
    if (piece === undefined) throw new Error("usage is asked for by the index of a piece");
    return usageOf(metered.kind, metered.events, piece);
  });
}

const sumOf = (values: readonly Decimal[]) => values.reduce((sum, value) => sum.plus(value), Decimal.zero);

function usedEvery(hours: readonly number[], value: number): Metered {
  return { kind: "SUM", events: hours.map((at) => ({ at: hour(at), value })) };
}

function told({ windows }: History): readonly string[] {
  return windows.map(
    (window) => line`${(window.period.from - start) / microsPerHour}: ${window.balanceAtStart} -${window.usage}`,
  );
}

test("the published example: balances at the start of each hour", () => {
  const grants = [0, 3, 5.5].map((at) => grantOf(`at-${at}`, "10000", { effectiveAt: hour(at) }));
  const { windows } = historyOf(
    termsOf({ grants }),
    { from: start, to: hour(7), size: "HOUR" },
    usedEvery([0.5, 2.5, 3.5, 5.2], 100),
  );
  expect(windows.map((window) => window.balanceAtStart.toText())).toEqual([
    "10000",
    "9900",
    "9900",
    "19800",
    "19700",
    "19700",
    "29600",
  ]);
});

describe("windows", () => {
  const terms = termsOf({ measureUsageFrom: hour(1.5), grants: [grantOf("a", "100", { effectiveAt: hour(1.5) })] });

  test("are filled, cut by the range, and those from before measureUsageFrom are left out", () => {
    const metered = usedEvery([1.6, 2.2, 2.8, 4.1, 4.9], 10);
    expect(told(historyOf(terms, { from: hour(1.5), to: hour(4.5), size: "HOUR" }, metered))).toEqual([
      "2: 90 -20",
      "3: 70 -0",
      "4: 70 -10",
    ]);
    // The window's balance is that at its start, though only the part inside the range is counted.
    expect(told(historyOf(terms, { from: hour(2.5), to: hour(2.9), size: "HOUR" }, metered))).toEqual(["2: 90 -10"]);
    expect(told(historyOf(terms, { from: hour(4), to: hour(6), size: "HOUR" }, metered))).toEqual([
      "4: 70 -20",
      "5: 50 -0",
    ]);
  });

  test("count values that are new in their period, and show a gauge's last value", () => {
    const events = [2.2, 2.8, 3.2].map((at) => ({ at: hour(at), value: at === 3.2 ? 9 : 7 }));
    const range = { from: hour(2), to: hour(5), size: "HOUR" } as const;
    expect(told(historyOf(terms, range, { kind: "UNIQUE_COUNT", events }))).toEqual([
      "2: 100 -1",
      "3: 99 -1",
      "4: 98 -0",
    ]);
    expect(told(historyOf({ ...terms, gauge: true }, range, { kind: "LATEST", events }))).toEqual([
      "2: 100 -7",
      "3: 93 -9",
      "4: 91 -9",
    ]);
  });

  test("show a gauge's last value also where a grant starts within the window", () => {
    const grants = [grantOf("a", "100"), grantOf("b", "10", { effectiveAt: hour(2.5) })];
    const gauge = termsOf({ grants, gauge: true });
    const events = [2.2, 2.8].map((at) => ({ at: hour(at), value: at * 10 }));
    const range = { from: hour(2), to: hour(4), size: "HOUR" } as const;
    expect(told(historyOf(gauge, range, { kind: "LATEST", events }))).toEqual(["2: 100 -28", "3: 82 -28"]);
  });

  test("do not count again what a state from within a minute has counted", () => {
    const metered = usedEvery([1.51], 10);
    const state = runEvents(terms, initialState(terms), hour(1.505), metered).state;
    expect(told(historyOf(terms, { from: hour(2), to: hour(3), size: "HOUR" }, metered, state))).toEqual(["2: 90 -0"]);
  });

  test("are those of the zone", () => {
    const { windows } = historyOf(
      termsOf(),
      { from: hour(20), to: hour(60), size: "DAY", zone: "Asia/Kolkata" },
      usedEvery([], 0),
    );
    expect(windows.map((window) => (window.period.from - start) / microsPerHour)).toEqual([18.5, 42.5]);
  });
});

describe("the burn-down", () => {
  const grants = [grantOf("a", "100", { maxRollover: decimal(50) }), grantOf("b", "10", { effectiveAt: hour(4) })];
  const terms = termsOf({ grants, resets: [{ at: hour(6), anchor: hour(6), preserveOverage: false }] });
  const metered = usedEvery([1, 3, 5], 10);
  const segment = ({ kind, period, balanceAtStart, usage, balanceAtEnd }: BurnDown) =>
    line`${kind} ${(period.from - start) / microsPerHour}-${(period.to - start) / microsPerHour}: ${balanceAtStart} -${usage} = ${balanceAtEnd}`;
  const burnDown = (from: number, to: number) =>
    historyOf(terms, { from: hour(from), to: hour(to), size: "DAY" }, metered).burnDown.map(segment);

  test("is cut by the range, and neither by windows nor anything else", () => {
    expect(burnDown(2, 5.5)).toEqual(["usage 2-4: 90 -10 = 80", "usage 4-5.5: 90 -10 = 80"]);
  });

  test("what happens at its end is told, what happens at its start is not", () => {
    expect(burnDown(5.5, 6)).toEqual(["usage 5.5-6: 80 -0 = 80", "rollover 6-6: 50 -0 = 50", "usage 6-6: 50 -0 = 50"]);
    expect(burnDown(6, 8)).toEqual(["usage 6-8: 50 -0 = 50"]);
  });

  test("names what every grant with a balance paid", () => {
    const [, second] = historyOf(terms, { from: hour(2), to: hour(5.5), size: "DAY" }, metered).burnDown;
    expect(second?.grantUsages.map(({ grantId, usage }) => line`${grantId} ${usage}`)).toEqual(["a 10", "b 0"]);
    expect([...(second?.grantBalancesAtEnd ?? [])].map(String)).toEqual(["a,70", "b,10"]);
  });

  test("shows converted numbers", () => {
    const divided = { ...terms, conversion: { operation: "divide" as const, factor: Decimal.of("10") } };
    const { windows, burnDown } = historyOf(divided, { from: start, to: hour(4), size: "DAY" }, metered);
    expect(windows.map((window) => window.usage.toText())).toEqual(["2"]);
    expect(burnDown.map(segment)).toEqual(["usage 0-4: 100 -2 = 98", "usage 4-4: 108 -0 = 108"]);
    expect(burnDown[0]?.grantUsages.map(String)).toHaveLength(1);
    expect([...(burnDown[0]?.grantBalancesAtEnd ?? [])].map(String)).toEqual(["a,98"]);
  });
});

test("a state from within the history, or a range of half minutes, is refused", () => {
  const terms = termsOf();
  const state = runEvents(terms, initialState(terms), hour(2), usedEvery([], 0)).state;
  const range = { from: hour(1), to: hour(5), size: "HOUR" } as const;
  expect(() => historyOf(terms, range, usedEvery([], 0), state)).toThrow("a state from before it");
  expect(() => historyOf(terms, { ...range, to: hour(5.001) }, usedEvery([], 0))).toThrow("whole minutes");
});

const sizes = fc.constantFrom<HistoryWindowSize>("HOUR", "DAY");
const zones = fc.constantFrom("UTC", "Asia/Kolkata");

test("every balance is the value at that instant, every usage that of its part, from any state before", () => {
  const ranges = fc.tuple(arbitraryMinute, arbitraryMinute, sizes, zones);
  fc.assert(
    fc.property(arbitraryTerms, arbitraryMetered, ranges, fc.boolean(), (given, metered, range, isStored) => {
      const [one, other, size, zone] = range;
      fc.pre(one !== other);
      const [from, to] = one < other ? [one, other] : [other, one];
      const terms = metering(given, metered);
      const windows = windowsBetween(size, zone, { from, to }, 10_000);
      const stored = phaseStart(terms, historyStart(terms, { from, to, windows }));
      const state = isStored ? runEvents(terms, initialState(terms), stored, metered).state : initialState(terms);
      const shown = historyOf(terms, { from, to, size, zone }, metered, state);
      expect(shown.windows.map((window) => window.period)).toEqual(windows.filter((window) => window.from >= start));
      for (const { period, balanceAtStart } of shown.windows) {
        expect(balanceAtStart).toEqual(valueAt(terms, period.from, metered).balance);
      }
      if (metered.kind === "SUM") {
        for (const { period, usage } of shown.windows) {
          const within = metered.events.filter(
            ({ at }) => Math.max(period.from, from) <= at && at < Math.min(period.to, to),
          );
          expect(usage).toEqual(decimal(within.reduce((sum, event) => sum + event.value, 0)));
        }
      }
      const last = shown.burnDown.at(-1);
      expect(last?.period.to).toBe(to);
      expect(last?.balanceAtEnd).toEqual(valueAt(terms, to, metered).balance);
      for (const { period, balanceAtStart, overage } of shown.burnDown.filter(({ period }) => period.from === from)) {
        // What is carried into the first segment is shown as carried; read at that instant it is charged.
        const charged = valueAt(terms, period.from, metered);
        expect(balanceAtStart.compare(charged.balance)).toBeGreaterThanOrEqual(0);
        expect(overage.isNegative()).toBe(false);
      }
    }),
    { numRuns: 300 },
  );
});

test("the histories of two ranges in a row are the history of both", () => {
  const range = fc.tuple(arbitraryMinute, arbitraryMinute, arbitraryMinute, sizes);
  fc.assert(
    fc.property(arbitraryTerms, arbitraryMetered, range, (given, metered, [a, b, c, size]) => {
      const [from, middle, to] = [a, b, c].toSorted((one, other) => one - other);
      fc.pre(from !== undefined && middle !== undefined && to !== undefined && from < middle && middle < to);
      if (from === undefined || middle === undefined || to === undefined) return;
      const terms = metering(given, metered);
      const whole = historyOf(terms, { from, to, size }, metered).burnDown;
      const first = historyOf(terms, { from, to: middle, size }, metered).burnDown;
      const second = historyOf(terms, { from: middle, to, size }, metered).burnDown;
      // A zero-length segment at the end says how the next one begins.
      const seam = first.at(-1);
      const isBoundary = seam?.kind === "usage" && seam.period.from === seam.period.to;
      if (isBoundary) expect([...first.slice(0, -1), ...second]).toEqual(whole);
      else if (metered.kind !== "LATEST") {
        const usage = (segments: readonly BurnDown[]) => sumOf(segments.map((segment) => segment.usage));
        expect(usage([...first, ...second])).toEqual(usage(whole));
        expect(whole).toHaveLength(first.length + second.length - 1);
        expect(second[0]?.balanceAtStart).toEqual(seam?.balanceAtEnd);
      }
    }),
    { numRuns: 300 },
  );
});
