/**
 * The life of a limit, over HTTP, as the backend of a product sees it: a customer gets 1,000 units a month, uses them up, is
 * told so by the access check and by a webhook, and gets the next 1,000 when the month ends.
 */

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ManualClock, systemClock } from "../../src/kernel/clock.ts";
import { formatInstant, parseInstant } from "../../src/kernel/instant.ts";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

/** What is promised, from the acknowledgement of an event to what it changes. */
const VISIBLE_WITHIN_MS = 1_000;
const LIMIT = 1_000;
const SECRET = `whsec_${Buffer.from("a key of thirty-two bytes, exact").toString("base64")}`;

interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

interface Value {
  readonly hasAccess: boolean;
  readonly balance?: number;
  readonly usage?: number;
  readonly overage?: number;
}

/** Stands still but for the leap to the end of the month. */
const clock = new ManualClock(systemClock.now());
const received: Received[] = [];
let receiver: Server;
let product: TestProduct;

beforeAll(async () => {
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ headers: request.headers as Record<string, string>, body: Buffer.concat(chunks).toString() });
      response.writeHead(204).end();
    });
  });
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  product = await startTestProduct("notifications:\n  allowPrivateNetworks: true\n", { clock });
});
afterAll(async () => {
  await product?.stop();
  receiver?.close();
});

async function created<Body extends { id: string }>(path: string, json: unknown, status = 201): Promise<Body> {
  const answer = await product.call(path, { json });
  expect(answer.status, answer.text).toBe(status);
  return JSON.parse(answer.text) as Body;
}

async function value(): Promise<Value> {
  return await product.json<Value>("/api/v1/customers/acme/entitlements/tokens/value");
}

/** Sends usage; resolves once it is acknowledged. */
async function use(tokens: number): Promise<void> {
  const event = product.event({
    type: "prompt",
    subject: "acme-app",
    time: formatInstant(clock.now()),
    data: { tokens },
  });
  const headers = { "content-type": "application/cloudevents+json" };
  const answer = await product.call("/api/v1/events", { headers, body: JSON.stringify(event) });
  expect(answer.status, answer.text).toBe(204);
}

test("a monthly limit is used up, announced and renewed", async () => {
  await created(
    "/api/v1/meters",
    {
      slug: "tokens",
      eventType: "prompt",
      aggregation: "SUM",
      valueProperty: "$.tokens",
    },
    200,
  );
  await created("/api/v1/customers", { key: "acme", name: "ACME", usageAttribution: { subjectKeys: ["acme-app"] } });
  await created("/api/v1/features", { key: "tokens", name: "Tokens", meterSlug: "tokens" });
  const entitlement = await created<{ id: string; currentUsagePeriod: { from: string; to: string } }>(
    "/api/v2/customers/acme/entitlements",
    { type: "metered", featureKey: "tokens", usagePeriod: { interval: "MONTH" }, issue: { amount: LIMIT } },
  );
  const { port } = receiver.address() as AddressInfo;
  const channel = await created("/api/v1/notification/channels", {
    type: "WEBHOOK",
    name: "Backend",
    url: `http://127.0.0.1:${port}/hooks`,
    signingSecret: SECRET,
  });
  await created("/api/v1/notification/rules", {
    type: "entitlements.balance.threshold",
    name: "Used up",
    features: ["tokens"],
    thresholds: [{ type: "balance_value", value: 0 }],
    channels: [channel.id],
  });
  expect(await value()).toMatchObject({ hasAccess: true, balance: LIMIT, usage: 0 });

  await use(LIMIT - 1);
  await vi.waitFor(async () => expect(await value()).toMatchObject({ hasAccess: true, balance: 1, usage: LIMIT - 1 }));
  await use(1);
  await vi.waitFor(async () => expect(await value()).toMatchObject({ hasAccess: false, balance: 0, usage: LIMIT }), {
    timeout: VISIBLE_WITHIN_MS,
    interval: 10,
  });
  expect(await product.json("/api/v1/customers/acme/access")).toMatchObject({
    entitlements: { tokens: { hasAccess: false } },
  });

  await vi.waitFor(() => expect(received).toHaveLength(1), { timeout: 5_000, interval: 10 });
  await use(5);
  await vi.waitFor(async () => expect(await value()).toMatchObject({ hasAccess: false, balance: 0, overage: 5 }));
  const [hook] = received;
  expect(received, "one crossing is announced once").toHaveLength(1);
  const payload = new Webhook(SECRET).verify(hook?.body ?? "", hook?.headers ?? {});
  expect(payload).toMatchObject({
    type: "entitlements.balance.threshold",
    data: {
      entitlement: { id: entitlement.id },
      feature: { key: "tokens" },
      customer: { key: "acme" },
      value: { hasAccess: false, balance: 0, usage: LIMIT },
      threshold: { type: "balance_value", value: 0 },
    },
  });

  const end = parseInstant(entitlement.currentUsagePeriod.to) ?? expect.fail("the usage period ends");
  clock.set(end);
  expect(await value()).toMatchObject({ hasAccess: true, balance: LIMIT, usage: 0, overage: 0 });
  clock.advance(1_000_000);
  await use(10);
  await vi.waitFor(async () =>
    expect(await value()).toMatchObject({ hasAccess: true, balance: LIMIT - 10, usage: 10 }),
  );
  expect(received).toHaveLength(1);
});
