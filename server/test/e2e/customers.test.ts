/** Customers over HTTP: the entity and its rules, and whose usage meter queries and event lists say it is. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

const CUSTOMERS = "/api/v1/customers";
const UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct();
});
afterAll(async () => {
  await product?.stop();
});

interface Customer {
  readonly id: string;
  readonly key?: string;
  readonly name: string;
  readonly usageAttribution: { readonly subjectKeys: readonly string[] };
  readonly updatedAt: string;
  readonly deletedAt?: string;
  readonly subscriptions?: readonly unknown[];
}

interface Page {
  readonly items: readonly Customer[];
  readonly page: number;
  readonly pageSize: number;
  readonly totalCount: number;
}

function attributed(...subjectKeys: readonly string[]) {
  return { usageAttribution: { subjectKeys } };
}

async function create(json: Readonly<Record<string, unknown>>): Promise<Customer> {
  const answer = await product.call(CUSTOMERS, { json });
  expect(answer.status, answer.text).toBe(201);
  return JSON.parse(answer.text) as Customer;
}

function pathOf(idOrKey: string): string {
  return `${CUSTOMERS}/${encodeURIComponent(idOrKey)}`;
}

async function put(idOrKey: string, json: Readonly<Record<string, unknown>>): Promise<Customer> {
  return await product.json<Customer>(pathOf(idOrKey), { method: "PUT", json });
}

async function remove(idOrKey: string): Promise<void> {
  expect((await product.call(pathOf(idOrKey), { method: "DELETE" })).status).toBe(204);
}

describe("a customer", () => {
  const full = {
    name: "Full Ltd.",
    key: "entity full/1 ü",
    description: "everything",
    primaryEmail: "billing@full.test",
    currency: "KWD",
    billingAddress: {
      country: "HU",
      postalCode: "1011",
      state: "Budapest",
      city: "Budapest",
      line1: "Fő utca 1.",
      line2: "3/2",
      phoneNumber: "+36 1 555 0100",
    },
    metadata: { tier: "gold", "": "" },
  };

  test("is made, read by id and key, replaced and deleted", async () => {
    const made = await create({ ...full, ...attributed("entity-b", "entity-a", "entity-b") });
    expect(made).toMatchObject({ ...full, ...attributed("entity-a", "entity-b") });
    expect(await product.json(pathOf(full.key))).toEqual(made);
    expect(await product.json(pathOf(made.id.toLowerCase()))).toEqual(made);
    // The subjects that it names are there from now on; its key is none of them.
    expect(await product.json("/api/v1/subjects")).toMatchObject([{ key: "entity-a" }, { key: "entity-b" }]);

    const { id, createdAt } = made as Customer & { readonly createdAt: string };
    const bare = await put(full.key, { name: "Bare" });
    expect(bare).toEqual({ id, name: "Bare", ...attributed(), createdAt, updatedAt: bare.updatedAt });
    expect(bare.updatedAt > made.updatedAt).toBe(true);
    expect(await product.json(pathOf(id))).toEqual(bare);
    await product.problem(404, pathOf(full.key));

    await remove(id);
    const gone = await product.json<Customer>(pathOf(id));
    expect(gone).toEqual({ ...bare, updatedAt: gone.deletedAt, deletedAt: gone.deletedAt });
    await remove(id);
    expect(await product.json(pathOf(id))).toEqual(gone);
    expect((await product.problem(412, pathOf(id), { method: "PUT", json: { name: "x" } })).detail).toContain(id);
  });

  test("that nobody made: 404, in every operation", async () => {
    for (const name of [UNKNOWN, "nobody", "nul\0"]) {
      const problem = await product.problem(404, pathOf(name));
      expect(problem.detail).toBe(`customer not found: ${name}`);
      await product.problem(404, pathOf(name), { method: "PUT", json: { name: "x" } });
      await product.problem(404, pathOf(name), { method: "DELETE" });
      await product.problem(404, `${pathOf(name)}/apps`);
      await product.problem(404, `${pathOf(name)}/apps`, { method: "PUT", json: [] });
      await product.problem(404, `${pathOf(name)}/apps/${UNKNOWN}`, { method: "DELETE" });
      await product.problem(404, `${pathOf(name)}/subscriptions`);
    }
  });

  test.each<[string, unknown, readonly string[]]>([
    ["no name", {}, ["$.name"]],
    ["an empty name and key", { name: "", key: "" }, ["$.name", "$.key"]],
    ["a name of 257 characters", { name: "n".repeat(257) }, ["$.name"]],
    ["a key of 257 characters", { name: "n", key: "k".repeat(257) }, ["$.key"]],
    ["NUL in the key", { name: "n", key: "a\0" }, ["$.key"]],
    ["NUL in a subject key", { name: "n", ...attributed("ok", "a\0") }, ["$.usageAttribution.subjectKeys[1]"]],
    ["an empty subject key", { name: "n", ...attributed("") }, ["$.usageAttribution.subjectKeys[0]"]],
    ["attribution without subject keys", { name: "n", usageAttribution: {} }, ["$.usageAttribution.subjectKeys"]],
    ["an unknown currency", { name: "n", currency: "XYZ" }, ["$.currency"]],
    ["a currency in lower case", { name: "n", currency: "usd" }, ["$.currency"]],
    ["a country that is no code", { name: "n", billingAddress: { country: "Hungary" } }, ["$.billingAddress.country"]],
    ["NUL in the address", { name: "n", billingAddress: { city: "a\0" } }, ["$.billingAddress.city"]],
    ["metadata that is no text", { name: "n", metadata: { a: 1 } }, ["$.metadata.a"]],
    ["a description of 1025 characters", { name: "n", description: "d".repeat(1025) }, ["$.description"]],
    ["a list", [], ["$"]],
  ])("with %s is refused, created or replaced", async (_, json, expected) => {
    const { id } = await create({ name: "to be replaced" });
    for (const call of [{ path: CUSTOMERS }, { path: pathOf(id), method: "PUT" }]) {
      const problem = await product.problem(400, call.path, { ...call, json });
      const fields = problem.extensions?.validationErrors?.map(({ field }) => field);
      // A text of a wrong length breaks two rules at once.
      expect([...new Set(fields)]).toEqual(expected);
    }
    expect(await product.json(pathOf(id))).toMatchObject({ name: "to be replaced" });
  });

  test("fields that nobody knows and read-only ones are ignored, null is no metadata", async () => {
    const json = { name: "n", id: UNKNOWN, createdAt: "never", annotations: { a: 1 }, color: "red", metadata: null };
    const made = await create({ ...json, subscriptions: [1], currentSubscriptionId: 5 });
    expect(Object.keys(made).toSorted()).toEqual(["createdAt", "id", "name", "updatedAt", "usageAttribution"]);
    expect(made.id).not.toBe(UNKNOWN);
  });

  test("has a key and subject keys that no other has; the refusal names who has them", async () => {
    const a = await create({ name: "A", key: "unique-a", ...attributed("unique-s1", "unique-s2") });
    const key = await product.problem(409, CUSTOMERS, { json: { name: "B", key: "unique-a" } });
    expect(key.detail).toBe(`key "unique-a" is taken by customer ${a.id}; choose another one`);
    const code = "customer_key_taken";
    expect(key.extensions).toMatchObject({ conflictingEntityId: a.id, validationErrors: [{ code, field: "$.key" }] });
    const b = await create({ name: "B", key: "unique-b" });
    const json = { name: "B", ...attributed("unique-s2", "unique-s1", "unique-s3") };
    const subjects = await product.problem(409, pathOf(b.id), { method: "PUT", json });
    expect(subjects.detail).toContain(`subject key "unique-s1" is taken by customer ${a.id}`);
    expect(subjects.extensions).toMatchObject({ conflictingEntityId: a.id });
    expect(subjects.extensions?.validationErrors).toHaveLength(2);
    expect(await product.json(pathOf("unique-b"))).toEqual(b);

    await remove("unique-a");
    expect(await put(b.id, { ...json, key: "unique-a" })).toMatchObject({
      key: "unique-a",
      ...attributed("unique-s1", "unique-s2", "unique-s3"),
    });
    expect(await product.json(pathOf(a.id))).toMatchObject({ ...attributed("unique-s1", "unique-s2") });
  });

  test("wins a subject key alone when many ask at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        product.call(CUSTOMERS, { json: { name: `${index}`, ...attributed("raced", `own-${index}`) } }),
      ),
    );
    const won = answers.filter(({ status }) => status === 201).map(({ text }) => JSON.parse(text) as Customer);
    expect(won).toHaveLength(1);
    for (const lost of answers.filter(({ status }) => status !== 201)) {
      expect(lost.status).toBe(409);
      expect(lost.text).toContain(`"conflictingEntityId":"${won[0]?.id}"`);
    }
  });
});

describe("a list of customers", () => {
  const list = async (query: string): Promise<Page> => await product.json<Page>(`${CUSTOMERS}?${query}`);

  test("has pages, an order, filters and what is expanded", async () => {
    for (const [name, key] of [
      ["List C", "list-1"],
      ["List a", "list-2"],
      ["List B", "list-3"],
    ]) {
      await create({ name, key, ...attributed(`${key}-subject`), primaryEmail: `${key}@list.test` });
    }
    const names = async (query: string) => (await list(query)).items.map(({ name }) => name);
    expect(await list("key=LIST-&pageSize=2&page=2")).toMatchObject({
      items: [{ name: "List a" }],
      page: 2,
      pageSize: 2,
      totalCount: 3,
    });
    expect(await names("name=list%20&orderBy=createdAt&order=DESC")).toEqual(["List B", "List a", "List C"]);
    expect(await names("primaryEmail=2@LIST")).toEqual(["List a"]);
    expect(await names("subject=3-sub")).toEqual(["List B"]);
    expect(await names("key=list&planKey=any")).toEqual([]);
    expect(await names("key=nul%00")).toEqual([]);
    await remove("list-2");
    expect(await names("key=list-")).toEqual(["List B", "List C"]);
    expect(await names("key=list-&includeDeleted=true")).toEqual(["List B", "List C", "List a"]);
    expect((await list("key=list-1")).items[0]?.subscriptions).toBeUndefined();
    expect((await list("key=list-1&expand=subscriptions")).items[0]?.subscriptions).toEqual([]);
    expect(await product.json(`${pathOf("list-1")}?expand=subscriptions`)).toMatchObject({ subscriptions: [] });
    expect(await list("page=2147483647&pageSize=1000")).toMatchObject({ items: [] });
  });

  test.each(["page=0", "pageSize=1001", "orderBy=key", "order=asc", "expand=apps", "includeDeleted=1"])(
    "%s is refused",
    async (query) => {
      const problem = await product.problem(400, `${CUSTOMERS}?${query}`);
      expect(problem.extensions?.validationErrors?.[0]?.field).toContain(`$.${query.split("=", 1)[0]}`);
    },
  );

  test("data of apps and subscriptions are empty, and every app is unknown", async () => {
    const { id } = await create({ name: "Lists" });
    const empty = { items: [], page: 1, pageSize: 100, totalCount: 0 };
    expect(await product.json(`${pathOf(id)}/apps?type=stripe`)).toEqual(empty);
    expect(await product.json(`${pathOf(id)}/subscriptions?status=active&status=canceled&orderBy=activeTo`)).toEqual(
      empty,
    );
    const apps = `${pathOf(id)}/apps`;
    expect(await product.json(apps, { method: "PUT", json: [] })).toEqual([]);
    const unknown = async (json: unknown) => (await product.problem(404, apps, { method: "PUT", json })).detail;
    expect(await unknown([{ type: "sandbox", id: UNKNOWN }])).toContain(`app with id ${UNKNOWN} not found`);
    expect(await unknown([{ type: "stripe", stripeCustomerId: "cus_1" }])).toContain(
      "default app of type stripe not found",
    );
    await product.problem(400, apps, { method: "PUT", json: [{ type: "stripe" }] });
    await product.problem(400, apps, { method: "PUT", json: [{ type: "other" }] });
    await product.problem(404, `${apps}/${UNKNOWN}`, { method: "DELETE" });
    await product.problem(400, `${apps}/nonsense`, { method: "DELETE" });
  });
});

describe("whose usage it is", () => {
  const period = "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z";
  const usage = async (query: string) => {
    const body = await product.json<{
      data: readonly { value: number; customerId?: string; subject: string | null }[];
    }>(`/api/v1/meters/owned/query?${period}&${query}`);
    return body.data.map(({ value, customerId, subject }) => [customerId, subject, value]);
  };
  const count = async (customer: Customer): Promise<number> => {
    const [row] = await usage(`filterCustomerId=${customer.id}`);
    return Number(row?.[2] ?? 0);
  };

  test("follows the customers of now, for the whole history", async () => {
    await product.json("/api/v1/meters", { json: { slug: "owned", eventType: "owned", aggregation: "COUNT" } });
    const event = (subject: string) => ({ type: "owned", subject, time: "2026-01-15T00:00:00Z" });
    const [s1, s2, k] = [event("own-s1"), event("own-s2"), event("own-k")];
    await product.ingest(s1, s2, s2, k, k, k, k, event("own-nobody"));
    const a = await create({ name: "A", key: "own-k", ...attributed("own-s1") });
    const b = await create({ name: "B", ...attributed("own-s2") });
    expect(await usage(`filterCustomerId=${a.id.toLowerCase()}`)).toEqual([[a.id, null, 5]]);
    expect(await usage(`filterCustomerId=${a.id}&groupBy=subject`)).toEqual([
      [a.id, "own-s1", 1],
      [a.id, "own-k", 4],
    ]);
    const both = `filterCustomerId=${a.id}&filterCustomerId=${b.id}&filterCustomerId=${a.id}`;
    expect(await usage(both)).toEqual([
      [b.id, null, 2],
      [a.id, null, 5],
    ]);
    expect(await usage(`${both}&subject=own-s2&subject=own-nobody&groupBy=customer_id`)).toEqual([[b.id, "own-s2", 2]]);
    const posted = { from: "2026-01-01T00:00:00Z", filterCustomerId: [b.id], groupBy: ["customer_id"] };
    expect(await product.json("/api/v1/meters/owned/query", { json: posted })).toMatchObject({
      data: [{ customerId: b.id, value: 2, groupBy: {} }],
    });
    const csv = await product.call(`/api/v1/meters/owned/query?${period}&${both}`, { headers: { accept: "text/csv" } });
    const times = "2026-01-01T00:00:00Z,2026-02-01T00:00:00Z";
    expect(csv.text).toBe(
      `window_start,window_end,customer_id,value\n${times},${b.id},2.000000\n${times},${a.id},5.000000\n`,
    );

    // A subject that moves takes its past with it.
    await put(a.id, { name: "A", key: "own-k" });
    await put(b.id, { name: "B", ...attributed("own-s1", "own-s2") });
    expect([await count(a), await count(b)]).toEqual([4, 3]);
    // The key of one beats the subject key of another, for as long as it lives.
    await put(b.id, { name: "B", ...attributed("own-s1", "own-k") });
    expect([await count(a), await count(b)]).toEqual([4, 1]);
    await remove(a.id);
    expect(await count(b)).toBe(5);
    expect(await usage("")).toEqual([[undefined, null, 8]]);
  });

  test("a customer that is unknown, deleted or without any key cannot be asked for", async () => {
    const query = "/api/v1/meters/owned/query";
    const gone = await create({ name: "Gone", key: "asked-gone" });
    await remove(gone.id);
    for (const id of [UNKNOWN, gone.id, "asked-gone"]) {
      const problem = await product.problem(404, `${query}?filterCustomerId=${id}`);
      expect(problem.detail).toBe(`customer with id ${id} not found`);
      expect((await product.problem(404, query, { json: { filterCustomerId: [id] } })).detail).toBe(problem.detail);
    }
    const bare = await create({ name: "Bare" });
    const problem = await product.problem(400, `${query}?filterCustomerId=${bare.id}`);
    expect(problem.detail).toContain("usage attribution must have a key or subject keys");
    // Its only subject is another's by key: that is nothing, and not everything.
    await create({ name: "Winner", key: "asked-s" });
    const empty = await create({ name: "Empty", ...attributed("asked-s") });
    await product.ingest({ type: "owned", subject: "asked-s", time: "2026-01-15T00:00:00Z" });
    expect(await usage(`filterCustomerId=${empty.id}`)).toEqual([]);
  });

  test("is told with every listed event, and lists can be narrowed to customers", async () => {
    interface Item {
      readonly event: { readonly subject: string };
      readonly customerId?: string;
      readonly validationError?: string;
    }
    const a = await create({ name: "A", key: "listed-a", ...attributed("listed-s") });
    const bare = await create({ name: "Bare" });
    await product.ingest(...["listed-a", "listed-s", "listed-x"].map((subject) => ({ type: "listed", subject })));
    const nobody = (subject: string) => `no customer found for event subject: ${subject}`;
    const noMeter = "no meter found for event type: listed";
    const told = (items: readonly Item[]) =>
      items
        .toSorted((one, other) => (one.event.subject < other.event.subject ? -1 : 1))
        .map(({ event, customerId, validationError }) => [event.subject, customerId, validationError]);
    const listed = async (query: string) => told(await product.json<readonly Item[]>(`/api/v1/events?${query}`));
    const paged = async (filter: unknown) => {
      const text = encodeURIComponent(JSON.stringify(filter));
      return told((await product.json<{ items: readonly Item[] }>(`/api/v2/events?filter=${text}`)).items);
    };
    const [byKey, bySubject] = ["listed-a", "listed-s"].map((subject) => [subject, a.id, noMeter]);
    const unowned = ["listed-x", undefined, `${noMeter}\n${nobody("listed-x")}`];
    expect(await paged({ type: { $eq: "listed" } })).toEqual([byKey, bySubject, unowned]);
    expect(await listed(`customerId=${a.id}`)).toEqual([byKey, bySubject]);
    expect(await listed(`customerId=${a.id}&subject=listed-s`)).toEqual([bySubject]);
    expect(await paged({ customerId: { $in: [a.id, bare.id] }, subject: { $eq: "listed-a" } })).toEqual([byKey]);
    expect(await listed(`customerId=${bare.id}`)).toEqual([]);
    expect(await paged({ customerId: { $in: [bare.id] } })).toEqual([]);

    await remove(a.id);
    expect(await paged({ type: { $eq: "listed" } })).toContainEqual([
      "listed-s",
      undefined,
      `${noMeter}\n${nobody("listed-s")}`,
    ]);
    const unknown = await product.problem(400, `/api/v1/events?customerId=${a.id}`);
    expect(unknown.detail).toBe(`customer with id ${a.id} not found`);
  });
});

describe("subjects", () => {
  const upsert = async (...subjects: readonly unknown[]) => await product.json("/api/v1/subjects", { json: subjects });
  const removeSubject = async (key: string) => {
    expect((await product.call(`/api/v1/subjects/${key}`, { method: "DELETE" })).status).toBe(204);
  };
  const owners = async (type: string) => {
    const filter = encodeURIComponent(JSON.stringify({ type: { $eq: type } }));
    const page = await product.json<{ items: readonly { customerId?: string }[] }>(`/api/v2/events?filter=${filter}`);
    return page.items.map(({ customerId }) => customerId);
  };

  test("that are deleted are taken from their customer", async () => {
    const made = await create({ name: "A", key: "del-s1", ...attributed("del-s1", "del-s2") });
    await product.json("/api/v1/subjects", { json: [{ key: "del-s1" }] });
    await removeSubject("del-s1");
    expect(await product.json(pathOf(made.id))).toMatchObject({ key: "del-s1", ...attributed("del-s2") });
    // One that is no entity is not there to be deleted.
    await removeSubject("del-s1");
    expect(await product.json(pathOf(made.id))).toMatchObject(attributed("del-s2"));
    await create({ name: "B", ...attributed("del-s1") });
  });

  test("without a customer get one, to which their events belong", async () => {
    await product.ingest({ type: "hooked", subject: "hook-a" });
    await upsert({ key: "hook-a", displayName: "Hook A" });
    const made = await product.json<Customer>(pathOf("hook-a"));
    expect(made).toMatchObject({ name: "Hook A", key: "hook-a", ...attributed("hook-a") });
    expect(made).toMatchObject({ annotations: { "tallystick.createdBy": "subject" } });
    expect(await owners("hooked")).toEqual([made.id]);
    await upsert({ key: "hook-a", displayName: "Hook B" });
    expect(await product.json(pathOf("hook-a"))).toEqual(made);
    await removeSubject("hook-a");
    expect(await product.json(pathOf(made.id))).toHaveProperty("deletedAt");
    expect(await owners("hooked")).toEqual([undefined]);
  });

  test("that come before their customer are its own, unless what they were given has entitlements", async () => {
    const feature = { key: "hook_feature", name: "Feature" };
    expect((await product.call("/api/v1/features", { json: feature })).status).toBe(201);
    await product.ingest({ type: "taken", subject: "taken-a" });
    await upsert({ key: "taken-a" }, { key: "taken-b" });
    const standIn = await product.json<Customer>(pathOf("taken-a"));
    const named = { name: "ACME", key: "taken-a", ...attributed("taken-a") };
    const made = await create(named);
    expect(made).not.toHaveProperty("annotations");
    expect(await product.json(pathOf("taken-a"))).toEqual(made);
    expect(await product.json(pathOf(standIn.id))).toHaveProperty("deletedAt");
    expect(await owners("taken")).toEqual([made.id]);

    const entitlements = "/api/v1/subjects/taken-b/entitlements";
    const json = { type: "boolean", featureKey: "hook_feature" };
    expect((await product.call(entitlements, { json })).status).toBe(201);
    const used = await product.json<Customer>(pathOf("taken-b"));
    const both = { ...named, ...attributed("taken-a", "taken-b") };
    for (const call of [
      { path: CUSTOMERS, json: { ...named, key: "taken-b" } },
      { path: pathOf(made.id), json: both },
    ]) {
      const method = call.path === CUSTOMERS ? "POST" : "PUT";
      const problem = await product.problem(409, call.path, { method, json: call.json });
      expect(problem.extensions).toMatchObject({ conflictingEntityId: used.id });
    }
    expect((await product.call(`${entitlements}/hook_feature`, { method: "DELETE" })).status).toBe(204);
    expect(await put(made.id, both)).toMatchObject(attributed("taken-a", "taken-b"));
    expect(await product.json(pathOf(used.id))).toHaveProperty("deletedAt");
  });

  test("get no customer where the configuration says so", async () => {
    const other = await startTestProduct("customer: { enableSubjectHook: false }");
    try {
      expect(await other.json("/api/v1/subjects", { json: [{ key: "alone" }] })).toMatchObject([{ key: "alone" }]);
      expect(await other.json(CUSTOMERS)).toMatchObject({ totalCount: 0 });
      await other.problem(412, "/api/v1/subjects/alone/entitlements");
    } finally {
      await other.stop();
    }
  });
});
