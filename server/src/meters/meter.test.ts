/** The rules of a meter's definition, as a table of what is refused. */

import { describe, expect, test } from "vitest";
import { definitionErrors, groupByErrors, type MeterDraft } from "./meter.ts";

const sum: MeterDraft = { slug: "m", eventType: "prompt", aggregation: "SUM", valueProperty: "$.n" };

describe("a definition", () => {
  test.each<readonly [string, Partial<MeterDraft>, readonly string[]]>([
    ["fine", {}, []],
    ["fine with groups", { groupBy: { model: "$.model", value: "$['a b'][0]", windowstart: "$.n.x" } }, []],
    ["COUNT", { aggregation: "COUNT", valueProperty: undefined }, []],
    ["COUNT with a value", { aggregation: "COUNT" }, ["value_property_forbidden $.valueProperty"]],
    ["SUM without a value", { valueProperty: undefined }, ["value_property_required $.valueProperty"]],
    [
      "LATEST without a value",
      { aggregation: "LATEST", valueProperty: undefined },
      ["value_property_required $.valueProperty"],
    ],
    ["no path", { valueProperty: "$" }, ["invalid_json_path $.valueProperty"]],
    ["reserved", { eventType: "internal.x" }, ["reserved_event_type $.eventType"]],
    ["reserved as a part only", { eventType: "my.internal.x" }, []],
    [
      "all at once",
      { eventType: "internal.x", valueProperty: "n", groupBy: { "a-b": "$.a", subject: "$.s", c: "c" } },
      [
        "reserved_event_type $.eventType",
        "invalid_json_path $.valueProperty",
        "invalid_group_by $.groupBy.a-b",
        "reserved_dimension $.groupBy.subject",
        "invalid_json_path $.groupBy.c",
      ],
    ],
  ])("%s", (_, change, refused) => {
    const errors = definitionErrors({ ...sum, ...change }, [/^internal\./u]);
    expect(errors.map(({ code, field }) => `${code} ${field}`)).toEqual(refused);
  });
});

describe("group-by keys", () => {
  test.each([
    ["customer_id", "$.c", "reserved_dimension"],
    ["1st", "$.c", "invalid_group_by"],
    ["", "$.c", "invalid_group_by"],
    ["ok", " $.n ", "invalid_group_by"],
    ["ok", "$..n", "invalid_json_path"],
  ])("%j: %j is refused as %s", (key, path, code) => {
    expect(groupByErrors({ [key]: path }, "$.n")).toMatchObject([{ code, field: `$.groupBy.${key}` }]);
  });

  test("without a value property every path is free", () => {
    expect(groupByErrors({ n: "$.n", __proto: "$.p" }, null)).toEqual([]);
  });
});
