/** Meters over HTTP: their rules, their life from creation to deletion, and those that the configuration seeds. */

import type { Meter } from "@tallystick/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

const SEEDED = `
reservedEventTypes: ["^internal\\\\."]
meters:
  - { slug: seeded, eventType: seeded, aggregation: SUM, valueProperty: $.n, groupBy: { kind: $.kind } }
  - { slug: seeded_named, name: Named, description: Why, eventType: seeded, aggregation: COUNT }
`;

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct(SEEDED);
});
afterAll(async () => {
  await product?.stop();
});

function create(draft: Readonly<Record<string, unknown>>): Promise<Meter> {
  return product.json<Meter>("/api/v1/meters", { json: draft });
}

const sum = { eventType: "t", aggregation: "SUM", valueProperty: "$.n" };

describe("creating", () => {
  test("answers 200 with the whole meter; get by slug and by id, in either case, give the same", async () => {
    const draft = {
      ...sum,
      slug: "whole",
      name: "Whole",
      description: "All of it",
      eventFrom: "2026-01-01T01:00:00.5+01:00",
      groupBy: { model: "$.model", value: "$.v", windowstart: "$.w", type: "$['a b']", __proto: "$.p" },
      metadata: { team: "a", __x: "b" },
    };
    const meter = await create(draft);
    expect(meter).toMatchObject({ ...draft, eventFrom: "2026-01-01T00:00:00.5Z" });
    expect(meter.id).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
    expect(meter.createdAt).toBe(meter.updatedAt);
    for (const key of ["whole", meter.id, meter.id.toLowerCase()]) {
      expect(await product.json(`/api/v1/meters/${key}`)).toEqual(meter);
    }
  });

  test("the name defaults to the slug; what was not given is left out", async () => {
    const meter = await create({ slug: "minimal", eventType: "t", aggregation: "COUNT" });
    expect(Object.keys(meter).toSorted()).toEqual(
      ["aggregation", "createdAt", "eventType", "id", "name", "slug", "updatedAt"].toSorted(),
    );
    expect(meter.name).toBe("minimal");
  });

  test("read-only and unknown fields are ignored", async () => {
    const meter = await create({ ...sum, slug: "read_only", id: "mine", createdAt: "x", nonsense: [1] });
    expect(meter.id).not.toBe("mine");
    expect(meter).not.toHaveProperty("nonsense");
  });

  test.each(["SUM", "AVG", "MIN", "MAX", "UNIQUE_COUNT", "LATEST"])("%s needs valueProperty", async (aggregation) => {
    const json = { slug: `needs_${aggregation.toLowerCase()}`, eventType: "t", aggregation };
    const problem = await product.problem(400, "/api/v1/meters", { json });
    expect(problem.extensions?.validationErrors).toMatchObject([{ field: "$.valueProperty" }]);
    expect(await create({ ...json, valueProperty: "$.n" })).toMatchObject({ aggregation, valueProperty: "$.n" });
  });

  test.each<readonly [string, Readonly<Record<string, unknown>>, string]>([
    ["slug missing", { slug: undefined }, "$.slug"],
    ["slug upper case", { slug: "Tokens" }, "$.slug"],
    ["slug with a dash", { slug: "a-b" }, "$.slug"],
    ["slug with two underscores", { slug: "a__b" }, "$.slug"],
    ["slug with an underscore at its end", { slug: "a_" }, "$.slug"],
    ["slug with a line feed", { slug: "a\n" }, "$.slug"],
    ["slug too long", { slug: "a".repeat(65) }, "$.slug"],
    ["name empty", { name: "" }, "$.name"],
    ["name too long", { name: "n".repeat(257) }, "$.name"],
    ["name with NUL", { name: "a\u0000" }, "$.name"],
    ["description empty", { description: "" }, "$.description"],
    ["description too long", { description: "d".repeat(1025) }, "$.description"],
    ["description null", { description: null }, "$.description"],
    ["aggregation missing", { aggregation: undefined }, "$.aggregation"],
    ["aggregation lower case", { aggregation: "sum" }, "$.aggregation"],
    ["aggregation unknown", { aggregation: "MEDIAN" }, "$.aggregation"],
    ["eventType empty", { eventType: "" }, "$.eventType"],
    ["eventType reserved", { eventType: "internal.sync" }, "$.eventType"],
    ["eventFrom without offset", { eventFrom: "2026-01-01T00:00:00" }, "$.eventFrom"],
    ["eventFrom a number", { eventFrom: 5 }, "$.eventFrom"],
    ["COUNT with valueProperty", { aggregation: "COUNT" }, "$.valueProperty"],
    ["valueProperty empty", { valueProperty: "" }, "$.valueProperty"],
    ["valueProperty only the root", { valueProperty: "$" }, "$.valueProperty"],
    ["valueProperty without $", { valueProperty: "tokens" }, "$.valueProperty"],
    ["valueProperty descending", { valueProperty: "$..n" }, "$.valueProperty"],
    ["valueProperty with .*", { valueProperty: "$.*" }, "$.valueProperty"],
    ["valueProperty with a filter", { valueProperty: "$.a[?(@.b)]" }, "$.valueProperty"],
    ["valueProperty with a negative index", { valueProperty: "$.a[-1]" }, "$.valueProperty"],
    ["valueProperty strict", { valueProperty: "strict $.a" }, "$.valueProperty"],
    ["groupBy path invalid", { groupBy: { a: "a" } }, "$.groupBy.a"],
    ["groupBy path empty", { groupBy: { a: "" } }, "$.groupBy.a"],
    ["groupBy path like valueProperty", { groupBy: { a: " $.n" } }, "$.groupBy.a"],
    ["groupBy key subject", { groupBy: { subject: "$.s" } }, "$.groupBy.subject"],
    ["groupBy key customer_id", { groupBy: { customer_id: "$.s" } }, "$.groupBy.customer_id"],
    ["groupBy key with a digit first", { groupBy: { "1a": "$.s" } }, `$.groupBy["1a"]`],
    ["groupBy key with a dash", { groupBy: { "a-b": "$.s" } }, `$.groupBy["a-b"]`],
    ["groupBy a list", { groupBy: ["$.s"] }, "$.groupBy"],
    ["metadata with a number", { metadata: { a: 1 } }, "$.metadata.a"],
    ["metadata with NUL", { metadata: { a: "\u0000" } }, "$.metadata.a"],
  ])("%s is refused", async (_, change, field) => {
    const problem = await product.problem(400, "/api/v1/meters", { json: { ...sum, slug: "refused", ...change } });
    expect(problem.extensions?.validationErrors).toMatchObject([{ field, severity: "critical" }]);
    await product.problem(404, "/api/v1/meters/refused");
  });

  test("every offending field is named at once", async () => {
    const json = { ...sum, slug: "many", eventType: "internal.x", valueProperty: "n", groupBy: { subject: "$.s" } };
    const problem = await product.problem(400, "/api/v1/meters", { json });
    const fields = problem.extensions?.validationErrors?.map(({ field }) => field);
    expect(fields).toEqual(["$.eventType", "$.valueProperty", "$.groupBy.subject"]);
    expect(problem.detail).toContain("invalid JSONPath: n");
  });

  test.each([
    ["", "invalid JSON"],
    ["{", "invalid JSON"],
    ["[]", "object"],
    ["null", "object"],
    ['"text"', "object"],
  ])("the body %j is refused", async (body, sentence) => {
    const headers = { "content-type": "application/json" };
    const problem = await product.problem(400, "/api/v1/meters", { method: "POST", headers, body });
    expect(problem.detail).toContain(sentence);
  });

  test("another content type is refused with 400, parameters are accepted", async () => {
    const body = JSON.stringify({ ...sum, slug: "content_type" });
    const wrong = { headers: { "content-type": "text/plain" }, body };
    expect((await product.problem(400, "/api/v1/meters", wrong)).detail).toContain("invalid content type");
    await product.json("/api/v1/meters", { headers: { "content-type": "application/json; charset=utf-8" }, body });
  });

  test("a taken slug: 409, also for two at the same time", async () => {
    await create({ ...sum, slug: "taken" });
    const problem = await product.problem(409, "/api/v1/meters", { json: { ...sum, slug: "taken" } });
    expect(problem.detail).toBe("meter with the same slug already exists");
    const racing = Array.from({ length: 5 }, () => product.call("/api/v1/meters", { json: { ...sum, slug: "race" } }));
    const statuses = (await Promise.all(racing)).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 409, 409, 409, 409]);
  });
});

describe("listing", () => {
  test("by slug, or as asked; page and pageSize have no effect; deleted ones only on request", async () => {
    await create({ ...sum, slug: "list_b", name: "1" });
    await create({ ...sum, slug: "list_a", name: "2" });
    const gone = await create({ ...sum, slug: "list_c", name: "0" });
    await product.call("/api/v1/meters/list_c", { method: "DELETE" });
    const slugs = async (query: string): Promise<readonly string[]> => {
      const meters = await product.json<Meter[]>(`/api/v1/meters?${query}`);
      return meters.map(({ slug }) => slug).filter((slug) => slug.startsWith("list_"));
    };
    expect(await slugs("")).toEqual(["list_a", "list_b"]);
    expect(await slugs("page=9&pageSize=1")).toEqual(["list_a", "list_b"]);
    expect(await slugs("order=DESC")).toEqual(["list_b", "list_a"]);
    expect(await slugs("orderBy=name")).toEqual(["list_b", "list_a"]);
    expect(await slugs("orderBy=createdAt&order=DESC")).toEqual(["list_a", "list_b"]);
    expect(await slugs("includeDeleted=true")).toEqual(["list_a", "list_b", "list_c"]);
    const all = await product.json<Meter[]>("/api/v1/meters?includeDeleted=true");
    expect(all.find(({ id }) => id === gone.id)?.deletedAt).toBeDefined();
  });

  test.each([
    ["order=asc", "$.order"],
    ["orderBy=slugs", "$.orderBy"],
    ["includeDeleted=1", "$.includeDeleted"],
    ["page=0", "$.page"],
    ["pageSize=1001", "$.pageSize"],
    ["pageSize=ten", "$.pageSize"],
  ])("?%s is refused", async (query, field) => {
    const problem = await product.problem(400, `/api/v1/meters?${query}`);
    expect(problem.extensions?.validationErrors).toMatchObject([{ field }]);
  });
});

describe("changing", () => {
  test("replaces name, groupBy and metadata; keeps an omitted description and all that is immutable", async () => {
    const full = { description: "kept", groupBy: { a: "$.a" }, metadata: { k: "v" }, name: "Before" };
    const before = await create({ ...sum, slug: "change", ...full });
    const put = (json: unknown): Promise<Meter> => product.json("/api/v1/meters/change", { method: "PUT", json });
    const { groupBy: _groupBy, metadata: _metadata, ...kept } = before;
    const changed = await put({ slug: "other", eventType: "other", aggregation: "COUNT", valueProperty: "$.x" });
    expect(changed).toEqual({ ...kept, name: "change", updatedAt: changed.updatedAt });
    expect(Date.parse(changed.updatedAt)).toBeGreaterThanOrEqual(Date.parse(before.updatedAt));
    const again = await put({ name: "After", description: "new", groupBy: { b: "$.b" }, metadata: { x: "y" } });
    expect(again).toMatchObject({ name: "After", description: "new", groupBy: { b: "$.b" }, metadata: { x: "y" } });
    expect(await put({ metadata: null })).not.toHaveProperty("metadata");
    expect(await product.json(`/api/v1/meters/${before.id}`)).toMatchObject({ description: "new", name: "change" });
  });

  test("a new group-by key applies to old events at once", async () => {
    await create({ slug: "regroup", eventType: "regroup", aggregation: "COUNT" });
    await product.ingest({ type: "regroup", data: { k: "x" } }, { type: "regroup", data: { k: "y" } });
    await product.problem(400, "/api/v1/meters/regroup/query?groupBy=k");
    await product.json("/api/v1/meters/regroup", { method: "PUT", json: { groupBy: { k: "$.k" } } });
    const { data } = await product.json<{ data: unknown[] }>("/api/v1/meters/regroup/query?groupBy=k");
    expect(data).toMatchObject([
      { value: 1, groupBy: { k: "y" } },
      { value: 1, groupBy: { k: "x" } },
    ]);
  });

  test.each<readonly [Readonly<Record<string, unknown>>, string]>([
    [{ name: "" }, "$.name"],
    [{ description: "" }, "$.description"],
    [{ groupBy: { customer_id: "$.x" } }, "$.groupBy.customer_id"],
    [{ groupBy: { a: "$.n" } }, "$.groupBy.a"],
    [{ groupBy: { a: "$..n" } }, "$.groupBy.a"],
    [{ metadata: "x" }, "$.metadata"],
  ])("%j is refused and changes nothing", async (json, field) => {
    const slug = "change_refused";
    await product.call("/api/v1/meters", { json: { ...sum, slug } });
    const before = await product.json(`/api/v1/meters/${slug}`);
    const problem = await product.problem(400, `/api/v1/meters/${slug}`, { method: "PUT", json });
    expect(problem.extensions?.validationErrors).toMatchObject([{ field }]);
    expect(await product.json(`/api/v1/meters/${slug}`)).toEqual(before);
  });
});

describe("deleting", () => {
  test("is soft: by slug 404, by id 200 with deletedAt and still queryable; the slug is free again", async () => {
    await product.ingest({ type: "reuse", data: { n: 5 } });
    const first = await create({ ...sum, slug: "reuse", eventType: "reuse" });
    const removed = await product.call("/api/v1/meters/reuse", { method: "DELETE" });
    expect(removed).toMatchObject({ status: 204, text: "" });
    for (const path of ["", "/query", "/subjects"]) await product.problem(404, `/api/v1/meters/reuse${path}`);
    const found = await product.json<Meter>(`/api/v1/meters/${first.id}`);
    expect(found.deletedAt).toBeDefined();
    expect(await product.json(`/api/v1/meters/${first.id}/query`)).toMatchObject({ data: [{ value: 5 }] });
    expect(await product.json(`/api/v1/meters/${first.id}/subjects`)).toEqual(["s"]);

    const second = await create({ slug: "reuse", eventType: "reuse", aggregation: "COUNT" });
    expect(second.id).not.toBe(first.id);
    expect(await product.json("/api/v1/meters/reuse/query")).toMatchObject({ data: [{ value: 1 }] });
    expect((await product.call(`/api/v1/meters/${first.id}`, { method: "DELETE" })).status).toBe(204);
    expect((await product.json<Meter>(`/api/v1/meters/${first.id}`)).deletedAt).toBe(found.deletedAt);
    await product.problem(404, `/api/v1/meters/${first.id}`, { method: "PUT", json: {} });
    expect(await product.json("/api/v1/meters/reuse")).toEqual(second);
  });

  test.each([
    ["GET", "", undefined],
    ["PUT", "", {}],
    ["DELETE", "", undefined],
    ["GET", "/query", undefined],
    ["POST", "/query", {}],
    ["GET", "/subjects", undefined],
    ["GET", "/group-by/a/values", undefined],
  ])("an unknown meter: %s %s answers 404, an impossible name 400", async (method, path, json) => {
    const call = json === undefined ? { method } : { method, json };
    const problem = await product.problem(404, `/api/v1/meters/unknown${path}`, call);
    expect(problem.detail).toContain("meter not found: unknown");
    const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    await product.problem(404, `/api/v1/meters/${id}${path}`, call);
    await product.problem(400, `/api/v1/meters/Not-A-Slug${path}`, call);
    await product.problem(400, `/api/v1/meters/a%00${path}`, call);
  });
});

test("a meter created after the events counts them; eventFrom leaves earlier ones out to the microsecond", async () => {
  const event = (time: string): Readonly<Record<string, unknown>> => ({ type: "retro", time, data: { n: 1 } });
  await product.ingest(
    event("2026-01-01T00:00:00.000001Z"),
    event("2026-01-01T00:00:00.000002Z"),
    event("2026-01-01T00:00:00.000003Z"),
  );
  await create({ ...sum, slug: "retro", eventType: "retro" });
  await create({ ...sum, slug: "retro_from", eventType: "retro", eventFrom: "2026-01-01T00:00:00.000002Z" });
  expect(await product.json("/api/v1/meters/retro/query")).toMatchObject({ data: [{ value: 3 }] });
  expect(await product.json("/api/v1/meters/retro_from/query")).toMatchObject({ data: [{ value: 2 }] });
});

test("the configuration's meters exist from the start, with the slug as default name", async () => {
  expect(await product.json("/api/v1/meters/seeded")).toMatchObject({
    name: "seeded",
    aggregation: "SUM",
    valueProperty: "$.n",
    groupBy: { kind: "$.kind" },
  });
  expect(await product.json("/api/v1/meters/seeded_named")).toMatchObject({ name: "Named", description: "Why" });
});
