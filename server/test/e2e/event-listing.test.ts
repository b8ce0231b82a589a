/** Listing events, v1 and v2: filters, pages, the text of `data`, and why an event does not count. */

import type { IngestedEvent } from "@tallystick/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

const DAY_MS = 24 * 3600 * 1000;

interface Page {
  readonly items: readonly IngestedEvent[];
  readonly nextCursor?: string;
}

let product: TestProduct;
const now = Date.now();

function ago(ms: number): string {
  return new Date(now - ms).toISOString();
}

beforeAll(async () => {
  product = await startTestProduct();
  await product.ingest(
    { id: "list-1", source: "web", type: "list", subject: "alice", time: ago(3000) },
    { id: "list-2", source: "web", type: "list", subject: "bob", time: ago(2000) },
    { id: "list-3%_", source: "mobile", type: "list", subject: "alice", time: ago(1000) },
    { id: "old", source: "web", type: "list", subject: "alice", time: ago(33 * DAY_MS) },
  );
});
afterAll(async () => {
  await product?.stop();
});

async function recent(parameters: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const items = await product.json<IngestedEvent[]>(`/api/v1/events?${new URLSearchParams(parameters).toString()}`);
  return items.filter(({ event }) => event.type === "list").map(({ event }) => event.id);
}

function page(filter: unknown, parameters: Readonly<Record<string, string>> = {}): Promise<Page> {
  const query = new URLSearchParams({ ...parameters, filter: JSON.stringify(filter) });
  return product.json<Page>(`/api/v2/events?${query.toString()}`);
}

async function ids(filter: Readonly<Record<string, unknown>>): Promise<readonly string[]> {
  const { items } = await page({ type: { $eq: "list" }, ...filter });
  return items.map(({ event }) => event.id);
}

describe("v1", () => {
  test.each<readonly [string, Readonly<Record<string, string>>, readonly string[]]>([
    ["all of the last 32 days, newest first", {}, ["list-3%_", "list-2", "list-1"]],
    ["from", { from: ago(2000) }, ["list-3%_", "list-2"]],
    ["to", { to: ago(2000) }, ["list-1"]],
    ["from and to equal", { from: ago(2000), to: ago(2000) }, []],
    ["subject", { subject: "alice" }, ["list-3%_", "list-1"]],
    ["part of a subject", { subject: "ali" }, []],
    ["part of an id", { id: "ist-" }, ["list-3%_", "list-2", "list-1"]],
    ["part of an id with signs that mean something in LIKE", { id: "%_" }, ["list-3%_"]],
    ["nothing of an id", { id: "" }, ["list-3%_", "list-2", "list-1"]],
    ["NUL in an id", { id: "\u0000" }, []],
    ["limit", { limit: "2", subject: "alice" }, ["list-3%_", "list-1"]],
    ["ingested before all of them", { ingestedAtTo: ago(DAY_MS) }, []],
    ["ingested since", { ingestedAtFrom: ago(60_000) }, ["list-3%_", "list-2", "list-1"]],
  ])("%s", async (_, parameters, found) => {
    expect(await recent(parameters)).toEqual(found);
  });

  test("limit keeps the newest", async () => {
    expect(await product.json<unknown[]>("/api/v1/events?limit=1")).toHaveLength(1);
  });

  test.each<readonly [string, Readonly<Record<string, string>>, string]>([
    ["from older than 32 days", { from: ago(32 * DAY_MS + 1000) }, "$.from"],
    ["ingestedAtFrom older than 32 days", { ingestedAtFrom: ago(32 * DAY_MS + 1000) }, "$.ingestedAtFrom"],
    ["to before from", { from: ago(1000), to: ago(2000) }, "$.to"],
    ["ingestedAtTo before ingestedAtFrom", { ingestedAtFrom: ago(1000), ingestedAtTo: ago(2000) }, "$.ingestedAtTo"],
    ["from no date-time", { from: "today" }, "$.from"],
    ["limit 0", { limit: "0" }, "$.limit"],
    ["limit 101", { limit: "101" }, "$.limit"],
    ["limit no number", { limit: "ten" }, "$.limit"],
    ["limit empty", { limit: "" }, "$.limit"],
    ["clientId too long", { clientId: "x".repeat(37) }, "$.clientId"],
    ["customerId no id", { customerId: "alice" }, "$.customerId[0]"],
  ])("%s: 400", async (_, parameters, field) => {
    const problem = await product.problem(400, `/api/v1/events?${new URLSearchParams(parameters).toString()}`);
    expect(problem.extensions?.validationErrors).toMatchObject([{ field }]);
  });

  test("an unknown customer: 400, in v1 and v2", async () => {
    const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const problem = await product.problem(400, `/api/v1/events?customerId=${id}`);
    expect(problem.detail).toBe(`customer with id ${id} not found`);
    const filter = encodeURIComponent(JSON.stringify({ customerId: { $in: [id] } }));
    expect((await product.problem(400, `/api/v2/events?filter=${filter}`)).detail).toBe(problem.detail);
  });

  test("a 33 day old event is listed by v2 only", async () => {
    expect(await recent({ id: "old" })).toEqual([]);
    expect(await ids({ id: { $eq: "old" } })).toEqual(["old"]);
  });
});

describe("v2", () => {
  test.each<readonly [Readonly<Record<string, unknown>>, readonly string[]]>([
    [{}, ["list-3%_", "list-2", "list-1", "old"]],
    [{ id: { $in: ["list-1", "old", "nope"] } }, ["list-1", "old"]],
    [{ id: { $like: "list-_" } }, ["list-2", "list-1"]],
    [{ id: { $like: "%\\%\\_" } }, ["list-3%_"]],
    [{ id: { $contains: "LIST" } }, ["list-3%_", "list-2", "list-1"]],
    [{ source: { $ne: "web" } }, ["list-3%_"]],
    [{ source: { $ilike: "W%" }, subject: { $eq: "alice" } }, ["list-1", "old"]],
    [{ subject: { $or: [{ $eq: "bob" }, { $like: "al%" }] }, source: { $eq: "mobile" } }, ["list-3%_"]],
    [{ subject: { $gt: "alice" } }, ["list-2"]],
    [{ subject: { $exists: false } }, []],
    [{ time: { $gte: ago(2000) } }, ["list-3%_", "list-2"]],
    [{ time: { $and: [{ $gt: ago(33 * DAY_MS) }, { $lt: ago(2000) }] } }, ["list-1"]],
    [{ ingestedAt: { $lt: ago(DAY_MS) } }, []],
    [{ customerId: { $in: [] } }, []],
  ])("%j", async (filter, found) => {
    expect(await ids(filter)).toEqual(found);
  });

  test("pages neither skip nor repeat, also among events of the same time, while new ones arrive", async () => {
    const time = ago(5000);
    await product.ingest(...Array.from({ length: 7 }, (_, n) => ({ id: `page-${n}`, type: "page", time })));
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const { items, nextCursor } = await page(
        { type: { $eq: "page" } },
        { limit: "3", ...(cursor === undefined ? {} : { cursor }) },
      );
      seen.push(...items.map(({ event }) => event.id));
      // An event that is newer than the page must not show up behind it.
      await product.ingest({ id: `page-late-${seen.length}`, type: "page", time: ago(0) });
      cursor = nextCursor;
    } while (cursor !== undefined);
    expect(seen).toEqual([6, 5, 4, 3, 2, 1, 0].map((n) => `page-${n}`));
  });

  test.each([
    ["filter=%7B", "not valid JSON"],
    ["filter=[]", "object"],
    ["filter=null", "object"],
    [`filter=${encodeURIComponent('{"id":{}}')}`, "exactly one of"],
    [`filter=${encodeURIComponent('{"id":{"$eq":"a","$ne":"b"}}')}`, "exactly one of"],
    [`filter=${encodeURIComponent('{"id":{"$eq":""}}')}`, "must not be empty"],
    [`filter=${encodeURIComponent('{"id":{"$eq":5}}')}`, "id.$eq"],
    [`filter=${encodeURIComponent('{"id":{"$and":[{"$or":[{"$eq":"a"}]}]}}')}`, "at most 1 deep"],
    [`filter=${encodeURIComponent('{"time":{"$gt":"soon"}}')}`, "RFC 3339"],
    ["cursor=nonsense", "cursor"],
    ["cursor=MjAyNg", "cursor"],
    ["limit=101", "limit"],
  ])("?%s is refused", async (parameters, sentence) => {
    const problem = await product.problem(400, `/api/v2/events?${parameters}`);
    expect(problem.detail).toContain(sentence);
    expect(problem.extensions?.validationErrors?.length).toBe(1);
  });
});

describe("items", () => {
  test("data comes back as it was sent, byte for byte", async () => {
    const data = `{ "big":9007199254740993, "e":1E+2,"z":-0.0,"f":0.1234567890123456789,  "u":"\\u00e9<>&","d":1,"d":2 }`;
    await product.ingestBody(
      `[{"specversion":"1.0","id":"verbatim","source":"v","type":"verbatim","subject":"s","data":${data}}]`,
    );
    for (const path of ["/api/v1/events?id=verbatim", `/api/v2/events?filter=%7B"id":%7B"$eq":"verbatim"%7D%7D`]) {
      const answer = await product.call(path);
      expect(answer.text).toContain(`"datacontenttype":"application/json","data":${data}}`);
    }
  });

  test("an event without data has none; ingestedAt stands for a missing time", async () => {
    await product.ingest({ id: "bare-1", type: "bare", data: null }, { id: "bare-2", type: "bare" });
    const { items } = await page({ type: { $eq: "bare" } });
    expect(items.map(({ event }) => event.id)).toEqual(["bare-2", "bare-1"]);
    for (const { event, ingestedAt, storedAt } of items) {
      expect(event).not.toHaveProperty("data");
      expect(event).not.toHaveProperty("datacontenttype");
      expect(event.time).toBe(ingestedAt);
      expect(Date.parse(storedAt)).toBeGreaterThanOrEqual(Date.parse(ingestedAt));
      expect(Math.abs(Date.parse(ingestedAt) - Date.now())).toBeLessThan(120_000);
    }
  });

  test("validationError lists every reason: meters by slug, no meter, no customer", async () => {
    const meter = (slug: string, aggregation: string, valueProperty?: string): Promise<unknown> =>
      product.json("/api/v1/meters", { json: { slug, eventType: "reasons", aggregation, valueProperty } });
    await meter("reason_b", "SUM", "$.n");
    await meter("reason_a", "UNIQUE_COUNT", "$.n");
    await meter("reason_c", "COUNT");
    const documents: readonly (readonly [string, unknown, readonly string[]])[] = [
      ["none", undefined, ["null and missing value property", "null and missing value property"]],
      ["missing", {}, [`missing value property: "$.n"`, `missing value property: "$.n"`]],
      ["null", { n: null }, ["value cannot be null", "value cannot be null"]],
      ["text", { n: "many" }, ["value cannot be parsed as float64: many"]],
      ["nan", { n: "NaN" }, ["value cannot be NaN"]],
      ["infinity", { n: "-Infinity" }, ["value cannot be infinity"]],
      ["object", { n: {} }, ["unsupported value property type: object", "unsupported value property type: object"]],
      ["boolean", { n: true }, ["unsupported value property type: boolean"]],
      ["number", { n: 1 }, []],
    ];
    await product.ingest(...documents.map(([id, data]) => ({ id, source: "reasons", type: "reasons", data })));
    const { items } = await page({ source: { $eq: "reasons" } });
    const found = new Map(items.map(({ event, validationError }) => [event.id, validationError]));
    for (const [id, , reasons] of documents) {
      const lines = [...reasons.map((reason) => `invalid event: ${reason}`), "no customer found for event subject: s"];
      expect(found.get(id)).toBe(lines.join("\n"));
    }
    await product.ingest({ id: "untyped", type: "no-meter-here" });
    const [untyped] = (await page({ id: { $eq: "untyped" } })).items;
    expect(untyped?.validationError).toBe(
      "no meter found for event type: no-meter-here\nno customer found for event subject: s",
    );
  });
});
