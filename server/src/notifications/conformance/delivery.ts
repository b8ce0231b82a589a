/** What delivery promises on every state store: the schedule, limits, crashes, resends. */

import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { FixtureEngine } from "../../engines/state-store/fixture.ts";
import { formatInstant } from "../../kernel/instant.ts";
import { recordOutcome, takeDue } from "../delivery/delivery-store.ts";
import { fail, hang, succeed } from "../delivery/fixture.ts";
import type { StoredDelivery } from "../events/event-store.ts";
import { HOUR, NotificationsFixture, SECOND, START } from "./fixture.ts";

const DELAYS_SECONDS = [0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000];

/** Registers the suite for one engine. */
export function deliveryConformance(engine: FixtureEngine): void {
  describe(`delivery on ${engine.name}`, () => {
    let given: NotificationsFixture;

    beforeAll(async () => {
      given = await NotificationsFixture.open(engine);
    });
    beforeEach(async () => {
      await given.empty();
      given.receiver.respond = succeed;
    });
    afterAll(async () => {
      await given.close();
      expect(given.errors).toEqual([]);
    });

    const deliveries = async (eventId: string): Promise<readonly StoredDelivery[]> =>
      (await given.events.get(eventId)).deliveries;
    const only = async (eventId: string): Promise<StoredDelivery> => {
      const [delivery, ...others] = await deliveries(eventId);
      expect(others).toEqual([]);
      if (delivery === undefined) throw new Error("the event has a delivery");
      return delivery;
    };
    const simple = async (): Promise<{ channel: string; rule: string; event: string }> => {
      const channel = await given.channel();
      const rule = await given.rule([channel]);
      return { channel, rule, event: await given.event(rule) };
    };

    test("a delivery that succeeds is attempted once", async () => {
      const { event } = await simple();
      expect(await only(event)).toMatchObject({ state: "PENDING", attempts: [], due_at: START });
      await given.deliver();
      await given.deliver();
      expect(await only(event)).toMatchObject({
        state: "SUCCESS",
        reason: "",
        due_at: null,
        attempts: [{ statusCode: 204 }],
      });
      const [got, ...others] = given.receiver.received;
      expect(others).toEqual([]);
      expect(got?.headers).toMatchObject({ "webhook-id": `msg_${event}`, "user-agent": "Tallystick-Webhooks/1.2.3" });
      expect(got?.body).toBe((await given.events.get(event)).payload);
    });

    test("one that fails is tried eight times on the schedule, with the same id and bytes, then it has failed", async () => {
      given.receiver.respond = fail(500);
      const { event } = await simple();
      const times: number[] = [];
      for (let attempts = 0; attempts < DELAYS_SECONDS.length;) {
        const { due_at: dueAt } = await only(event);
        if (dueAt === null) throw new Error("it is still to be tried");
        given.clock.set(given.at(dueAt - START - 1));
        await given.deliver();
        expect(given.receiver.received).toHaveLength(attempts);
        given.clock.set(dueAt);
        await given.deliver();
        attempts += 1;
        expect(given.receiver.received).toHaveLength(attempts);
        times.push(dueAt - START);
      }
      const delays = times.map((time, index) => (time - (times[index - 1] ?? 0)) / SECOND);
      expect(delays).toEqual(DELAYS_SECONDS);
      const delivery = await only(event);
      expect(delivery).toMatchObject({ state: "FAILED", reason: "attempts exhausted", due_at: null });
      expect(delivery.attempts.map(({ at }) => at - START)).toEqual(times.toReversed());
      const sent = given.receiver.received.map(({ headers, body }) => `${String(headers["webhook-id"])} ${body}`);
      expect(new Set(sent).size).toBe(1);
      expect(new Set(given.receiver.received.map(({ headers }) => headers["webhook-timestamp"])).size).toBe(8);
    });

    test("at most 25 attempts are kept, the newest first", async () => {
      given.receiver.respond = fail(500);
      const { event } = await simple();
      for (let resends = 0; resends < 27; resends += 1) {
        await given.deliver();
        given.clock.advance(SECOND);
        await given.events.resend(event, undefined);
      }
      const { attempts } = await only(event);
      expect(attempts).toHaveLength(25);
      expect(attempts.map(({ at }) => at)).toEqual(attempts.map(({ at }) => at).toSorted((a, b) => b - a));
      expect(attempts[0]?.at).toBe(START + 26 * SECOND);
    });

    test("Retry-After prolongs the delay", async () => {
      given.receiver.respond = fail(503, { "retry-after": "60" });
      const { event } = await simple();
      await given.deliver();
      expect(await only(event)).toMatchObject({ state: "SENDING", due_at: START + 60 * SECOND });
    });

    test("48 hours after its start it has failed, whatever is scheduled", async () => {
      given.receiver.respond = fail(503, { "retry-after": "86400" });
      const { event } = await simple();
      for (const hours of [0, 24, 48]) {
        given.clock.set(given.at(hours * HOUR));
        await given.deliver();
      }
      expect(await only(event)).toMatchObject({ state: "FAILED", reason: "not delivered within 48 hours" });
      expect(given.receiver.received).toHaveLength(2);
    });

    test("a channel that is disabled or deleted meanwhile gets nothing more", async () => {
      given.receiver.respond = fail(500);
      const { channel, rule, event } = await simple();
      await given.deliver();
      const { name, url, customHeaders, metadata } = await given.channels.get(channel);
      await given.channels.update(channel, {
        name,
        url,
        customHeaders,
        metadata,
        signingSecret: null,
        isDisabled: true,
      });
      given.clock.advance(HOUR);
      await given.deliver();
      expect(await only(event)).toMatchObject({ state: "FAILED", reason: "channel disabled" });
      const second = await given.channel("/second");
      const other = await given.event(await given.rule([second]));
      await given.rules.delete(rule);
      expect((await deliveries(other)).map(({ channel_id: id }) => id)).toEqual([second]);
      for (const { id } of (await given.rules.list(ALL_RULES)).items) await given.rules.delete(id);
      await given.channels.delete(second);
      await given.deliver();
      expect(await only(other)).toMatchObject({ state: "FAILED", reason: "channel deleted" });
      expect(given.receiver.received).toHaveLength(1);
    });

    test("a disabled channel gets no deliveries", async () => {
      const channel = await given.channel();
      const rule = await given.rule([channel, await given.channel("/on")]);
      const { name, url, customHeaders, metadata } = await given.channels.get(channel);
      await given.channels.update(channel, {
        name,
        url,
        customHeaders,
        metadata,
        signingSecret: null,
        isDisabled: true,
      });
      expect(await deliveries(await given.event(rule))).toHaveLength(1);
    });

    test("URL, headers and secrets are those at the attempt; an old secret signs too for a day", async () => {
      given.receiver.respond = fail(500);
      const { channel, event } = await simple();
      await given.deliver();
      const { name, metadata } = await given.channels.get(channel);
      const changed = { name, metadata, isDisabled: false, customHeaders: { "x-new": "1" } };
      await given.channels.update(channel, {
        ...changed,
        url: given.receiver.url("/new"),
        signingSecret: "A".repeat(32),
      });
      const signatures: number[] = [];
      for (const hours of [1, 23, 25]) {
        given.clock.set(given.at(hours * HOUR));
        await given.events.resend(event, undefined);
        await given.deliver();
        const last = given.receiver.received.at(-1);
        expect([last?.path, last?.headers["x-new"]]).toEqual(["/new", "1"]);
        signatures.push(String(last?.headers["webhook-signature"]).split(" ").length);
      }
      expect(signatures).toEqual([2, 2, 1]);
    });

    test("whoever dies between taking and recording costs one repeated attempt with the same id and body", async () => {
      const { event } = await simple();
      const limits = { free: 32, perChannel: 4, busy: new Map<string, number>() };
      // Died before it sent anything.
      expect(await takeDue(given.db, "default", given.clock.now(), limits)).toHaveLength(1);
      await given.deliver();
      expect(given.receiver.received).toHaveLength(0);
      given.clock.advance(59 * SECOND);
      await given.deliver();
      expect(given.receiver.received).toHaveLength(0);
      given.clock.advance(SECOND);
      // Sends, and dies before it records.
      const dying = given.worker({ onAttempt: () => dieAfterSending() });
      const running = dying.run();
      await vi.waitFor(() => expect(given.errors).toHaveLength(1), { timeout: 10_000 });
      given.errors.length = 0;
      await dying.stop();
      await running;
      expect(await only(event)).toMatchObject({ state: "SENDING", attempts: [] });
      given.clock.advance(60 * SECOND);
      await given.deliver();
      await given.deliver();
      expect(await only(event)).toMatchObject({ state: "SUCCESS" });
      expect(given.receiver.received).toHaveLength(2);
      expect(given.receiver.received[1]?.body).toBe(given.receiver.received[0]?.body);
      expect(given.receiver.received[1]?.headers["webhook-id"]).toBe(given.receiver.received[0]?.headers["webhook-id"]);
    });

    test("the outcome of whoever was too slow for its lease is listed and decides nothing", async () => {
      const { event } = await simple();
      const limits = { free: 32, perChannel: 4, busy: new Map<string, number>() };
      const [slow] = await takeDue(given.db, "default", given.clock.now(), limits);
      given.clock.advance(60 * SECOND);
      await given.deliver();
      if (slow === undefined) throw new Error("the delivery was due");
      const attempt = { at: START, isSuccess: false, statusCode: 500, body: "", durationMs: 1, url: "" };
      const outcome = { state: "FAILED", reason: "too late", dueAt: null, attempt } as const;
      await recordOutcome(given.db, slow, outcome, given.clock.now());
      expect(await only(event)).toMatchObject({ state: "SUCCESS", reason: "" });
      expect((await only(event)).attempts).toHaveLength(2);
    });

    test("the end of the server gives back what is being sent, at once and untried", async () => {
      given.receiver.respond = hang;
      const { event } = await simple();
      const worker = given.worker();
      const running = worker.run();
      await vi.waitFor(() => expect(given.receiver.open).toBe(1), { timeout: 10_000 });
      await worker.stop();
      await running;
      expect(await only(event)).toMatchObject({ state: "SENDING", attempts: [], tries: 0, due_at: START });
      given.receiver.respond = succeed;
      await given.deliver();
      expect(await only(event)).toMatchObject({ state: "SUCCESS" });
    });

    test("a slow receiver delays nobody else: four attempts per channel, and others pass", async () => {
      const rule = await given.rule([await given.channel("/slow"), await given.channel("/fast")]);
      given.receiver.respond = (response, { path }) => (path === "/fast" ? succeed(response, NOTHING) : undefined);
      for (let events = 0; events < 12; events += 1) await given.event(rule);
      const worker = given.worker();
      const running = worker.run();
      const isFast = (): number => given.receiver.received.filter(({ path }) => path === "/fast").length;
      await vi.waitFor(() => expect(isFast()).toBe(12), { timeout: 10_000 });
      expect(given.receiver.mostOpen.get("/slow")).toBe(4);
      expect(given.receiver.mostOpen.get("/fast")).toBeLessThanOrEqual(4);
      await worker.stop();
      await running;
    });

    test("all attempts together have a limit", async () => {
      const channels = await Promise.all(["/a", "/b", "/c", "/d"].map(async (path) => await given.channel(path)));
      const rule = await given.rule(channels);
      given.receiver.respond = hang;
      for (let events = 0; events < 3; events += 1) await given.event(rule);
      const worker = given.worker({ concurrency: 5 });
      const running = worker.run();
      await vi.waitFor(() => expect(given.receiver.open).toBe(5), { timeout: 10_000 });
      worker.wake();
      await given.events.list(ALL_EVENTS);
      expect(given.receiver.open).toBe(5);
      await worker.stop();
      await running;
    });

    test("resend: what was tried starts anew, what was not is left alone, a bad channel is named", async () => {
      given.receiver.respond = fail(500);
      const [first, second] = [await given.channel("/1"), await given.channel("/2")];
      const other = await given.channel("/3");
      const event = await given.event(await given.rule([first, second]));
      await given.events.resend(event, [first]);
      expect((await deliveries(event)).map(({ state }) => state)).toEqual(["PENDING", "PENDING"]);
      await given.deliver();
      given.clock.advance(SECOND);
      await given.events.resend(event, [first]);
      const at = formatInstant(given.clock.now());
      const states = async () =>
        (await deliveries(event)).map(({ state, tries, attempts }) => [state, tries, attempts.length]);
      expect(await states()).toEqual([
        ["RESENDING", 0, 1],
        ["SENDING", 1, 1],
      ]);
      expect((await deliveries(event))[0]?.annotations).toEqual({ "event.resend.timestamp": at });
      given.receiver.respond = succeed;
      await given.deliver();
      expect(await states()).toEqual([
        ["SUCCESS", 1, 2],
        ["SENDING", 1, 1],
      ]);
      await expect(given.events.resend(event, [first, other])).rejects.toMatchObject({
        code: "invalid_notification_resend",
        fields: [{ field: "$.channels[1]" }],
      });
      await expect(given.events.resend("01JMA3F6K3W8T8Q8Y2N6Z0V9QX", undefined)).rejects.toMatchObject({
        kind: "not_found",
      });
    });

    test("a resend during an attempt decides: the outcome of that attempt is listed and no more", async () => {
      const answer = Promise.withResolvers<void>();
      given.receiver.respond = (response) => void answer.promise.then(() => response.writeHead(500).end());
      const { event } = await simple();
      const worker = given.worker();
      const running = worker.run();
      await vi.waitFor(() => expect(given.receiver.open).toBe(1), { timeout: 10_000 });
      await given.events.resend(event, undefined);
      given.receiver.respond = succeed;
      answer.resolve();
      await vi.waitFor(async () => expect(await only(event)).toMatchObject({ state: "SUCCESS" }), { timeout: 10_000 });
      expect((await only(event)).attempts.filter(({ isSuccess }) => isSuccess)).toHaveLength(1);
      expect((await only(event)).attempts).toHaveLength(2);
      await worker.stop();
      await running;
    });
  });
}

const NOTHING = { path: "", method: "", headers: {}, body: "" };
const PAGE = { order: "ASC", orderBy: "id", page: 1, pageSize: 100 } as const;
const ALL_RULES = { ...PAGE, includeDeleted: false, includeDisabled: true, features: undefined, channels: undefined };
const ALL_EVENTS = {
  ...PAGE,
  from: undefined,
  to: undefined,
  features: undefined,
  subjects: undefined,
  rules: undefined,
  channels: undefined,
};

function dieAfterSending(): never {
  throw new Error("died");
}
