/** Duplicates and conflicts: an identity counts once for ever, and a repetition with other content is listed. */

import type { EventConflict } from "@tallystick/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EventDraft, startTestProduct, type TestProduct } from "./product-fixture.ts";

interface ConflictPage {
  readonly items: readonly EventConflict[];
  readonly nextCursor?: string;
}

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct();
});
afterAll(async () => {
  await product?.stop();
});

function conflicts(query: Readonly<Record<string, string>>): Promise<ConflictPage> {
  return product.json<ConflictPage>(`/api/v1/events/conflicts?${new URLSearchParams(query).toString()}`);
}

/** Creates a meter that sums `$.n` of a type, and returns what reads its total. */
async function totalOf(type: string): Promise<() => Promise<unknown>> {
  const slug = type.replaceAll("-", "_");
  await product.json("/api/v1/meters", {
    json: { slug, eventType: type, aggregation: "SUM", valueProperty: "$.n" },
  });
  return async () => {
    const result = await product.json<{ data: { value: number }[] }>(`/api/v1/meters/${slug}/query`);
    return result.data[0]?.value;
  };
}

describe("duplicates", () => {
  test("within a request the lower index wins; across requests the first one wins", async () => {
    const total = await totalOf("dup-index");
    const event = (n: number): EventDraft => ({ id: "dup", source: "dup", type: "dup-index", data: { n } });
    await product.ingest(event(1), event(10), event(100));
    expect(await total()).toBe(1);
    await product.ingest(event(1000));
    expect(await total()).toBe(1);
  });

  test("source and id are told apart, whatever they contain", async () => {
    const total = await totalOf("dup-tuple");
    await product.ingest(
      { source: "svc-1", id: "2", type: "dup-tuple", data: { n: 1 } },
      { source: "svc", id: "1-2", type: "dup-tuple", data: { n: 10 } },
      { source: "svc", id: "1-2\u0000", type: "dup-tuple", data: { n: 100 } },
      { source: "SVC", id: "1-2", type: "dup-tuple", data: { n: 1000 } },
    );
    expect(await total()).toBe(1111);
  });

  test("a repetition is counted in the metrics, and is no conflict when the content is the same", async () => {
    const duplicates = `tallystick_ingest_duplicates_total{namespace="default"}`;
    const conflicting = `tallystick_ingest_conflicts_total{namespace="default"}`;
    const [duplicatesBefore, conflictsBefore] = [await zeroed(duplicates), await zeroed(conflicting)];
    const event = { id: "retry", source: "retry", type: "retry" };
    // Without a time, and with the same content written differently: key order, spaces, 1.50 for 1.5.
    await product.ingest({ ...event, data: { a: 1.5, b: "x" } }, { ...event, data: { b: "x", a: 1.5 } });
    const text = `[{"data":{ "b":"\\u0078","a":1.50 },"subject":"s","type":"retry","source":"retry","id":"retry","specversion":"1.0"}]`;
    await product.ingestBody(text);
    expect((await conflicts({ source: "retry" })).items).toEqual([]);
    expect((await zeroed(duplicates)) - duplicatesBefore).toBe(2);
    expect((await zeroed(conflicting)) - conflictsBefore).toBe(0);
    await product.ingest({ ...event, data: { a: 2 } });
    expect((await zeroed(duplicates)) - duplicatesBefore).toBe(3);
    expect((await zeroed(conflicting)) - conflictsBefore).toBe(1);
  });
});

async function zeroed(metric: string): Promise<number> {
  const value = await product.metric(metric);
  return Number.isNaN(value) ? 0 : value;
}

describe("the list of conflicts", () => {
  test("shows who lost to whom, and the event as it was sent", async () => {
    const identity = { id: "c-1", source: "fields", type: "fields" };
    await product.ingest({ ...identity, subject: "first", time: "2026-01-01T00:00:00Z", data: { n: 1 } });
    const data = `{"n": 9007199254740993, "n2": 1.10}`;
    await product.ingestBody(
      `[{"specversion":"1.0","id":"c-1","source":"fields","type":"fields","subject":"second","data":${data}}]`,
    );
    const answer = await product.call("/api/v1/events/conflicts?source=fields");
    expect(answer.text).toContain(data);
    const { items, nextCursor } = JSON.parse(answer.text) as ConflictPage;
    expect(nextCursor).toBeUndefined();
    expect(items).toHaveLength(1);
    const [conflict] = items;
    expect(conflict).toMatchObject({ source: "fields", id: "c-1", event: { subject: "second", type: "fields" } });
    expect(conflict?.firstPayloadHash).toMatch(/^[0-9a-f]{64}$/);
    expect(conflict?.payloadHash).toMatch(/^[0-9a-f]{64}$/);
    expect(conflict?.payloadHash).not.toBe(conflict?.firstPayloadHash);
    expect(Date.parse(conflict?.firstSeenAt ?? "")).toBeLessThan(Date.parse(conflict?.seenAt ?? ""));
  });

  test.each<readonly [string, EventDraft]>([
    ["type", { type: "differs-2" }],
    ["subject", { subject: "other" }],
    ["time", { time: "2026-01-01T00:00:00.000001Z" }],
    ["data", { data: { n: 2 } }],
    ["no data", { data: undefined }],
  ])("another %s is a conflict", async (what, change) => {
    const source = `differs-${what}`;
    const event = { id: "1", source, type: "differs", time: "2026-01-01T00:00:00Z", data: { n: 1 } };
    await product.ingest(event, { ...event, ...change });
    expect((await conflicts({ source })).items).toHaveLength(1);
  });

  test("is newest first, filtered by id and instant, and read in pages without skips", async () => {
    const source = "paged";
    for (const id of ["a", "b"]) await product.ingest({ id, source, type: "paged", data: { n: -1 } });
    for (let n = 0; n < 5; n++) {
      await product.ingest({ id: n % 2 === 0 ? "a" : "b", source, type: "paged", data: { n } });
    }
    const all = (await conflicts({ source })).items;
    expect(all.map(({ event }) => event.data?.["n"])).toEqual([4, 3, 2, 1, 0]);
    expect((await conflicts({ source, id: "b" })).items.map(({ event }) => event.data?.["n"])).toEqual([3, 1]);
    const seenAt = all[2]?.seenAt ?? "";
    expect((await conflicts({ source, seenAtFrom: seenAt })).items).toEqual(all.slice(0, 3));
    expect((await conflicts({ source, seenAtTo: seenAt })).items).toEqual(all.slice(3));
    expect((await conflicts({ source: "pag" })).items).toEqual([]);

    const paged: EventConflict[] = [];
    for (let cursor: string | undefined, page = 0; page < 4; page++) {
      const next = await conflicts({ source, limit: "2", ...(cursor === undefined ? {} : { cursor }) });
      paged.push(...next.items);
      cursor = next.nextCursor;
      if (cursor === undefined) break;
    }
    expect(paged).toEqual(all);
  });

  test("keeps 100 of an identity; further ones are only counted", async () => {
    const event = { id: "1", source: "loop", type: "loop" };
    const before = await zeroed(`tallystick_ingest_conflicts_total{namespace="default"}`);
    await product.ingest(
      { ...event, data: { n: -1 } },
      ...Array.from({ length: 70 }, (_, n) => ({ ...event, data: { n } })),
    );
    await product.ingest(...Array.from({ length: 70 }, (_, n) => ({ ...event, data: { n: 100 + n } })));
    expect((await zeroed(`tallystick_ingest_conflicts_total{namespace="default"}`)) - before).toBe(140);
    const page = await conflicts({ source: "loop" });
    expect(page.items).toHaveLength(100);
    expect((await conflicts({ source: "loop", cursor: page.nextCursor ?? "" })).items).toEqual([]);
  });

  test.each([
    ["cursor=nonsense", "$.cursor"],
    ["cursor=MSwyLDM", "$.cursor"],
    ["cursor=", "$.cursor"],
    ["limit=0", "$.limit"],
    ["limit=101", "$.limit"],
    ["source=", "$.source"],
    ["seenAtFrom=2026-01-01", "$.seenAtFrom"],
    ["seenAtTo=yesterday", "$.seenAtTo"],
  ])("?%s is refused with 400", async (query, field) => {
    const problem = await product.problem(400, `/api/v1/events/conflicts?${query}`);
    expect(problem.extensions?.validationErrors).toMatchObject([{ field }]);
  });
});
