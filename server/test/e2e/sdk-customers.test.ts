/** Customers and subjects through the published client, unchanged. */

import type { OpenMeter } from "@openmeter/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TestProduct } from "./product-fixture.ts";
import { failure, startSdkProduct } from "./sdk-fixture.ts";

let product: TestProduct;
let client: OpenMeter;

beforeAll(async () => {
  ({ product, client } = await startSdkProduct());
});
afterAll(async () => {
  await product?.stop();
});

describe("customers", () => {
  test("create, get, list, update and delete", async () => {
    const made = await client.customers.create({
      name: "ACME Inc.",
      key: "acme",
      usageAttribution: { subjectKeys: ["acme-production"] },
      currency: "USD",
      primaryEmail: "billing@acme.test",
      billingAddress: { country: "US", city: "San Francisco" },
      metadata: { team: "a" },
    });
    expect(made?.createdAt).toBeInstanceOf(Date);
    expect(await client.customers.get("acme")).toEqual(made);
    expect(await client.customers.get(made?.id ?? "")).toEqual(made);
    const listed = await client.customers.list({
      key: "acm",
      orderBy: "createdAt",
      expand: ["subscriptions"],
      page: 1,
    });
    expect(listed).toEqual({ items: [{ ...made, subscriptions: [] }], page: 1, pageSize: 100, totalCount: 1 });

    const updated = await client.customers.update("acme", { name: "ACME", key: "acme" });
    expect(updated).toMatchObject({ id: made?.id, name: "ACME", usageAttribution: { subjectKeys: [] } });
    expect(updated?.currency).toBeUndefined();

    await client.customers.delete("acme");
    expect((await failure(client.customers.get("acme"))).status).toBe(404);
    expect((await client.customers.get(made?.id ?? ""))?.deletedAt).toBeInstanceOf(Date);
    expect((await client.customers.list())?.items).toEqual([]);
    expect((await client.customers.list({ includeDeleted: true }))?.totalCount).toBe(1);
  });

  test("what apps know, and subscriptions", async () => {
    const customer = await client.customers.create({ name: "Apps", key: "apps" });
    const empty = { items: [], page: 1, pageSize: 100, totalCount: 0 };
    expect(await client.customers.apps.list("apps")).toEqual(empty);
    expect(await client.customers.apps.list("apps", { type: "sandbox" })).toEqual(empty);
    expect(await client.customers.listSubscriptions("apps", { status: ["active"] })).toEqual(empty);
    expect(await client.customers.apps.upsert("apps", [])).toEqual([]);
    const error = await failure(client.customers.apps.upsert("apps", [{ type: "sandbox" }]));
    expect(error).toMatchObject({ status: 404 });
    expect(error.message).toContain("the default app of type sandbox not found");
    expect((await failure(client.customers.apps.delete("apps", customer?.id ?? ""))).status).toBe(404);
  });

  test("a conflict names the other customer", async () => {
    const first = await client.customers.create({ name: "First", usageAttribution: { subjectKeys: ["shared"] } });
    const second = client.customers.create({ name: "Second", usageAttribution: { subjectKeys: ["shared"] } });
    const error = await failure(second);
    expect(error.status).toBe(409);
    expect(error.getField("extensions")).toMatchObject({ conflictingEntityId: first?.id });
  });
});

test("usage and events of a customer", async () => {
  const customer = await client.customers.create({
    name: "Usage",
    key: "u",
    usageAttribution: { subjectKeys: ["u1"] },
  });
  const id = customer?.id ?? "";
  await client.meters.create({ slug: "sdk_owned", eventType: "sdk-owned", aggregation: "COUNT" });
  await product.ingest(...["u", "u1", "other"].map((subject) => ({ type: "sdk-owned", subject })));
  const queried = await client.meters.query("sdk_owned", { filterCustomerId: [id], groupBy: ["customer_id"] });
  expect(queried.data.map(({ value, customerId }) => [value, customerId])).toEqual([[2, id]]);
  const posted = await client.meters.queryPost("sdk_owned", { filterCustomerId: [id], groupBy: ["subject"] });
  expect(posted).toMatchObject({
    data: [
      { subject: "u1", customerId: id },
      { subject: "u", customerId: id },
    ],
  });
  const events = (await client.events.list({ customerId: [id] })) ?? [];
  expect(events.map((item) => [item.event.subject, item.customerId, item.validationError])).toEqual([
    ["u1", id, undefined],
    ["u", id, undefined],
  ]);
  const page = await client.events.listV2({ filter: JSON.stringify({ customerId: { $in: [id] } }) });
  expect(page?.items).toHaveLength(2);
});

test("a deleted subject is no longer its customer's", async () => {
  await client.subjects.upsert([{ key: "sub-1", displayName: "One" }, { key: "sub-3" }]);
  // Subjects that nobody owned have customers by now, which give way.
  expect((await client.customers.get("sub-1"))?.name).toBe("One");
  const made = await client.customers.create({ name: "S", usageAttribution: { subjectKeys: ["sub-1", "sub-2"] } });
  await client.subjects.delete("sub-1");
  expect((await client.customers.get(made?.id ?? ""))?.usageAttribution?.subjectKeys).toEqual(["sub-2"]);
  // The customers above have made the subjects that they named.
  const known = ["acme-production", "shared", "sub-2", "sub-3", "u1"];
  expect((await client.subjects.list())?.map(({ key }) => key)).toEqual(known);
});
