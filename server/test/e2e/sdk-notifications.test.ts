/** Everything that the published client knows about notifications. */

import type { OpenMeter } from "@openmeter/sdk";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Receiver } from "../../src/notifications/delivery/fixture.ts";
import type { TestProduct } from "./product-fixture.ts";
import { failure, startSdkProduct } from "./sdk-fixture.ts";

const WAIT = { timeout: 20_000, interval: 20 };

let product: TestProduct;
let receiver: Receiver;
let client: OpenMeter;

beforeAll(async () => {
  receiver = await Receiver.start();
  ({ product, client } = await startSdkProduct("notifications:\n  allowPrivateNetworks: true\n"));
});
afterAll(async () => {
  await product?.stop();
  await receiver?.stop();
});

test("channels, rules and events, from creation to deletion", async () => {
  const { channels, rules, events } = client.notifications;
  const draft = { type: "WEBHOOK", name: "SDK", url: receiver.url("/sdk"), disabled: false } as const;
  const channel = await channels.create({
    ...draft,
    customHeaders: { "x-sdk": "1" },
    metadata: { a: "b" },
    // The client's types want what only the server can know.
  } as never);
  const channelId = channel?.id ?? "";
  expect(channel).toMatchObject({ ...draft, customHeaders: { "x-sdk": "1" }, metadata: { a: "b" } });
  expect(channel?.createdAt).toBeInstanceOf(Date);
  expect(await channels.get(channelId)).toEqual(channel);
  expect(await channels.list()).toMatchObject({ items: [channel], totalCount: 1, page: 1, pageSize: 100 });
  expect(await channels.update(channelId, { ...draft, name: "Renamed" } as never)).toMatchObject({
    name: "Renamed",
    signingSecret: channel?.signingSecret,
  });

  await client.meters.create({ slug: "sdk_told", eventType: "sdk_told", aggregation: "COUNT" });
  const feature = await client.features.create({ key: "sdk_told", name: "Told", meterSlug: "sdk_told" });
  const thresholds = [{ type: "usage_percentage", value: 90 } as const, { type: "balance_value", value: 0.5 } as const];
  const ruleDraft = {
    type: "entitlements.balance.threshold",
    name: "SDK",
    disabled: false,
    channels: [channelId],
    features: ["sdk_told"],
    thresholds,
  } as const;
  const copied = { ...ruleDraft, channels: [channelId], features: ["sdk_told"] };
  const rule = await rules.create(copied);
  const ruleId = rule?.id ?? "";
  expect(rule).toMatchObject({
    type: "entitlements.balance.threshold",
    channels: [{ id: channelId, type: "WEBHOOK" }],
    features: [{ id: feature?.id, key: "sdk_told" }],
    thresholds,
  });
  expect(await rules.get(ruleId)).toEqual(rule);
  expect(await rules.list({ feature: ["sdk_told"] })).toMatchObject({ items: [rule], totalCount: 1 });
  expect(await rules.update(ruleId, { ...copied, name: "Renamed" })).toMatchObject({ name: "Renamed" });
  expect((await failure(channels.delete(channelId))).status).toBe(400);

  const tested = await client.client.POST("/api/v1/notification/rules/{ruleId}/test", { params: { path: { ruleId } } });
  const eventId = tested.data?.id ?? "";
  await vi.waitFor(async () => {
    expect((await events.get(eventId))?.deliveryStatus).toMatchObject([{ state: "SUCCESS" }]);
  }, WAIT);
  const event = await events.get(eventId);
  expect(event?.createdAt).toBeInstanceOf(Date);
  expect(event?.payload).toMatchObject({ id: eventId, data: { threshold: thresholds[0] } });
  expect(await events.list({ rule: [ruleId], from: new Date(Date.now() - 60_000) })).toMatchObject({
    items: [{ id: eventId }],
    totalCount: 1,
  });
  await events.resend(eventId);
  await vi.waitFor(async () => expect((await events.get(eventId))?.deliveryStatus[0]?.attempts).toHaveLength(2), WAIT);
  await events.resend(eventId, { channels: [channelId] });
  await vi.waitFor(() => expect(receiver.received).toHaveLength(3), WAIT);
  expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"]))).toEqual(new Set([`msg_${eventId}`]));

  await rules.delete(ruleId);
  await channels.delete(channelId);
  expect((await rules.list())?.items).toEqual([]);
  expect((await channels.list())?.items).toEqual([]);
  expect((await failure(rules.delete(ruleId))).status).toBe(404);
  expect((await failure(events.get("01JMA3F6K3W8T8Q8Y2N6Z0V9QX"))).status).toBe(404);
});
