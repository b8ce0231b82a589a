/** Reservations and leases over HTTP: what callers see of them, of the balance beside them, and of everything refused. */

import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

const LIMIT = 100;

interface Made {
  readonly id: string;
  readonly amount: number;
  readonly status: string;
  readonly expiresAt: string;
  readonly balance: number;
  readonly held: number;
  readonly available: number;
}

interface Value {
  readonly hasAccess: boolean;
  readonly balance: number;
  readonly usage: number;
  readonly held: number;
  readonly available: number;
}

let product: TestProduct;
let next = 0;
/** The customer of the test, with a hard limit of 100 tokens. */
let customer: string;
let base: string;

beforeAll(async () => {
  product = await startTestProduct("leases:\n  grace: PT1S\n");
  await created(
    "/api/v1/meters",
    { slug: "tokens", eventType: "prompt", aggregation: "SUM", valueProperty: "$.tokens" },
    200,
  );
  await created("/api/v1/features", { key: "tokens", name: "Tokens", meterSlug: "tokens" });
  await created("/api/v1/features", { key: "sso", name: "Single sign-on" });
});
afterAll(async () => {
  await product?.stop();
});
beforeEach(async () => {
  next += 1;
  customer = `customer-${next}`;
  base = `/api/v1/customers/${customer}/entitlements/tokens`;
  await created("/api/v1/customers", {
    key: customer,
    name: customer,
    usageAttribution: { subjectKeys: [`${customer}-s`] },
  });
  await entitle({ issueAfterReset: LIMIT });
});

async function created(path: string, json: unknown, status = 201): Promise<void> {
  const answer = await product.call(path, { json });
  expect(answer.status, answer.text).toBe(status);
}

async function entitle(fields: object): Promise<void> {
  const metered = { type: "metered", featureKey: "tokens", usagePeriod: { interval: "MONTH" } };
  await created(`/api/v2/customers/${customer}/entitlements`, { ...metered, ...fields });
}

async function made<Body = Made>(path: string, json: unknown, status = 201): Promise<Body> {
  const answer = await product.call(`${base}${path}`, { method: "POST", ...(json === undefined ? {} : { json }) });
  expect(answer.status, answer.text).toBe(status);
  return JSON.parse(answer.text) as Body;
}

const reserve = async (amount: number | string, more: object = {}, status = 201) =>
  await made("/reservations", { amount, ...more }, status);
const value = async () => await product.json<Value>(`${base}/value`);

test("a reservation takes from what is available, and leaves the balance", async () => {
  const before = Date.now();
  const reservation = await reserve(40, { metadata: { job: "17" } });
  expect(reservation).toMatchObject({ amount: 40, status: "held", balance: 100, held: 40, available: 60 });
  expect(Date.parse(reservation.expiresAt) - before).toBeGreaterThanOrEqual(300_000);
  expect(Date.parse(reservation.expiresAt) - Date.now()).toBeLessThanOrEqual(300_000);
  expect(await value()).toMatchObject({ hasAccess: true, balance: 100, usage: 0, held: 40, available: 60 });
  await reserve(60);
  const taken = { hasAccess: false, balance: 100, held: 100, available: 0 };
  expect(await value()).toMatchObject(taken);
  expect(await product.json(`/api/v1/customers/${customer}/access`)).toMatchObject({ entitlements: { tokens: taken } });
  const refused = await product.problem(409, `${base}/reservations`, { json: { amount: 0.5 } });
  expect(refused.extensions).toMatchObject({ balance: 100, held: 100, available: 0, requested: 0.5 });
  expect(refused.extensions?.validationErrors).toMatchObject([{ code: "insufficient_balance", field: "$.amount" }]);
});

test("with its event, a confirmation leaves no instant in which neither is deducted", async () => {
  const { id } = await reserve(40);
  const { available } = await made<Value>(
    `/reservations/${id}/confirm`,
    { amount: 40, event: { data: { tokens: 40 } } },
    200,
  );
  expect(available).toBe(60);
  let last: Value | undefined;
  await vi.waitFor(async () => {
    last = await value();
    expect(last.available).toBe(60);
    expect(last.held).toBe(0);
  }, 10_000);
  expect(last).toMatchObject({ balance: 60, usage: 40 });
  expect(await product.json(`${base}/reservations/${id}`)).toMatchObject({ status: "confirmed", confirmedAmount: 40 });
  // The identity is the reservation's, so a repeated call counts nothing twice.
  await made(`/reservations/${id}/confirm`, { amount: 40, event: { data: { tokens: 40 } } }, 200);
  await product.settled();
  expect(await value()).toMatchObject({ balance: 60, usage: 40, held: 0, available: 60 });
  expect(await product.json(`/api/v1/events?id=${id}`)).toMatchObject([
    { event: { source: "tallystick/reservations", type: "prompt", subject: `${customer}-s`, data: { tokens: 40 } } },
  ]);
});

test("work may take less or more than was reserved", async () => {
  const { id } = await reserve(40);
  await made(`/reservations/${id}/confirm`, { amount: 10.25, event: { data: { tokens: 10.25 } } }, 200);
  await product.settled();
  expect(await value()).toMatchObject({ balance: 89.75, held: 0, available: 89.75 });
  const { id: second } = await reserve(80);
  await made(`/reservations/${second}/confirm`, { amount: 95, event: { data: { tokens: 95 } } }, 200);
  await product.settled();
  expect(await value()).toMatchObject({ hasAccess: false, balance: 0, overage: 5.25, held: 0, available: 0 });
});

test("without an event the hold ends, and the caller sends its own", async () => {
  const { id } = await reserve(40);
  await product.ingest({ type: "prompt", subject: customer, data: { tokens: 40 } });
  expect(await made<Value>(`/reservations/${id}/confirm`, {}, 200)).toMatchObject({
    balance: 60,
    held: 0,
    available: 60,
  });
});

test("law: reserving and releasing changes nothing; reserving and confirming is the event alone", async () => {
  const { updatedAt: _, ...before } = { updatedAt: null, ...(await value()) };
  const { id } = await reserve(33);
  expect(await made<Value>(`/reservations/${id}/release`, undefined, 200)).toEqual(before);
  expect(await made<Value>(`/reservations/${id}/release`, undefined, 200)).toEqual(before);
  expect(await value()).toEqual(before);
  const { id: confirmed } = await reserve(33);
  await made(`/reservations/${confirmed}/confirm`, { event: { data: { tokens: 33 } } }, 200);
  await product.settled();
  const after = await value();
  customer = `${customer}-twin`;
  base = `/api/v1/customers/${customer}/entitlements/tokens`;
  await created("/api/v1/customers", { key: customer, name: customer, usageAttribution: { subjectKeys: [] } });
  await entitle({ issueAfterReset: LIMIT });
  await product.ingest({ type: "prompt", subject: customer, data: { tokens: 33 } });
  expect(await value()).toEqual(after);
});

test("a key makes the call safe to repeat", async () => {
  const first = await reserve("40.50", { key: "job" });
  expect(await reserve(40.5, { key: "job" }, 200)).toEqual(first);
  const problem = await product.problem(409, `${base}/reservations`, { json: { amount: 41, key: "job" } });
  expect(problem.extensions?.validationErrors).toMatchObject([{ code: "reservation_key_reused", field: "$.key" }]);
});

test("a reservation ends by the clock, and its work is metered all the same", async () => {
  const { id } = await reserve(100, { expiresIn: "PT1S" });
  await vi.waitFor(async () => expect(await value()).toMatchObject({ held: 0, available: 100 }), 10_000);
  expect(await product.json(`${base}/reservations/${id}`)).toMatchObject({ status: "expired" });
  const late = { json: { event: { data: { tokens: 7 } } } };
  const problem = await product.problem(409, `${base}/reservations/${id}/confirm`, late);
  expect(problem.detail).toContain("expired");
  await product.settled();
  expect(await value()).toMatchObject({ usage: 7, available: 93 });
});

test("amounts of any length stay exact", async () => {
  customer = `${customer}-big`;
  base = `/api/v1/customers/${customer}/entitlements/tokens`;
  await created("/api/v1/customers", { key: customer, name: customer, usageAttribution: { subjectKeys: [] } });
  const headers = { "content-type": "application/json" };
  const body =
    '{"type":"metered","featureKey":"tokens","usagePeriod":{"interval":"MONTH"},"issueAfterReset":9007199254740993.000000000000000001}';
  expect((await product.call(`/api/v2/customers/${customer}/entitlements`, { headers, body })).status).toBe(201);
  const answer = await product.call(`${base}/reservations`, { headers, body: '{"amount":9007199254740993}' });
  expect(answer.text).toContain('"amount":9007199254740993,');
  expect(answer.text).toContain('"held":9007199254740993,"available":0.000000000000000001}');
});

test("a soft limit holds whatever is asked for", async () => {
  customer = `${customer}-soft`;
  base = `/api/v1/customers/${customer}/entitlements/tokens`;
  await created("/api/v1/customers", { key: customer, name: customer, usageAttribution: { subjectKeys: [] } });
  await entitle({ isSoftLimit: true });
  expect(await reserve(500)).toMatchObject({ balance: 0, held: 500, available: 0 });
  expect(await value()).toMatchObject({ hasAccess: true });
});

test("reservations are listed newest first, by status", async () => {
  const ids: string[] = [];
  for (let count = 0; count < 3; count++) ids.push((await reserve(10)).id);
  await made(`/reservations/${ids[0]}/release`, undefined, 200);
  const list = async (query: string) =>
    await product.json<{ totalCount: number; items: { id: string }[] }>(`${base}/reservations?${query}`);
  expect((await list("")).items.map(({ id }) => id)).toEqual(ids.toReversed());
  expect((await list("status=released")).items.map(({ id }) => id)).toEqual([ids[0]]);
  expect(await list("status=held&pageSize=1&page=2")).toMatchObject({ totalCount: 2, items: [{ id: ids[1] }] });
});

test("a reset and a grant change the balance, not the holds", async () => {
  await reserve(40);
  const grants = `/api/v2/customers/${customer}/entitlements/tokens/grants`;
  await created(grants, { amount: 50, effectiveAt: new Date().toISOString() });
  expect(await value()).toMatchObject({ balance: 150, held: 40, available: 110 });
  expect((await reserve(110)).available).toBe(0);
});

describe("leases", () => {
  interface Lease extends Made {
    readonly granted: number;
    readonly consumed: number;
  }

  test("lend what is available, hold it whole until its use is reported, and give the rest back", async () => {
    await reserve(30);
    const lease = await made<Lease>("/leases", { amount: 90, minAmount: 10 });
    expect(lease).toMatchObject({ granted: 70, consumed: 0, status: "held", held: 100, available: 0 });
    await product.ingest({ type: "prompt", subject: customer, data: { tokens: 20 } });
    expect(await value()).toMatchObject({ balance: 80, held: 100, available: 0, hasAccess: false });
    const renewed = await made<Lease>(`/leases/${lease.id}/renew`, { consumed: 20, amount: 5, ttl: "PT1M" }, 200);
    expect(renewed).toMatchObject({ granted: 70, consumed: 20, held: 80, available: 0 });
    expect(Date.parse(renewed.expiresAt)).toBeGreaterThan(Date.parse(lease.expiresAt));
    const ended = await made<Lease>(`/leases/${lease.id}/return`, { consumed: 20 }, 200);
    expect(ended).toMatchObject({ status: "returned", balance: 80, held: 30, available: 50 });
    expect(await made<Lease>(`/leases/${lease.id}/return`, { consumed: 20 }, 200)).toEqual(ended);
    await product.problem(409, `${base}/leases/${lease.id}/renew`, { json: { consumed: 20 } });
  });

  test("are refused when less than the least is left", async () => {
    await reserve(95);
    await product.problem(409, `${base}/leases`, { json: { amount: 50, minAmount: 6 } });
    expect(await made<Lease>("/leases", { amount: 50, minAmount: 5 })).toMatchObject({ granted: 5 });
    expect(await made<Lease>("/leases", { amount: 50 })).toMatchObject({ granted: 0 });
  });

  test("end after their time and the grace", async () => {
    const { id, expiresAt } = await made<Lease>("/leases", { amount: 50, ttl: "PT1S" });
    await vi.waitFor(async () => expect((await value()).held).toBe(0), { timeout: 10_000, interval: 20 });
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expiresAt) + 1000);
    expect(await made(`/leases/${id}/return`, { consumed: 50 }, 200)).toMatchObject({
      status: "expired",
      available: 100,
    });
  });
});

describe("refused", () => {
  test.each<[string, string, unknown, string]>([
    ["no amount", "/reservations", {}, "$.amount"],
    ["an amount of zero", "/reservations", { amount: 0 }, "$.amount"],
    ["a negative amount", "/reservations", { amount: "-1" }, "$.amount"],
    ["a word", "/reservations", { amount: "many" }, "$.amount"],
    ["too short a time", "/reservations", { amount: 1, expiresIn: "PT0.5S" }, "$.expiresIn"],
    ["too long a time", "/reservations", { amount: 1, expiresIn: "P2D" }, "$.expiresIn"],
    ["an empty key", "/reservations", { amount: 1, key: "" }, "$.key"],
    ["NUL in the key", "/reservations", { amount: 1, key: "\0" }, "$.key"],
    ["NUL in the metadata", "/reservations", { amount: 1, metadata: { a: "\0" } }, "$.metadata"],
    ["a least above the most", "/leases", { amount: 1, minAmount: 2 }, "$.minAmount"],
    ["a lease for too long", "/leases", { amount: 1, ttl: "PT11M" }, "$.ttl"],
  ])("%s", async (_, path, json, field) => {
    const problem = await product.problem(400, `${base}${path}`, { json });
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual([field]);
    expect(await value()).toMatchObject({ held: 0 });
  });

  test.each<[string, object, string]>([
    ["of another type", { type: "other", data: { tokens: 1 } }, "$.event.type"],
    ["of somebody else", { subject: "nobody", data: { tokens: 1 } }, "$.event.subject"],
    ["without an identity", { id: "", data: { tokens: 1 } }, "$.event.id"],
    ["whose data is no object", { data: 1 }, "$.event.data"],
    ["whose data counts nothing", { data: { other: 1 } }, "$.event.data"],
    ["without data", {}, "$.event.data"],
  ])("a confirmation with an event %s", async (_, event, field) => {
    const { id } = await reserve(40);
    const problem = await product.problem(400, `${base}/reservations/${id}/confirm`, { json: { event } });
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual([field]);
    expect(await value()).toMatchObject({ held: 40, usage: 0 });
  });

  test("a lease whose consumption shrinks", async () => {
    const { id } = await made("/leases", { amount: 50 });
    await made(`/leases/${id}/renew`, { consumed: 5 }, 200);
    const problem = await product.problem(400, `${base}/leases/${id}/renew`, { json: { consumed: 4 } });
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual(["$.consumed"]);
  });

  test("what has no balance, and what does not exist", async () => {
    const json = { amount: 1 };
    await created(`/api/v2/customers/${customer}/entitlements`, { type: "boolean", featureKey: "sso" });
    const problem = await product.problem(400, `/api/v1/customers/${customer}/entitlements/sso/reservations`, { json });
    expect(problem.detail).toContain("metered");
    await product.problem(404, `/api/v1/customers/nobody/entitlements/tokens/reservations`, { json });
    await product.problem(404, `/api/v1/customers/${customer}/entitlements/unknown/reservations`, { json });
    const { id } = await reserve(1);
    await product.problem(404, `${base}/reservations/unknown/confirm`, { json: {} });
    await product.problem(404, `${base}/leases/${id}/return`, { json: { consumed: 1 } });
    await product.problem(404, `/api/v1/customers/${customer}/entitlements/sso/reservations/${id}`);
    expect((await product.call(`/api/v1/customers/${customer}`, { method: "DELETE" })).status).toBe(204);
    await product.problem(404, `${base}/reservations`, { json });
  });
});
