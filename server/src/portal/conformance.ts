/**
 * What the portal promises on every state store. Several services on one store stand for several processes, or for one
 * before and after a restart.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ReferenceStore } from "../engines/event-store/reference.ts";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../engines/state-store/fixture.ts";
import { ManualClock } from "../kernel/clock.ts";
import { createUlidSource } from "../kernel/id.ts";
import { instantFromMicros } from "../kernel/instant.ts";
import { MeterService } from "../meters/index.ts";
import { UsageService } from "../usage/index.ts";
import { portalSecrets, PortalService } from "./index.ts";
import type { TokenDraft } from "./service.ts";

const START = instantFromMicros(1_767_225_600_123_456);
const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
const HOUR_MS = 3_600_000;

/** Registers the suite for one engine. */
export function portalConformance(engine: FixtureEngine): void {
  describe(`the portal on ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    let clock: ManualClock;
    let meters: MeterService;
    let portal: PortalService;

    const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));
    /** Another process on the same store. */
    const open = ({
      secrets,
      ...change
    }: { secrets?: readonly string[]; namespace?: string; maxLifetimeMs?: number } = {}): PortalService => {
      const { db } = fixture.store;
      const store = new ReferenceStore();
      const usage = new UsageService({
        meters,
        store,
        clock,
        positions: () => new Map(),
        rollUp: () => null,
        customers: async () => [],
        subjectNames: async () => new Map(),
      });
      return new PortalService({
        db,
        namespace: "default",
        clock,
        newId: createUlidSource(clock, random),
        meters,
        usage,
        isEnabled: true,
        secrets: portalSecrets({ db, clock, randomBytes: random, configured: secrets ?? [] }),
        defaultLifetimeMs: HOUR_MS,
        maxLifetimeMs: undefined,
        requestsPerMinute: 3,
        ...change,
      });
    };
    const make = async (draft: Partial<TokenDraft> = {}, by = portal) => {
      const { token, text } = await by.create({ subject: "acme", ...draft });
      return { token, bearer: `Bearer ${text}` };
    };
    /** The reason of a refusal, or `in`. */
    const ask = async (bearer: string, by = portal): Promise<string> => {
      try {
        await by.authenticate(bearer);
        return "in";
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };
    const listed = async () => (await portal.list(100)).map(({ id }) => id);

    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => {
      await emptyTables(fixture.store);
      clock = new ManualClock(START);
      const newId = createUlidSource(clock, random);
      meters = new MeterService({ db: fixture.store.db, namespace: "default", clock, newId, reservedEventTypes: [] });
      portal = open();
    });
    afterAll(async () => await fixture.close());

    test("a token has whole seconds to live, and an hour by default", async () => {
      await meters.create({ slug: "tokens", eventType: "e", aggregation: "COUNT" });
      const { token, bearer } = await make({ allowedMeterSlugs: ["tokens", "tokens"] });
      const expiresAt = instantFromMicros(START - 123_456 + 60 * MINUTE);
      expect(token).toEqual({
        id: token.id,
        namespace: "default",
        subject: "acme",
        allowedMeterSlugs: ["tokens"],
        createdAt: START,
        expiresAt,
        revokedAt: null,
        lastUsedAt: null,
      });
      expect(await portal.list(100)).toEqual([token]);
      expect(await portal.authenticate(bearer)).toEqual({ subject: "acme", allowedMeterSlugs: ["tokens"] });
      clock.set(expiresAt);
      expect(await ask(bearer)).toBe("token expired");
    });

    test.each<[string, Partial<TokenDraft>, string, string]>([
      ["no subject", { subject: "" }, "invalid_subject", "1 to 1024 bytes, not 0"],
      ["a subject too long", { subject: "ü".repeat(513) }, "invalid_subject", "not 1026"],
      ["NUL in the subject", { subject: "\0" }, "invalid_subject", "NUL"],
      ["an expiry now", { expiresAt: START }, "invalid_expiry", "expiration date must be in the future"],
      [
        "an expiry this very second",
        { expiresAt: instantFromMicros(START + SECOND / 2) },
        "invalid_expiry",
        "expiration date must be in the future",
      ],
      [
        "an expiry too far",
        { expiresAt: instantFromMicros(START + 2 * DAY) },
        "invalid_expiry",
        "at most 86400 seconds",
      ],
      ["no slugs", { allowedMeterSlugs: [] }, "invalid_slugs", "slug filter cannot be an empty array when provided"],
      ["an empty slug", { allowedMeterSlugs: ["a", ""] }, "invalid_slugs", "must not be empty"],
      ["too many slugs", { allowedMeterSlugs: Array.from({ length: 101 }, () => "a") }, "invalid_slugs", "at most 100"],
    ])("%s is refused", async (_, draft, code, sentence) => {
      const strict = open({ maxLifetimeMs: 24 * HOUR_MS });
      await expect(make(draft, strict)).rejects.toMatchObject({
        kind: "validation",
        message: expect.stringContaining(sentence),
        fields: [{ code }],
      });
      expect(await listed()).toEqual([]);
    });

    test("allowed meters exist, and are named by their slugs", async () => {
      const { id } = await meters.create({ slug: "tokens", eventType: "e", aggregation: "COUNT" });
      for (const slug of ["nothing", id, id.toLowerCase()]) {
        await expect(make({ allowedMeterSlugs: [slug] })).rejects.toMatchObject({ code: "meter_not_found" });
      }
      const { bearer } = await make({ allowedMeterSlugs: ["tokens"] });
      const pass = await portal.authenticate(bearer);
      await expect(portal.query(pass, "other", {})).rejects.toMatchObject({
        kind: "unauthorized",
        message: "meter slug not allowed",
      });
      await meters.delete("tokens");
      await expect(portal.query(pass, "tokens", {})).rejects.toMatchObject({ code: "meter_not_found" });
      await expect(portal.query({ ...pass, allowedMeterSlugs: [] }, id, {})).rejects.toMatchObject({
        code: "meter_not_found",
      });
    });

    test("revocation by id, by subject, and by both", async () => {
      const [a1, a2, b1] = [await make(), await make(), await make({ subject: "b" })];
      await expect(portal.invalidate({})).rejects.toMatchObject({ code: "nothing_to_invalidate" });
      for (const target of [
        { id: "unknown" },
        { id: "\0" },
        { subject: "nobody" },
        { subject: "\0" },
        // The token is another subject's.
        { id: b1.token.id, subject: "acme" },
      ]) {
        await portal.invalidate(target);
      }
      expect(await listed()).toEqual([b1.token.id, a2.token.id, a1.token.id]);
      await portal.invalidate({ id: a1.token.id.toLowerCase() });
      await portal.invalidate({ id: a1.token.id });
      expect(await listed()).toEqual([b1.token.id, a2.token.id]);
      expect(await ask(a1.bearer)).toBe("invalid token: revoked");
      expect(await ask(a2.bearer)).toBe("in");
      await portal.invalidate({ subject: "acme" });
      expect(await ask(a2.bearer)).toBe("invalid token: revoked");
      expect(await ask(b1.bearer)).toBe("in");
      const later = await make();
      expect(await ask(later.bearer)).toBe("in");
      await portal.invalidate({ id: b1.token.id, subject: "b" });
      expect(await listed()).toEqual([later.token.id]);
    });

    test("a revoked token fails at once here, a second later everywhere, and after a restart", async () => {
      const other = open();
      const { token, bearer } = await make();
      expect([await ask(bearer), await ask(bearer, other)]).toEqual(["in", "in"]);
      await portal.invalidate({ id: token.id });
      expect(await ask(bearer)).toBe("invalid token: revoked");
      clock.advance(SECOND);
      expect(await ask(bearer, other)).toBe("invalid token: revoked");
      expect(await ask(bearer, open())).toBe("invalid token: revoked");
    });

    test("a request that a revocation overlaps does not bring the token back", async () => {
      const { token, bearer } = await make();
      for (let round = 0; round < 5; round += 1) {
        await Promise.all([ask(bearer), portal.invalidate({ id: token.id }), ask(bearer)]);
        expect(await ask(bearer)).toBe("invalid token: revoked");
      }
    });

    test("tokens of an old secret live on until it is off the list; the random one survives restarts", async () => {
      const old = await make({}, open({ secrets: ["old"] }));
      const both = open({ secrets: ["new", "old"] });
      const fresh = await make({}, both);
      const without = open({ secrets: ["new"] });
      expect([await ask(old.bearer, both), await ask(fresh.bearer, both)]).toEqual(["in", "in"]);
      expect(await ask(old.bearer, without)).toBe("invalid token: its signature is wrong");
      expect(await ask(fresh.bearer, without)).toBe("in");
      const [kept, again] = [open(), open()];
      const tokens = await Promise.all([make({}, kept), make({}, again)]);
      for (const { bearer } of tokens)
        expect([await ask(bearer, kept), await ask(bearer, again)]).toEqual(["in", "in"]);
      expect(await ask(fresh.bearer, kept)).toBe("invalid token: its signature is wrong");
    });

    test("a token of another namespace is not let in", async () => {
      const { bearer } = await make();
      expect(await ask(bearer, open({ namespace: "other" }))).toBe("invalid token: wrong namespace");
    });

    test("a token without a record is not let in", async () => {
      const { bearer } = await make();
      await fixture.store.db.deleteFrom("portal_token").execute();
      expect(await ask(bearer)).toBe("invalid token: revoked");
    });

    test("beyond its rate a token waits, and no other does", async () => {
      const [one, two] = [await make(), await make()];
      for (let request = 0; request < 3; request += 1) expect(await ask(one.bearer)).toBe("in");
      clock.advance(20 * SECOND);
      await expect(portal.authenticate(one.bearer)).rejects.toMatchObject({
        kind: "rate_limited",
        retryAfterSeconds: 40,
      });
      expect(await ask(two.bearer)).toBe("in");
      clock.advance(40 * SECOND);
      expect(await ask(one.bearer)).toBe("in");
    });

    test("the last use is noted once a minute", async () => {
      const { token, bearer } = await make();
      const used = async () => (await portal.list(1))[0]?.lastUsedAt;
      expect(await used()).toBeNull();
      await ask(bearer);
      expect(await used()).toBe(START);
      clock.advance(MINUTE - 1);
      await ask(bearer);
      expect(await used()).toBe(START);
      clock.advance(1);
      await ask(bearer, open());
      await ask(bearer);
      expect(await used()).toBe(START + MINUTE);
      expect(await listed()).toEqual([token.id]);
    });

    test("the list shows the newest first, and expired tokens for 30 days", async () => {
      const ids: string[] = [];
      for (let index = 0; index < 3; index += 1) {
        ids.unshift((await make()).token.id);
        clock.advance(SECOND);
      }
      expect(await listed()).toEqual(ids);
      expect((await portal.list(2)).map(({ id }) => id)).toEqual(ids.slice(0, 2));
      clock.set(instantFromMicros(START - 123_456 + 60 * MINUTE + 30 * DAY - 1));
      expect(await portal.forgetOld()).toBe(0);
      expect(await listed()).toEqual(ids);
      clock.advance(1);
      expect(await listed()).toEqual(ids.slice(0, 2));
      expect(await portal.forgetOld()).toBe(1);
      clock.advance(DAY);
      expect(await portal.forgetOld()).toBe(2);
      expect(await portal.forgetOld()).toBe(0);
    });
  });
}
