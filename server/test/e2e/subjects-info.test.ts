/**
 * Subjects, currencies, today's events and the progress of queries: over the published client where it knows them, and
 * over plain requests for what it cannot send.
 */

import type { OpenMeter } from "@openmeter/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TestProduct } from "./product-fixture.ts";
import { failure, startSdkProduct } from "./sdk-fixture.ts";

const SUBJECTS = "/api/v1/subjects";
const DAY_MS = 86_400_000;

let product: TestProduct;
let client: OpenMeter;

beforeAll(async () => {
  ({ product, client } = await startSdkProduct());
});
afterAll(async () => {
  await product?.stop();
});

describe("subjects", () => {
  test("are made, changed, listed, found and deleted by the client", async () => {
    const period = {
      currentPeriodStart: new Date("2026-01-01T00:00:00Z"),
      currentPeriodEnd: new Date("2026-02-01T00:00:00Z"),
    };
    const made = await client.subjects.upsert([
      { key: "sdk-b", displayName: "B", metadata: { tier: 1, tags: ["x"] }, stripeCustomerId: "cus_b", ...period },
      { key: "sdk-a" },
    ]);
    expect(made?.map(({ key }) => key)).toEqual(["sdk-b", "sdk-a"]);
    const [b, a] = made ?? [];
    expect(b).toMatchObject({
      displayName: "B",
      metadata: { tier: 1, tags: ["x"] },
      stripeCustomerId: "cus_b",
      ...period,
    });
    expect(b?.createdAt).toBeInstanceOf(Date);
    expect(await client.subjects.list()).toEqual([a, b]);
    expect(await client.subjects.get("sdk-b")).toEqual(b);
    expect(await client.subjects.get(b?.id ?? "")).toEqual(b);

    const [changed] = (await client.subjects.upsert({ key: "sdk-b", displayName: null })) ?? [];
    expect(changed?.displayName).toBeUndefined();
    expect(changed).toMatchObject({ id: b?.id, metadata: { tier: 1, tags: ["x"] }, stripeCustomerId: "cus_b" });

    await client.subjects.delete("sdk-b");
    await client.subjects.delete(a?.id ?? "");
    expect(await client.subjects.list()).toEqual([]);
    expect((await failure(client.subjects.get("sdk-b"))).status).toBe(404);
    expect((await client.subjects.get(b?.id ?? ""))?.deletedAt).toBeInstanceOf(Date);
    await client.subjects.delete("sdk-b");
  });

  test("have keys of any characters, also in paths", async () => {
    const keys = ["a/b", "ü €", "50%", "a?b#c", "..a", '"'];
    await product.json(SUBJECTS, { json: keys.map((key) => ({ key })) });
    for (const key of keys) {
      const path = `${SUBJECTS}/${encodeURIComponent(key)}`;
      expect(await product.json(path)).toMatchObject({ key });
      expect((await product.call(path, { method: "DELETE" })).status).toBe(204);
      await product.problem(404, path);
    }
    await product.problem(404, `${SUBJECTS}/nul%00`);
  });

  test.each<[string, unknown, string]>([
    ["a NUL character in the key", [{ key: "a\0" }], "$[0].key"],
    ["a NUL character in the metadata", [{ key: "a", metadata: { a: "\0" } }], "$[0].metadata"],
    ["an empty key", [{ key: "ok" }, { key: "" }], "$[1].key"],
    ["no key", [{}], "$[0].key"],
    ["another Stripe id", [{ key: "a", stripeCustomerId: "acct_1" }], "$[0].stripeCustomerId"],
    ["a time without offset", [{ key: "a", currentPeriodStart: "2026-01-01" }], "$[0].currentPeriodStart"],
    ["one subject instead of a list", { key: "a" }, "$"],
  ])("with %s are refused", async (_, json, field) => {
    const problem = await product.problem(400, SUBJECTS, { json });
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual([field]);
    expect(await product.json(SUBJECTS)).toEqual([]);
  });

  test("are at most 1,000 in a request", async () => {
    const json = Array.from({ length: 1_001 }, (_, index) => ({ key: `many-${index}` }));
    const problem = await product.problem(400, SUBJECTS, { json });
    expect(problem.detail).toContain("at most 1000");
    expect((await product.problem(404, `${SUBJECTS}/many-0`)).detail).toContain("many-0");
  });

  test("fields that nobody knows and read-only ones are ignored", async () => {
    const json = [{ key: "extra", id: "x", createdAt: "never", color: "red" }];
    const [subject] = await product.json<[{ id: string }]>(SUBJECTS, { json });
    expect(subject.id).toHaveLength(26);
    await client.subjects.delete("extra");
  });
});

describe("CSV of a meter query", () => {
  const csv = async (parameters: string): Promise<string> => {
    const path = `/api/v1/meters/named/query?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&${parameters}`;
    return (await product.call(path, { headers: { accept: "text/csv" } })).text;
  };
  const times = "2026-01-01T00:00:00Z,2026-02-01T00:00:00Z";

  test("names the subjects as soon as one of them is an entity, and only if grouped by subject", async () => {
    await client.meters.create({ slug: "named", eventType: "named", aggregation: "COUNT" });
    const events = ["s1", "s2"].map((subject) => ({ type: "named", subject, time: "2026-01-15T00:00:00Z" }));
    await product.ingest(...events);
    await client.subjects.upsert({ key: "unrelated", displayName: "Nobody" });
    const unnamed = `window_start,window_end,subject,value\n${times},s2,1.000000\n${times},s1,1.000000\n`;
    expect(await csv("groupBy=subject")).toBe(unnamed);
    await client.subjects.upsert({ key: "s1", displayName: "ACME, Inc." });
    const header = "window_start,window_end,subject,subject_display_name,value\n";
    expect(await csv("groupBy=subject")).toBe(`${header}${times},s2,s2,1.000000\n${times},s1,"ACME, Inc.",1.000000\n`);
    expect(await csv("subject=s1")).toBe(`${header}${times},s1,"ACME, Inc.",1.000000\n`);
    expect(await csv("subject=s2")).toBe(`window_start,window_end,subject,value\n${times},s2,1.000000\n`);
    expect(await csv("")).toBe(`window_start,window_end,value\n${times},2.000000\n`);
    await client.subjects.delete("s1");
    expect(await csv("groupBy=subject")).toBe(unnamed);
  });
});

describe("information", () => {
  test("currencies are told by the client", async () => {
    const currencies = (await client.info.listCurrencies()) ?? [];
    expect(currencies.length).toBeGreaterThan(150);
    expect(currencies).toContainEqual({ code: "USD", name: "US Dollar", symbol: "$", subunits: 2 });
    expect(currencies.map(({ code }) => code)).toEqual(currencies.map(({ code }) => code).toSorted());
  });

  test("today's events are counted by subject", async () => {
    const today = (): number => Math.floor(Date.now() / DAY_MS);
    // Repeated if midnight passes in between.
    for (let day = -1; day !== today();) {
      day = today();
      const [subject, past] = [`today "${day}"`, `yesterday ${day}`];
      await product.ingest(
        { subject, type: "one", time: new Date().toISOString() },
        { subject, type: "two" },
        { subject: past, time: new Date((day - 1) * DAY_MS).toISOString() },
      );
      const answer = await product.call("/api/v1/debug/metrics");
      if (day !== today()) continue;
      expect(answer.headers.get("content-type")).toBe("text/plain");
      expect(answer.text.split("\n")).toContain(`openmeter_events_total{subject="today \\"${day}\\""} 2`);
      expect(answer.text).not.toContain(past);
      expect(answer.text).not.toContain("# EOF");
      // The client's own method reads every answer as JSON, which this text never is.
      const told = await client.client.GET("/api/v1/debug/metrics", { parseAs: "text" });
      expect(told.data).toBe(answer.text);
    }
  });
});

describe("progress", () => {
  interface Progress {
    readonly success: number;
    readonly failed: number;
    readonly total: number;
    readonly updatedAt: string;
  }
  const progress = (id: string): Promise<Progress> => product.json(`/api/v1/info/progress/${id}`);

  test("is known by the clientId of a query, of either form, and of both lists of events", async () => {
    await client.meters.create({ slug: "watched", eventType: "watched", aggregation: "COUNT" });
    await product.ingest(...Array.from({ length: 5 }, () => ({ type: "watched" })));
    const query = "/api/v1/meters/watched/query";
    expect(await product.json(`${query}?clientId=get`)).toMatchObject({ data: [{ value: 5 }] });
    expect(await progress("get")).toMatchObject({ success: 5, failed: 0, total: 5 });
    await product.json(query, { json: { clientId: "post" } });
    expect(await progress("post")).toMatchObject({ success: 5, failed: 0, total: 5 });
    await product.json("/api/v1/events?clientId=list");
    await product.json("/api/v2/events?clientId=page&limit=1");
    for (const id of ["list", "page"]) {
      const { success, failed, total } = await progress(id);
      expect(success).toBeGreaterThanOrEqual(5);
      expect([failed, total]).toEqual([0, success]);
    }
    const told = await client.info.getProgress("get");
    expect(told).toMatchObject({ success: 5, failed: 0, total: 5 });
    expect(Math.abs(Number(told?.updatedAt) - Date.now())).toBeLessThan(300_000);
  });

  test("is not known otherwise", async () => {
    await product.problem(404, "/api/v1/info/progress/unknown");
    expect((await failure(client.info.getProgress("never"))).status).toBe(404);
  });
});
