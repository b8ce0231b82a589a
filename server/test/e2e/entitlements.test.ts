/**
 * Entitlements and grants over HTTP, on a product whose clock stands still unless a test moves it: what v1 and v2 answer, what
 * is refused and how the refusal reads, and that amounts keep every digit.
 */

import type { EntitlementBodyV2, EntitlementValueV2, GrantBody, GrantBodyV2 } from "@tallystick/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ManualClock } from "../../src/kernel/clock.ts";
import { type Instant, parseInstant } from "../../src/kernel/instant.ts";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

const MINUTE = 60_000_000;
const DAY = 24 * 60 * MINUTE;
const START = at("2026-03-10T12:00:30Z");
const MONTHLY = { interval: "MONTH", anchor: "2026-03-01T00:00:00Z" };
const YEAR = { duration: "YEAR", count: 1 };

let product: TestProduct;
const clock = new ManualClock(START);
let customers = 0;

beforeAll(async () => {
  product = await startTestProduct("", { clock });
  const meter = { eventType: "prompt", aggregation: "SUM", valueProperty: "$.n", groupBy: { model: "$.model" } };
  await product.json("/api/v1/meters", { json: { slug: "tokens", ...meter } });
  await create("/api/v1/features", { key: "tokens", name: "Tokens", meterSlug: "tokens" });
  await create("/api/v1/features", {
    key: "gpt",
    name: "GPT",
    meterSlug: "tokens",
    meterGroupByFilters: { model: "gpt" },
  });
  await create("/api/v1/features", { key: "switch", name: "Switch" });
});
afterAll(async () => {
  await product?.stop();
});

function at(text: string): Instant {
  const instant = parseInstant(text);
  if (instant === null) throw new Error(`not an instant: ${text}`);
  return instant;
}

async function create<Body = unknown>(path: string, json: unknown, method = "POST"): Promise<Body> {
  const answer = await product.call(path, { json, method });
  expect(answer.status, answer.text).toBe(201);
  return JSON.parse(answer.text) as Body;
}

async function noContent(path: string, json?: unknown, method = json === undefined ? "DELETE" : "POST"): Promise<void> {
  const answer = await product.call(path, { method, ...(json === undefined ? {} : { json }) });
  expect(answer.status, answer.text).toBe(204);
}

/** A customer with one subject key that is its own. */
async function customer(): Promise<{ readonly id: string; readonly key: string; readonly subject: string }> {
  customers += 1;
  const [key, subject] = [`customer-${customers}`, `subject-${customers}`];
  const made = await create<{ id: string }>("/api/v1/customers", {
    name: key,
    key,
    usageAttribution: { subjectKeys: [subject] },
  });
  return { id: made.id, key, subject };
}

async function use(subject: string, n: number | string, extra: Readonly<Record<string, unknown>> = {}): Promise<void> {
  await product.ingest({ type: "prompt", subject, data: { n }, time: "2026-03-10T11:00:00Z", ...extra });
}

const metered = {
  type: "metered",
  featureKey: "tokens",
  usagePeriod: MONTHLY,
  measureUsageFrom: "CURRENT_PERIOD_START",
};

describe("a metered entitlement of a customer", () => {
  test("is answered as created, and its value follows usage at once", async () => {
    const { id, key, subject } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    const made = await create<EntitlementBodyV2>(path, {
      ...metered,
      metadata: { team: "a" },
      issue: { amount: 100, priority: 5 },
    });
    expect(made).toEqual({
      id: made.id,
      type: "metered",
      featureKey: "tokens",
      featureId: made.featureId,
      customerId: id,
      customerKey: key,
      metadata: { team: "a" },
      isSoftLimit: false,
      preserveOverageAtReset: false,
      issueAfterReset: 100,
      issueAfterResetPriority: 5,
      issue: { amount: 100, priority: 5 },
      activeFrom: "2026-03-10T12:00:30Z",
      createdAt: "2026-03-10T12:00:30Z",
      updatedAt: "2026-03-10T12:00:30Z",
      measureUsageFrom: "2026-03-01T00:00:00Z",
      lastReset: "2026-03-01T00:00:00Z",
      usagePeriod: { interval: "MONTH", intervalISO: "P1M", anchor: "2026-03-01T00:00:00Z" },
      currentUsagePeriod: { from: "2026-03-01T00:00:00Z", to: "2026-04-01T00:00:00Z" },
    });
    expect(await product.json(`${path}/tokens`)).toEqual(made);
    expect(await product.json(`${path}/${made.id.toLowerCase()}`)).toEqual(made);
    expect(await product.json(`/api/v2/entitlements/${made.id}`)).toEqual(made);
    expect(await product.json(path)).toEqual({ totalCount: 1, page: 1, pageSize: 100, items: [made] });

    await use(subject, 30);
    await use(key, 12.5);
    const grants = await product.json<{ items: GrantBodyV2[] }>(`${path}/tokens/grants`);
    const [grant] = grants.items;
    expect(grant).toMatchObject({ amount: 100, priority: 5, minRolloverAmount: 100, maxRolloverAmount: 100 });
    expect(grant?.annotations).toEqual({ issueAfterReset: true });
    expect(grant?.expiration).toBeUndefined();
    expect(await product.json(`${path}/tokens/value`)).toMatchObject({
      hasAccess: true,
      balance: 57.5,
      usage: 42.5,
      overage: 0,
      totalAvailableGrantAmount: 100,
      grantBalances: { [grant?.id ?? ""]: 57.5 },
    });
    await use(subject, 60);
    const used = { hasAccess: false, balance: 0, usage: 102.5, overage: 2.5, totalAvailableGrantAmount: 100 };
    expect(await product.json(`/api/v1/customers/${id}/entitlements/tokens/value`)).toMatchObject(used);
    expect(await product.json(`/api/v1/customers/${key}/access`)).toMatchObject({ entitlements: { tokens: used } });
    expect(await product.json(`/api/v1/subjects/${subject}/entitlements/tokens/value`)).toMatchObject(used);
    const next = encodeURIComponent("2026-04-02T00:00:00Z");
    expect(await product.json(`${path}/tokens/value?time=${next}`)).toMatchObject({ balance: 100, usage: 0 });
    const before = encodeURIComponent("2026-03-10T12:00:29Z");
    expect(await product.json(`${path}/tokens/value?time=${before}`)).toEqual({ hasAccess: false });
  });

  test("counts usage that the feature's filter lets pass", async () => {
    const { key, subject } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    await create(path, { ...metered, featureKey: "gpt", issue: { amount: 10 } });
    await use(subject, 3, { data: { n: 3, model: "gpt" } });
    await use(subject, 4, { data: { n: 4, model: "other" } });
    expect(await product.json(`${path}/gpt/value`)).toMatchObject({ usage: 3, balance: 7 });
  });

  test("has inline grants, which burn in order", async () => {
    const { key, subject } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    const grant = { effectiveAt: "2026-03-10T12:00:00Z" };
    await create(path, {
      ...metered,
      measureUsageFrom: "2026-03-10T10:00:00Z",
      isSoftLimit: true,
      grants: [
        { ...grant, amount: 10, priority: 9, maxRolloverAmount: 0, expiration: { duration: "MONTH", count: 1 } },
        { ...grant, amount: 5, priority: 2, recurrence: { interval: "P1D" } },
      ],
    });
    const { items } = await product.json<{ items: GrantBodyV2[] }>(`${path}/tokens/grants?orderBy=id`);
    expect(items.map(({ amount, maxRolloverAmount }) => [amount, maxRolloverAmount])).toEqual([
      [10, 0],
      [5, 5],
    ]);
    expect(items[0]?.expiresAt).toBe("2026-04-10T12:00:00Z");
    expect(items[1]).toMatchObject({
      recurrence: { interval: "P1D", intervalISO: "P1D", anchor: "2026-03-10T12:00:00Z" },
      nextRecurrence: "2026-03-11T12:00:00Z",
    });
    await use(subject, 8);
    const value = await product.json<EntitlementValueV2>(`${path}/tokens/value`);
    expect(value.grantBalances).toEqual({ [items[0]?.id ?? ""]: 7, [items[1]?.id ?? ""]: 0 });
    const tomorrow = encodeURIComponent("2026-03-11T12:00:00Z");
    const later = await product.json<EntitlementValueV2>(`${path}/tokens/value?time=${tomorrow}`);
    expect(later.grantBalances).toEqual({ [items[0]?.id ?? ""]: 7, [items[1]?.id ?? ""]: 5 });
  });
});

test("amounts keep every digit, in requests, values and usage", async () => {
  const { key, subject } = await customer();
  const path = `/api/v2/customers/${key}/entitlements`;
  const amounts = ["9007199254740993", "0.1234567890123456789"];
  await create(path, { ...metered, preserveOverageAtReset: false });
  for (const amount of amounts) {
    const body = `{"amount":${amount},"effectiveAt":"2026-03-10T12:00:00Z","minRolloverAmount":${amount}}`;
    const headers = { "content-type": "application/json" };
    const answer = await product.call(`${path}/tokens/grants`, { body, headers });
    expect(answer.text).toContain(`"amount":${amount},`);
    expect(answer.text).toContain(`"minRolloverAmount":${amount},"maxRolloverAmount":${amount},`);
  }
  const listed = (await product.call(`${path}/tokens/grants`)).text;
  for (const amount of amounts) expect(listed).toContain(`"amount":${amount},`);
  await use(subject, "0.0000000000000000001", { time: "2026-03-10T12:00:10Z" });
  const value = await product.call(`/api/v1/customers/${key}/entitlements/tokens/value`);
  expect(value.text).toContain(`"balance":9007199254740993.1234567890123456788,`);
  const history = await product.call(`${path}/tokens/history?windowSize=DAY`);
  expect(history.text).toContain(`"balanceAtEnd":9007199254740993.1234567890123456788,`);
});

describe("switches", () => {
  test("static and boolean entitlements, with usage periods for show", async () => {
    const { key } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    const config = '{"models": ["a"], "n": 1.50}';
    const made = await create<EntitlementBodyV2>(path, { type: "static", featureKey: "switch", config });
    expect(made).toMatchObject({ type: "static", config });
    expect(made).not.toHaveProperty("usagePeriod");
    expect(await product.json(`${path}/switch/value`)).toEqual({ hasAccess: true, config });
    const replaced = await create(`${path}/switch/override`, { type: "boolean", featureKey: "switch" }, "PUT").catch(
      (error: unknown) => error,
    );
    // The clock stands still: an entitlement cannot be replaced at the instant of its start.
    expect(String(replaced)).toContain("cannot be overridden before");
    clock.advance(MINUTE);
    await create(`${path}/switch/override`, { type: "boolean", featureKey: "switch", usagePeriod: MONTHLY }, "PUT");
    expect(await product.json(`${path}/switch/value`)).toEqual({ hasAccess: true });
    expect(await product.json(`${path}/${made.id}`)).toMatchObject({ activeTo: "2026-03-10T12:01:30Z" });
    expect(await product.json(`${path}/switch`)).toMatchObject({
      currentUsagePeriod: { from: "2026-03-10T12:01:00Z", to: "2026-04-01T00:00:00Z" },
    });
    await noContent(`${path}/switch`);
    expect(await product.json(`${path}/switch/value`)).toEqual({ hasAccess: false });
    expect(await product.json(`/api/v1/customers/${key}/access`)).toEqual({ entitlements: {} });
    await noContent(`${path}/${made.id}`);
    expect(await product.json<{ items: unknown[] }>(path)).toMatchObject({ items: [], totalCount: 0 });
    const listed = `/api/v2/entitlements?customerKeys=${key}`;
    expect(await product.json(listed)).toMatchObject({ totalCount: 1, items: [{ id: made.id }] });
    expect(await product.json(`${listed}&excludeInactive=true`)).toMatchObject({ totalCount: 0 });
    const all = await product.json<{ items: EntitlementBodyV2[] }>(`${path}?includeDeleted=true`);
    expect(all.items.map(({ type, deletedAt }) => [type, deletedAt])).toEqual([
      ["static", undefined],
      ["boolean", "2026-03-10T12:01:30Z"],
    ]);
  });
});

describe("entitlements of a subject (v1)", () => {
  test("are those of the customer that owns it", async () => {
    const { id, key, subject } = await customer();
    const path = `/api/v1/subjects/${subject}/entitlements`;
    const made = await create<{ id: string }>(path, { ...metered, issueAfterReset: 20, isUnlimited: true });
    expect(made).toMatchObject({
      subjectKey: subject,
      isUnlimited: false,
      issueAfterReset: 20,
      issueAfterResetPriority: 1,
    });
    expect(await product.json(path)).toEqual([made]);
    expect(await product.json(`${path}/${made.id}`)).toEqual(made);
    expect(await product.json(`/api/v1/entitlements/${made.id}`)).toEqual(made);
    expect(await product.json(`/api/v1/entitlements?subject=${subject}&feature=tokens`)).toEqual([made]);
    expect(await product.json(`/api/v1/entitlements?subject=${subject}&page=1`)).toMatchObject({ totalCount: 1 });
    expect(await product.json(`/api/v1/entitlements?subject=nobody`)).toEqual([]);
    expect(await product.json(`/api/v2/entitlements?customerKeys=${key}&customerIds=${id}`)).toMatchObject({
      totalCount: 1,
      items: [{ id: made.id, customerId: id }],
    });

    for (const query of [
      "customerKeys=nobody",
      `customerKeys=${key}&entitlementType=boolean`,
      `customerIds=${made.id}`,
    ]) {
      expect(await product.json(`/api/v2/entitlements?${query}`)).toMatchObject({ totalCount: 0, items: [] });
    }
    expect(await product.json("/api/v2/grants?customer=nobody")).toMatchObject({ totalCount: 0 });

    const input = { amount: 7, effectiveAt: "2026-03-10T12:00:59Z", expiration: YEAR };
    const grant = await create<GrantBody>(`${path}/tokens/grants`, input);
    expect(grant).toMatchObject({
      entitlementId: made.id,
      priority: 0,
      effectiveAt: "2026-03-10T12:00:00Z",
      expiresAt: "2027-03-10T12:00:00Z",
      expiration: YEAR,
      minRolloverAmount: 0,
      maxRolloverAmount: 0,
    });
    const grants = await product.json<GrantBody[]>(`${path}/${made.id}/grants`);
    expect(grants.map(({ expiration, expiresAt }) => [expiration, expiresAt])).toEqual([
      [{ duration: "YEAR", count: 100 }, "2126-03-01T00:00:00Z"],
      [YEAR, "2027-03-10T12:00:00Z"],
    ]);
    expect(await product.json<GrantBody[]>(`/api/v1/grants?subject=${subject}&order=DESC`)).toEqual(
      grants.toReversed(),
    );
    expect(await product.json(`/api/v2/grants?customer=${key}&limit=1&offset=1`)).toMatchObject({
      totalCount: 2,
      page: 2,
      pageSize: 1,
      items: [{ id: grant.id }],
    });

    // After the grant took effect: it burns first, and what it covered stays covered when it is voided.
    await use(subject, 5, { time: "2026-03-10T12:00:10Z" });
    expect(await product.json(`${path}/tokens/value`)).toMatchObject({ balance: 22, usage: 5 });
    await noContent(`/api/v1/grants/${grant.id}`);
    expect(await product.json(`${path}/tokens/value`)).toMatchObject({ balance: 20, usage: 5 });
    const again = await product.problem(400, `/api/v1/grants/${grant.id}`, { method: "DELETE" });
    expect(again.detail).toContain("grant already voided");

    await noContent(`${path}/tokens/reset`, {});
    expect(await product.json(`${path}/tokens/value`)).toMatchObject({ balance: 20, usage: 0 });
    expect(await product.json(`${path}/tokens`)).toMatchObject({ lastReset: "2026-03-10T12:01:00Z" });
    await noContent(`${path}/tokens`);
    await product.problem(404, `${path}/tokens/value`);
  });

  test("need a subject that exists and has an owner", async () => {
    const { subject } = await customer();
    await product.problem(404, "/api/v1/subjects/nobody/entitlements");
    const [lone] = await product.json<{ id: string }[]>("/api/v1/subjects", { json: [{ key: "lone" }] });
    // A subject that is made gets a customer of its own, which may go.
    expect(await product.json("/api/v1/subjects/lone/entitlements")).toEqual([]);
    await noContent("/api/v1/customers/lone");
    const unowned = await product.problem(412, "/api/v1/subjects/lone/entitlements");
    expect(unowned.detail).toBe("no customer owns subject lone; create one with this key or subject key");
    await noContent("/api/v1/subjects/lone");
    const deleted = await product.problem(412, `/api/v1/subjects/${lone?.id}/entitlements`);
    expect(deleted.detail).toBe("subject lone is deleted; use one that is not");
    expect(await product.json(`/api/v1/subjects/${subject}/entitlements`)).toEqual([]);
  });
});

describe("refused", () => {
  const grant = { amount: 5, effectiveAt: "2026-03-10T12:00:00Z" };

  test.each<[string, unknown, string, string]>([
    ["no feature", { type: "boolean" }, "$.featureKey", 'the feature is missing; send "featureKey" or "featureId"'],
    ["no meter", { ...metered, featureKey: "switch" }, "$.featureKey", "Feature has no meter"],
    ["no usage period", { type: "metered", featureKey: "tokens" }, "$.usagePeriod", '"usagePeriod" is missing'],
    [
      "another type",
      { type: "other", featureKey: "tokens" },
      "$.type",
      '"type": must be one of metered, boolean, static',
    ],
    [
      "a short usage period",
      { ...metered, usagePeriod: { interval: "PT59M" } },
      "$.usagePeriod.interval",
      "at least an hour",
    ],
    ["seconds", { ...metered, usagePeriod: { interval: "PT1H1S" } }, "$.usagePeriod.interval", "whole minutes"],
    [
      "no interval",
      { ...metered, usagePeriod: { interval: "FORTNIGHT" } },
      "$.usagePeriod.interval",
      "must be DAY, WEEK",
    ],
    [
      "a wrong anchor",
      { ...metered, usagePeriod: { interval: "DAY", anchor: "x" } },
      "$.usagePeriod.anchor",
      "RFC 3339",
    ],
    ["a wrong start", { ...metered, measureUsageFrom: "SOON" }, "$.measureUsageFrom", "RFC 3339"],
    ["a negative issue", { ...metered, issue: { amount: -1 } }, "$.issue.amount", '"issue.amount": must be at least 0'],
    ["text as amount", { ...metered, issue: { amount: "1" } }, "$.issue.amount", "must be a number, not the text"],
    [
      "a priority alone",
      { ...metered, issueAfterResetPriority: 2 },
      "$.issueAfterResetPriority",
      'send "issueAfterReset" too',
    ],
    [
      "both",
      { ...metered, issue: { amount: 1 }, grants: [grant] },
      "$.grants",
      "issueAfterReset and grants cannot be used together",
    ],
    [
      "a grant of nothing",
      { ...metered, grants: [{ ...grant, amount: 0 }] },
      "$.grants[0].amount",
      '"amount" must be greater than 0',
    ],
    [
      "an early grant",
      { ...metered, grants: [{ ...grant, effectiveAt: "2026-02-28T23:59:59Z" }] },
      "$.grants[0].effectiveAt",
      "not be before the start",
    ],
    [
      "grants of a switch",
      { type: "boolean", featureKey: "switch", grants: [grant] },
      "$.grants",
      "only supported for metered",
    ],
    [
      "a soft switch",
      { type: "boolean", featureKey: "switch", isSoftLimit: true },
      "$.isSoftLimit",
      "Invalid inputs for type",
    ],
    [
      "a configured switch",
      { type: "boolean", featureKey: "switch", config: "1" },
      "$.config",
      "Invalid inputs for type",
    ],
    ["a configured meter", { ...metered, config: "1" }, "$.config", "Invalid inputs for type"],
    ["no configuration", { type: "static", featureKey: "switch" }, "$.config", '"config" is missing'],
    ["no JSON", { type: "static", featureKey: "switch", config: "{" }, "$.config", "valid JSON"],
    ["NUL in metadata", { ...metered, metadata: { a: "\0" } }, "$.metadata", "NUL"],
  ])("%s", async (_, body, field, text) => {
    const { key } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    const problem = await product.problem(400, path, { json: body });
    expect(problem.detail).toContain(text);
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toContain(field);
    expect(await product.json(path)).toMatchObject({ totalCount: 0 });
    expect(await product.json(`/api/v2/grants?customer=${key}`)).toMatchObject({ totalCount: 0 });
  });

  test("codes that programs compare", async () => {
    const { key } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    const codeOf = async (to: string, json: unknown) =>
      (await product.problem(400, to, { json })).extensions?.validationErrors?.map(({ code }) => code);
    const grants = [grant];
    expect(await codeOf(path, { type: "boolean", featureKey: "switch", grants })).toEqual([
      "entitlement_grants_only_supported_for_metered_entitlements",
    ]);
    await create(path, metered);
    expect(await codeOf(`${path}/tokens/grants`, { ...grant, amount: 0 })).toEqual(["grant_amount_must_be_positive"]);
  });

  test("a second entitlement to the feature, whose id is told", async () => {
    const { key, subject } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    const first = await create<{ id: string }>(path, metered);
    const problem = await product.problem(409, `/api/v1/subjects/${subject}/entitlements`, {
      json: { type: "metered", featureKey: "tokens", usagePeriod: MONTHLY },
    });
    expect(problem.extensions).toEqual({ conflictingEntityId: first.id });
    await noContent(`${path}/tokens`);
    await create(path, metered);
  });

  test("unknown and archived features, customers and entitlements", async () => {
    const { id, key } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    expect((await product.problem(404, path, { json: { ...metered, featureKey: "nope" } })).detail).toContain("nope");
    const old = await create<{ id: string }>("/api/v1/features", { key: "old", name: "Old", meterSlug: "tokens" });
    await create(path, { ...metered, featureKey: "old", issue: { amount: 1 } });
    await noContent("/api/v1/features/old");
    const other = await customer();
    const archived = { json: { ...metered, featureKey: undefined, featureId: old.id } };
    await product.problem(404, `/api/v2/customers/${other.key}/entitlements`, archived);
    expect(await product.json(`${path}/old/value`)).toMatchObject({ hasAccess: true, balance: 1 });
    await product.problem(404, "/api/v2/customers/nobody/entitlements");
    await product.problem(404, `${path}/nope`);
    await product.problem(404, `${path}/nope/grants`);
    expect(await product.json(`${path}/nope/value`)).toEqual({ hasAccess: false });
    const own = await product.json<{ id: string }>(`${path}/old`);
    const foreign = `/api/v2/customers/${other.key}/entitlements/${own.id}`;
    await product.problem(404, foreign);
    await product.problem(404, `${foreign}/value`);
    await product.problem(404, foreign, { method: "DELETE" });
    await noContent(`/api/v1/customers/${key}`);
    await product.problem(412, `/api/v2/customers/${id}/entitlements`);
    expect(await product.json(`/api/v2/entitlements/${own.id}`)).toMatchObject({ deletedAt: "2026-03-10T12:01:30Z" });
    await product.problem(404, "/api/v1/grants/01G65Z755AFWAKHE12NY0CQ9FH", { method: "DELETE" });
  });

  test.each<[string, unknown, string]>([
    ["in the future", { effectiveAt: "2026-03-10T12:02:00Z" }, "must not be in the future"],
    [
      "before the usage period",
      { effectiveAt: "2026-02-28T00:00:00Z" },
      "before the start of the present usage period",
    ],
    ["at the last reset", { effectiveAt: "2026-03-01T00:00:00Z" }, "later minute than the last reset"],
    ["at no time", { effectiveAt: "now" }, "RFC 3339"],
  ])("a reset %s", async (_, body, text) => {
    const { key } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    await create(path, metered);
    const problem = await product.problem(400, `${path}/tokens/reset`, { json: body });
    expect(problem.detail).toContain(text);
    expect(problem.extensions?.validationErrors?.[0]?.field).toBe("$.effectiveAt");
    expect(await product.json(`${path}/tokens`)).toMatchObject({ lastReset: "2026-03-01T00:00:00Z" });
  });

  test.each<[string, Record<string, unknown>, string, string]>([
    ["before the period", { effectiveAt: "2026-02-28T23:59:00Z" }, "$.effectiveAt", "2026-03-01T00:00:00Z"],
    ["of a negative amount", { amount: -5 }, "$.amount", "greater than 0, not -5"],
    ["without a start", { effectiveAt: undefined }, "$.effectiveAt", "is missing"],
    ["with a negative roll-over", { maxRolloverAmount: -1 }, "$.maxRolloverAmount", "must be 0 or more"],
    ["that recurs in seconds", { recurrence: { interval: "PT30S" } }, "$.recurrence.interval", "whole minutes"],
    ["that recurs too often", { recurrence: { interval: "PT59M" } }, "$.recurrence.interval", "at least an hour"],
    ["of priority 256", { priority: 256 }, "$.priority", "at most 255"],
    [
      "that expires after a thousand and one",
      { expiration: { duration: "DAY", count: 1001 } },
      "$.expiration.count",
      "1000",
    ],
    ["that expires after all time", { expiration: { duration: "YEAR", count: 1000 } }, "$.expiration", "2254"],
  ])("a grant %s", async (_, change, field, text) => {
    const { key } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    await create(path, metered);
    const problem = await product.problem(400, `${path}/tokens/grants`, { json: { ...grant, ...change } });
    expect(problem.detail).toContain(text);
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual([field]);
    expect(await product.json(`${path}/tokens/grants`)).toMatchObject({ totalCount: 0 });
  });

  test("voiding in the future or before the usage period; grants, resets and histories of switches", async () => {
    const { key } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    await create(path, metered);
    const { id } = await create<{ id: string }>(`${path}/tokens/grants`, grant);
    for (const [when, text] of [
      ["2026-03-10T12:03:00Z", "in the future"],
      ["2026-02-28T12:00:00Z", "before the start"],
    ] as const) {
      const voiding = `/api/v1/grants/${id}?at=${encodeURIComponent(when)}`;
      expect((await product.problem(400, voiding, { method: "DELETE" })).detail).toContain(text);
    }
    await create(path, { type: "boolean", featureKey: "switch" });
    await product.problem(400, `${path}/switch/grants`, { json: grant });
    await product.problem(400, `${path}/switch/reset`, { json: {} });
    await product.problem(400, `${path}/switch/history?windowSize=DAY`);
  });

  test.each<[string, string]>([
    ["windowSize=DAY&from=2026-02-01T00:00:00Z", "before usage is measured"],
    ["windowSize=DAY&from=2026-03-05T00:00:00Z&to=2026-03-05T00:00:00Z", '"from" must be before "to"'],
    ["windowSize=DAY&windowTimeZone=Mars/Olympus", "IANA name"],
    ["windowSize=MINUTE&from=2026-03-01T00:00:00Z", "more than 10000 windows"],
    ["from=2026-03-01T00:00:00Z", "windowSize"],
  ])("a history with %s", async (query, text) => {
    const { key } = await customer();
    const path = `/api/v2/customers/${key}/entitlements`;
    await create(path, metered);
    expect((await product.problem(400, `${path}/tokens/history?${query}`)).detail).toContain(text);
  });
});

test("a history shows windows with the grants that start in them, and how they were used up", async () => {
  const { key, subject } = await customer();
  const path = `/api/v2/customers/${key}/entitlements`;
  await create(path, {
    ...metered,
    measureUsageFrom: "2026-03-10T00:00:00Z",
    usagePeriod: { interval: "DAY", anchor: "2026-03-10T00:00:00Z" },
  });
  for (const time of ["2026-03-10T00:00:00Z", "2026-03-10T03:00:00Z", "2026-03-10T05:30:00Z"]) {
    await create(`${path}/tokens/grants`, { amount: 10_000, effectiveAt: time });
  }
  for (const hour of [0, 2, 3, 5]) await use(subject, 100, { time: `2026-03-10T0${hour}:10:00Z` });
  const query = "windowSize=HOUR&from=2026-03-10T00:00:00Z&to=2026-03-10T07:00:00Z";
  const { windowedHistory, burndownHistory } = await product.json<{
    windowedHistory: { usage: number; balanceAtStart: number }[];
    burndownHistory: { usage: number; balanceAtStart: number; balanceAtEnd: number }[];
  }>(`${path}/tokens/history?${query}`);
  expect(windowedHistory.map(({ balanceAtStart }) => balanceAtStart)).toEqual([
    10_000, 9_900, 9_900, 19_800, 19_700, 19_700, 29_600,
  ]);
  expect(windowedHistory.map(({ usage }) => usage)).toEqual([100, 0, 100, 100, 0, 100, 0]);
  expect(
    burndownHistory.map(({ balanceAtStart, usage, balanceAtEnd }) => [balanceAtStart, usage, balanceAtEnd]),
  ).toEqual([
    [10_000, 200, 9_800],
    [19_800, 200, 19_600],
    [29_600, 0, 29_600],
  ]);
});

test("a reset keeps the anchor if asked to, and overage if asked to", async () => {
  const { key, subject } = await customer();
  const path = `/api/v2/customers/${key}/entitlements`;
  await create(path, { ...metered, issue: { amount: 10 } });
  await use(subject, 14);
  await noContent(`${path}/tokens/reset`, {
    effectiveAt: "2026-03-10T11:30:00Z",
    retainAnchor: true,
    preserveOverage: true,
  });
  expect(await product.json(`${path}/tokens/value`)).toMatchObject({ balance: 6, overage: 0, usage: 0 });
  expect(await product.json(`${path}/tokens`)).toMatchObject({
    currentUsagePeriod: { from: "2026-03-10T11:30:00Z", to: "2026-04-01T00:00:00Z" },
  });
  clock.advance(DAY);
  await noContent(`${path}/tokens/reset`, {});
  expect(await product.json(`${path}/tokens`)).toMatchObject({
    lastReset: "2026-03-11T12:01:00Z",
    currentUsagePeriod: { from: "2026-03-11T12:01:00Z", to: "2026-04-11T12:01:00Z" },
  });
  expect(await product.json(`${path}/tokens/value`)).toMatchObject({ balance: 10, overage: 0, usage: 0 });
});
