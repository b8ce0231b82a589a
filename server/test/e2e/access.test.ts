/** Checks of access: from memory and from a recomputation they are the same, and a change is seen at once. */

import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct();
});

afterAll(async () => {
  await product.stop();
});

interface Made {
  readonly id: string;
}

async function make(path: string, json: unknown): Promise<Made> {
  const answer = await product.call(path, { json });
  expect(answer.status, answer.text).toBeLessThan(300);
  return JSON.parse(answer.text) as Made;
}

/** A customer with a metered, a static and a boolean entitlement; subjects `<key>-1` and `<key>-2`. */
async function customerWith(key: string, aggregation: string, metered: object = {}): Promise<void> {
  const meter = { slug: `${key}_meter`, eventType: key, aggregation, groupBy: { model: "$.model" } };
  await make("/api/v1/meters", aggregation === "COUNT" ? meter : { ...meter, valueProperty: "$.v" });
  const filters = { advancedMeterGroupByFilters: { model: { $ne: "free" } } };
  await make("/api/v1/features", { key: `${key}_units`, name: "Units", meterSlug: meter.slug, ...filters });
  await make("/api/v1/features", { key: `${key}_plan`, name: "Plan" });
  await make("/api/v1/features", { key: `${key}_sso`, name: "SSO" });
  const usageAttribution = { subjectKeys: [`${key}-1`, `${key}-2`] };
  await make("/api/v1/customers", { key, name: key, usageAttribution });
  const to = `/api/v2/customers/${key}/entitlements`;
  const usagePeriod = { interval: "MONTH" };
  await make(to, { type: "metered", featureKey: `${key}_units`, usagePeriod, issue: { amount: 100 }, ...metered });
  await make(to, { type: "static", featureKey: `${key}_plan`, config: '{"a":1}' });
  await make(to, { type: "boolean", featureKey: `${key}_sso` });
}

/** Waits until the answer comes from memory, and compares it with what the operation says. */
async function sameFromMemory(path: string): Promise<unknown> {
  const { live, checker } = product.product.parts.balances;
  await product.call(path);
  await vi.waitFor(() => expect(live.isSettled).toBe(true), { timeout: 10_000, interval: 5 });
  await checker.checkOne();
  const fromMemory = await product.call(path);
  // A URL with a question mark goes through the operations.
  const fromOperation = await product.call(`${path}?`);
  expect(fromMemory.text).toBe(fromOperation.text);
  expect(fromMemory.headers.get("content-type")).toBe(fromOperation.headers.get("content-type"));
  expect(fromMemory.status).toBe(fromOperation.status);
  return JSON.parse(fromMemory.text);
}

test.each(["SUM", "COUNT", "UNIQUE_COUNT", "LATEST"])(
  "usage of a %s meter changes access within a second",
  async (kind) => {
    const key = `access_${kind.toLowerCase()}`;
    await customerWith(key, kind);
    const value = `/api/v1/customers/${key}/entitlements/${key}_units/value`;
    expect(await sameFromMemory(value)).toMatchObject({ hasAccess: true, balance: 100, usage: 0 });
    const { counts } = product.product.parts.balances.live;
    const { rebuilt } = counts;
    let usage = 0;
    for (const v of [7, 30, 70]) {
      const subject = `${key}-${(v % 2) + 1}`;
      await product.ingest(
        { type: key, subject, data: { v, model: "big" } },
        { type: key, subject, data: { v: 1000, model: "free" } },
        { type: key, subject: "somebody else", data: { v: 1000, model: "big" } },
      );
      usage = kind === "SUM" ? usage + v : kind === "LATEST" ? v : usage + 1;
      expect(await product.json(value)).toMatchObject({ usage, balance: Math.max(0, 100 - usage) });
    }
    // The feed told: the balance was read from the event store only once.
    expect(counts.rebuilt).toBe(rebuilt);
    const last = await sameFromMemory(value);
    expect(last).toMatchObject({ hasAccess: kind !== "SUM", usage });
    expect(await sameFromMemory(`/api/v2/customers/${key}/entitlements/${key}_units/value`)).toMatchObject({ usage });
    expect(await sameFromMemory(`/api/v1/customers/${key}/access`)).toEqual({
      entitlements: {
        [`${key}_plan`]: { hasAccess: true, config: '{"a":1}' },
        [`${key}_sso`]: { hasAccess: true },
        [`${key}_units`]: last,
      },
    });
  },
);

test("who made a change sees it in the next answer", async () => {
  const key = "access_change";
  await customerWith(key, "SUM");
  const to = `/api/v2/customers/${key}/entitlements`;
  const access = `/api/v1/customers/${key}/access`;
  const value = `/api/v1/customers/${key}/entitlements/${key}_units/value`;
  await product.ingest({ type: key, subject: `${key}-1`, data: { v: 30 } });
  expect(await sameFromMemory(value)).toMatchObject({ balance: 70 });

  const effectiveAt = new Date().toISOString();
  await make(`${to}/${key}_units/grants`, { amount: 50, priority: 2, effectiveAt });
  expect(await product.json(value)).toMatchObject({ balance: 120 });
  expect(await sameFromMemory(value)).toMatchObject({ balance: 120 });

  // A subject moves away, and with it its usage.
  const usageAttribution = { subjectKeys: [`${key}-2`] };
  await product.json(`/api/v1/customers/${key}`, { method: "PUT", json: { key, name: key, usageAttribution } });
  expect(await product.json(value)).toMatchObject({ balance: 150, usage: 0 });
  expect(await sameFromMemory(value)).toMatchObject({ balance: 150, usage: 0 });

  expect((await product.call(`${to}/${key}_sso`, { method: "DELETE" })).status).toBe(204);
  const { entitlements } = await product.json<{ entitlements: object }>(access);
  expect(Object.keys(entitlements)).toEqual([`${key}_plan`, `${key}_units`]);
  expect(await sameFromMemory(`/api/v1/customers/${key}/entitlements/${key}_sso/value`)).toEqual({ hasAccess: false });

  expect((await product.call(`/api/v1/customers/${key}`, { method: "DELETE" })).status).toBe(204);
  expect((await product.call(access)).status).toBe(404);
});

test("late usage, and usage that is stamped for later, count as they do in a recomputation", async () => {
  const key = "access_times";
  const measureUsageFrom = new Date(Date.now() - 3 * 86_400_000).toISOString();
  await customerWith(key, "SUM", { usagePeriod: { interval: "PT1H" }, measureUsageFrom, preserveOverageAtReset: true });
  const value = `/api/v1/customers/${key}/entitlements/${key}_units/value`;
  await sameFromMemory(value);
  const at = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString();
  await product.ingest({ type: key, subject: `${key}-1`, time: at(-20), data: { v: 1130 } });
  await product.ingest({ type: key, subject: `${key}-1`, time: at(2), data: { v: 3 } });
  await product.ingest({ type: key, subject: `${key}-1`, data: { v: 5 } });
  expect(await sameFromMemory(value)).toMatchObject({ usage: 5 });
});

test("the sink may die at any time: balances are read anew and are right", async () => {
  const key = "access_crash";
  await customerWith(key, "COUNT");
  const value = `/api/v1/customers/${key}/entitlements/${key}_units/value`;
  await sameFromMemory(value);
  for (let round = 1; round <= 3; round++) {
    await product.product.parts.sink.terminate();
    await product.ingest({ type: key, subject: `${key}-1` });
    expect(await sameFromMemory(value)).toMatchObject({ usage: round });
  }
});

test("no balance in memory ever differed", async () => {
  expect(await product.metric("tallystick_balance_differences_total")).toBe(0);
  expect(product.product.parts.balances.checker.checked).toBeGreaterThan(0);
});
