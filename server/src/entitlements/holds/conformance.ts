/**
 * What holds promise on every state store: decisions one after the other however many callers ask at once, nothing lost by
 * a restart, and no instant in which neither a hold nor its event is deducted. The balance is a ledger of the test, so that
 * every sum can be told by hand.
 */

import fc from "fast-check";
import type { Kysely } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FeatureService } from "../../catalog/index.ts";
import { CustomerService } from "../../customers/index.ts";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../../engines/state-store/fixture.ts";
import type { Database } from "../../engines/state-store/index.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { createUlidSource } from "../../kernel/id.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { MeterService } from "../../meters/index.ts";
import { EntitlementChanges } from "../changes.ts";
import { EntitlementService } from "../service.ts";
import { bumpRevision } from "../store.ts";
import { HeldAmounts } from "./held-amounts.ts";
import type { Hold } from "./hold.ts";
import { type EntitlementPath, HoldService } from "./hold-service.ts";

const START = instantFromMicros(Date.UTC(2026, 0, 1) * 1000);
const SECOND = 1_000_000;
const LIMIT = 100;
const PATH: EntitlementPath = { customerIdOrKey: "acme", featureKey: "tokens" };

const d = (value: number): Decimal => Decimal.fromInteger(value);

/** Usage as the log and the event store would have it. */
class Ledger {
  readonly #usages: number[] = [];
  #stored = 0;
  grants = LIMIT;

  /** Acknowledges an event; returns its place. */
  append(usage: number) {
    this.#usages.push(usage);
    return { partition: 0, offset: this.#usages.length - 1 };
  }

  get acknowledged() {
    return this.#usages.length === 0 ? null : { partition: 0, offset: this.#usages.length - 1 };
  }

  /** Stores up to `count` further events. */
  store(count = Number.POSITIVE_INFINITY): void {
    this.#stored = Math.min(this.#usages.length, this.#stored + count);
  }

  get positions(): ReadonlyMap<number, number> {
    return new Map(this.#stored === 0 ? [] : [[0, this.#stored - 1]]);
  }

  get usage(): number {
    return this.#usages.slice(0, this.#stored).reduce((sum, each) => sum + each, 0);
  }

  get usageInAll(): number {
    return this.#usages.reduce((sum, each) => sum + each, 0);
  }

  get value() {
    const balance = d(Math.max(0, this.grants - this.usage));
    const zero = Decimal.zero;
    return {
      hasAccess: balance.isPositive(),
      balance,
      usage: d(this.usage),
      overage: zero,
      totalAvailableGrantAmount: d(this.grants),
      grantBalances: new Map<string, Decimal>(),
    };
  }
}

/** Registers the suite for one engine. */
export function holdConformance(engine: FixtureEngine): void {
  describe(`holds on ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    let clock: ManualClock;
    let ledger: Ledger;
    let entitlementId: string;
    let holds: HoldService;
    let amounts: HeldAmounts;
    let entitlements: EntitlementService;
    let customers: CustomerService;
    /** Called between a look at the balance and the decision. */
    let afterLook: () => Promise<void>;

    /** A service with an empty memory. */
    const open = (db: Kysely<Database> = fixture.store.db): HoldService => {
      const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
      amounts = new HeldAmounts();
      return new HoldService({
        db,
        namespace: "default",
        clock,
        newId,
        graceMicros: 10 * SECOND,
        customers,
        entitlements,
        held: amounts,
        balances: {
          newest: async () => {
            const newest = { value: ledger.value, upTo: ledger.positions };
            await afterLook();
            return newest;
          },
        },
        stored: () => ledger.positions,
        acknowledged: () => ledger.acknowledged,
      });
    };
    const restart = async (): Promise<void> => {
      holds = open();
      await holds.load();
    };
    const reserve = async (amount: number, options: { key?: string; seconds?: number } = {}) =>
      await holds.reserve(PATH, {
        amount: d(amount),
        lastsMicros: (options.seconds ?? 300) * SECOND,
        key: options.key ?? null,
        metadata: null,
      });
    const held = (): number => Number(amounts.heldOf(entitlementId, clock.now(), ledger.positions).toText());
    const available = (): number => LIMIT - ledger.usage - held();

    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => {
      const { db } = fixture.store;
      await db.deleteFrom("entitlement_grant").execute();
      await db.deleteFrom("entitlement").execute();
      await db.deleteFrom("feature").execute();
      await emptyTables(fixture.store);
      clock = new ManualClock(START);
      ledger = new Ledger();
      afterLook = async () => undefined;
      const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
      const base = { db, namespace: "default", clock, newId };
      const meters = new MeterService({ ...base, reservedEventTypes: [] });
      await meters.create({ slug: "tokens", aggregation: "SUM", eventType: "prompt", valueProperty: "$.tokens" });
      const features = new FeatureService({ ...base, meters });
      await features.create({ key: "tokens", name: "Tokens", meterSlug: "tokens" });
      await features.create({ key: "sso", name: "Single sign-on" });
      customers = new CustomerService(base);
      const customer = await customers.create({ name: "ACME", key: "acme" });
      await customers.create({ name: "Other", key: "other" });
      entitlements = new EntitlementService({ ...base, features, changes: new EntitlementChanges(db, []) });
      const metered = { type: "metered", featureKey: "tokens", usagePeriod: { interval: "MONTH" } } as const;
      entitlementId = (await entitlements.create(customer, metered)).id;
      await entitlements.create(customer, { type: "boolean", featureKey: "sso" });
      await restart();
    });
    afterAll(async () => await fixture.close());

    test("a reservation is there after a restart, and is gone at its instant", async () => {
      const { hold, standing, isNew } = await reserve(40);
      expect([isNew, standing.held.toText(), standing.available.toText()]).toEqual([true, "40", "60"]);
      await restart();
      expect(held()).toBe(40);
      expect(await holds.find(PATH, hold.id.toLowerCase(), "reservation")).toEqual(hold);
      clock.advance(300 * SECOND - 1);
      expect(held()).toBe(40);
      clock.advance(1);
      expect(held()).toBe(0);
      await expect(holds.confirm(hold, null, null)).rejects.toMatchObject({ code: "reservation_not_held" });
    });

    test("calls with one key at once make one reservation; another amount is refused", async () => {
      const made = await Promise.all(Array.from({ length: 5 }, async () => await reserve(40, { key: "job" })));
      expect(new Set(made.map(({ hold }) => hold.id)).size).toBe(1);
      expect(made.filter(({ isNew }) => isNew)).toHaveLength(1);
      await expect(reserve(41, { key: "job" })).rejects.toMatchObject({ code: "reservation_key_reused" });
      expect(held()).toBe(40);
      // The first answer stands, also when less is available now.
      await reserve(60);
      expect((await reserve(40, { key: "job" })).isNew).toBe(false);
    });

    test("a repeated call holds also what memory has never heard of", async () => {
      const [mine, known] = [holds, amounts];
      const { hold } = await open().reserve(PATH, {
        amount: d(30),
        lastsMicros: 300 * SECOND,
        key: "a",
        metadata: null,
      });
      amounts = known;
      expect(held()).toBe(0);
      holds = mine;
      expect(await reserve(30, { key: "a" })).toMatchObject({ hold: { id: hold.id }, isNew: false });
      expect(held()).toBe(30);
    });

    test("callers at once never hold more than there is, and nothing is refused that fits", async () => {
      const amounts = Array.from({ length: 30 }, (_, index) => 3 + ((index * 7) % 11));
      const outcomes = await Promise.allSettled(amounts.map(async (amount) => await reserve(amount)));
      const refused = amounts.filter((_, index) => outcomes[index]?.status === "rejected");
      expect(held()).toBe(amounts.reduce((sum, each) => sum + each, 0) - refused.reduce((sum, each) => sum + each, 0));
      expect(held()).toBeLessThanOrEqual(LIMIT);
      expect(Math.min(...refused)).toBeGreaterThan(available());
    });

    test("a decision is taken anew when the entitlement changed after the look at its balance", async () => {
      let looks = 0;
      afterLook = async () => {
        looks += 1;
        if (looks > 1) return;
        ledger.grants = 30;
        await fixture.store.db.transaction().execute((tx) => bumpRevision(tx, entitlementId, clock.now()));
      };
      await expect(reserve(40)).rejects.toMatchObject({ code: "insufficient_balance" });
      expect(looks).toBe(2);
    });

    test("a confirmed amount is held until its event counts, through a restart and sweeps", async () => {
      const { hold } = await reserve(40);
      await holds.confirm(hold, d(40), ledger.append(40));
      for (const step of [restart, () => holds.sweep(), () => holds.sweep(), restart]) {
        await step();
        expect([held(), available()]).toEqual([40, 60]);
      }
      clock.advance(3600 * SECOND);
      await holds.sweep();
      expect(held()).toBe(40);
      ledger.store();
      expect([held(), available()]).toEqual([0, 60]);
      await holds.sweep();
      // An answer under way may be about the balance of before.
      expect(amounts.heldOf(entitlementId, clock.now(), new Map()).toText()).toBe("40");
      await holds.sweep();
      expect([held(), amounts.size]).toEqual([0, 0]);
      await restart();
      expect(amounts.size).toBe(0);
    });

    test("without an event, the amount is held until what was acknowledged before counts", async () => {
      const { hold } = await reserve(40);
      ledger.append(38);
      await holds.confirm(hold, d(38), null);
      expect([held(), available()]).toEqual([40, 60]);
      ledger.store();
      expect([held(), available()]).toEqual([0, 62]);
      const { hold: idle } = await reserve(10);
      await holds.confirm(idle, null, null);
      expect(held()).toBe(0);
    });

    test("a confirmation that is repeated, also after a restart, changes nothing", async () => {
      const { hold } = await reserve(40);
      await holds.confirm(hold, d(40), ledger.append(40));
      const before = await holds.find(PATH, hold.id, "reservation");
      await restart();
      await holds.confirm(hold, d(39), ledger.append(0));
      expect(await holds.find(PATH, hold.id, "reservation")).toEqual(before);
      await expect(holds.release(PATH, hold.id)).rejects.toMatchObject({ code: "reservation_not_held" });
    });

    test("a release gives everything back, twice as well as once", async () => {
      const { hold } = await reserve(40);
      for (let times = 0; times < 2; times++) {
        const { standing } = await holds.release(PATH, hold.id);
        expect([standing?.available.toText(), held()]).toEqual(["100", 0]);
      }
    });

    test("a lease: granted, reported, renewed, returned", async () => {
      await reserve(30);
      const draft = { amount: d(90), minAmount: d(10), lastsMicros: 30 * SECOND };
      const { hold, standing } = await holds.lease(PATH, draft);
      expect([hold.amount.toText(), standing.available.toText()]).toEqual(["70", "0"]);
      ledger.append(20);
      // Its events count already, but nobody knows that they are the lease's: both are deducted.
      ledger.store();
      expect([held(), available()]).toEqual([100, -20]);
      clock.advance(20 * SECOND);
      const renewed = await holds.renew(PATH, hold.id, { consumed: d(20), amount: d(50), lastsMicros: null });
      expect([renewed.hold.amount.toText(), held(), available()]).toEqual(["70", 80, 0]);
      ledger.append(5);
      const next = await holds.renew(PATH, hold.id, { consumed: d(25), amount: d(0), lastsMicros: null });
      // The event of the last five is not stored yet: they are still held.
      expect([next.standing.held.toText(), held(), available()]).toEqual(["80", 80, 0]);
      await restart();
      expect(held()).toBe(80);
      ledger.store();
      expect([held(), available()]).toEqual([75, 0]);
      clock.advance(39 * SECOND);
      await expect(holds.return(PATH, hold.id, d(24))).rejects.toMatchObject({ code: "consumed_decreased" });
      const ended = await holds.return(PATH, hold.id, d(25));
      expect([ended.hold.status, ended.standing.held.toText(), available()]).toEqual(["returned", "30", 45]);
      expect((await holds.return(PATH, hold.id, d(99))).hold.used.toText()).toBe("25");
      await expect(
        holds.renew(PATH, hold.id, { consumed: d(25), amount: d(1), lastsMicros: null }),
      ).rejects.toMatchObject({ code: "lease_not_held" });
    });

    test("a renewed lease forgets what has settled, however often it is renewed", async () => {
      const { hold } = await holds.lease(PATH, { amount: d(50), minAmount: d(0), lastsMicros: 30 * SECOND });
      for (let used = 1; used <= 20; used++) {
        ledger.append(1);
        await holds.renew(PATH, hold.id, { consumed: d(used), amount: d(0), lastsMicros: null });
        expect(held()).toBe(51 - used);
        if (used % 5 === 0) await restart();
        expect(held()).toBe(51 - used);
        ledger.store();
        expect(held()).toBe(50 - used);
      }
      await restart();
      expect(held()).toBe(30);
    });

    test("an expired lease holds through its grace", async () => {
      await holds.lease(PATH, { amount: d(50), minAmount: d(0), lastsMicros: 30 * SECOND });
      clock.advance(40 * SECOND - 1);
      expect(held()).toBe(50);
      clock.advance(1);
      expect(held()).toBe(0);
    });

    test("a hold is found by its own customer, feature and kind only", async () => {
      const { hold } = await reserve(40);
      const notFound = { kind: "not_found", code: "reservation_not_found" };
      await expect(holds.find({ ...PATH, customerIdOrKey: "other" }, hold.id, "reservation")).rejects.toMatchObject(
        notFound,
      );
      await expect(holds.find({ ...PATH, featureKey: "sso" }, hold.id, "reservation")).rejects.toMatchObject(notFound);
      await expect(holds.find(PATH, `${hold.id}0`, "reservation")).rejects.toMatchObject(notFound);
      await expect(holds.find(PATH, hold.id, "lease")).rejects.toMatchObject({ code: "lease_not_found" });
      expect((await holds.find({ ...PATH, featureKey: entitlementId }, hold.id, "reservation")).id).toBe(hold.id);
    });

    test("only metered entitlements that are active have holds", async () => {
      await expect(
        holds.lease({ ...PATH, featureKey: "sso" }, { amount: d(1), minAmount: d(0), lastsMicros: SECOND }),
      ).rejects.toMatchObject({
        kind: "validation",
        code: "reservation_requires_metered_entitlement",
      });
      const customer = await customers.get("acme");
      afterLook = async () => await entitlements.delete(customer, entitlementId);
      await expect(reserve(1)).rejects.toMatchObject({ kind: "not_found", code: "entitlement_not_found" });
      expect(held()).toBe(0);
    });

    test("lists are newest first, by what has become of each, marked or not", async () => {
      const made: Hold[] = [];
      for (const seconds of [10, 300, 300, 300]) {
        made.push((await reserve(10, { seconds })).hold);
        clock.advance(SECOND);
      }
      const ids = made.map(({ id }) => id);
      await holds.release(PATH, ids[1] ?? "");
      await holds.confirm(made[2] ?? expect.fail(), null, null);
      clock.advance(10 * SECOND);
      for (const step of [async () => undefined, () => holds.sweep()]) {
        await step();
        const list = async (status: Hold["status"] | null, limit = 10) =>
          (await holds.list(PATH, { status, limit, offset: 0 })).items.map(({ id }) => ids.indexOf(id));
        expect(await list(null)).toEqual([3, 2, 1, 0]);
        expect(await list("held")).toEqual([3]);
        expect(await list("expired")).toEqual([0]);
        expect(await list("released")).toEqual([1]);
        expect(await list("confirmed")).toEqual([2]);
        expect(await holds.list(PATH, { status: null, limit: 2, offset: 3 })).toMatchObject({
          totalCount: 4,
          items: [{ id: ids[0] }],
        });
      }
      clock.advance(31 * 24 * 3600 * SECOND);
      await holds.sweep();
      await holds.sweep();
      expect((await holds.list(PATH, { status: null, limit: 10, offset: 0 })).totalCount).toBe(0);
    });

    test("after a commit of which nobody knows, what is held is read anew", async () => {
      const { db } = fixture.store;
      let isLost = false;
      holds = open(
        new Proxy(db, {
          get: (target, name) => {
            const value: unknown = Reflect.get(target, name, target);
            if (name !== "transaction" || !isLost) return typeof value === "function" ? value.bind(target) : value;
            return () => ({
              execute: async (work: Parameters<ReturnType<typeof db.transaction>["execute"]>[0]) => {
                await target.transaction().execute(work);
                isLost = false;
                throw new Error("the connection was lost");
              },
            });
          },
        }),
      );
      await reserve(30);
      isLost = true;
      await expect(reserve(40)).rejects.toThrow("the connection was lost");
      expect(held()).toBe(70);
      await expect(reserve(31)).rejects.toMatchObject({ code: "insufficient_balance" });
    });

    test("a state that is newer than its log does not wait for places that are given to others", async () => {
      const { hold } = await reserve(40);
      await holds.confirm(hold, null, { partition: 0, offset: 7 });
      await restart();
      expect(held()).toBe(0);
    });

    test("law: whatever callers do, in whatever order, through restarts, used and held never exceed the limit", async () => {
      const step = fc.oneof(
        fc.record({ kind: fc.constant("reserve" as const), amount: fc.integer({ min: 1, max: 60 }) }),
        fc.record({ kind: fc.constant("confirm" as const), pick: fc.nat(), part: fc.integer({ min: 0, max: 4 }) }),
        fc.record({ kind: fc.constant("release" as const), pick: fc.nat() }),
        fc.record({ kind: fc.constant("store" as const), count: fc.integer({ min: 1, max: 2 }) }),
        fc.record({ kind: fc.constantFrom("restart" as const, "sweep" as const) }),
        fc.record({ kind: fc.constant("wait" as const), seconds: fc.integer({ min: 1, max: 200 }) }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 40 }), async (steps) => {
          await fixture.store.db.deleteFrom("hold").execute();
          ledger = new Ledger();
          await restart();
          const pending: Hold[] = [];
          for (const each of steps) {
            const before = available();
            if (each.kind === "reserve") {
              const isFitting = each.amount <= before;
              const outcome = await reserve(each.amount).catch(() => null);
              expect(outcome !== null).toBe(isFitting);
              if (outcome !== null) pending.push(outcome.hold);
            } else if (each.kind === "confirm" || each.kind === "release") {
              const [hold] = pending.splice(each.pick % Math.max(1, pending.length), 1);
              const isHeld = hold !== undefined && clock.now() < hold.countsUntil;
              if (isHeld && each.kind === "release") await holds.release(PATH, hold.id);
              if (isHeld && each.kind === "confirm") {
                const used = Math.floor((Number(hold.amount.toText()) * each.part) / 4);
                await holds.confirm(hold, d(used), ledger.append(used));
                expect(available()).toBe(before);
              }
            } else if (each.kind === "wait") clock.advance(each.seconds * SECOND);
            else if (each.kind === "store") ledger.store(each.count);
            else {
              await (each.kind === "restart" ? restart() : holds.sweep());
              expect(available()).toBe(before);
            }
            expect(available()).toBeGreaterThanOrEqual(0);
            expect(ledger.usageInAll).toBeLessThanOrEqual(LIMIT);
          }
          clock.advance(300 * SECOND);
          ledger.store();
          expect([held(), ledger.usage]).toEqual([0, ledger.usageInAll]);
        }),
        { numRuns: 25 },
      );
    });
  });
}
