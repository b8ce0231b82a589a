/**
 * Notifications over HTTP, with a real receiver: what is refused, what is told and when, signatures by the published
 * verifiers, and that a server which is told nothing else sends nothing into its own network.
 */

import { Webhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { fail, Receiver, succeed } from "../../src/notifications/delivery/fixture.ts";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

const CHANNELS = "/api/v1/notification/channels";
const RULES = "/api/v1/notification/rules";
const EVENTS = "/api/v1/notification/events";
const UNKNOWN = "01JMA3F6K3W8T8Q8Y2N6Z0V9QX";
const WAIT = { timeout: 20_000, interval: 10 };

interface Channel {
  readonly id: string;
  readonly signingSecret: string;
}

interface Event {
  readonly id: string;
  readonly type: string;
  readonly annotations: Readonly<Record<string, unknown>>;
  readonly deliveryStatus: readonly { readonly state: string; readonly attempts: readonly unknown[] }[];
  readonly payload: { readonly data: Readonly<Record<string, Readonly<Record<string, unknown>>>> };
}

let product: TestProduct;
let receiver: Receiver;
let count = 0;

beforeAll(async () => {
  receiver = await Receiver.start();
  product = await startTestProduct("notifications:\n  allowPrivateNetworks: true\n");
});
afterEach(() => {
  receiver.respond = succeed;
  receiver.received.length = 0;
});
afterAll(async () => {
  await product?.stop();
  await receiver?.stop();
});

async function made<Body>(path: string, json: unknown): Promise<Body> {
  const answer = await product.call(path, { json });
  expect(answer.status, answer.text).toBe(201);
  return JSON.parse(answer.text) as Body;
}

const channelDraft = (change: object = {}): object => ({
  type: "WEBHOOK",
  name: "Test",
  url: receiver.url(),
  ...change,
});
const channel = async (change: object = {}): Promise<Channel> => await made(CHANNELS, channelDraft(change));

async function rule(channels: readonly string[], change: object = {}): Promise<{ readonly id: string }> {
  return await made(RULES, { type: "entitlements.reset", name: "Rule", channels, ...change });
}

async function events(query: string): Promise<readonly Event[]> {
  return (await product.json<{ items: readonly Event[] }>(`${EVENTS}?${query}`)).items;
}

/** A customer with a metered entitlement of 100 units, and a way to use some. */
async function entitled(change: object = {}) {
  count += 1;
  const name = `told_${count}`;
  await product.json("/api/v1/meters", {
    json: { slug: name, eventType: name, aggregation: "SUM", valueProperty: "$.n" },
  });
  const feature = await made<{ id: string }>("/api/v1/features", { key: name, name, meterSlug: name });
  const customer = await made<{ id: string }>("/api/v1/customers", {
    name,
    key: `customer-${name}`,
    usageAttribution: { subjectKeys: [`subject-${name}`] },
  });
  const entitlement = await made<{ id: string }>(`/api/v2/customers/${customer.id}/entitlements`, {
    type: "metered",
    featureKey: name,
    usagePeriod: { interval: "MONTH" },
    issue: { amount: 100 },
    ...change,
  });
  const use = async (n: number): Promise<void> =>
    await product.ingest({ type: name, subject: `subject-${name}`, data: { n } });
  return { name, feature, customer, entitlement, use };
}

describe("channels", () => {
  test("are made with a secret, changed, listed and deleted", async () => {
    const made1 = await channel({ customHeaders: { "X-Team": "a" }, metadata: { a: "b" } });
    expect(made1.signingSecret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const path = `${CHANNELS}/${made1.id}`;
    expect(await product.json(path)).toEqual(made1);
    const given = "A".repeat(32);
    const changed = await product.json<Channel>(path, {
      method: "PUT",
      json: channelDraft({ name: "New", disabled: true, signingSecret: given }),
    });
    expect(changed).toMatchObject({ id: made1.id, name: "New", disabled: true, signingSecret: `whsec_${given}` });
    const kept = await product.json<Channel>(path, { method: "PUT", json: channelDraft({ disabled: true }) });
    expect(kept.signingSecret).toBe(changed.signingSecret);
    const listed = async (query: string): Promise<readonly string[]> =>
      (await product.json<{ items: Channel[] }>(`${CHANNELS}?${query}`)).items.map(({ id }) => id);
    expect(await listed("")).not.toContain(made1.id);
    expect(await listed("includeDisabled=true&orderBy=createdAt&order=DESC")).toContain(made1.id);
    expect((await product.call(path, { method: "DELETE" })).status).toBe(204);
    expect(await listed("includeDisabled=true")).not.toContain(made1.id);
    expect(await listed("includeDisabled=true&includeDeleted=true")).toContain(made1.id);
    await product.problem(404, path, { method: "DELETE" });
    await product.problem(404, path, { method: "PUT", json: channelDraft() });
    await product.problem(404, `${CHANNELS}/${UNKNOWN}`);
  });

  test.each<[string, object, string]>([
    ["a relative URL", { url: "/hook" }, "$.url"],
    ["another protocol", { url: "ftp://example.com" }, "$.url"],
    ["a configured network", { url: "http://169.254.169.254/latest" }, "$.url"],
    ["the same network in IPv6", { url: "http://[::ffff:a9fe:a9fe]/" }, "$.url"],
    ["a signature header", { customHeaders: { "Webhook-Id": "1" } }, '$.customHeaders["Webhook-Id"]'],
    ["its other name", { customHeaders: { "svix-signature": "1" } }, '$.customHeaders["svix-signature"]'],
    ["a header of the body", { customHeaders: { "content-length": "1" } }, '$.customHeaders["content-length"]'],
    ["a broken header", { customHeaders: { "x-a": "a\r\nb: c" } }, '$.customHeaders["x-a"]'],
    ["a secret that is too short", { signingSecret: "abc" }, "$.signingSecret"],
    ["a secret that is no base64", { signingSecret: `whsec_${"A".repeat(33)}` }, "$.signingSecret"],
    ["an empty name", { name: "" }, "$.name"],
    ["a NUL character", { name: "a\0" }, "$.name"],
    ["another type", { type: "MAIL" }, "$.type"],
  ])("with %s are refused", async (_, change, field) => {
    const problem = await product.problem(400, CHANNELS, { json: channelDraft(change) });
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual([field]);
  });

  test("that a rule uses cannot be deleted", async () => {
    const { id } = await channel();
    const { id: ruleId } = await rule([id]);
    expect((await product.problem(400, `${CHANNELS}/${id}`, { method: "DELETE" })).detail).toContain(ruleId);
    expect((await product.call(`${RULES}/${ruleId}`, { method: "DELETE" })).status).toBe(204);
    expect((await product.call(`${CHANNELS}/${id}`, { method: "DELETE" })).status).toBe(204);
  });
});

describe("rules", () => {
  const threshold = { type: "usage_percentage", value: 50 };
  const thresholds = { type: "entitlements.balance.threshold", thresholds: [threshold] };

  test("keep what was written, numbers to the last digit", async () => {
    const { feature, name } = await entitled();
    const { id } = await channel();
    const text = `{"type":"entitlements.balance.threshold","name":"Exact","channels":["${id}"],"features":["${name}"],
      "thresholds":[{"type":"NUMBER","value":9007199254740993},{"type":"PERCENT","value":0.1234567890123456789}]}`;
    const answer = await product.call(RULES, { body: text, headers: { "content-type": "application/json" } });
    expect(answer.status, answer.text).toBe(201);
    const { id: ruleId } = JSON.parse(answer.text) as { id: string };
    const { text: read } = await product.call(`${RULES}/${ruleId}`);
    expect(read).toContain(
      '[{"type":"NUMBER","value":9007199254740993},{"type":"PERCENT","value":0.1234567890123456789}]',
    );
    expect(JSON.parse(read)).toMatchObject({
      features: [{ id: feature.id, key: name }],
      channels: [{ id, type: "WEBHOOK" }],
    });
    const found = await product.json<{ items: { id: string }[] }>(`${RULES}?feature=${name}&channel=${id}`);
    expect(found.items.map((item) => item.id)).toEqual([ruleId]);
    expect(await product.json(`${RULES}?feature=${feature.id.toLowerCase()}`)).toMatchObject({ totalCount: 1 });
    expect(await product.json(`${RULES}?feature=other`)).toMatchObject({ totalCount: 0, items: [] });
    const json = { type: "entitlements.reset", name: "x", channels: [id] };
    const problem = await product.problem(400, `${RULES}/${ruleId}`, { method: "PUT", json });
    expect(problem.extensions?.validationErrors?.[0]?.field).toBe("$.type");
    await product.json(`${RULES}/${ruleId}`, { method: "PUT", json: { ...json, ...thresholds, disabled: true } });
    await product.problem(400, `${RULES}/${ruleId}/test`, { method: "POST" });
    expect((await product.call(`${RULES}/${ruleId}`, { method: "DELETE" })).status).toBe(204);
    await product.problem(404, `${RULES}/${ruleId}/test`, { method: "POST" });
    await product.problem(404, `${RULES}/${ruleId}`, { method: "DELETE" });
    expect(await product.json(`${RULES}/${ruleId}`)).toHaveProperty("deletedAt");
  });

  test.each<[string, object, string]>([
    ["no channel", { channels: [] }, "$.channels"],
    [
      "six channels",
      { channels: [1, 2, 3, 4, 5, 6].map((digit) => UNKNOWN.slice(0, -1) + String(digit)) },
      "$.channels",
    ],
    ["an unknown channel", { channels: [UNKNOWN] }, "$.channels[0]"],
    ["an unknown feature", { features: ["nothing_like_it"] }, "$.features[0]"],
    ["no threshold", { ...thresholds, thresholds: [] }, "$.thresholds"],
    ["eleven thresholds", { ...thresholds, thresholds: Array.from({ length: 11 }, () => threshold) }, "$.thresholds"],
    ["a percentage of 0", { ...thresholds, thresholds: [{ ...threshold, value: 0 }] }, "$.thresholds[0].value"],
    [
      "a negative balance",
      { ...thresholds, thresholds: [{ type: "balance_value", value: -1 }] },
      "$.thresholds[0].value",
    ],
    ["a threshold as text", { ...thresholds, thresholds: [{ ...threshold, value: "5" }] }, "$.thresholds[0].value"],
    ["an unknown type", { type: "entitlements.other" }, "$.type"],
  ])("with %s are refused", async (_, change, field) => {
    const { id } = await channel();
    const problem = await product.problem(400, RULES, {
      json: { type: "entitlements.reset", name: "x", channels: [id], ...change },
    });
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toEqual([field]);
  });

  test("name a repeated channel and a repeated feature", async () => {
    const { name } = await entitled();
    const { id } = await channel();
    const json = { type: "entitlements.reset", name: "x", channels: [id, id], features: [name, name] };
    const problem = await product.problem(400, RULES, { json });
    expect(problem.extensions?.validationErrors?.map(({ field }) => field)).toEqual(["$.channels[1]", "$.features[1]"]);
  });
});

describe("usage", () => {
  test("that crosses a threshold is told within seconds, signed, once", async () => {
    const { name, use, entitlement, customer, feature } = await entitled();
    const { id: channelId, signingSecret } = await channel({ customHeaders: { "x-team": "a" } });
    const { id: ruleId } = await rule([channelId], {
      type: "entitlements.balance.threshold",
      features: [name],
      thresholds: [
        { type: "usage_percentage", value: 50 },
        { type: "usage_percentage", value: 90 },
        { type: "balance_value", value: 0 },
      ],
    });
    await use(40.5);
    await use(10);
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT);
    const [got] = receiver.received;
    const body = got?.body ?? "";
    const headers = (got?.headers ?? {}) as Record<string, string>;
    for (const verifier of [new Webhook(signingSecret), new SvixWebhook(signingSecret)]) verifier.verify(body, headers);
    expect(headers).toMatchObject({ "content-type": "application/json", "x-team": "a" });
    const [event] = await events(`rule=${ruleId}`);
    expect(headers["webhook-id"]).toBe(`msg_${event?.id}`);
    expect(JSON.parse(body)).toEqual(event?.payload);
    expect(event?.payload.data).toMatchObject({
      entitlement: { id: entitlement.id, featureKey: name, subjectKey: `subject-${name}`, type: "metered" },
      feature: { id: feature.id, key: name },
      subject: { key: `subject-${name}` },
      customer: { id: customer.id },
      value: { hasAccess: true, balance: 49.5, usage: 50.5, overage: 0, totalAvailableGrantAmount: 100 },
      threshold: { type: "usage_percentage", value: 50 },
    });
    expect(event?.annotations).toMatchObject({
      "event.feature.key": name,
      "event.subject.key": `subject-${name}`,
      "event.customer.id": customer.id,
    });
    await vi.waitFor(async () => {
      const [told] = await events(`rule=${ruleId}`);
      expect(told?.deliveryStatus).toMatchObject([{ state: "SUCCESS", reason: "" }]);
    }, WAIT);
    await use(60);
    await vi.waitFor(async () => expect(await events(`rule=${ruleId}`)).toHaveLength(3), WAIT);
    const later = (await events(`rule=${ruleId}`)).map(({ payload }) => payload.data["threshold"]);
    expect(later).toEqual(
      expect.arrayContaining([
        { type: "balance_value", value: 0 },
        { type: "usage_percentage", value: 90 },
      ]),
    );
    // A top-up arms them anew, and further usage crosses again.
    await made(`/api/v2/customers/${customer.id}/entitlements/${entitlement.id}/grants`, {
      amount: 1000,
      effectiveAt: new Date().toISOString(),
    });
    await use(1000);
    await vi.waitFor(async () => expect(await events(`rule=${ruleId}`)).toHaveLength(5), WAIT);
  });

  test("that was there before the rule is told at its next change", async () => {
    const { name, use } = await entitled();
    await use(95);
    const { id: channelId } = await channel();
    const { id: ruleId } = await rule([channelId], {
      type: "entitlements.balance.threshold",
      features: [name],
      thresholds: [{ type: "usage_value", value: 90 }],
    });
    await use(1);
    await vi.waitFor(async () => expect(await events(`rule=${ruleId}`)).toHaveLength(1), WAIT);
    expect((await events(`rule=${ruleId}`))[0]?.payload.data).toMatchObject({ value: { usage: 96 } });
  });

  test("is told when it comes to a customer by a changed subject key", async () => {
    const { name, customer } = await entitled();
    await product.ingest({ type: name, subject: `stray-${name}`, data: { n: 70 } });
    const { id: channelId } = await channel();
    const { id: ruleId } = await rule([channelId], {
      type: "entitlements.balance.threshold",
      features: [name],
      thresholds: [{ type: "PERCENT", value: 50 }],
    });
    await product.json(`/api/v1/customers/${customer.id}`, {
      method: "PUT",
      json: { name, usageAttribution: { subjectKeys: [`stray-${name}`] } },
    });
    await vi.waitFor(async () => expect(await events(`rule=${ruleId}`)).toHaveLength(1), WAIT);
  });
});

describe("resets", () => {
  test("that are asked for are told with the value after them", async () => {
    const { name, use, customer, entitlement } = await entitled({ measureUsageFrom: "2026-01-01T00:00:00Z" });
    const { id: channelId } = await channel();
    const { id: ruleId } = await rule([channelId], { features: [name] });
    await use(30);
    const path = `/api/v2/customers/${customer.id}/entitlements/${entitlement.id}/reset`;
    expect((await product.call(path, { json: {} })).status).toBe(204);
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT);
    const [event] = await events(`rule=${ruleId}&feature=${name}&subject=subject-${name}&channel=${channelId}`);
    expect(event?.type).toBe("entitlements.reset");
    expect(event?.payload.data).toMatchObject({ value: { totalAvailableGrantAmount: 100 } });
    expect(JSON.parse(receiver.received[0]?.body ?? "")).toEqual(event?.payload);
    for (const query of [`feature=other`, `subject=other`, `channel=${UNKNOWN}`, "to=2026-01-01T00:00:00Z"]) {
      expect(await events(`rule=${ruleId}&${query}`)).toEqual([]);
    }
    const problem = await product.problem(400, `${EVENTS}?from=yesterday`);
    expect(problem.extensions?.validationErrors?.[0]?.field).toBe("$.from");
  });
});

describe("test events", () => {
  test.each(["entitlements.balance.threshold", "entitlements.reset", "invoice.created", "invoice.updated"])(
    "of %s are sent the way that real ones go",
    async (type) => {
      receiver.respond = fail(500);
      const { id: channelId } = await channel();
      const change =
        type === "entitlements.balance.threshold" ? { thresholds: [{ type: "balance_value", value: 5 }] } : {};
      const { id: ruleId } = await rule([channelId], { type, ...change });
      const tested = await made<Event>(`${RULES}/${ruleId}/test`, {});
      expect(tested).toMatchObject({ type, annotations: { "notification.rule.test": true } });
      const read = async (): Promise<Event> => await product.json(`${EVENTS}/${tested.id}`);
      await vi.waitFor(async () => expect((await read()).deliveryStatus[0]?.attempts).toHaveLength(1), WAIT);
      expect((await read()).deliveryStatus).toMatchObject([{ state: "SENDING", attempts: [{ state: "FAILED" }] }]);
      receiver.respond = succeed;
      const resend = await product.call(`${EVENTS}/${tested.id}/resend`, { json: { channels: [channelId] } });
      expect([resend.status, resend.text]).toEqual([202, ""]);
      await vi.waitFor(async () => expect((await read()).deliveryStatus).toMatchObject([{ state: "SUCCESS" }]), WAIT);
      const bodies = new Set(receiver.received.map(({ body }) => body));
      expect([...bodies]).toEqual([JSON.stringify(tested.payload)]);
      await product.problem(400, `${EVENTS}/${tested.id}/resend`, { json: { channels: [UNKNOWN] } });
    },
  );
});

describe("a server as it comes", () => {
  test("sends nothing to private and loopback addresses", async () => {
    const guarded = await startTestProduct();
    try {
      for (const url of [
        receiver.url(),
        "http://localhost/",
        "http://10.0.0.1/",
        "http://[fd00::1]/",
        "http://[::]/",
      ]) {
        const problem = await guarded.problem(400, CHANNELS, { json: channelDraft({ url }) });
        expect(
          problem.extensions?.validationErrors?.map(({ field }) => field),
          url,
        ).toEqual(["$.url"]);
        expect(problem.detail).toContain("notifications.allowPrivateNetworks");
      }
      expect(receiver.received).toEqual([]);
    } finally {
      await guarded.stop();
    }
  });
});
