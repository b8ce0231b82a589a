import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Instant } from "../../kernel/instant.ts";
import { formatInstant } from "../../kernel/instant.ts";
import { at } from "./conformance/fixtures.ts";
import type { HistoryWindowSize } from "./windows.ts";
import { windowsBetween } from "./windows.ts";

function between(size: HistoryWindowSize, zone: string, from: string, to: string): readonly string[] {
  const windows = windowsBetween(size, zone, { from: at(from), to: at(to) }, 100);
  const last = windows.at(-1);
  return [...windows.map((window) => window.from), ...(last === undefined ? [] : [last.to])].map(formatInstant);
}

describe("windows of a range", () => {
  test.each<[HistoryWindowSize, string, string, string, readonly string[]]>([
    ["HOUR", "UTC", "2024-01-01T00:30:00Z", "2024-01-01T02:00:00Z", ["00:00", "01:00", "02:00"]],
    ["HOUR", "Asia/Kolkata", "2024-01-01T10:15:00Z", "2024-01-01T10:31:00Z", ["09:30", "10:30", "11:30"]],
    ["MINUTE", "UTC", "2024-01-01T00:00:00Z", "2024-01-01T00:02:00Z", ["00:00", "00:01", "00:02"]],
    // An hour that clocks show twice is two windows; one that changes the offset half-way is cut there.
    ["HOUR", "America/Los_Angeles", "2025-11-02T08:10:00Z", "2025-11-02T10:00:00Z", ["08:00", "09:00", "10:00"]],
    [
      "HOUR",
      "Australia/Lord_Howe",
      "2025-04-05T14:45:00Z",
      "2025-04-05T15:40:00Z",
      ["14:00", "15:00", "15:30", "16:30"],
    ],
    ["HOUR", "Australia/Lord_Howe", "2025-10-04T15:10:00Z", "2025-10-04T16:00:00Z", ["14:30", "15:30", "16:00"]],
  ])("%s in %s from %s to %s", (size, zone, from, to, bounds) => {
    expect(between(size, zone, from, to).map((text) => text.slice(11, 16))).toEqual(bounds);
  });

  test("days have 23, 24 or 25 hours, months are those of the zone", () => {
    expect(between("DAY", "America/Los_Angeles", "2025-03-09T00:00:00Z", "2025-03-10T12:00:00Z")).toEqual([
      "2025-03-08T08:00:00Z",
      "2025-03-09T08:00:00Z",
      "2025-03-10T07:00:00Z",
      "2025-03-11T07:00:00Z",
    ]);
    expect(between("MONTH", "Europe/Budapest", "2025-03-15T00:00:00Z", "2025-04-15T00:00:00Z")).toEqual([
      "2025-02-28T23:00:00Z",
      "2025-03-31T22:00:00Z",
      "2025-04-30T22:00:00Z",
    ]);
  });

  test("a date that the zone skipped is no window", () => {
    expect(between("DAY", "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-30T11:00:00Z")).toEqual([
      "2011-12-29T10:00:00Z",
      "2011-12-30T10:00:00Z",
      "2011-12-31T10:00:00Z",
    ]);
  });

  test("a date that clocks returned to has ended", () => {
    // At 00:01 clocks went back to 23:01 of the day before.
    expect(between("DAY", "America/St_Johns", "2006-10-29T02:45:00Z", "2006-10-29T03:00:00Z")).toEqual([
      "2006-10-29T02:30:00Z",
      "2006-10-30T03:30:00Z",
    ]);
  });

  test("no more than the limit", () => {
    const range = { from: at("2024-01-01T00:00:00Z"), to: at("2025-01-01T00:00:00Z") };
    expect(windowsBetween("MINUTE", "UTC", range, 10_001)).toHaveLength(10_001);
    expect(windowsBetween("DAY", "UTC", range, 10_001)).toHaveLength(366);
  });

  test("contain the range and tile", () => {
    const zone = fc.constantFrom(
      "UTC",
      "America/Los_Angeles",
      "Australia/Lord_Howe",
      "America/Sao_Paulo",
      "Pacific/Apia",
    );
    const size = fc.constantFrom<HistoryWindowSize>("MINUTE", "HOUR", "DAY", "MONTH");
    const from = fc.integer({ min: at("1975-01-01T00:00:00Z"), max: at("2100-01-01T00:00:00Z") });
    fc.assert(
      fc.property(size, zone, from, fc.integer({ min: 1, max: 5e9 }), (size, zone, start, length) => {
        const range = { from: start as Instant, to: (start + length) as Instant };
        const windows = windowsBetween(size, zone, range, 1_000);
        expect(windows[0]?.from).toBeLessThanOrEqual(range.from);
        expect(windows[0]?.to).toBeGreaterThan(range.from);
        expect(windows.at(-1)?.from).toBeLessThan(range.to);
        expect(windows.at(-1)?.to).toBeGreaterThanOrEqual(range.to);
        expect(windows.slice(1).map((window) => window.from)).toEqual(windows.slice(0, -1).map((window) => window.to));
        expect(windows.every((window) => window.from < window.to)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
