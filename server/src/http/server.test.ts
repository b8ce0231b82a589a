/** The HTTP shell around operations that misbehave: what clients see of defects, faults and a drain. */

import { createMeterRoute, getMeterRoute, jsonReply, operation, problemSchema } from "@tallystick/contract";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Fault } from "../kernel/fault.ts";
import { createHttpServer, type HttpServer, type RequestRecord } from "./server.ts";

let server: HttpServer;
let url: string;
const records: RequestRecord[] = [];
const errors: { readonly error: unknown; readonly requestId: string }[] = [];
let getMeter: () => Promise<never> = async () => {
  throw new Error("not set");
};

beforeEach(async () => {
  records.length = 0;
  errors.length = 0;
  server = createHttpServer({
    operations: [
      operation(getMeterRoute, async () => await getMeter()),
      operation(createMeterRoute, async ({ body }) => jsonReply(body)),
    ],
    ingest: {
      maxBodyBytes: 100,
      accept: async () => {
        throw new Error("secret cause");
      },
      onAccepted: () => undefined,
    },
    checkReadiness: async () => undefined,
    metrics: { contentType: "text/plain", text: async () => "" },
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

test("every request is recorded once, with its final status", async () => {
  await (await fetch(`${url}/nowhere?secret=1`, { headers: { "x-request-id": "r" } })).text();
  expect(records).toMatchObject([{ requestId: "r", method: "GET", path: "/nowhere", status: 404 }]);
  expect(records[0]?.durationMs).toBeGreaterThan(0);
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
