/** The rules of a feature, as tables of what is refused and of what filters stand for. */

import type { FilterString } from "@tallystick/contract";
import { describe, expect, test } from "vitest";
import type { TextFilter } from "../engines/event-store/index.ts";
import type { Instant } from "../kernel/instant.ts";
import type { Meter } from "../meters/index.ts";
import { draftErrors, type FeatureDraft, filtersOf, meterErrors, unitCostErrors, unitCostOf } from "./feature.ts";
import type { UnitCostDraft } from "./feature.ts";

const NOW = 0 as Instant;
const METER: Meter = {
  id: "01HZZZZZZZZZZZZZZZZZZZZZZZ",
  namespace: "default",
  slug: "tokens",
  name: "Tokens",
  description: null,
  aggregation: "SUM",
  eventType: "prompt",
  eventFrom: null,
  valueProperty: "$.n",
  groupBy: { model: "$.model", kind: "$.kind" },
  metadata: null,
  version: 1,
  createdAt: NOW,
  updatedAt: NOW,
  deletedAt: null,
};
const DRAFT: FeatureDraft = { key: "api", name: "API", meterSlug: "tokens" };

function shown(errors: readonly { code: string; field?: string }[]): readonly string[] {
  return errors.map(({ code, field }) => `${code} ${field}`);
}

describe("a draft", () => {
  test.each<readonly [string, Partial<FeatureDraft>, readonly string[]]>([
    ["bare", {}, []],
    ["without a meter", { meterSlug: undefined }, []],
    ["with an id as key", { key: "01hzzzzzzzzzzzzzzzzzzzzzzz" }, ["invalid_key $.key"]],
    ["with a key that is nearly an id", { key: "81hzzzzzzzzzzzzzzzzzzzzzzz" }, []],
    ["without a name", { name: "" }, ["invalid_name $.name"]],
    ["with the longest name", { name: "😀".repeat(256) }, []],
    ["with a name too long", { name: "x".repeat(257) }, ["invalid_name $.name"]],
    ["with NUL in the name", { name: "a\0" }, ["invalid_text $.name"]],
    ["with half a pair in the metadata", { metadata: { a: "\ud800" } }, ["invalid_text $.metadata.a"]],
    [
      "with a pair cut in two in the metadata",
      { metadata: { "\ud83d": "\ude00" } },
      ["invalid_text $.metadata.\ud83d", "invalid_text $.metadata.\ud83d"],
    ],
    [
      "with filters and no meter",
      { meterSlug: undefined, meterGroupByFilters: { a: "x" } },
      ["filter_without_meter $.meterGroupByFilters"],
    ],
    ["with no filters and no meter", { meterSlug: undefined, advancedMeterGroupByFilters: {} }, []],
    ["with an empty value", { meterGroupByFilters: { model: "" } }, ["invalid_filter $.meterGroupByFilters.model"]],
    [
      "with NUL deep in a filter",
      { advancedMeterGroupByFilters: { model: { $and: [{ $or: [{ $in: ["a", "\0"] }] }] } } },
      ["invalid_text $.advancedMeterGroupByFilters.model"],
    ],
    [
      "with NUL in a simple filter",
      { meterGroupByFilters: { model: "\0" } },
      ["invalid_text $.meterGroupByFilters.model"],
    ],
  ])("%s", (_, change, refused) => {
    expect(shown(draftErrors({ ...DRAFT, ...change }))).toEqual(refused);
  });

  test.each<readonly [Record<string, string>, Record<string, FilterString>, readonly string[]]>([
    [{}, {}, []],
    [{ a: "x" }, { a: { $eq: "x" } }, []],
    [{ a: "x" }, { a: { $in: ["x"] } }, []],
    [{ a: "x" }, { a: { $eq: "y" } }, ["a"]],
    [{ a: "x" }, { a: { $in: ["x", "y"] } }, ["a"]],
    [{ a: "x" }, { a: { $like: "x" } }, ["a"]],
    [{ a: "x" }, {}, ["a"]],
    [{}, { a: { $eq: "x" } }, ["a"]],
    [{ a: "x", b: "y" }, { b: { $eq: "x" }, c: { $eq: "z" } }, ["a", "b", "c"]],
    [{ a: "x" }, { toString: { $eq: "x" } }, ["a", "toString"]],
  ])("with both forms %j and %j disagrees on %j", (meterGroupByFilters, advancedMeterGroupByFilters, keys) => {
    const errors = draftErrors({ ...DRAFT, meterGroupByFilters, advancedMeterGroupByFilters });
    expect(shown(errors)).toEqual(keys.map((key) => `conflicting_filters $.advancedMeterGroupByFilters.${key}`));
  });
});

test.each<readonly [Meter["aggregation"], boolean]>([
  ["SUM", true],
  ["COUNT", true],
  ["UNIQUE_COUNT", true],
  ["LATEST", true],
  ["AVG", false],
  ["MIN", false],
  ["MAX", false],
])("a meter with %s can be metered: %s", (aggregation, isAllowed) => {
  const refused = isAllowed ? [] : ["invalid_aggregation $.meterSlug"];
  expect(shown(meterErrors(DRAFT, { ...METER, aggregation }))).toEqual(refused);
});

test("every filter names a group-by key of the meter", () => {
  const draft = {
    ...DRAFT,
    meterGroupByFilters: { model: "a", region: "b" },
    advancedMeterGroupByFilters: { kind: { $eq: "a" }, constructor: { $eq: "b" } },
  };
  expect(shown(meterErrors(draft, METER))).toEqual([
    "invalid_group_by_filter $.meterGroupByFilters.region",
    "invalid_group_by_filter $.advancedMeterGroupByFilters.constructor",
  ]);
});

describe("a unit cost", () => {
  test.each<readonly [UnitCostDraft, readonly string[]]>([
    [{ type: "manual", amount: "0" }, []],
    [{ type: "manual", amount: "0.000000000000000000000001" }, []],
    [{ type: "manual", amount: "-0.1" }, ["amount"]],
    [{ type: "manual", amount: "9".repeat(1001) }, ["amount"]],
    [{ type: "llm" }, []],
    [{ type: "llm", provider: "openai", model: "gpt-5", tokenType: "input" }, []],
    [{ type: "llm", providerProperty: "kind", modelProperty: "model", tokenTypeProperty: "kind" }, []],
    [{ type: "llm", provider: "openai", modelProperty: "model" }, []],
    [{ type: "llm", provider: "openai", providerProperty: "kind" }, ["providerProperty"]],
    [
      { type: "llm", model: "x", modelProperty: "region", tokenType: "x", tokenTypeProperty: "kind" },
      ["modelProperty", "modelProperty", "tokenTypeProperty"],
    ],
    [{ type: "llm", model: "" }, ["model"]],
    [{ type: "llm", model: "\0" }, ["model"]],
  ])("%j", (cost, fields) => {
    expect(shown(unitCostErrors(cost, METER))).toEqual(
      fields.map(
        (field) =>
          `${field === "model" && "model" in cost && cost.model === "\0" ? "invalid_text" : "invalid_unit_cost"} $.unitCost.${field}`,
      ),
    );
  });

  test("of a model needs a meter, a fixed one does not", () => {
    expect(shown(unitCostErrors({ type: "llm", modelProperty: "model" }, null))).toEqual([
      "invalid_unit_cost $.unitCost",
    ]);
    expect(unitCostErrors({ type: "manual", amount: "1" }, null)).toEqual([]);
  });

  test("is kept in canonical form", () => {
    expect(unitCostOf({ type: "manual", amount: "0012.3400" })).toEqual({ type: "manual", amount: "12.34" });
    const llm = { type: "llm", provider: "p", model: undefined, modelProperty: "model", pricing: "x" } as const;
    expect(unitCostOf(llm)).toEqual({ type: "llm", provider: "p", modelProperty: "model" });
  });
});

test("both forms stand for conditions of the event store", () => {
  expect(filtersOf(null, null)).toEqual(new Map());
  expect(filtersOf({ a: "x" }, null)).toEqual(new Map<string, TextFilter>([["a", { op: "eq", value: "x" }]]));
  const both = filtersOf({ a: "x" }, { a: { $eq: "x" }, b: { $or: [{ $like: "y%" }, { $exists: false }] } });
  expect(both).toEqual(
    new Map<string, TextFilter>([
      ["a", { op: "eq", value: "x" }],
      [
        "b",
        {
          op: "or",
          filters: [
            { op: "like", pattern: "y%" },
            { op: "exists", value: false },
          ],
        },
      ],
    ]),
  );
});
