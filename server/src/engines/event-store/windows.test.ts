/** Windows of time zones: their spans around every oddity of the calendar, and the offsets that SQL numbers them by. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { daysFromCivil } from "../../kernel/civil.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { localTime, offsetTransitions } from "../../kernel/time-zone.ts";
import type { WindowSize } from "./store.ts";
import { MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, offsetSegments, windowSpan } from "./windows.ts";

const at = (text: string) => instantFromMicros(Date.parse(text) * 1000);
const iso = (instant: number): string => new Date(instant / 1000).toISOString().replace(".000Z", "Z");

/** Numbers the window of an instant the way the compiled SQL does. */
function numbered(size: WindowSize, zone: string, time: number): { number: number; offset: number } {
  const { starts, offsets } = offsetSegments(zone);
  const offset = offsets[starts.findLastIndex((start) => start <= time)] ?? Number.NaN;
  const local = time + offset;
  switch (size) {
    case "MINUTE":
      return { number: Math.floor(local / MICROS_PER_MINUTE), offset };
    case "HOUR":
      return { number: Math.floor(local / MICROS_PER_HOUR), offset };
    case "DAY":
      return { number: Math.floor(local / MICROS_PER_DAY), offset: 0 };
    case "MONTH": {
      const { year, month } = localTime(zone, instantFromMicros(time));
      return { number: year * 100 + month, offset: 0 };
    }
  }
}

function span(size: WindowSize, zone: string, time: number): { start: number; end: number } {
  const { number, offset } = numbered(size, zone, time);
  return windowSpan({ size, timeZone: zone }, number, offset);
}

describe("spans", () => {
  test.each<[WindowSize, string, string, string, string]>([
    ["MINUTE", "UTC", "2025-01-01T00:00:59Z", "2025-01-01T00:00:00Z", "2025-01-01T00:01:00Z"],
    ["HOUR", "Asia/Kolkata", "2025-01-01T10:15:00Z", "2025-01-01T09:30:00Z", "2025-01-01T10:30:00Z"],
    ["DAY", "America/Los_Angeles", "2025-03-09T20:00:00Z", "2025-03-09T08:00:00Z", "2025-03-10T07:00:00Z"],
    ["DAY", "America/Los_Angeles", "2025-11-02T20:00:00Z", "2025-11-02T07:00:00Z", "2025-11-03T08:00:00Z"],
    ["HOUR", "America/Los_Angeles", "2025-11-02T08:30:00Z", "2025-11-02T08:00:00Z", "2025-11-02T09:00:00Z"],
    ["HOUR", "America/Los_Angeles", "2025-11-02T09:30:00Z", "2025-11-02T09:00:00Z", "2025-11-02T10:00:00Z"],
    ["MONTH", "Europe/Budapest", "2025-03-15T00:00:00Z", "2025-02-28T23:00:00Z", "2025-03-31T22:00:00Z"],
    ["MONTH", "UTC", "2199-12-31T23:59:59Z", "2199-12-01T00:00:00Z", "2200-01-01T00:00:00Z"],
    ["DAY", "UTC", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"],
    ["DAY", "America/Los_Angeles", "1970-01-01T00:00:00Z", "1969-12-31T08:00:00Z", "1970-01-01T08:00:00Z"],
    // Clocks go back by half an hour at 02:00, so 01:30 to 02:00 occurs twice: a whole hour, then half of one.
    ["HOUR", "Australia/Lord_Howe", "2025-04-05T14:45:00Z", "2025-04-05T14:00:00Z", "2025-04-05T15:00:00Z"],
    ["HOUR", "Australia/Lord_Howe", "2025-04-05T15:10:00Z", "2025-04-05T15:00:00Z", "2025-04-05T15:30:00Z"],
    // Clocks go forward by half an hour at 02:00: the hour has only its second half.
    ["HOUR", "Australia/Lord_Howe", "2025-10-04T15:40:00Z", "2025-10-04T15:30:00Z", "2025-10-04T16:00:00Z"],
    // The date starts at 01:00, its midnight does not exist.
    ["DAY", "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
    ["DAY", "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"],
    ["DAY", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"],
    // Until 1972-01-07 the offset was 44 minutes and 30 seconds.
    ["HOUR", "Africa/Monrovia", "1972-01-05T12:00:00Z", "1972-01-05T11:44:30Z", "1972-01-05T12:44:30Z"],
    ["MINUTE", "Africa/Monrovia", "1972-01-05T12:00:00Z", "1972-01-05T11:59:30Z", "1972-01-05T12:00:30Z"],
  ])("%s in %s at %s", (size, zone, time, start, end) => {
    const result = span(size, zone, at(time));
    expect([iso(result.start), iso(result.end)]).toEqual([start, end]);
  });
});

const ZONES = [
  "UTC",
  "America/Los_Angeles",
  "Asia/Kolkata",
  "Australia/Lord_Howe",
  "America/Sao_Paulo",
  "Europe/Budapest",
  "Pacific/Apia",
  "Africa/Monrovia",
  "Africa/Casablanca",
];

describe("laws", () => {
  test.each(["MINUTE", "HOUR", "DAY", "MONTH"] as const)("%s windows contain their instants and tile", (size) => {
    const zone = fc.constantFrom(...ZONES);
    const time = fc.integer({ min: at("1970-01-03T00:00:00Z"), max: at("2199-11-01T00:00:00Z") });
    // Half of the instants lie close to a change of the offset.
    const nearChange = fc
      .tuple(zone, time, fc.integer({ min: -7_200_000_000, max: 7_200_000_000 }))
      .map(([name, from, near]) => {
        const change = offsetTransitions(name, instantFromMicros(from), at("2199-11-01T00:00:00Z"))[0];
        return [name, (change?.at ?? from) + near] as const;
      });
    fc.assert(
      fc.property(fc.oneof(fc.tuple(zone, time), nearChange), ([name, instant]) => {
        const window = span(size, name, instant);
        expect(window.start <= instant && instant < window.end).toBe(true);
        expect(span(size, name, window.start)).toEqual(window);
        expect(span(size, name, window.end - 1)).toEqual(window);
        expect(span(size, name, window.end).start).toBe(window.end);
      }),
      { numRuns: 300 },
    );
  });
});

describe("offset segments", () => {
  test("cover the bounds of the query and nothing else", () => {
    const hour = MICROS_PER_HOUR;
    expect(offsetSegments("Europe/Budapest", at("2025-03-01T00:00:00Z"), at("2025-04-01T00:00:00Z"))).toEqual({
      starts: [at("2025-03-01T00:00:00Z"), at("2025-03-30T01:00:00Z")],
      offsets: [hour, 2 * hour],
    });
    expect(offsetSegments("UTC")).toEqual({ starts: [0], offsets: [0] });
  });

  test("open bounds are those of event times", () => {
    const { starts } = offsetSegments("America/Los_Angeles");
    expect(starts[0]).toBe(0);
    expect(starts.at(-1)).toBeLessThan(daysFromCivil(2200, 1, 1) * MICROS_PER_DAY);
    expect(starts.length).toBeGreaterThan(400);
  });
});
