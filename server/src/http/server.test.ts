/** The HTTP shell around operations that misbehave: what clients see of defects, faults, streams and a drain. */

import { once } from "node:events";
import { connect } from "node:net";
import {
  createMeterRoute,
  getMeterRoute,
  guardedOperation,
  jsonReply,
  operation,
  problemSchema,
  updateMeterRoute,
} from "@tallystick/contract";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Fault } from "../kernel/fault.ts";
import type { EventStreamOptions, StreamSlice } from "./event-stream.ts";
import { createHttpServer, type HttpServer, type RequestRecord } from "./server.ts";

let server: HttpServer;
let url: string;
const records: RequestRecord[] = [];
const errors: { readonly error: unknown; readonly requestId: string }[] = [];
let openStream: EventStreamOptions["open"] = () => {
  throw new Error("not set");
};
let stallTimeoutMs = 60_000;
let metricsText = async (): Promise<string> => "";
let getMeter: () => Promise<never> = async () => {
  throw new Error("not set");
};

beforeEach(async () => {
  stallTimeoutMs = 60_000;
  records.length = 0;
  errors.length = 0;
  server = createHttpServer({
    operations: [
      operation(getMeterRoute, async () => await getMeter()),
      operation(createMeterRoute, async ({ body }) => jsonReply(body)),
      guardedOperation(
        updateMeterRoute,
        async (header) => {
          if (header("authorization") === undefined) throw new Fault("unauthorized", "unauthorized", "who are you?");
          return "pass";
        },
        async (_, pass) => jsonReply(pass),
      ),
    ],
    crossOriginPaths: ["/api/v1/meters/*"],
    answerNow: (path) => {
      if (path === "/api/v1/meters/defect") throw new Error("secret cause");
      return path === "/api/v1/meters/known" ? `{"from":"memory"}` : null;
    },
    ingest: {
      maxBodyBytes: 100,
      accept: async () => {
        throw new Error("secret cause");
      },
    },
    eventStream: {
      open: (query, signal) => openStream(query, signal),
      maxStreams: 1,
      keepAliveMs: 5,
      get stallTimeoutMs() {
        return stallTimeoutMs;
      },
      onStreams: () => undefined,
    },
    checkReadiness: async () => undefined,
    metrics: { contentType: "text/plain", text: async () => await metricsText() },
    version: "1",
    onRequest: (record) => records.push(record),
    onError: (error, requestId) => errors.push({ error, requestId }),
  });
  url = `http://127.0.0.1:${await server.listen("127.0.0.1", 0)}`;
});
afterEach(async () => {
  await server.close(0);
});

async function problemOf(response: Response) {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  return problemSchema.parse(await response.json());
}

test("what is known at once is answered without the operations, unless that fails", async () => {
  getMeter = async () => {
    throw new Fault("not_found", "some_code", "the operation answers");
  };
  const answer = async (path: string): Promise<string> => await (await fetch(`${url}${path}`)).text();
  const response = await fetch(`${url}/api/v1/meters/known`);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(await response.text()).toBe(`{"from":"memory"}`);
  expect(await answer("/api/v1/meters/known?a=b")).toContain("the operation answers");
  expect(await answer("/api/v1/meters/other")).toContain("the operation answers");
  expect(await answer("/api/v1/meters/defect")).toContain("the operation answers");
  expect(errors.map(({ error }) => String(error))).toEqual(["Error: secret cause"]);
});

describe("errors", () => {
  test("a defect answers 500, shows nothing of its cause, and is reported under the request's id", async () => {
    const defect = new Error("secret cause");
    getMeter = async () => {
      throw defect;
    };
    for (const [path, method] of [
      ["/api/v1/meters/tokens", "GET"],
      ["/api/v1/events", "POST"],
    ] as const) {
      const response = await fetch(`${url}${path}`, { method, headers: { "x-request-id": `id-of-${method}` } });
      expect(response.status).toBe(500);
      const problem = await problemOf(response);
      expect(JSON.stringify(problem)).not.toContain("secret");
      expect(problem.instance).toBe(`urn:request:id-of-${method}`);
    }
    expect(errors.map(({ requestId }) => requestId)).toEqual(["id-of-GET", "id-of-POST"]);
    expect(errors[0]?.error).toBe(defect);
  });

  test.each([
    ["validation", 400, "Bad Request"],
    ["not_found", 404, "Not Found"],
    ["conflict", 409, "Conflict"],
    ["not_implemented", 501, "Not Implemented"],
    ["unavailable", 503, "Service Unavailable"],
  ] as const)("the fault %s answers %d and is not reported", async (kind, status, title) => {
    getMeter = async () => {
      const fields = [{ code: "c", message: "m", field: "$.f" }];
      throw new Fault(kind, "some_code", "what to do", { fields, retryAfterSeconds: 7 });
    };
    const response = await fetch(`${url}/api/v1/meters/tokens`);
    expect(response.status).toBe(status);
    expect(response.headers.get("retry-after")).toBe("7");
    const errorFields = [{ code: "c", message: "m", field: "$.f", severity: "critical" }];
    expect(await problemOf(response)).toMatchObject({
      title,
      detail: "what to do",
      extensions: { validationErrors: errorFields },
    });
    expect(errors).toEqual([]);
  });

  test("a wrong method names the right ones, with and without a body", async () => {
    for (const init of [{ method: "DELETE" }, { method: "PATCH", body: "{}" }]) {
      const response = await fetch(`${url}/api/v1/meters`, init);
      expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
      await problemOf(response);
    }
  });

  test("a body that was not announced is read, and an empty one is no JSON", async () => {
    const text = JSON.stringify({ slug: "s", eventType: "t", aggregation: "COUNT" });
    const stream = new Blob([text]).stream();
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: stream, duplex: "half" } as const;
    expect(await (await fetch(`${url}/api/v1/meters`, init)).json()).toEqual(JSON.parse(text));
    const empty = await fetch(`${url}/api/v1/meters`, { method: "POST", headers });
    expect((await problemOf(empty)).detail).toMatch(/^invalid JSON: /);
  });
});

test("a guarded operation refuses before it looks at anything else, and hands its pass on", async () => {
  const put = (headers: Record<string, string>, body: string) =>
    fetch(`${url}/api/v1/meters/tokens`, { method: "PUT", headers, body });
  const refused = await put({}, "no JSON");
  expect(refused.status).toBe(401);
  expect(refused.headers.get("www-authenticate")).toBe("Bearer");
  expect((await put({ authorization: "x" }, "no JSON")).status).toBe(400);
  const json = { authorization: "x", "content-type": "application/json" };
  expect(await (await put(json, "{}")).json()).toBe("pass");
});

describe("pages of other origins", () => {
  const origin = "https://shop.example";

  test("may ask beforehand, and read answers and refusals, where that is allowed", async () => {
    const preflight = await fetch(`${url}/api/v1/meters/tokens`, { method: "OPTIONS", headers: { origin } });
    expect(preflight.status).toBe(204);
    expect(Object.fromEntries(preflight.headers)).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-credentials": "true",
      "access-control-allow-methods": "GET,OPTIONS",
      "access-control-allow-headers": "Accept,Authorization,Content-Type",
      "access-control-max-age": "1728000",
      vary: expect.stringContaining("Origin"),
    });
    getMeter = async () => {
      throw new Error("defect");
    };
    for (const [method, status] of [
      ["GET", 500],
      ["PUT", 401],
      ["DELETE", 405],
    ] as const) {
      const response = await fetch(`${url}/api/v1/meters/tokens`, { method, headers: { origin } });
      expect(response.status).toBe(status);
      expect(response.headers.get("access-control-allow-origin")).toBe(origin);
      expect(response.headers.get("vary")).toContain("Origin");
    }
  });

  test("may not elsewhere, and nothing is said to those that name no origin", async () => {
    const elsewhere = await fetch(`${url}/version`, { headers: { origin } });
    expect(elsewhere.headers.get("access-control-allow-origin")).toBeNull();
    expect((await fetch(`${url}/version`, { method: "OPTIONS", headers: { origin } })).status).toBe(405);
    const plain = await fetch(`${url}/api/v1/meters/tokens`);
    expect(plain.headers.get("access-control-allow-origin")).toBeNull();
  });
});

test("every request is recorded once, with its final status", async () => {
  await (await fetch(`${url}/nowhere?secret=1`, { headers: { "x-request-id": "r" } })).text();
  expect(records).toMatchObject([{ requestId: "r", method: "GET", path: "/nowhere", status: 404 }]);
  expect(records[0]?.durationMs).toBeGreaterThan(0);
});

test("an answer under way arrives whole although the server closes and the client is slow", async () => {
  const text = "x".repeat(30_000_000);
  metricsText = async () => text;
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.write("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
  // The first bytes are there, the system's buffers are full, and the rest waits in the server when it closes.
  await once(socket, "readable");
  const closing = server.close(60_000);
  let received = 0;
  for await (const chunk of socket) received += (chunk as Buffer).length;
  expect(received).toBeGreaterThan(text.length);
  await closing;
});

test("closing ends idle connections at once, and cuts answers only after the grace", async () => {
  const idle = connect(Number(new URL(url).port), "127.0.0.1");
  const stuck = Promise.withResolvers<void>();
  metricsText = async () => {
    stuck.resolve();
    return await new Promise(() => undefined);
  };
  const busy = fetch(`${url}/metrics`);
  await stuck.promise;
  const [, , outcome] = await Promise.allSettled([
    new Promise((resolve) => idle.once("close", resolve)),
    server.close(50),
    busy,
  ]);
  expect(outcome.status).toBe("rejected");
});

test("while it drains the probe fails and connections are not kept", async () => {
  expect((await fetch(`${url}/healthz/ready`)).status).toBe(200);
  server.refuseReadiness();
  const response = await fetch(`${url}/healthz/ready`);
  expect([response.status, response.headers.get("connection")]).toEqual([503, "close"]);
  expect((await problemOf(response)).detail).toContain("shutting down");
  expect((await fetch(`${url}/healthz/live`)).status).toBe(200);
});

test("a taken port is refused", async () => {
  await expect(server.listen("127.0.0.1", Number(new URL(url).port))).rejects.toThrow();
});

describe("event streams", () => {
  const streamPath = "/api/v1/events/stream";
  const slice = (offset: number, ...json: readonly string[]): StreamSlice => ({
    position: `0-${offset}`,
    events: json.map((text) => ({ position: `0-${offset}`, json: text })),
  });

  test("a message is one line whatever its JSON looks like, and a fault is the last message", async () => {
    openStream = async function* () {
      yield slice(6);
      yield slice(7, '{"a":\r\n1,\n\nid: 9\r"b":"\u2028"}');
      throw new Fault("validation", "stream_position_expired", "gone", { fields: [{ code: "c", message: "gone" }] });
    };
    const response = await fetch(`${url}${streamPath}`, { headers: { "x-request-id": "r" } });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const [start, event, failure, rest] = (await response.text()).split("\n\n");
    expect(start).toBe(": events follow as they are accepted\nid: 0-6");
    expect(event).toBe('id: 0-7\nevent: event\ndata: {"a":  1,  id: 9 "b":"\u2028"}');
    const [name, data = ""] = failure?.split("\ndata: ") ?? [];
    expect(name).toBe("event: error");
    expect(problemSchema.parse(JSON.parse(data))).toMatchObject({ detail: "gone", instance: "urn:request:r" });
    expect(rest).toBe("");
    expect(errors).toEqual([]);
    expect(records).toMatchObject([{ status: 200, isStream: true }]);
  });

  test("a defect in the middle is reported and shows nothing of its cause", async () => {
    openStream = async function* () {
      yield slice(1);
      throw new Error("secret cause");
    };
    const text = await (await fetch(`${url}${streamPath}`)).text();
    expect(text).toContain("event: error\n");
    expect(text).not.toContain("secret");
    expect(errors).toHaveLength(1);
  });

  test.each([
    [[slice(1), slice(5)], /^: events [^\n]+\nid: 0-1\n\n: keep-alive\nid: 0-5\n\n: keep-alive\n\n: keep-alive\n/],
    [[slice(1), slice(5, "{}")], /id: 0-5\nevent: event\ndata: {}\n\n: keep-alive\n\n: keep-alive\n\n: keep-alive\n/],
  ])("comments keep it alive and say how far it has looked, each position once (%#)", async (slices, expected) => {
    openStream = async function* (_query, signal) {
      yield* slices;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    const response = await fetch(`${url}${streamPath}`);
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      if (text.split("keep-alive").length > 3) break;
    }
    expect(text).toMatch(expected);
  });

  test.each([
    ["", undefined],
    ["?lastEventId=0-1", undefined],
    ["?lastEventId=0-1", ""],
    ["?lastEventId=0-1", "0-2"],
  ])("%j with the header %j", async (search, header) => {
    const queries: unknown[] = [];
    openStream = (query) => {
      queries.push(query.lastEventId);
      throw new Fault("validation", "c", "refused");
    };
    const headers = header === undefined ? {} : { "last-event-id": header };
    expect((await fetch(`${url}${streamPath}${search}`, { headers })).status).toBe(400);
    expect(queries).toEqual([search === "" ? undefined : header === "0-2" ? "0-2" : "0-1"]);
  });

  test("a slow client stops the reading, and a closing server cuts it off", async () => {
    let pulled = 0;
    openStream = async function* () {
      const json = JSON.stringify("x".repeat(100_000));
      for (;;) yield slice(++pulled, json);
    };
    const socket = connect(Number(new URL(url).port), "127.0.0.1").pause();
    socket.write(`GET ${streamPath} HTTP/1.1\r\nhost: x\r\n\r\n`);
    let before = -1;
    const isStill = (): boolean => pulled > 0 && pulled === before;
    await vi.waitFor(
      () => {
        const result = isStill();
        before = pulled;
        expect(result).toBe(true);
      },
      { timeout: 20_000, interval: 200 },
    );
    // What the kernel keeps for both ends of a connection is a few megabytes.
    expect(pulled).toBeLessThan(300);
    const startedMs = performance.now();
    await server.close(60_000);
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    socket.destroy();
  });

  test("a client that takes nothing while something waits for it is cut off, and its place is free", async () => {
    stallTimeoutMs = 300;
    const json = JSON.stringify("x".repeat(100_000));
    const endless = async function* () {
      for (let offset = 1; ; offset += 1) yield slice(offset, json);
    };
    const wordy = async function* () {
      yield slice(1);
      throw new Fault("validation", "c", "last words ".repeat(3_000_000));
    };
    for (const slices of [endless, wordy]) {
      openStream = slices;
      const before = records.length;
      const socket = connect(Number(new URL(url).port), "127.0.0.1").pause();
      socket.on("error", () => undefined);
      socket.write(`GET ${streamPath} HTTP/1.1\r\nhost: x\r\n\r\n`);
      await vi.waitFor(() => expect(records.length).toBe(before + 1), { timeout: 20_000 });
      socket.destroy();
    }
    // One stream is all that this server takes.
    openStream = async function* () {
      yield slice(1);
    };
    expect((await fetch(`${url}${streamPath}`)).status).toBe(200);
    expect(errors).toEqual([]);
  });

  test("a client that reads, however little there is, is not cut off", async () => {
    stallTimeoutMs = 50;
    const more = Promise.withResolvers<void>();
    openStream = async function* () {
      yield slice(1, JSON.stringify("x".repeat(1_000_000)));
      await more.promise;
      yield slice(2, '"last"');
    };
    const response = await fetch(`${url}${streamPath}`);
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      // Far longer than a stall may take: silence is not the client's fault.
      if (text.split("keep-alive").length > 40) more.resolve();
    }
    expect(text).toContain('"last"');
  });

  test("beyond the limit it is refused, and a client that leaves frees its place", async () => {
    openStream = async function* (_query, signal) {
      yield slice(1);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    const leave = new AbortController();
    await fetch(`${url}${streamPath}`, { signal: leave.signal });
    const refused = await fetch(`${url}${streamPath}`);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
    expect((await problemOf(refused)).detail).toContain("limit");
    leave.abort();
    const again = new AbortController();
    await vi.waitFor(async () => {
      expect((await fetch(`${url}${streamPath}`, { signal: again.signal })).status).toBe(200);
    });
    again.abort();
  });
});
