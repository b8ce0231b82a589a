/** The published client of the API that Tallystick is compatible with works against Tallystick unchanged. */

import { OpenMeter } from "@openmeter/sdk";
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

describe("events", () => {
  test("ingest one and many, list them", async () => {
    const time = new Date(Date.now() - 1000);
    await client.events.ingest({
      id: "one",
      source: "sdk",
      specversion: "1.0",
      type: "sdk",
      subject: "a",
      time,
      data: { n: 1 },
    });
    // The client fills in id, source, specversion and time.
    await client.events.ingest([
      { type: "sdk", subject: "b", data: { n: 2 } },
      { type: "sdk", subject: "b", data: { n: 3 } },
    ] as never);
    await product.settled();
    const listed = (await client.events.list({ limit: 100, from: new Date(Date.now() - 60_000) })) ?? [];
    expect(listed.map(({ event }) => event.data)).toEqual([{ n: 3 }, { n: 2 }, { n: 1 }]);
    expect(listed[2]?.event.time).toEqual(time);
    expect(listed[2]?.storedAt).toBeInstanceOf(Date);
    expect(listed[0]?.event.source).toBe("@openmeter/sdk");
    expect(listed[0]?.validationError).toContain("no meter found for event type: sdk");
    expect(await client.events.list({ subject: "a" })).toHaveLength(1);
  });

  test("list page by page", async () => {
    const first = await client.events.listV2({ limit: 2 });
    expect(first?.items).toHaveLength(2);
    const second = await client.events.listV2({ limit: 2, cursor: first?.nextCursor ?? "" });
    expect(second?.items.map(({ event }) => event.id)).toEqual(["one"]);
    expect(second?.nextCursor).toBeUndefined();
    const filter = JSON.stringify({ subject: { $eq: "b" } });
    expect((await client.events.listV2({ filter }))?.items).toHaveLength(2);
  });
});

describe("meters", () => {
  test("create, get, list, update, query and delete", async () => {
    const meter = await client.meters.create({
      slug: "sdk_sum",
      eventType: "sdk",
      aggregation: "SUM",
      valueProperty: "$.n",
      groupBy: { kind: "$.kind" },
      eventFrom: new Date("2026-01-01T00:00:00Z"),
    });
    expect(meter?.eventFrom).toEqual(new Date("2026-01-01T00:00:00Z"));
    expect(meter?.createdAt).toBeInstanceOf(Date);
    expect(await client.meters.get("sdk_sum")).toEqual(meter);
    expect(await client.meters.get(meter?.id ?? "")).toEqual(meter);
    expect(await client.meters.list()).toEqual([meter]);
    const updated = await client.meters.update("sdk_sum", { name: "Sum", groupBy: { n: "$.m" } });
    expect(updated).toMatchObject({ name: "Sum", groupBy: { n: "$.m" } });

    const from = new Date(Date.now() - 3_600_000);
    const result = await client.meters.query("sdk_sum", {
      subject: ["a", "b"],
      windowSize: "MONTH",
      from,
      groupBy: ["n"],
    });
    expect(result).toMatchObject({ from, windowSize: "MONTH" });
    const values = result.data.map(({ value, subject }) => [subject, value]);
    expect(values).toEqual(
      expect.arrayContaining([
        ["b", 5],
        ["a", 1],
      ]),
    );
    expect(result.data[0]?.windowStart).toBeInstanceOf(Date);
    const filtered = await client.meters.query("sdk_sum", { filterGroupBy: { n: "none" }, from });
    expect(filtered.data).toEqual([]);
    const posted = await client.meters.queryPost("sdk_sum", { subject: ["b"], filterGroupBy: { n: [""] } });
    expect(posted).toMatchObject({ data: [{ value: 5, subject: "b" }] });
    expect(await client.meters.listGroupByValues("sdk_sum", "n")).toEqual([""]);
    const subjects = await client.client.GET("/api/v1/meters/{meterIdOrSlug}/subjects", {
      params: { path: { meterIdOrSlug: "sdk_sum" } },
    });
    expect(subjects.data).toEqual(["a", "b"]);

    await client.meters.delete("sdk_sum");
    expect(await client.meters.list()).toEqual([]);
    expect((await failure(client.meters.get("sdk_sum"))).status).toBe(404);
  });
});

describe("errors arrive with their details", () => {
  test("validation of an event", async () => {
    const error = await failure(client.events.ingest({ type: "t", subject: "" }));
    expect(error).toMatchObject({ status: 400, title: "Bad Request", type: "about:blank" });
    expect(error.message).toContain(`$[0].subject: "subject" must be a non-empty string`);
    expect(error.getField("extensions")).toMatchObject({ validationErrors: [{ field: "$[0].subject" }] });
    expect(error.getField("instance")).toMatch(/^urn:request:/);
  });

  test("a taken slug, an unknown meter, a bad query", async () => {
    const draft = { slug: "twice", eventType: "t", aggregation: "COUNT" } as const;
    await client.meters.create(draft);
    const taken = await failure(client.meters.create(draft));
    expect(taken.status).toBe(409);
    expect(taken.message).toContain("meter with the same slug already exists");
    const unknown = await failure(client.meters.query("nowhere"));
    expect(unknown.message).toContain("meter not found: nowhere");
    const bad = await failure(client.meters.query("twice", { groupBy: ["nope"] }));
    expect(bad.message).toContain("invalid group by: nope");
  });

  test("an unknown route", async () => {
    const lost = new OpenMeter({ baseUrl: `${product.url}/nowhere` });
    const error = await failure(lost.meters.list());
    expect(error).toMatchObject({ status: 404, type: "about:blank" });
    expect(error.message).toContain("there is no route /nowhere/api/v1/meters");
  });
});
