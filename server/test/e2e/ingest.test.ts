/** Ingest over HTTP: what is accepted, what is refused and how, and that a refused request leaves nothing behind. */

import { request as httpRequest } from "node:http";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answer, startTestProduct, type TestProduct } from "./product-fixture.ts";

const SINGLE = "application/cloudevents+json";
const BATCH = "application/cloudevents-batch+json";
const EITHER = "application/json";
const MAX_BODY_BYTES = 65_536;

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct(`
ingest: { maxBodyBytes: ${MAX_BODY_BYTES}, maxEvents: 50, maxEventBytes: 4096, maxDepth: 8, maxAttributeBytes: 64 }
`);
});
afterAll(async () => {
  await product?.stop();
});

function send(body: string | Uint8Array, contentType: string | undefined, headers = {}): Promise<Answer> {
  const typed = contentType === undefined ? {} : { "content-type": contentType };
  return product.call("/api/v1/events", { method: "POST", headers: { ...typed, ...headers }, body });
}

/** Ids of the stored events of a type, ascending. */
async function storedIds(type: string): Promise<readonly string[]> {
  await product.settled();
  const filter = encodeURIComponent(JSON.stringify({ type: { $eq: type } }));
  const page = await product.json<{ items: { event: { id: string } }[] }>(`/api/v2/events?filter=${filter}`);
  return page.items.map(({ event }) => event.id).toSorted();
}

describe("content types", () => {
  const sent: string[] = [];

  test.each([
    [SINGLE, false],
    [BATCH, true],
    [EITHER, false],
    [EITHER, true],
    [`${EITHER}; charset=utf-8`, true],
    [`${SINGLE};charset=UTF-8`, false],
    [`${BATCH} ; charset="utf-8"`, true],
    ["Application/CloudEvents+JSON", false],
  ])("%s, array: %s", async (contentType, isArray) => {
    const event = product.event({ type: "content-types" });
    const answer = await send(JSON.stringify(isArray ? [event] : event), contentType);
    expect(answer).toMatchObject({ status: 204, text: "" });
    sent.push(String(event["id"]));
  });

  test("all of these were stored", async () => {
    expect(sent.length).toBeGreaterThan(0);
    expect(await storedIds("content-types")).toEqual(sent.toSorted());
  });

  test("a batch type with an empty array stores nothing, application/json refuses it", async () => {
    expect((await send("[]", BATCH)).status).toBe(204);
    expect((await send(" [ ] ", BATCH)).status).toBe(204);
    const refused = await send("[]", EITHER);
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text)).toMatchObject({ detail: "invalid event: no events found" });
  });

  test.each([
    ["text/plain", "text/plain"],
    ["application/xml; charset=utf-8", "application/xml"],
    ["application/cloudevents", "application/cloudevents"],
    [undefined, "none was sent"],
  ])("%s is refused with 400", async (contentType, named) => {
    const body = new TextEncoder().encode(JSON.stringify(product.event({ type: "refused-types" })));
    const refused = await send(body, contentType);
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text).detail).toMatch(/^invalid content type: /);
    expect(JSON.parse(refused.text).detail).toContain(named);
    expect(await storedIds("refused-types")).toEqual([]);
  });

  test.each([
    [SINGLE, "[]", "the body must be one object"],
    [BATCH, "{}", "the body must be an array"],
  ])("%s refuses %s", async (contentType, body, sentence) => {
    const refused = await send(body, contentType);
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text).detail).toContain(sentence);
  });
});

describe("gzip", () => {
  test("a compressed body is accepted", async () => {
    const event = product.event({ type: "gzip" });
    const answer = await send(gzipSync(JSON.stringify(event)), SINGLE, { "content-encoding": "gzip" });
    expect(answer.status).toBe(204);
    expect(await storedIds("gzip")).toEqual([event["id"]]);
  });

  test("the limit applies after decompression", async () => {
    const bomb = gzipSync(Buffer.alloc(MAX_BODY_BYTES * 20, 0x20));
    expect(bomb.length).toBeLessThan(MAX_BODY_BYTES);
    const refused = await send(bomb, BATCH, { "content-encoding": "gzip" });
    expect(refused.status).toBe(413);
    expect(JSON.parse(refused.text).detail).toContain("ingest.maxBodyBytes");
  });

  test.each([
    ["not gzip at all", Buffer.from("plain"), "gzip"],
    ["cut in half", gzipSync(JSON.stringify([{ a: 1 }])).subarray(0, 15), "gzip"],
    ["an encoding that is not supported", Buffer.from("x"), "br"],
  ])("%s is refused with 400", async (_, body, encoding) => {
    const refused = await send(body, BATCH, { "content-encoding": encoding });
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text).detail).toContain("gzip");
  });
});

describe("bad events", () => {
  const good = { specversion: "1.0", id: "bad-1", source: "bad", type: "bad", subject: "s" };
  const { id: _id, ...withoutId } = good;

  test.each<readonly [string, Readonly<Record<string, unknown>>, string]>([
    ["id missing", withoutId, "$.id"],
    ["id empty", { ...good, id: "" }, "$.id"],
    ["id null", { ...good, id: null }, "$.id"],
    ["id a number", { ...good, id: 1 }, "$.id"],
    ["source empty", { ...good, source: "" }, "$.source"],
    ["type empty", { ...good, type: "" }, "$.type"],
    ["subject missing", { ...good, subject: undefined }, "$.subject"],
    ["subject an array", { ...good, subject: ["s"] }, "$.subject"],
    ["subject too long", { ...good, subject: "é".repeat(33) }, "$.subject"],
    ["specversion missing", { ...good, specversion: undefined }, "$.specversion"],
    ["specversion 2.0", { ...good, specversion: "2.0" }, "$.specversion"],
    ["specversion null", { ...good, specversion: null }, "$.specversion"],
    ["specversion a number", { ...good, specversion: 1.0 }, "$.specversion"],
    ["time without offset", { ...good, time: "2026-01-01T00:00:00" }, "$.time"],
    ["time a date", { ...good, time: "2026-01-01" }, "$.time"],
    ["time a number", { ...good, time: 1_767_225_600 }, "$.time"],
    ["time empty", { ...good, time: "" }, "$.time"],
    ["time with second 60", { ...good, time: "2016-12-31T23:59:60Z" }, "$.time"],
    ["time with 10 fractional digits", { ...good, time: "2026-01-01T00:00:00.0000000001Z" }, "$.time"],
    ["time that does not exist", { ...good, time: "2026-02-30T00:00:00Z" }, "$.time"],
    ["time before 1970", { ...good, time: "1969-12-31T23:59:59.999999Z" }, "$.time"],
    ["time from 2200 on", { ...good, time: "2200-01-01T00:00:00Z" }, "$.time"],
    ["datacontenttype XML", { ...good, datacontenttype: "application/xml" }, "$.datacontenttype"],
    ["datacontenttype a number", { ...good, datacontenttype: 5 }, "$.datacontenttype"],
    ["dataschema empty", { ...good, dataschema: "" }, "$.dataschema"],
    ["data text", { ...good, data: "42" }, "$.data"],
    ["data a number", { ...good, data: 42 }, "$.data"],
    ["data a boolean", { ...good, data: true }, "$.data"],
    ["data an array", { ...good, data: [{ a: 1 }] }, "$.data"],
    ["data too deep", { ...good, data: { a: [[[[[[[[1]]]]]]]] } }, "$.data"],
    ["an event too large", { ...good, data: { a: "x".repeat(4096) } }, "$"],
  ])("%s", async (_, event, field) => {
    const refused = await send(JSON.stringify(event), SINGLE);
    expect(refused.status).toBe(400);
    const problem = JSON.parse(refused.text);
    expect(problem.detail).toContain("invalid event");
    expect(problem.extensions.validationErrors).toEqual([
      { code: "invalid_event", message: expect.stringMatching(/.{10}/), field, severity: "critical" },
    ]);
  });

  test.each([
    ["1969-12-31T23:59:59Z", "event time out of range"],
    ["2200-01-01T00:00:00Z", "event time out of range"],
  ])("%s is named as out of range", async (time, sentence) => {
    const refused = await send(JSON.stringify({ ...good, time }), SINGLE);
    expect(JSON.parse(refused.text).extensions.validationErrors[0].message).toContain(sentence);
  });

  test("one bad event refuses the batch, and every bad event and field is named", async () => {
    const batch = [good, { ...good, id: "bad-2", subject: "" }, good, { ...good, id: 7, data: 1 }, 5, null];
    const refused = await send(JSON.stringify(batch), BATCH);
    expect(refused.status).toBe(400);
    const { validationErrors } = JSON.parse(refused.text).extensions;
    const fields = validationErrors.map((error: { field: string }) => error.field);
    expect(fields).toEqual(["$[1].subject", "$[3].id", "$[3].data", "$[4]", "$[5]"]);
    expect(await storedIds("bad")).toEqual([]);
  });

  test.each([
    ["", SINGLE],
    ["{", SINGLE],
    ['{"id":"1",}', SINGLE],
    ["[{}", BATCH],
    ["[{},]", BATCH],
    ["{} {}", SINGLE],
    ["[] []", EITHER],
    ["nonsense", EITHER],
    [`{"id":"\\ud800"`, SINGLE],
    [`{"id":"a\nb"}`, SINGLE],
  ])("%j is not JSON", async (body, contentType) => {
    const refused = await send(body, contentType);
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text).detail).toMatch(/^invalid JSON: .{5}/);
  });

  test("text that is not UTF-8 is refused", async () => {
    const refused = await send(Buffer.from([0x7b, 0xff, 0x7d]), SINGLE);
    expect(JSON.parse(refused.text).detail).toContain("UTF-8");
  });

  test("nothing of all this was stored", async () => {
    expect(await storedIds("bad")).toEqual([]);
  });
});

const ACCEPTED: readonly (readonly [string, Readonly<Record<string, unknown>>, object])[] = [
  ["specversion 0.3 shows as 1.0", { specversion: "0.3" }, { specversion: "1.0" }],
  ["an offset becomes UTC", { time: "2026-01-01T01:00:00+01:00" }, { time: "2026-01-01T00:00:00Z" }],
  ["nanoseconds are floored", { time: "2026-01-01T00:00:00.123456789Z" }, { time: "2026-01-01T00:00:00.123456Z" }],
  ["the first instant", { time: "1970-01-01T00:00:00Z" }, { time: "1970-01-01T00:00:00Z" }],
  ["the last instant", { time: "2199-12-31T23:59:59.999999Z" }, { time: "2199-12-31T23:59:59.999999Z" }],
  ["null where null may be", { time: null, data: null, datacontenttype: null, dataschema: null }, {}],
  ["extensions are dropped", { traceparent: "00-ab", extra: { deep: [1] } }, {}],
  ["datacontenttype and dataschema", { datacontenttype: "application/json", dataschema: "urn:x" }, {}],
  ["any text", { subject: 'Ünï \u0000 \u{1F600} "\\' }, { subject: 'Ünï \u0000 \u{1F600} "\\' }],
  ["an attribute of exactly the limit", { subject: "é".repeat(32) }, { subject: "é".repeat(32) }],
];

describe("what is accepted", () => {
  const shown = new Map<string, Readonly<Record<string, unknown>>>();

  beforeAll(async () => {
    await product.ingest(...ACCEPTED.map(([name, draft]) => ({ ...draft, type: "accepted", id: name })));
    const filter = encodeURIComponent(JSON.stringify({ type: { $eq: "accepted" } }));
    const page = await product.json<{ items: { event: Record<string, unknown> }[] }>(`/api/v2/events?filter=${filter}`);
    for (const { event } of page.items) shown.set(String(event["id"]), event);
  });

  test.each(ACCEPTED)("%s", (name, _draft, expected) => {
    expect(shown.get(name)).toMatchObject(expected);
    expect(shown.get(name)).not.toHaveProperty("traceparent");
  });
});

describe("limits", () => {
  test("more events than allowed: 400 that names the limit, nothing stored", async () => {
    const events = Array.from({ length: 51 }, () => product.event({ type: "too-many" }));
    const refused = await send(JSON.stringify(events), BATCH);
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text).detail).toContain("50 (ingest.maxEvents)");
    expect(await storedIds("too-many")).toEqual([]);
    expect((await send(JSON.stringify(events.slice(1)), BATCH)).status).toBe(204);
    expect(await storedIds("too-many")).toHaveLength(50);
  });

  test("a body over the limit: 413, announced or not", async () => {
    const body = " ".repeat(MAX_BODY_BYTES + 1);
    const announced = await send(body, BATCH);
    expect(announced.status).toBe(413);
    expect(JSON.parse(announced.text).detail).toContain(`${MAX_BODY_BYTES} bytes (ingest.maxBodyBytes)`);
    const refused = { status: 413, contentType: "application/problem+json" };
    expect(await sendChunked("/api/v1/events", body)).toEqual(refused);
    expect(await sendChunked("/api/v1/events", body.repeat(100))).toEqual(refused);
  });

  test("bodies of other operations: at most 1 MiB, announced or not, and chunked ones are read", async () => {
    const huge = `{"name":"${"x".repeat(1024 * 1024)}"}`;
    const problem = await product.problem(413, "/api/v1/meters", { headers: { "content-type": EITHER }, body: huge });
    expect(problem.detail).toContain("1048576 bytes");
    expect(await sendChunked("/api/v1/meters", huge)).toMatchObject({ status: 413 });
    expect(await sendChunked("/api/v1/meters", huge.repeat(8))).toMatchObject({ status: 413 });
    const small = `{"slug":"chunked","eventType":"chunked","aggregation":"COUNT"}`;
    expect(await sendChunked("/api/v1/meters", small)).toEqual({ status: 200, contentType: "application/json" });
  });

  test("a body of exactly the limit is accepted", async () => {
    const text = JSON.stringify(product.event({ type: "exact-limit" }));
    expect((await send(text.padEnd(MAX_BODY_BYTES), SINGLE)).status).toBe(204);
  });
});

interface ChunkedAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
}

/** Sends a body without Content-Length. */
async function sendChunked(path: string, body: string): Promise<ChunkedAnswer> {
  return await new Promise((resolve, reject) => {
    const headers = { "content-type": path === "/api/v1/events" ? BATCH : EITHER, "transfer-encoding": "chunked" };
    const request = httpRequest(`${product.url}${path}`, { method: "POST", headers }, (response) => {
      response.resume();
      resolve({ status: response.statusCode ?? 0, contentType: response.headers["content-type"] });
    });
    request.on("error", reject);
    for (let at = 0; at < body.length; at += 8192) request.write(body.slice(at, at + 8192));
    request.end();
  });
}

describe("routes and methods", () => {
  test.each([
    ["/api/v1/event", "POST"],
    ["/api/v1/events/", "POST"],
    ["/api/v3/openmeter/events", "GET"],
    ["/nowhere", "GET"],
  ])("%s is unknown: 404", async (path, method) => {
    const problem = await product.problem(404, path, { method });
    expect(problem.detail).toContain(path);
  });

  test.each([
    ["/api/v1/events", "DELETE", "GET, POST"],
    ["/api/v1/events", "PUT", "GET, POST"],
    ["/api/v1/events/conflicts", "POST", "GET"],
    ["/api/v2/events", "POST", "GET"],
    ["/api/v1/meters", "PATCH", "GET, POST"],
    ["/api/v1/meters/any", "POST", "DELETE, GET, PUT"],
    ["/api/v1/meters/any/query", "DELETE", "GET, POST"],
    ["/healthz/live", "POST", "GET"],
    ["/metrics", "DELETE", "GET"],
  ])("%s %s: 405 with Allow", async (path, method, allowed) => {
    const answer = await product.call(path, { method });
    expect(answer.status).toBe(405);
    expect(answer.headers.get("allow")?.split(", ").toSorted().join(", ")).toBe(allowed);
  });

  test("the client's request id is the instance of its problem; an unusable one is replaced", async () => {
    const own = await product.problem(404, "/nowhere", { headers: { "x-request-id": "my-request/1" } });
    expect(own.instance).toBe("urn:request:my-request/1");
    const ingest = await send("", SINGLE, { "x-request-id": "ingest-7" });
    expect(JSON.parse(ingest.text).instance).toBe("urn:request:ingest-7");
    const replaced = await product.problem(404, "/nowhere", { headers: { "x-request-id": "a b" } });
    expect(replaced.instance).toMatch(/^urn:request:[0-9a-f-]{36}$/);
  });
});
