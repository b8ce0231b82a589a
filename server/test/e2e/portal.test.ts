/**
 * The portal over HTTP: what a token lets a browser read and how everything else is refused; that no request reads another
 * subject's usage; and that tokens and their revocation outlive a restart.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeterQueryResult, PortalTokenBody } from "@tallystick/contract";
import fc from "fast-check";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { type Product, startProduct } from "../../src/app/product.ts";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

const TOKENS = "/api/v1/portal/tokens";
const QUERY = "/api/v1/portal/meters/tokens/query";
const ORIGIN = "https://shop.example";
const RANGE = "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z";

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct("portal:\n  maxTokenExpiration: P1D\n  rateLimit: 1000000\n");
  const meter = { eventType: "prompt", aggregation: "SUM", valueProperty: "$.n", groupBy: { model: "$.model" } };
  for (const slug of ["tokens", "other"]) await product.json("/api/v1/meters", { json: { ...meter, slug } });
  await product.ingest(
    ...["mine", "theirs", "mine "].flatMap((subject, index) =>
      ["a", "b"].map((model) => ({
        type: "prompt",
        subject,
        time: "2026-01-15T10:00:00Z",
        data: { model, n: `${10 ** index}.000000000000000000001` },
      })),
    ),
  );
});
afterAll(async () => {
  await product?.stop();
});

async function token(draft: object = {}): Promise<string> {
  const { token: text } = await product.json<PortalTokenBody>(TOKENS, { json: { subject: "mine", ...draft } });
  return text ?? "";
}

const bearer = (text: string) => ({ headers: { authorization: `Bearer ${text}` } });

describe("a token", () => {
  test("is answered once with its text, and listed without", async () => {
    const json = { subject: "listed", allowedMeterSlugs: ["tokens"], expiresAt: inHours(2, ".900Z"), id: "ignored" };
    const made = await product.json<PortalTokenBody>(TOKENS, { json });
    const { token: text, ...rest } = made;
    expect(text).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/u);
    expect(rest).toEqual({
      id: expect.stringMatching(/^[0-9A-Z]{26}$/u),
      subject: "listed",
      expiresAt: json.expiresAt.replace(".900", ""),
      createdAt: expect.any(String),
      allowedMeterSlugs: ["tokens"],
    });
    const [first] = await product.json<readonly PortalTokenBody[]>(TOKENS);
    expect(first).toEqual({ ...rest, expired: false });
    expect(await product.json(`${TOKENS}?limit=1`)).toHaveLength(1);
    for (const limit of ["0", "101", "x"]) await product.problem(400, `${TOKENS}?limit=${limit}`);
    expect((await product.call(`${TOKENS}/invalidate`, { json: { subject: "listed" } })).status).toBe(204);
    expect(await product.json(`${TOKENS}?limit=1`)).not.toMatchObject([{ id: made.id }]);
  });

  test.each<[string, number, object, string, RegExp]>([
    ["no subject", 400, {}, "$.subject", /"subject" is missing/u],
    ["an empty subject", 400, { subject: "" }, "$.subject", /1 to 1024 bytes/u],
    [
      "an expiry in the past",
      400,
      { subject: "s", expiresAt: "2020-01-01T00:00:00Z" },
      "$.expiresAt",
      /^expiration date must be in the future$/u,
    ],
    ["an expiry without offset", 400, { subject: "s", expiresAt: "2030-01-01" }, "$.expiresAt", /"expiresAt" must be/u],
    ["an expiry too far", 400, { subject: "s", expiresAt: inHours(25) }, "$.expiresAt", /at most 86400 seconds ahead/u],
    [
      "no slugs",
      400,
      { subject: "s", allowedMeterSlugs: [] },
      "$.allowedMeterSlugs",
      /^slug filter cannot be an empty array when provided/u,
    ],
    ["an empty slug", 400, { subject: "s", allowedMeterSlugs: [""] }, "$.allowedMeterSlugs[0]", /must not be empty/u],
  ])("with %s is refused", async (_, status, json, field, sentence) => {
    const problem = await product.problem(status, TOKENS, { json });
    expect(problem.detail.replace("request body: ", "")).toMatch(sentence);
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual([field]);
  });

  test("of an unknown meter is refused, and revoking nothing is no request", async () => {
    await product.problem(404, TOKENS, { json: { subject: "s", allowedMeterSlugs: ["nothing"] } });
    const problem = await product.problem(400, `${TOKENS}/invalidate`, { json: {} });
    expect(problem.detail).toMatch(/send id, or subject/u);
  });
});

describe("a query", () => {
  test("answers what the operator's own query about the subject answers, as JSON and CSV", async () => {
    const text = await token();
    for (const parameters of [
      RANGE,
      `${RANGE}&groupBy=model`,
      `${RANGE}&windowSize=DAY&windowTimeZone=Asia/Tokyo`,
      "",
    ]) {
      for (const accept of ["application/json", "text/csv"]) {
        const own = await product.call(`/api/v1/meters/tokens/query?${parameters}&subject=mine`, {
          headers: { accept },
        });
        const headers = { accept, ...bearer(text).headers };
        const theirs = await product.call(`${QUERY}?${parameters}`, { headers });
        expect(theirs.status, theirs.text).toBe(200);
        expect(theirs.text).toBe(own.text);
        expect(theirs.text).toContain("mine");
        for (const name of ["content-type", "content-disposition"]) {
          expect(theirs.headers.get(name)).toBe(own.headers.get(name));
        }
      }
    }
    expect((await product.call(`${QUERY}?${RANGE}`, bearer(text))).text).toContain('"value":2.000000000000000000002,');
    const filter = encodeURIComponent(JSON.stringify({ model: { $eq: "a" } }));
    const advanced = await product.call(`${QUERY}?${RANGE}&advancedMeterGroupByFilters=${filter}`, bearer(text));
    expect(advanced.text).toContain('"value":1.000000000000000000001,');
  });

  test("is refused with the reason, before anything else about it is looked at", async () => {
    const valid = await token();
    const refused: readonly (readonly [Record<string, string>, string | RegExp])[] = [
      [{}, "missing authorization header"],
      [{ authorization: valid }, "invalid authorization header"],
      [{ authorization: `Basic ${valid}` }, "invalid authorization header"],
      [{ authorization: "Bearer " }, "bearer token cannot be empty"],
      [{ authorization: "Bearer a.b.c" }, /^invalid token: /u],
      [{ authorization: `Bearer ${valid.slice(0, -1)}${valid.endsWith("A") ? "B" : "A"}` }, /^invalid token: /u],
    ];
    for (const [headers, detail] of refused) {
      for (const path of [QUERY, `${QUERY}?from=never`, "/api/v1/portal/meters/NO%20SLUG/query"]) {
        const problem = await product.problem(401, path, { headers });
        expect(problem.detail).toEqual(typeof detail === "string" ? detail : expect.stringMatching(detail));
        expect(JSON.stringify(problem)).not.toContain(valid.slice(0, 20));
      }
    }
    const narrow = await token({ allowedMeterSlugs: ["other"] });
    expect((await product.problem(401, QUERY, bearer(narrow))).detail).toBe("meter slug not allowed");
    expect((await product.call("/api/v1/portal/meters/other/query", bearer(narrow))).status).toBe(200);
  });

  test("finds meters by slug only, live ones only, and groups by no customer", async () => {
    const text = await token();
    const meter = { slug: "short_lived", eventType: "e", aggregation: "COUNT" };
    const { id } = await product.json<{ id: string }>("/api/v1/meters", { json: meter });
    const path = "/api/v1/portal/meters/short_lived/query";
    expect((await product.call(path, bearer(text))).status).toBe(200);
    await product.problem(404, `/api/v1/portal/meters/${id.toLowerCase()}/query`, bearer(text));
    await product.call("/api/v1/meters/short_lived", { method: "DELETE" });
    await product.problem(404, path, bearer(text));
    await product.problem(404, "/api/v1/portal/meters/nothing/query", bearer(text));
    const grouped = await product.problem(400, `${QUERY}?groupBy=customer_id`, bearer(text));
    expect(grouped.detail).toMatch(/^invalid group by: customer_id/u);
    // A portal token means nothing to the management API, and changes nothing there.
    expect((await product.call("/api/v1/meters/tokens/query", bearer("x"))).status).toBe(200);
  });

  test("has at most 10,000 rows", async () => {
    const subject = "busy";
    const meter = { slug: "busy", eventType: "busy", aggregation: "COUNT", groupBy: { key: "$.k" } };
    await product.json("/api/v1/meters", { json: meter });
    const events = Array.from({ length: 10_000 }, (_, index) => ({
      type: "busy",
      subject,
      time: "2026-01-15T10:00:00Z",
      data: { k: `${index}` },
    }));
    await product.ingest(...events);
    const text = await token({ subject });
    const path = `/api/v1/portal/meters/busy/query?groupBy=key&${RANGE}`;
    expect((await product.json<MeterQueryResult>(path, bearer(text))).data).toHaveLength(10_000);
    await product.ingest({ type: "busy", subject, time: "2026-01-15T10:00:00Z", data: { k: "one more" } });
    const problem = await product.problem(400, path, bearer(text));
    expect(problem.detail).toBe("the result has more than 10000 rows; group by less or ask for a shorter period");
  });

  test("never reads another subject's usage, whatever it asks for", async () => {
    const text = await token();
    const value = fc.constantFrom(
      "theirs",
      "mine",
      "subject",
      "customer_id",
      "model",
      "a",
      "",
      "mine ",
      '{"$ne":"mine"}',
    );
    const name = fc.constantFrom(
      "subject",
      "Subject",
      "subject[]",
      "subject[0]",
      "groupBy",
      "filterCustomerId",
      "filterGroupBy[model]",
      "filterGroupBy[subject]",
      "filterGroupBy[__proto__]",
      "clientId",
      "namespace",
      "windowSize",
      "from",
    );
    const filters = fc.constantFrom(
      '{"model":{"$ne":"x"}}',
      '{"subject":{"$eq":"theirs"}}',
      '{"model":{"$or":[{"$eq":"a"},{"$exists":false}]}}',
    );
    const parameter = fc.oneof(
      fc.tuple(name, value),
      fc.tuple(fc.constant("advancedMeterGroupByFilters"), filters),
      fc.tuple(fc.constant("windowSize"), fc.constantFrom("DAY", "HOUR")),
      fc.tuple(fc.constant("from"), fc.constantFrom("2026-01-01T00:00:00Z", "2026-01-15T10:00:00Z")),
    );
    const seed = Date.now() % 2 ** 31;
    let answered = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(parameter, { maxLength: 5 }), async (parameters) => {
        const answer = await product.call(`${QUERY}?${new URLSearchParams(parameters).toString()}`, bearer(text));
        expect([200, 400, 404], answer.text).toContain(answer.status);
        if (answer.status !== 200) return;
        answered += 1;
        const { data } = JSON.parse(answer.text) as MeterQueryResult;
        for (const row of data) {
          expect(row.subject).toBe("mine");
          expect([1, 2]).toContain(Math.round(row.value));
        }
      }),
      { numRuns: 300, seed },
    );
    expect(answered, `seed ${seed}`).toBeGreaterThan(20);
  });
});

describe("pages of other origins", () => {
  const crossOrigin = "access-control-allow-origin";

  test("may query, and may do nothing else", async () => {
    const preflight = await product.call(QUERY, { method: "OPTIONS", headers: { origin: ORIGIN } });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get(crossOrigin)).toBe(ORIGIN);
    const asked = await product.call(QUERY, { headers: { origin: ORIGIN, ...bearer(await token()).headers } });
    expect([asked.status, asked.headers.get(crossOrigin)]).toEqual([200, ORIGIN]);
    const refused = await product.call(QUERY, { headers: { origin: ORIGIN } });
    expect([refused.status, refused.headers.get(crossOrigin)]).toEqual([401, ORIGIN]);
    const tokens = await product.call(TOKENS, { headers: { origin: ORIGIN } });
    expect([tokens.status, tokens.headers.get(crossOrigin)]).toEqual([200, null]);
    expect((await product.call(TOKENS, { method: "OPTIONS", headers: { origin: ORIGIN } })).status).toBe(405);
  });
});

test("switched off, every operation answers 501, whatever else is wrong with the request", async () => {
  const off = await startTestProduct("portal:\n  enabled: false\n  corsEnabled: false\n");
  try {
    await off.problem(501, TOKENS);
    await off.problem(501, `${TOKENS}?limit=0`);
    await off.problem(501, TOKENS, { json: {} });
    await off.problem(501, `${TOKENS}/invalidate`, { json: { id: "x" } });
    expect((await off.problem(501, QUERY)).detail).toMatch(/portal.enabled/u);
    expect((await off.call(QUERY, { method: "OPTIONS", headers: { origin: ORIGIN } })).status).toBe(405);
  } finally {
    await off.stop();
  }
});

test("tokens and revocations outlive a restart; a token that asks too often waits", async () => {
  const root = await mkdtemp(join(tmpdir(), "tallystick-portal-"));
  const start = async (): Promise<Product> => {
    const values = new Map([
      ["address", "127.0.0.1:0"],
      ["dataDir", join(root, "data")],
      ["portal.rateLimit", "3"],
    ]);
    const given = { flags: { values }, env: {}, cwd: root, isTerminal: false, readFile: () => undefined };
    return await startProduct({ config: loadConfig(given).config, logger: pino({ level: "silent" }), version: "0" });
  };
  let running: Product | undefined;
  const post = async (path: string, body: unknown): Promise<PortalTokenBody> => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${running?.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await answer.text();
    return (text === "" ? {} : JSON.parse(text)) as PortalTokenBody;
  };
  const query = async ({ token: text }: PortalTokenBody) => await fetch(`${running?.url}${QUERY}`, bearer(text ?? ""));
  try {
    running = await start();
    await post("/api/v1/meters", { slug: "tokens", eventType: "prompt", aggregation: "COUNT" });
    const [kept, revoked] = [await post(TOKENS, { subject: "mine" }), await post(TOKENS, { subject: "mine" })];
    expect([(await query(kept)).status, (await query(revoked)).status]).toEqual([200, 200]);
    await post(`${TOKENS}/invalidate`, { id: revoked.id });
    expect((await query(revoked)).status).toBe(401);
    await running.stop();
    running = await start();
    expect([(await query(kept)).status, (await query(revoked)).status]).toEqual([200, 401]);
    expect([(await query(kept)).status, (await query(kept)).status]).toEqual([200, 200]);
    const waits = await query(kept);
    expect(waits.status).toBe(429);
    expect(Number(waits.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(Number(waits.headers.get("retry-after"))).toBeLessThanOrEqual(60);
  } finally {
    await running?.stop();
    await rm(root, { recursive: true, force: true });
  }
});

/** So many hours from now, to the second, with what follows the seconds. */
function inHours(hours: number, end = "Z"): string {
  return `${new Date(Date.now() + hours * 3_600_000).toISOString().slice(0, 19)}${end}`;
}
