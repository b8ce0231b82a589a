/** Features over HTTP: what is answered, what is refused and how the refusal reads, arrays and pages, meters in use. */

import type { FeatureBody } from "@tallystick/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

const FEATURES = "/api/v1/features";

interface Page {
  readonly items: readonly FeatureBody[];
  readonly page: number;
  readonly pageSize: number;
  readonly totalCount: number;
}

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct();
  const groupBy = { model: "$.model", kind: "$.kind" };
  await product.json("/api/v1/meters", {
    json: { slug: "tokens", eventType: "prompt", aggregation: "SUM", valueProperty: "$.n", groupBy },
  });
  await product.json("/api/v1/meters", {
    json: { slug: "average", eventType: "prompt", aggregation: "AVG", valueProperty: "$.n" },
  });
});
afterAll(async () => {
  await product?.stop();
});

async function create(json: unknown): Promise<FeatureBody> {
  const answer = await product.call(FEATURES, { json });
  expect(answer.status, answer.text).toBe(201);
  return JSON.parse(answer.text) as FeatureBody;
}

async function archive(idOrKey: string): Promise<void> {
  expect((await product.call(`${FEATURES}/${idOrKey}`, { method: "DELETE" })).status).toBe(204);
}

test("a feature is answered as it was made, with its filters in both forms", async () => {
  const made = await create({
    key: "gpt",
    name: "GPT",
    metadata: { team: "a" },
    meterSlug: "tokens",
    meterGroupByFilters: { model: "gpt-5" },
    unitCost: { type: "manual", amount: "0.0000000000000000000250" },
    id: "ignored",
    color: "ignored",
  });
  const { id, createdAt } = made;
  expect(made).toEqual({
    id,
    key: "gpt",
    name: "GPT",
    metadata: { team: "a" },
    meterSlug: "tokens",
    meterGroupByFilters: { model: "gpt-5" },
    advancedMeterGroupByFilters: { model: { $eq: "gpt-5" } },
    unitCost: { type: "manual", amount: "0.000000000000000000025" },
    createdAt,
    updatedAt: createdAt,
  });
  expect(await product.json(`${FEATURES}/gpt`)).toEqual(made);
  expect(await product.json(`${FEATURES}/${id}`)).toEqual(made);
  await archive("gpt");
  await product.problem(404, `${FEATURES}/gpt`);
  expect(await product.json<FeatureBody>(`${FEATURES}/${id}`)).toMatchObject({
    key: "gpt",
    archivedAt: expect.any(String),
  });
  const again = await product.problem(400, `${FEATURES}/${id}`, { method: "DELETE" });
  expect(again.detail).toBe('feature "gpt" is archived and cannot be archived again');
  await product.problem(404, `${FEATURES}/nul%00`);
});

test("filters that no simple form can say are answered in the advanced form only", async () => {
  const filters = { model: { $or: [{ $like: "gpt-%" }, { $in: ["a", "b"] }] }, kind: { $eq: "input" } };
  const made = await create({ key: "either", name: "E", meterSlug: "tokens", advancedMeterGroupByFilters: filters });
  expect(made.advancedMeterGroupByFilters).toEqual(filters);
  expect(made.meterGroupByFilters).toBeUndefined();
  const both = { meterGroupByFilters: { kind: "x" }, advancedMeterGroupByFilters: { kind: { $in: ["x"] } } };
  expect(await create({ key: "both", name: "B", meterSlug: "tokens", ...both })).toMatchObject(both);
  await archive("either");
  await archive("both");
});

describe("refused with every offending field named", () => {
  const cost = (unitCost: unknown) => ({ key: "k", name: "n", meterSlug: "tokens", unitCost });
  const deep = { $and: [{ $or: [{ $and: [{ $eq: "a" }] }] }] };
  test.each<[string, number, unknown, string, RegExp]>([
    ["no key", 400, { name: "n" }, "$.key", /"key" is missing/u],
    ["a key that is an id", 400, { key: "01hzzzzzzzzzzzzzzzzzzzzzzz", name: "n" }, "$.key", /form of an id/u],
    ["a malformed key", 400, { key: "A b", name: "n" }, "$.key", /lower-case letters/u],
    ["an empty name", 400, { key: "k", name: "" }, "$.name", /1 to 256 characters/u],
    [
      "an unknown meter",
      404,
      { key: "k", name: "n", meterSlug: "nothing" },
      "$.meterSlug",
      /meter not found: nothing/u,
    ],
    [
      "an AVG meter",
      400,
      { key: "k", name: "n", meterSlug: "average" },
      "$.meterSlug",
      /SUM, COUNT, UNIQUE_COUNT, LATEST/u,
    ],
    [
      "an unknown group-by key",
      400,
      { key: "k", name: "n", meterSlug: "tokens", meterGroupByFilters: { region: "x" } },
      "$.meterGroupByFilters.region",
      /group-by keys are (model, kind|kind, model)/u,
    ],
    [
      "a filter nested too deep",
      400,
      { key: "k", name: "n", meterSlug: "tokens", advancedMeterGroupByFilters: { model: deep } },
      "$.advancedMeterGroupByFilters.model",
      /at most 2 deep/u,
    ],
    [
      "too many members",
      400,
      {
        key: "k",
        name: "n",
        meterSlug: "tokens",
        advancedMeterGroupByFilters: { model: { $in: Array.from({ length: 101 }, (_, index) => `m${index}`) } },
      },
      "$.advancedMeterGroupByFilters.model.$in",
      /1 to 100 members/u,
    ],
    [
      "forms that disagree",
      400,
      {
        key: "k",
        name: "n",
        meterSlug: "tokens",
        meterGroupByFilters: { model: "a" },
        advancedMeterGroupByFilters: { model: { $eq: "b" } },
      },
      "$.advancedMeterGroupByFilters.model",
      /disagree on "model"/u,
    ],
    ["an amount as number", 400, cost({ type: "manual", amount: 1 }), "$.unitCost.amount", /must be a string/u],
    ["a malformed amount", 400, cost({ type: "manual", amount: "1e3" }), "$.unitCost.amount", /decimal number/u],
    ["a negative amount", 400, cost({ type: "manual", amount: "-1" }), "$.unitCost.amount", /0 or more/u],
    ["an unknown type", 400, cost({ type: "free" }), "$.unitCost.type", /"unitCost.type" must be one of manual, llm$/u],
    [
      "a cost by an unknown key",
      400,
      cost({ type: "llm", modelProperty: "region" }),
      "$.unitCost.modelProperty",
      /no group-by key/u,
    ],
  ])("%s", async (_, status, json, field, sentence) => {
    const problem = await product.problem(status, FEATURES, { json });
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual([field]);
    expect(problem.detail).toMatch(sentence);
    expect(await product.json(FEATURES)).toEqual([]);
  });

  test("a key that is taken", async () => {
    await create({ key: "taken", name: "n" });
    const problem = await product.problem(409, FEATURES, { json: { key: "taken", name: "n" } });
    expect(problem.detail).toMatch(/"taken" exists; archive it first/u);
    await archive("taken");
  });
});

test("lists are arrays, or pages for whoever asks for one", async () => {
  const made = [];
  for (const key of ["p1", "p2", "p3"]) made.push(await create({ key, name: key, meterSlug: "tokens" }));
  expect(await product.json(FEATURES)).toEqual(made);
  expect(await product.json(`${FEATURES}?limit=1&offset=1`)).toEqual([made[1]]);
  expect(await product.json(`${FEATURES}?order=DESC&orderBy=createdAt`)).toEqual(made.toReversed());
  const page = { page: 1, pageSize: 100, totalCount: 3 };
  expect(await product.json<Page>(`${FEATURES}?page=1`)).toEqual({ items: made, ...page });
  expect(await product.json<Page>(`${FEATURES}?pageSize=2`)).toEqual({ items: made.slice(0, 2), ...page, pageSize: 2 });
  // A page wins over limit and offset.
  const second = { items: made.slice(2), page: 2, pageSize: 2, totalCount: 3 };
  expect(await product.json<Page>(`${FEATURES}?page=2&pageSize=2&limit=1&offset=1`)).toEqual(second);
  expect(await product.json<Page>(`${FEATURES}?page=9`)).toEqual({ items: [], ...page, page: 9 });
  expect(await product.json(`${FEATURES}?meterSlug=average&meterSlug=nothing`)).toEqual([]);
  expect(await product.json(`${FEATURES}?meterSlug=average&meterSlug=tokens`)).toEqual(made);
  for (const wrong of ["page=0", "pageSize=1001", "limit=0", "limit=1001", "offset=-1", "orderBy=size", "order=asc"]) {
    await product.problem(400, `${FEATURES}?${wrong}`);
  }
  for (const { id } of made) await archive(id);
  expect(await product.json(FEATURES)).toEqual([]);
  const archived = await product.json<readonly FeatureBody[]>(`${FEATURES}?includeArchived=true&meterSlug=tokens`);
  expect(archived.map(({ key }) => key)).toEqual(expect.arrayContaining(["p1", "p2", "p3"]));
});

test("a meter in use cannot be deleted or lose a key that a filter needs", async () => {
  const groupBy = { model: "$.model", kind: "$.kind" };
  await product.json("/api/v1/meters", { json: { slug: "used", eventType: "e", aggregation: "COUNT", groupBy } });
  await create({ key: "user", name: "U", meterSlug: "used", meterGroupByFilters: { kind: "x" } });
  const deletion = await product.problem(409, "/api/v1/meters/used", { method: "DELETE" });
  expect(deletion.detail).toBe('meter "used" is used by feature "user"; archive or delete what uses it first');
  const put = (keys: unknown) => ({ method: "PUT", json: { groupBy: keys } });
  const removal = await product.problem(409, "/api/v1/meters/used", put({ model: "$.model" }));
  expect(removal.extensions?.validationErrors?.map(({ field }) => field)).toEqual(["$.groupBy.kind"]);
  expect(removal.detail).toBe('group-by key "kind" of meter "used" is used by feature "user"; keep it');
  await product.json("/api/v1/meters/used", put({ kind: "$.other" }));
  await archive("user");
  expect((await product.call("/api/v1/meters/used", { method: "DELETE" })).status).toBe(204);
});

test("a meter stays as it is for the entitlements of an archived feature, until they have ended", async () => {
  const groupBy = { kind: "$.kind" };
  await product.json("/api/v1/meters", { json: { slug: "kept", eventType: "e", aggregation: "COUNT", groupBy } });
  await create({ key: "keeper", name: "K", meterSlug: "kept", meterGroupByFilters: { kind: "x" } });
  const entitlements = "/api/v1/subjects/keeping/entitlements";
  await product.call("/api/v1/customers", { json: { name: "C", usageAttribution: { subjectKeys: ["keeping"] } } });
  const granted = { type: "metered", featureKey: "keeper", usagePeriod: { interval: "MONTH" }, issueAfterReset: 5 };
  const made = await product.call(entitlements, { json: granted });
  expect(made.status, made.text).toBe(201);
  const { id } = JSON.parse(made.text) as { readonly id: string };
  await archive("keeper");
  const deletion = await product.problem(409, "/api/v1/meters/kept", { method: "DELETE" });
  expect(deletion.detail).toContain('entitlements of the archived feature "keeper"');
  await product.problem(409, "/api/v1/meters/kept", { method: "PUT", json: { groupBy: {} } });
  expect(await product.json(`${entitlements}/keeper/value`)).toMatchObject({ balance: 5 });
  expect((await product.call(`${entitlements}/${id}`, { method: "DELETE" })).status).toBe(204);
  expect((await product.call("/api/v1/meters/kept", { method: "DELETE" })).status).toBe(204);
});
