/** Results as text: digits that no float could hold, and cells that need quotes. */

import { describe, expect, test } from "vitest";
import type { UsageQuery, UsageRow } from "../engines/event-store/index.ts";
import { instantFromMicros } from "../kernel/instant.ts";
import { usageCsv, usageJson } from "./result.ts";

const base: UsageQuery = {
  meter: { namespace: "default", eventType: "t", aggregation: "COUNT", groupBy: new Map() },
  groupBySubject: false,
  groupByCustomer: false,
  groupBy: [],
  filters: new Map(),
  upTo: new Map(),
};

function row(value: string, change: Partial<UsageRow> = {}): UsageRow {
  const window = { windowStart: instantFromMicros(0), windowEnd: instantFromMicros(60_000_001) };
  return { value, ...window, subject: null, customerId: null, groups: [], ...change };
}

const WINDOW = `"windowStart":"1970-01-01T00:00:00Z","windowEnd":"1970-01-01T00:01:00.000001Z"`;

describe("JSON", () => {
  test.each(["9007199254740993", "0.123456789012345678901234", "-0.1", "99999999999999999999999999999999999999"])(
    "%s is written with every digit",
    (value) => {
      expect(usageJson({}, base, [row(value)])).toBe(
        `{"data":[{"value":${value},${WINDOW},"subject":null,"groupBy":{}}]}`,
      );
    },
  );

  test("echoes what was asked, and nothing else", () => {
    const query = { ...base, from: instantFromMicros(0), to: instantFromMicros(1_500_000) };
    expect(usageJson({ windowSize: "DAY", windowTimeZone: "UTC", clientId: "c" }, query, [])).toBe(
      `{"from":"1970-01-01T00:00:00Z","to":"1970-01-01T00:00:01.5Z","windowSize":"DAY","data":[]}`,
    );
  });

  test("groups are an object by key, whatever the keys are", () => {
    const query = { ...base, groupBySubject: true, groupByCustomer: true, groupBy: ["value", "__proto__"] };
    const text = usageJson({}, query, [row("1", { subject: "s", customerId: "c", groups: ["a", ""] })]);
    expect(text).toBe(
      `{"data":[{"value":1,${WINDOW},"subject":"s","customerId":"c","groupBy":{"value":"a","__proto__":""}}]}`,
    );
  });
});

describe("CSV", () => {
  test("subjects have their names behind them if any of them has one", () => {
    const query = { ...base, groupBySubject: true };
    const rows = [row("1", { subject: "a" }), row("2", { subject: "b" })];
    const lines = usageCsv(query, rows, new Map([["a", "Ann, of A"]])).split("\n");
    expect(lines[0]).toBe("window_start,window_end,subject,subject_display_name,value");
    expect(lines[1]).toContain(`,a,"Ann, of A",1.000000`);
    expect(lines[2]).toContain(",b,b,2.000000");
    expect(usageCsv(base, [row("1")], new Map([["a", "Ann"]]))).toMatch(/^window_start,window_end,value\n/);
  });

  test.each([
    ["5", "5.000000"],
    ["-0.1", "-0.100000"],
    ["0.1234567", "0.1234567"],
    ["9007199254740993", "9007199254740993.000000"],
  ])("%s is the cell %s", (value, cell) => {
    const text = usageCsv(base, [row(value)], new Map());
    expect(text).toBe(`window_start,window_end,value\n1970-01-01T00:00:00Z,1970-01-01T00:01:00.000001Z,${cell}\n`);
  });

  test.each([
    ["plain", "plain"],
    ["a,b", `"a,b"`],
    [`say "hi"`, `"say ""hi"""`],
    ["two\nlines", `"two\nlines"`],
    [" blanks ", `" blanks "`],
    ["", ""],
  ])("%j is the cell %s", (group, cell) => {
    const query = { ...base, groupBySubject: true, groupBy: ["model"] };
    const text = usageCsv(query, [row("1", { subject: group, groups: [group] })], new Map());
    expect(text.slice(text.indexOf("\n") + 1)).toContain(`,${cell},${cell},1.000000\n`);
    expect(text).toMatch(/^window_start,window_end,subject,model,value\n/);
  });
});
