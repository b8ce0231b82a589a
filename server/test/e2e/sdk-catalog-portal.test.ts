/** Features and the portal over the published client: every method that it has for them. */

import { OpenMeter } from "@openmeter/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TestProduct } from "./product-fixture.ts";
import { failure, startSdkProduct } from "./sdk-fixture.ts";

let product: TestProduct;
let client: OpenMeter;

beforeAll(async () => {
  ({ product, client } = await startSdkProduct());
  const meter = { slug: "tokens", eventType: "prompt", aggregation: "SUM", valueProperty: "$.n" } as const;
  await client.meters.create({ ...meter, groupBy: { model: "$.model" } });
});
afterAll(async () => {
  await product?.stop();
});

test("features are made, found, listed and archived", async () => {
  const metered = await client.features.create({
    key: "gpt_tokens",
    name: "GPT tokens",
    meterSlug: "tokens",
    metadata: { team: "inference" },
    advancedMeterGroupByFilters: { model: { $like: "gpt-%" } },
    unitCost: { type: "llm", provider: "openai", modelProperty: "model", tokenType: "input" },
  });
  expect(metered).toMatchObject({
    key: "gpt_tokens",
    meterSlug: "tokens",
    metadata: { team: "inference" },
    advancedMeterGroupByFilters: { model: { $like: "gpt-%" } },
    unitCost: { type: "llm", provider: "openai", modelProperty: "model", tokenType: "input" },
  });
  expect(metered?.createdAt).toBeInstanceOf(Date);
  expect(metered?.archivedAt).toBeUndefined();
  const plain = await client.features.create({ key: "sso", name: "Single sign-on" });
  expect(await client.features.get("gpt_tokens")).toEqual(metered);
  expect(await client.features.get(plain?.id ?? "")).toEqual(plain);
  expect(await client.features.list()).toEqual([metered, plain]);
  expect(await client.features.list({ limit: 1, offset: 1, order: "ASC", orderBy: "key" })).toEqual([plain]);
  expect(await client.features.list({ meterSlug: ["tokens"] })).toEqual([metered]);
  const page = await client.client.GET("/api/v1/features", { params: { query: { page: 1, pageSize: 1 } } });
  expect(page.data).toMatchObject({ page: 1, pageSize: 1, totalCount: 2, items: [{ key: "gpt_tokens" }] });

  const taken = await failure(client.features.create({ key: "sso", name: "Again" }));
  expect([taken.status, taken.message]).toEqual([409, expect.stringContaining('"sso" exists')]);
  expect((await failure(client.meters.delete("tokens"))).status).toBe(409);
  await client.features.delete(metered?.id ?? "");
  expect((await failure(client.features.delete(metered?.id ?? ""))).status).toBe(400);
  expect((await failure(client.features.get("gpt_tokens"))).status).toBe(404);
  expect((await client.features.get(metered?.id ?? ""))?.archivedAt).toBeInstanceOf(Date);
  expect(await client.features.list()).toEqual([plain]);
  expect(await client.features.list({ includeArchived: true })).toHaveLength(2);
});

test("portal tokens are made, used, listed and revoked", async () => {
  await product.ingest(
    { type: "prompt", subject: "acme", data: { n: 5 } },
    { type: "prompt", subject: "b", data: { n: 7 } },
  );
  const made = await client.portal.create({ subject: "acme", allowedMeterSlugs: ["tokens"] });
  expect(made).toMatchObject({ subject: "acme", allowedMeterSlugs: ["tokens"] });
  expect(made?.expiresAt?.getTime()).toBeGreaterThan(Date.now() + 3_500_000);
  const browser = new OpenMeter({ baseUrl: product.url, apiKey: made?.token ?? "" });
  const query = () =>
    browser.client.GET("/api/v1/portal/meters/{meterSlug}/query", { params: { path: { meterSlug: "tokens" } } });
  expect((await query()).data).toMatchObject({ data: [{ subject: "acme", value: 5 }] });

  const { token: _, ...listed } = { ...made, expired: false };
  expect(await client.portal.list()).toEqual([listed]);
  expect(await client.portal.list({ limit: 1 })).toEqual([listed]);
  const another = await client.portal.create({ subject: "b" });
  await client.portal.invalidate({ id: made?.id ?? "" });
  const refused = await query();
  expect([refused.response.status, refused.error]).toMatchObject([401, { detail: "invalid token: revoked" }]);
  expect((await client.portal.list())?.map(({ id }) => id)).toEqual([another?.id]);
  await client.portal.invalidate({ subject: "b" });
  expect(await client.portal.list()).toEqual([]);
  expect((await failure(client.portal.invalidate({}))).status).toBe(400);
  expect((await failure(client.portal.create({ subject: "" }))).status).toBe(400);
});
