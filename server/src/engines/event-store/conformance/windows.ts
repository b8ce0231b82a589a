/**
 * Cases on time: the bounds of a query, the windows of a time zone around changes of its offset, the bounds of rows
 * without windows, and results without events.
 */

import { describe, expect, test } from "vitest";
import { formatInstant } from "../../../kernel/instant.ts";
import type { Aggregation, UsageRow, WindowSize } from "../store.ts";
import { at, type EventCase, type Fixtures, later, type UsageCase, valuesAndGroups } from "./fixture.ts";

/** Zone, size, an instant inside the window, the window. */
const windowCases: readonly (readonly [string, WindowSize, string, string, string])[] = [
  ["UTC", "MINUTE", "2025-03-09T10:15:30.123456Z", "2025-03-09T10:15:00Z", "2025-03-09T10:16:00Z"],
  ["UTC", "HOUR", "2025-03-09T10:15:00Z", "2025-03-09T10:00:00Z", "2025-03-09T11:00:00Z"],
  ["UTC", "DAY", "2025-03-09T10:15:00Z", "2025-03-09T00:00:00Z", "2025-03-10T00:00:00Z"],
  ["UTC", "MONTH", "2024-02-29T10:15:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"],
  ["UTC", "MONTH", "2025-12-31T10:15:00Z", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"],
  ["UTC", "HOUR", "1970-01-01T00:30:00Z", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z"],
  ["UTC", "MONTH", "2199-11-15T00:00:00Z", "2199-11-01T00:00:00Z", "2199-12-01T00:00:00Z"],
  // A day of 23 hours, one of 25, and the hours around the changes.
  ["America/Los_Angeles", "DAY", "2025-03-09T20:00:00Z", "2025-03-09T08:00:00Z", "2025-03-10T07:00:00Z"],
  ["America/Los_Angeles", "DAY", "2025-11-02T20:00:00Z", "2025-11-02T07:00:00Z", "2025-11-03T08:00:00Z"],
  ["America/Los_Angeles", "HOUR", "2025-03-09T10:30:00Z", "2025-03-09T10:00:00Z", "2025-03-09T11:00:00Z"],
  ["America/Los_Angeles", "HOUR", "2025-11-02T08:30:00Z", "2025-11-02T08:00:00Z", "2025-11-02T09:00:00Z"],
  ["America/Los_Angeles", "HOUR", "2025-11-02T09:30:00Z", "2025-11-02T09:00:00Z", "2025-11-02T10:00:00Z"],
  ["America/Los_Angeles", "MONTH", "2025-11-02T09:30:00Z", "2025-11-01T07:00:00Z", "2025-12-01T08:00:00Z"],
  ["America/Los_Angeles", "DAY", "1970-01-01T00:30:00Z", "1969-12-31T08:00:00Z", "1970-01-01T08:00:00Z"],
  ["Europe/Budapest", "MONTH", "2025-03-15T00:00:00Z", "2025-02-28T23:00:00Z", "2025-03-31T22:00:00Z"],
  ["Europe/Budapest", "DAY", "2025-10-26T12:00:00Z", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"],
  ["Europe/Budapest", "HOUR", "2025-10-26T00:30:00Z", "2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z"],
  ["Europe/Budapest", "HOUR", "2025-10-26T01:30:00Z", "2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z"],
  ["Europe/Budapest", "MINUTE", "2025-10-26T01:00:30Z", "2025-10-26T01:00:00Z", "2025-10-26T01:01:00Z"],
  // Offsets that are not whole hours.
  ["Asia/Kolkata", "HOUR", "2025-03-09T10:15:00Z", "2025-03-09T09:30:00Z", "2025-03-09T10:30:00Z"],
  ["Asia/Kolkata", "DAY", "2025-03-09T10:15:00Z", "2025-03-08T18:30:00Z", "2025-03-09T18:30:00Z"],
  ["Asia/Kathmandu", "HOUR", "2025-03-09T10:20:00Z", "2025-03-09T10:15:00Z", "2025-03-09T11:15:00Z"],
  ["Asia/Tokyo", "MONTH", "2025-12-15T00:00:00Z", "2025-11-30T15:00:00Z", "2025-12-31T15:00:00Z"],
  // Half an hour of daylight saving: hours are cut at the change.
  ["Australia/Lord_Howe", "DAY", "2025-04-05T20:00:00Z", "2025-04-05T13:00:00Z", "2025-04-06T13:30:00Z"],
  ["Australia/Lord_Howe", "HOUR", "2025-04-05T14:45:00Z", "2025-04-05T14:00:00Z", "2025-04-05T15:00:00Z"],
  ["Australia/Lord_Howe", "HOUR", "2025-04-05T15:15:00Z", "2025-04-05T15:00:00Z", "2025-04-05T15:30:00Z"],
  ["Australia/Lord_Howe", "HOUR", "2025-10-04T15:40:00Z", "2025-10-04T15:30:00Z", "2025-10-04T16:00:00Z"],
  ["Australia/Lord_Howe", "MINUTE", "2025-10-04T15:30:10Z", "2025-10-04T15:30:00Z", "2025-10-04T15:31:00Z"],
  // A date without midnight, and a fall-back across it.
  ["America/Sao_Paulo", "DAY", "2018-11-04T10:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
  ["America/Sao_Paulo", "HOUR", "2018-11-04T03:30:00Z", "2018-11-04T03:00:00Z", "2018-11-04T04:00:00Z"],
  ["America/Sao_Paulo", "DAY", "2018-02-17T10:00:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"],
  ["America/Sao_Paulo", "HOUR", "2018-02-18T01:30:00Z", "2018-02-18T01:00:00Z", "2018-02-18T02:00:00Z"],
  ["America/Sao_Paulo", "HOUR", "2018-02-18T02:30:00Z", "2018-02-18T02:00:00Z", "2018-02-18T03:00:00Z"],
  // A zone that skipped a whole date.
  ["Pacific/Apia", "DAY", "2011-12-30T05:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"],
  ["Pacific/Apia", "DAY", "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"],
  ["Pacific/Apia", "MONTH", "2011-12-30T12:00:00Z", "2011-12-01T10:00:00Z", "2011-12-31T10:00:00Z"],
  // An offset with seconds: -00:44:30 until 1972-01-07T00:44:30Z.
  ["Africa/Monrovia", "MINUTE", "1972-01-06T12:00:10Z", "1972-01-06T11:59:30Z", "1972-01-06T12:00:30Z"],
  ["Africa/Monrovia", "HOUR", "1972-01-06T12:00:10Z", "1972-01-06T11:44:30Z", "1972-01-06T12:44:30Z"],
  ["Africa/Monrovia", "DAY", "1972-01-06T12:00:00Z", "1972-01-06T00:44:30Z", "1972-01-07T00:44:30Z"],
  ["Africa/Monrovia", "DAY", "1972-01-07T12:00:00Z", "1972-01-07T00:44:30Z", "1972-01-08T00:00:00Z"],
  ["Africa/Monrovia", "HOUR", "1972-01-07T00:50:00Z", "1972-01-07T00:44:30Z", "1972-01-07T01:00:00Z"],
];

export function windowConformance(fixtures: Fixtures): void {
  describe("windows", () => {
    test.each(windowCases)("%s %s at %s is %s to %s", async (timeZone, size, inside, start, end) => {
      const fixture = fixtures();
      const [beforeStart, beforeEnd] = [later(start, -1), later(end, -1)].map(formatInstant);
      const times = [beforeStart, start, inside, beforeEnd, end].filter((time) => time !== undefined && at(time) >= 0);
      await fixture.insert(times.map((time): EventCase => (time === undefined ? {} : { time })));
      const rows = await fixture.usage({ window: { size, timeZone } });
      const window = { windowStart: at(start), windowEnd: at(end) };
      const inWindow = rows.filter((row) => row.windowStart === window.windowStart);
      const expected = times.filter((time) => time !== undefined && at(time) >= at(start) && at(time) < at(end));
      expect(inWindow).toEqual([
        { value: String(expected.length), ...window, subject: null, customerId: null, groups: [] },
      ]);
      // Windows tile: the neighbours meet this one.
      expect(rows.slice(0, -2).map((row) => row.windowEnd)).toEqual(rows.slice(0, -2).map(() => window.windowStart));
      expect(rows.at(-1)?.windowStart).toBe(window.windowEnd);
    });

    test("appear only where events are, ascending, whatever the order of arrival", async () => {
      const fixture = fixtures();
      const times = [
        "2025-03-05T01:00:00Z",
        "2025-03-01T23:59:59.999999Z",
        "2025-03-05T00:00:00Z",
        "2025-03-03T00:00:00Z",
      ];
      await fixture.insert(times.map((time) => ({ time })));
      const rows = await fixture.usage({ window: { size: "DAY", timeZone: "UTC" } });
      expect(rows.map((row) => [row.value, formatInstant(row.windowStart)])).toEqual([
        ["1", "2025-03-01T00:00:00Z"],
        ["1", "2025-03-03T00:00:00Z"],
        ["2", "2025-03-05T00:00:00Z"],
      ]);
    });

    test("cut by the bounds keep their full extent", async () => {
      const fixture = fixtures();
      const days = ["2025-03-01T00:00:00Z", "2025-03-01T12:00:00Z", "2025-03-02T00:00:00Z", "2025-03-02T12:00:00Z"];
      await fixture.insert(days.map((time) => ({ time })));
      const bounds = { from: "2025-03-01T12:00:00Z", to: "2025-03-02T12:00:00Z" };
      const rows = await fixture.usage({ ...bounds, window: { size: "DAY", timeZone: "UTC" } });
      expect(rows.map(boundsOf)).toEqual([
        ["1", "2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z"],
        ["1", "2025-03-02T00:00:00Z", "2025-03-03T00:00:00Z"],
      ]);
    });

    test("without a value in them have no row, or a zero for UNIQUE_COUNT", async () => {
      const fixture = fixtures();
      await fixture.insert([{ data: '{"v":1}' }, { time: "2025-03-02T00:00:00Z", data: '{"v":null}' }]);
      const rows = (aggregation: Aggregation) =>
        fixture.usage({ aggregation, window: { size: "DAY", timeZone: "UTC" } });
      expect(valuesAndGroups(await rows("SUM"))).toEqual([["1"]]);
      expect(valuesAndGroups(await rows("LATEST"))).toEqual([["1"]]);
      expect(valuesAndGroups(await rows("UNIQUE_COUNT"))).toEqual([["1"], ["0"]]);
      expect(valuesAndGroups(await rows("COUNT"))).toEqual([["1"], ["1"]]);
    });
  });

  boundConformance(fixtures);
  emptinessConformance(fixtures);
}

function boundsOf(row: UsageRow): readonly string[] {
  return [row.value, formatInstant(row.windowStart), formatInstant(row.windowEnd)];
}

/** Bounds of the query, then the number of the four events that count and the bounds of the row. */
const boundCases: readonly (readonly [Pick<UsageCase, "from" | "to" | "eventFrom">, string, string, string])[] = [
  [{}, "4", "2025-03-01T00:00:00Z", "2025-03-01T00:04:00Z"],
  [{ from: "2025-03-01T00:01:30.000001Z" }, "3", "2025-03-01T00:01:30.000001Z", "2025-03-01T00:04:00Z"],
  [{ from: "2025-03-01T00:01:30.000002Z" }, "2", "2025-03-01T00:01:30.000002Z", "2025-03-01T00:04:00Z"],
  [{ to: "2025-03-01T00:02:00Z" }, "2", "2025-03-01T00:00:00Z", "2025-03-01T00:02:00Z"],
  [{ to: "2025-03-01T00:02:00.000001Z" }, "3", "2025-03-01T00:00:00Z", "2025-03-01T00:02:00.000001Z"],
  [{ from: "2025-01-01T00:00:00Z", to: "2025-05-01T00:00:00Z" }, "4", "2025-01-01T00:00:00Z", "2025-05-01T00:00:00Z"],
  [{ eventFrom: "2025-03-01T00:02:00Z" }, "2", "2025-03-01T00:02:00Z", "2025-03-01T00:04:00Z"],
  [{ eventFrom: "2025-03-01T00:02:00.000001Z" }, "1", "2025-03-01T00:03:00Z", "2025-03-01T00:04:00Z"],
  [
    { eventFrom: "2025-03-01T00:02:00Z", from: "2025-02-01T00:00:00Z" },
    "2",
    "2025-02-01T00:00:00Z",
    "2025-03-01T00:04:00Z",
  ],
  [
    { eventFrom: "2025-02-01T00:00:00Z", from: "2025-03-01T00:02:00Z" },
    "2",
    "2025-03-01T00:02:00Z",
    "2025-03-01T00:04:00Z",
  ],
];

function boundConformance(fixtures: Fixtures): void {
  describe("bounds", () => {
    test("are exact to the microsecond; where one is open, a row without a window spans whole minutes", async () => {
      const fixture = fixtures();
      const times = ["00:00:00Z", "00:01:30.000001Z", "00:02:00Z", "00:03:59.999999Z"];
      await fixture.insert(times.map((time) => ({ time: `2025-03-01T${time}` })));
      const seen = [];
      for (const [bounds] of boundCases) {
        const [row] = await fixture.usage(bounds);
        seen.push([bounds, ...(row ? boundsOf(row) : [])]);
      }
      expect(seen).toEqual(boundCases);
    });

    test("of a row without a window come from all its events, numeric or not", async () => {
      const fixture = fixtures();
      await fixture.insert([
        { subject: "a", time: "2025-03-01T00:00:59Z", data: '{"v":"none"}' },
        { subject: "a", time: "2025-03-01T00:05:00Z", data: '{"v":1}' },
        { subject: "a", time: "2025-03-01T00:09:00Z", data: null },
        { subject: "b", time: "2025-03-02T00:00:00Z", data: '{"v":2}' },
      ]);
      const rows = await fixture.usage({ aggregation: "SUM", groupBySubject: true });
      expect(rows.map(boundsOf)).toEqual([
        ["1", "2025-03-01T00:00:00Z", "2025-03-01T00:10:00Z"],
        ["2", "2025-03-02T00:00:00Z", "2025-03-02T00:01:00Z"],
      ]);
    });
  });
}

function emptinessConformance(fixtures: Fixtures): void {
  const aggregations: readonly Aggregation[] = ["SUM", "COUNT", "AVG", "MIN", "MAX", "UNIQUE_COUNT", "LATEST"];

  describe("a result without events", () => {
    test.each(aggregations)("is empty for %s, but for one row of zero for plain counts", async (aggregation) => {
      const fixture = fixtures();
      await fixture.insert([{ type: "other" }, { time: "2025-03-01T00:00:00Z" }]);
      const none = { aggregation, from: "2025-05-01T00:00:00Z" };
      const isCount = aggregation === "COUNT" || aggregation === "UNIQUE_COUNT";
      const zero = (from: string, to: string) => (isCount ? [["0", from, to]] : []);
      const bounds = async (input: UsageCase) => (await fixture.usage({ aggregation, ...input })).map(boundsOf);
      expect(await bounds(none)).toEqual(zero("2025-05-01T00:00:00Z", "2025-05-01T00:01:00Z"));
      expect(await bounds({ ...none, to: "2025-06-01T00:00:00Z" })).toEqual(
        zero("2025-05-01T00:00:00Z", "2025-06-01T00:00:00Z"),
      );
      expect(await bounds({ to: "2025-02-01T00:00:00Z" })).toEqual(
        zero("1970-01-01T00:00:00Z", "2025-02-01T00:00:00Z"),
      );
      expect(await bounds({ eventType: "unknown" })).toEqual(zero("1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z"));
      expect(await bounds({ ...none, window: { size: "DAY", timeZone: "UTC" } })).toEqual([]);
      expect(await bounds({ ...none, groupBySubject: true })).toEqual([]);
      expect(await bounds({ ...none, dimensions: { key: "$.k" }, groupBy: ["key"] })).toEqual([]);
      const customers = [{ id: "c", subjects: ["subject"] }];
      expect(await bounds({ ...none, customers, groupByCustomer: true })).toEqual([]);
      expect(await bounds({ ...none, customers })).toEqual(zero("2025-05-01T00:00:00Z", "2025-05-01T00:01:00Z"));
    });

    test("is empty for UNIQUE_COUNT only without events, zero with events that have no value", async () => {
      const fixture = fixtures();
      await fixture.insert([{ data: '{"v":null}' }]);
      expect(valuesAndGroups(await fixture.usage({ aggregation: "UNIQUE_COUNT" }))).toEqual([["0"]]);
      expect(valuesAndGroups(await fixture.usage({ aggregation: "SUM" }))).toEqual([]);
    });
  });
}
