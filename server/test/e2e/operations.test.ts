/** What the people who run Tallystick see: probes that tell the truth, metrics, the API document and its page. */

import { once } from "node:events";
import { get } from "node:http";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct();
});
afterAll(async () => {
  await product?.stop();
});

describe("documents", () => {
  test("the OpenAPI document under both names", async () => {
    const document = await product.json<{ openapi: string; paths: object }>("/api/openapi.json");
    expect(document.openapi).toMatch(/^3\.0\./);
    expect(Object.keys(document.paths)).toContain("/api/v1/meters/{meterIdOrSlug}/query");
    expect(await product.json("/api/swagger.json")).toEqual(document);
  });

  test("the reference page, every file that it loads, and the way to it", async () => {
    const page = await product.call("/docs");
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const assets = [...page.text.matchAll(/src="([^"]+)"/g)].map(([, path]) => path ?? "");
    expect(assets.length).toBeGreaterThan(0);
    for (const path of assets) {
      const asset = await product.call(path);
      expect(asset.status).toBe(200);
      expect(asset.headers.get("content-type")).toMatch(/^text\/javascript/);
      expect(asset.text.length).toBeGreaterThan(10_000);
    }
    const root = await product.call("/");
    expect([root.status, root.headers.get("location")]).toEqual([302, "/docs"]);
  });

  test("the script is stored compressed and sent so", async () => {
    const page = await product.call("/docs");
    const path = /src="([^"]+)"/.exec(page.text)?.[1] ?? "";
    // Unlike fetch, this client does not decompress.
    const [response] = await once(get(`${product.url}${path}`), "response");
    expect(response.headers).toMatchObject({
      "content-encoding": "gzip",
      "cache-control": expect.stringContaining("max-age"),
    });
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    expect(gunzipSync(Buffer.concat(chunks)).toString()).toContain("customElements");
  });

  test("the version", async () => {
    const version = { version: "0.0.0-test", os: process.platform, arch: process.arch };
    expect(await product.json("/version")).toEqual(version);
  });
});

test("metrics have the documented names and count what happens", async () => {
  await product.ingest({ type: "metrics" }, { type: "metrics" });
  await product.call("/api/v1/events", { json: [{ id: 1 }, { id: 2 }] });
  await product.json("/api/v1/events");
  const answer = await product.call("/metrics");
  expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=/);
  const names = [...answer.text.matchAll(/^# TYPE (tallystick_\w+) (\w+)$/gm)].map(
    ([, name, type]) => `${name} ${type}`,
  );
  expect(names.toSorted()).toEqual([
    "tallystick_balance_differences_total counter",
    "tallystick_balance_feed_gaps_total counter",
    "tallystick_balance_rebuilds_total counter",
    "tallystick_balances_in_memory gauge",
    "tallystick_balances_late_total counter",
    "tallystick_engine_restarts_total counter",
    "tallystick_event_streams gauge",
    "tallystick_http_request_duration_seconds histogram",
    "tallystick_ingest_accepted_total counter",
    "tallystick_ingest_conflicts_total counter",
    "tallystick_ingest_duplicates_total counter",
    "tallystick_ingest_rejected_events_total counter",
    "tallystick_ingest_rejected_requests_total counter",
    "tallystick_invalid_values_total counter",
    "tallystick_log_lag_events gauge",
    "tallystick_log_lag_seconds gauge",
    "tallystick_notification_attempts_total counter",
    "tallystick_notification_deliveries_pending gauge",
    "tallystick_notification_events_total counter",
    "tallystick_notification_resets_skipped_total counter",
    "tallystick_query_duration_seconds histogram",
    "tallystick_roll_up_lag_events gauge",
    "tallystick_roll_ups_current gauge",
    "tallystick_sink_batch_duration_seconds histogram",
    "tallystick_sink_batch_events histogram",
    "tallystick_storage_free_bytes gauge",
  ]);
  expect(await product.metric(`tallystick_ingest_accepted_total{namespace="default"}`)).toBe(2);
  expect(await product.metric(`tallystick_ingest_rejected_requests_total{code="invalid_event"}`)).toBe(1);
  expect(await product.metric(`tallystick_ingest_rejected_events_total{namespace="default"}`)).toBe(2);
  expect(await product.metric("tallystick_storage_free_bytes")).toBeGreaterThan(1_000_000);
  expect(await product.metric(`tallystick_query_duration_seconds_count{kind="event_list"}`)).toBe(1);
});

describe("events without a value for a meter are counted once they are stored", () => {
  const metricOf = (slug: string): string => `tallystick_invalid_values_total{namespace="default",meter="${slug}"}`;
  const create = async (slug: string, meter: object): Promise<void> => {
    await product.json("/api/v1/meters", { json: { slug, aggregation: "SUM", valueProperty: "$.value", ...meter } });
  };
  /** A new meter counts from some batch on, and so do then those that were created before it. */
  const createAndWait = async (slug: string): Promise<void> => {
    await create(slug, { eventType: slug });
    const isNoticed = async (): Promise<void> => {
      await product.ingest({ type: slug });
      expect(await product.metric(metricOf(slug))).toBeGreaterThan(0);
    };
    await vi.waitFor(isNoticed, { timeout: 30_000, interval: 20 });
  };

  test("whatever the meter's start, also by a sink that was started again; duplicates are not", async () => {
    await create("invalid_sum", { eventType: "invalid", eventFrom: "2100-01-01T00:00:00Z" });
    await create("invalid_unique", { eventType: "invalid", aggregation: "UNIQUE_COUNT" });
    await product.json("/api/v1/meters", {
      json: { slug: "invalid_count", eventType: "invalid", aggregation: "COUNT" },
    });
    await createAndWait("invalid_marker");
    const counts = async (): Promise<readonly number[]> =>
      await Promise.all(["sum", "unique", "count"].map((each) => product.metric(metricOf(`invalid_${each}`))));

    const text = { id: "invalid-text", type: "invalid", data: { value: "many" } };
    await product.ingest(text, { type: "invalid", data: { value: "7" } });
    expect(await counts()).toEqual([1, Number.NaN, Number.NaN]);
    await product.ingest(text);
    await product.ingest(text, { type: "invalid", data: { value: 7 } });
    expect(await counts()).toEqual([1, Number.NaN, Number.NaN]);
    await product.product.parts.sink.terminate();
    await product.ingest({ type: "invalid" });
    expect(await counts()).toEqual([2, 1, Number.NaN]);
  });

  test("until the meter is deleted", async () => {
    const metric = metricOf("invalid_deleted");
    await createAndWait("invalid_deleted");
    await product.call("/api/v1/meters/invalid_deleted", { method: "DELETE" });
    const isOver = async (): Promise<void> => {
      const before = await product.metric(metric);
      await product.ingest({ type: "invalid_deleted" });
      expect(await product.metric(metric)).toBe(before);
    };
    await vi.waitFor(isOver, { timeout: 30_000, interval: 20 });
  });
});

test("readiness fails while the event store is down and returns by itself; nothing is lost meanwhile", async () => {
  const meter = { slug: "outage", eventType: "outage", aggregation: "COUNT" };
  await product.json("/api/v1/meters", { json: meter });
  await product.ingest({ type: "outage" });
  expect((await product.call("/healthz/ready")).status).toBe(200);

  process.kill(product.product.parts.engine.pid ?? 0, "SIGKILL");
  await vi.waitFor(async () => expect((await product.call("/healthz/ready")).status).toBe(503), {
    timeout: 10_000,
    interval: 1,
  });
  // Ingest does not need the event store.
  expect((await product.call("/api/v1/events", { json: product.event({ type: "outage" }) })).status).toBe(204);
  expect((await product.call("/healthz/live")).status).toBe(200);

  await vi.waitFor(async () => expect((await product.call("/healthz/ready")).status).toBe(200), { timeout: 60_000 });
  await product.settled();
  expect(await product.json("/api/v1/meters/outage/query")).toMatchObject({ data: [{ value: 2 }] });
  expect(await product.metric(`tallystick_engine_restarts_total{part="event_store"}`)).toBeGreaterThanOrEqual(1);
});
