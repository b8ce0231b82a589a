import { describe, expect, test } from "vitest";

import { formatInstant, maxInstant } from "../../kernel/instant.ts";
import { at, duration, termsOf } from "./conformance/fixtures.ts";
import type { Terms } from "./terms.ts";
import { nextReset, periodAt, resetPoints } from "./usage-periods.ts";

function monthly(anchor: string, resets: Terms["resets"] = [], measureUsageFrom = "2024-01-10T00:00:00Z"): Terms {
  return termsOf({
    measureUsageFrom: at(measureUsageFrom),
    usagePeriod: { interval: duration("P1M"), anchor: at(anchor) },
    resets,
    preserveOverageAtReset: true,
  });
}

function days(terms: Terms, until: string): readonly string[] {
  return resetPoints(terms, terms.measureUsageFrom, at(until)).map(
    (reset) => formatInstant(reset.at).replace("T00:00:00Z", "") + (reset.preserveOverage ? "" : " forgiving"),
  );
}

const manual = (time: string, anchor = time) => ({ at: at(time), anchor: at(anchor), preserveOverage: false });

describe("reset points", () => {
  test("keep the day of the month or its last one, and the first period may be short", () => {
    expect(days(monthly("2024-01-31T00:00:00Z"), "2024-05-31T00:00:00Z")).toEqual([
      "2024-01-31",
      "2024-02-29",
      "2024-03-31",
      "2024-04-30",
      "2024-05-31",
    ]);
  });

  test("an anchor may lie in the future or the past", () => {
    expect(days(monthly("2025-06-15T00:00:00Z"), "2024-03-01T00:00:00Z")).toEqual(["2024-01-15", "2024-02-15"]);
    expect(days(monthly("2020-06-15T00:00:00Z"), "2024-03-01T00:00:00Z")).toEqual(["2024-01-15", "2024-02-15"]);
  });

  test("a manual reset moves the anchor", () => {
    expect(days(monthly("2024-01-31T00:00:00Z", [manual("2024-02-05T00:00:00Z")]), "2024-04-10T00:00:00Z")).toEqual([
      "2024-01-31",
      "2024-02-05 forgiving",
      "2024-03-05",
      "2024-04-05",
    ]);
  });

  test("a manual reset that retains the anchor leaves the end of the period", () => {
    const terms = monthly("2024-01-31T00:00:00Z", [manual("2024-02-05T00:00:00Z", "2024-01-31T00:00:00Z")]);
    expect(days(terms, "2024-03-31T00:00:00Z")).toEqual([
      "2024-01-31",
      "2024-02-05 forgiving",
      "2024-02-29",
      "2024-03-31",
    ]);
  });

  test("a manual reset at a point of the recurrence is one with it", () => {
    const terms = monthly("2024-01-31T00:00:00Z", [manual("2024-02-29T00:00:00Z")]);
    expect(days(terms, "2024-04-01T00:00:00Z")).toEqual(["2024-01-31", "2024-02-29 forgiving", "2024-03-29"]);
  });

  test("a point at measureUsageFrom is no reset", () => {
    expect(days(monthly("2024-01-10T00:00:00Z"), "2024-02-10T00:00:00Z")).toEqual(["2024-02-10"]);
  });

  test("after an instant: exclusive at its start, inclusive at its end", () => {
    const terms = monthly("2024-01-31T00:00:00Z");
    const between = resetPoints(terms, at("2024-01-31T00:00:00Z"), at("2024-02-29T00:00:00Z"));
    expect(between.map((reset) => formatInstant(reset.at))).toEqual(["2024-02-29T00:00:00Z"]);
  });
});

describe("periods", () => {
  const terms = monthly("2024-01-31T00:00:00Z", [manual("2024-02-05T00:00:00Z")]);

  test.each([
    ["2023-06-01T00:00:00Z", "2024-01-10T00:00:00Z", "2024-01-31T00:00:00Z"],
    ["2024-01-10T00:00:00Z", "2024-01-10T00:00:00Z", "2024-01-31T00:00:00Z"],
    ["2024-01-30T23:59:59.999999Z", "2024-01-10T00:00:00Z", "2024-01-31T00:00:00Z"],
    ["2024-01-31T00:00:00Z", "2024-01-31T00:00:00Z", "2024-02-05T00:00:00Z"],
    ["2024-02-05T00:00:00Z", "2024-02-05T00:00:00Z", "2024-03-05T00:00:00Z"],
    ["2025-07-01T00:00:00Z", "2025-06-05T00:00:00Z", "2025-07-05T00:00:00Z"],
  ])("%s lies in [%s, %s)", (instant, from, to) => {
    const period = periodAt(terms, at(instant));
    expect([period.from, period.to].map(formatInstant)).toEqual([from, to]);
  });

  test("a period longer than time has no end", () => {
    const endless = termsOf({ usagePeriod: { interval: duration("P900Y"), anchor: at("2024-01-01T00:00:00Z") } });
    expect(periodAt(endless, at("2030-01-01T00:00:00Z")).to).toBe(maxInstant);
    expect(nextReset(endless, at("2030-01-01T00:00:00Z"))).toBeNull();
  });
});
