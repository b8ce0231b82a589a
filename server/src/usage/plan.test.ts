/** Planning a query: what a request becomes, and what it is refused for. */

import { describe, expect, test } from "vitest";
import { Fault } from "../kernel/fault.ts";
import { instantFromMicros, parseInstant } from "../kernel/instant.ts";
import type { Meter } from "../meters/index.ts";
import { planBounds, planUsageQuery } from "./plan.ts";

const meter: Meter = {
  id: "01G65Z755AFWAKHE12NY0CQ9FH",
  namespace: "default",
  slug: "tokens",
  name: "Tokens",
  description: null,
  aggregation: "SUM",
  eventType: "prompt",
  eventFrom: null,
  valueProperty: "$.n",
  groupBy: { model: "$.model", region: "$.region" },
  metadata: null,
  version: 1,
  createdAt: instantFromMicros(0),
  updatedAt: instantFromMicros(0),
  deletedAt: null,
};

function plan(request: Parameters<typeof planUsageQuery>[0]) {
  const customers = (request.filterCustomerId ?? []).map((id) => ({ id, subjects: [`subject of ${id}`] }));
  return planUsageQuery(request, meter, customers, new Map([[0, 7]]));
}

describe("a plan", () => {
  test("an empty request asks for everything in one row", () => {
    const query = plan({});
    expect(query).toMatchObject({
      groupBySubject: false,
      groupByCustomer: false,
      groupBy: [],
      upTo: new Map([[0, 7]]),
    });
    expect(query).not.toHaveProperty("from");
    expect(query).not.toHaveProperty("window");
    expect(query).not.toHaveProperty("subjects");
    expect(query.filters.size).toBe(0);
  });

  test("a filter by subject or customer also groups by it; repeats are dropped", () => {
    expect(plan({ subject: ["a", "b", "a"] })).toMatchObject({ subjects: ["a", "b"], groupBySubject: true });
    expect(plan({ filterCustomerId: ["c"], groupBy: ["customer_id", "model", "model"] })).toMatchObject({
      customers: [{ id: "c", subjects: ["subject of c"] }],
      groupByCustomer: true,
      groupBy: ["model"],
    });
    expect(plan({ groupBy: ["subject", "region", "model"] })).toMatchObject({
      groupBySubject: true,
      groupBy: ["region", "model"],
    });
    expect(plan({ subject: [] })).toMatchObject({ groupBySubject: false });
  });

  test("windows are those of UTC unless a zone is named", () => {
    expect(plan({ windowSize: "DAY" }).window).toEqual({ size: "DAY", timeZone: "UTC" });
    const zone = "Europe/Budapest";
    expect(plan({ windowSize: "DAY", windowTimeZone: zone }).window).toEqual({ size: "DAY", timeZone: zone });
  });

  test("filters of both kinds; an empty list filters nothing", () => {
    const simple = plan({ filterGroupBy: { model: ["a", "b"], region: [] } }).filters;
    expect([...simple]).toEqual([["model", { op: "in", values: ["a", "b"] }]]);
    const nested = { model: { $or: [{ $eq: "a" }, { $and: [{ $gt: "b" }, { $exists: true }] }] } };
    expect([...plan({ advancedMeterGroupByFilters: nested }).filters]).toEqual([
      [
        "model",
        {
          op: "or",
          filters: [
            { op: "eq", value: "a" },
            {
              op: "and",
              filters: [
                { op: "gt", value: "b" },
                { op: "exists", value: true },
              ],
            },
          ],
        },
      ],
    ]);
  });

  test.each<readonly [Parameters<typeof plan>[0], string]>([
    [{ windowTimeZone: "Local" }, "invalid_time_zone"],
    [{ groupBy: ["nope"] }, "invalid_group_by"],
    [{ groupBy: ["toString"] }, "invalid_group_by"],
    [{ groupBy: ["customer_id"] }, "customer_filter_required"],
    [{ filterGroupBy: { nope: [] } }, "invalid_group_by_filter"],
    [{ advancedMeterGroupByFilters: { nope: { $eq: "a" } } }, "invalid_group_by_filter"],
    [{ filterGroupBy: {}, advancedMeterGroupByFilters: {} }, "conflicting_filters"],
    [{ from: "2026-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z" }, "invalid_period"],
    [{ from: "today" }, "invalid_time"],
  ])("%j is refused as %s", (request, code) => {
    expect(refusalOf(() => plan(request))).toMatchObject({ kind: "validation", code, fields: [{ code }] });
  });
});

function refusalOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

test("a bound beyond what instants can be says so, and what to do", () => {
  const refusal = refusalOf(() => planBounds(undefined, "9999-12-31T23:59:59Z"));
  expect(refusal).toMatchObject({ message: expect.stringContaining(`"to" is out of range`) });
  expect(refusal).toMatchObject({ message: expect.stringContaining("leave a bound out") });
});

test("bounds keep microseconds, and one of them is enough", () => {
  const from = "2026-01-01T00:00:00.000001Z";
  expect(planBounds(from, undefined)).toEqual({ from: parseInstant(from) });
  expect(planBounds(from, "2026-01-01T00:00:00.000002Z").to).toBe((parseInstant(from) ?? 0) + 1);
  expect(planBounds(undefined, undefined)).toEqual({});
});
