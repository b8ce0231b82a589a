/** Entitlements and grants through the published client, unchanged: every method of v1, of v2 and of customers. */

import type { OpenMeter } from "@openmeter/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TestProduct } from "./product-fixture.ts";
import { failure, startSdkProduct } from "./sdk-fixture.ts";

let product: TestProduct;
let client: OpenMeter;

beforeAll(async () => {
  ({ product, client } = await startSdkProduct());
  await client.meters.create({ slug: "calls", eventType: "call", aggregation: "COUNT" });
  await client.features.create({ key: "calls", name: "Calls", meterSlug: "calls" });
  await client.features.create({ key: "beta", name: "Beta" });
});
afterAll(async () => {
  await product?.stop();
});

/** A start of the present minute; now is at or after it. */
function thisMinute(): Date {
  return new Date(Math.floor(Date.now() / 60_000) * 60_000);
}

/** Yesterday's midnight, so that no test depends on the time of the day. */
const START = new Date(Math.floor(Date.now() / 86_400_000 - 1) * 86_400_000);

async function calls(subject: string, count: number): Promise<void> {
  await product.ingest(...Array.from({ length: count }, () => ({ type: "call", subject })));
}

describe("entitlementsV1", () => {
  test("every method", async () => {
    await client.customers.create({ name: "V1", key: "v1", usageAttribution: { subjectKeys: ["v1-subject"] } });
    const { entitlementsV1 } = client;
    const made = await entitlementsV1.create("v1-subject", {
      type: "metered",
      featureKey: "calls",
      usagePeriod: { interval: "MONTH", anchor: START },
      measureUsageFrom: START,
      issueAfterReset: 10,
    });
    expect(made).toMatchObject({ type: "metered", subjectKey: "v1-subject", issueAfterReset: 10 });
    expect(made?.createdAt).toBeInstanceOf(Date);
    const id = made?.id ?? "";
    expect(await entitlementsV1.get(id)).toEqual(made);
    expect(await entitlementsV1.list({ subject: ["v1-subject"], entitlementType: ["metered"] })).toEqual([made]);

    await calls("v1-subject", 4);
    const used = { hasAccess: true, balance: 6, usage: 4, overage: 0, totalAvailableGrantAmount: 10 };
    expect(await entitlementsV1.value("v1-subject", "calls")).toMatchObject(used);
    const tomorrow = { time: new Date(Date.now() + 40 * 86_400_000) };
    expect(await entitlementsV1.value("v1-subject", "calls", tomorrow)).toMatchObject({ balance: 10, usage: 0 });
    const history = await entitlementsV1.history("v1-subject", id, { windowSize: "DAY", from: START });
    expect(history?.windowedHistory.reduce((sum, { usage }) => sum + usage, 0)).toBe(4);
    expect(history?.burndownHistory.at(-1)).toMatchObject({ balanceAtEnd: 6 });

    const grant = await entitlementsV1.grants.create("v1-subject", "calls", {
      amount: 5,
      priority: 3,
      effectiveAt: thisMinute(),
      expiration: { duration: "DAY", count: 2 },
      recurrence: { interval: "DAY" },
    });
    expect(grant).toMatchObject({ amount: 5, priority: 3, entitlementId: id, maxRolloverAmount: 0 });
    expect(grant?.expiresAt).toEqual(new Date((grant?.effectiveAt.getTime() ?? 0) + 2 * 86_400_000));
    const listed = await entitlementsV1.grants.list("v1-subject", id, { orderBy: "createdAt" });
    expect(listed?.map(({ amount }) => amount)).toEqual([10, 5]);
    expect(await entitlementsV1.grants.listAll({ subject: ["v1-subject"] })).toEqual(listed);
    expect(await entitlementsV1.grants.listAll({ subject: ["v1-subject"], page: 2, pageSize: 1 })).toMatchObject({
      totalCount: 2,
      items: [{ id: grant?.id }],
    });
    await entitlementsV1.grants.void(grant?.id ?? "");
    expect((await failure(entitlementsV1.grants.void(grant?.id ?? ""))).status).toBe(400);

    const minute = thisMinute();
    await entitlementsV1.reset("v1-subject", id, { effectiveAt: minute, retainAnchor: true });
    expect(await entitlementsV1.get(id)).toMatchObject({ lastReset: minute });
    const replaced = await entitlementsV1.override("v1-subject", "calls", {
      type: "metered",
      featureKey: "calls",
      usagePeriod: { interval: "P1W" },
      isSoftLimit: true,
    });
    expect(replaced).toMatchObject({ isSoftLimit: true, usagePeriod: { interval: "P1W", intervalISO: "P1W" } });
    expect(await entitlementsV1.get(id)).toMatchObject({ activeTo: replaced?.activeFrom });
    const taken = await failure(entitlementsV1.create("v1-subject", { type: "boolean", featureKey: "calls" }));
    expect(taken.status).toBe(409);
    await entitlementsV1.delete("v1-subject", replaced?.id ?? "");
    expect((await failure(entitlementsV1.value("v1-subject", "calls"))).status).toBe(404);
  });
});

describe("entitlements and customers.entitlements", () => {
  test("every method", async () => {
    const customer = await client.customers.create({ name: "V2", key: "v2" });
    const own = client.customers.entitlements;
    const made = await own.create("v2", {
      type: "metered",
      featureKey: "calls",
      usagePeriod: { interval: "MONTH", anchor: START },
      measureUsageFrom: START,
      grants: [{ amount: 3, effectiveAt: START }],
    });
    expect(made).toMatchObject({ type: "metered", customerId: customer?.id, customerKey: "v2" });
    const id = made?.id ?? "";
    const config = JSON.stringify({ level: 2 });
    const beta = await own.create("v2", { type: "static", featureKey: "beta", config });
    expect(await client.entitlements.get(id)).toEqual(made);
    expect(await own.get("v2", "calls")).toEqual(made);
    expect(await own.list("v2")).toMatchObject({ totalCount: 2, items: [made, beta] });
    expect(
      await client.entitlements.list({ query: { customerKeys: ["v2"], feature: ["beta"], order: "DESC" } }),
    ).toEqual({
      totalCount: 1,
      page: 1,
      pageSize: 100,
      items: [beta],
    });

    await calls("v2", 4);
    const value = await own.value("v2", "calls");
    expect(value).toMatchObject({ hasAccess: false, balance: 0, usage: 4, overage: 1 });
    const grant = await own.createGrant("v2", "calls", { amount: 7, effectiveAt: thisMinute() });
    expect(grant).toMatchObject({ amount: 7, maxRolloverAmount: 7 });
    expect(await own.value("v2", "calls")).toMatchObject({ grantBalances: { [grant?.id ?? ""]: expect.any(Number) } });
    const grants = await own.listGrants("v2", id);
    expect(grants?.items.map(({ amount }) => amount)).toEqual([3, 7]);
    expect(await client.entitlements.grants.list({ query: { customer: ["v2"] } })).toEqual(grants);
    const history = await own.history("v2", "calls", "HOUR", { query: { windowTimeZone: "Europe/Budapest" } });
    expect(history?.windowedHistory.reduce((sum, { usage }) => sum + usage, 0)).toBe(4);
    expect(await client.customers.getAccess("v2")).toMatchObject({
      entitlements: { calls: { usage: 4 }, beta: { hasAccess: true, config } },
    });
    expect(await client.customers.entitlementsV1.value("v2", "beta")).toEqual({ hasAccess: true, config });

    const minute = thisMinute();
    await own.resetUsage("v2", "calls", {});
    const reset = await own.get("v2", "calls");
    expect(reset?.type === "metered" && reset.lastReset >= minute).toBe(true);
    await client.entitlements.grants.void(grant?.id ?? "");
    const replaced = await own.override("v2", "beta", { type: "boolean", featureKey: "beta" });
    expect(replaced).toMatchObject({ type: "boolean" });
    await own.delete("v2", "beta");
    expect(await own.value("v2", "beta")).toEqual({ hasAccess: false });
    expect((await own.list("v2", { query: { includeDeleted: true } }))?.totalCount).toBe(3);
  });
});
