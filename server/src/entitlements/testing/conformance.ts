/**
 * What entitlements promise on every state store: one active at a time whatever races, all or nothing of a change, and who
 * hears of it. Usage comes from the reference store, so that values are part of the picture.
 */

import fc from "fast-check";
import type { Transaction } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FeatureService } from "../../catalog/index.ts";
import { type Customer, CustomerService } from "../../customers/index.ts";
import { encodeEvents } from "../../engines/event-store/index.ts";
import { ReferenceStore } from "../../engines/event-store/reference.ts";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../../engines/state-store/fixture.ts";
import type { Database } from "../../engines/state-store/index.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { Fault } from "../../kernel/fault.ts";
import { createUlidSource } from "../../kernel/id.ts";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import { MeterService } from "../../meters/index.ts";
import { Calculation } from "../calculation.ts";
import { type EntitlementChange, EntitlementChanges, type EntitlementParticipant } from "../changes.ts";
import { type EntitlementDraft, newEntitlement } from "../draft.ts";
import { endOf, type Entitlement, isMetered } from "../entitlement.ts";
import { GrantService } from "../grants/service.ts";
import { EntitlementService } from "../service.ts";
import { insertEntitlement, listEntitlements } from "../store.ts";

const SEED = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const MINUTE = 60_000_000;
const DAY = 24 * 60 * MINUTE;
const START = instantFromMicros(Date.UTC(2026, 0, 10, 12) * 1_000);
const NAMESPACE = "default";

const later = (micros: number): Instant => instantFromMicros(START + micros);
const metered: EntitlementDraft = { type: "metered", featureKey: "tokens", usagePeriod: { interval: "MONTH" } };

/** The services of the domain over one state store. */
class Domain {
  readonly clock = new ManualClock(START);
  readonly events = new ReferenceStore();
  readonly calls: string[] = [];
  readonly changed: EntitlementChange[] = [];
  readonly customers: CustomerService;
  readonly features: FeatureService;
  readonly meters: MeterService;
  readonly entitlements: EntitlementService;
  readonly grants: GrantService;
  readonly calculation: Calculation;
  readonly newId = createUlidSource(this.clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
  /** The cause of a change that the participant refuses. */
  refuses: string | null = null;

  constructor(fixture: StateStoreFixture) {
    const { clock, newId } = this;
    const { db } = fixture.store;
    const common = { db, namespace: NAMESPACE, clock, newId };
    const participant: EntitlementParticipant = {
      onReset: async (_, { revision }, at) => void this.calls.push(`reset of revision ${revision} at ${at - START}`),
      onStructure: async (tx, _, cause, at) => await this.#participate(tx, cause, at),
    };
    const changes = new EntitlementChanges(db, [participant]);
    changes.onChange((change) => this.changed.push(change));
    this.customers = new CustomerService({
      ...common,
      inTransaction: [(tx, change) => this.entitlements.withCustomer(tx, change)],
    });
    this.customers.onChange((change) => this.entitlements.afterCustomer(change));
    this.meters = new MeterService({ ...common, reservedEventTypes: [] });
    this.features = new FeatureService({ ...common, meters: this.meters });
    this.entitlements = new EntitlementService({ ...common, features: this.features, changes });
    this.grants = new GrantService({ ...common, changes });
    const { customers, features, meters } = this;
    const source = { store: this.events, positions: () => new Map([[0, 1_000]]), rollUp: () => null };
    this.calculation = new Calculation({ db, customers, features, meters, ...source });
  }

  async #participate(tx: Transaction<Database>, cause: string, at: Instant): Promise<void> {
    // Proves that it is inside the transaction: what it writes goes with the change.
    const trace = { topic: "trace", payload: JSON.stringify(cause), due_at: at, created_at: at };
    await tx.insertInto("outbox").values(trace).execute();
    this.calls.push(`${cause} at ${at - START}`);
    if (cause === this.refuses) throw new Fault("validation", "refused", "refused by a participant");
  }

  async seed(): Promise<Customer> {
    await this.meters.create({ slug: "tokens", eventType: "prompt", aggregation: "SUM", valueProperty: "$.n" });
    for (const key of ["tokens", "images"]) await this.features.create({ key, name: key, meterSlug: "tokens" });
    return await this.customers.create({ name: "ACME", key: "acme" });
  }
}

/** Registers the suite for one engine. */
export function entitlementConformance(engine: FixtureEngine): void {
  describe(`entitlements on ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    let domain: Domain;
    let acme: Customer;

    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => {
      await emptyTables(fixture.store);
      domain = new Domain(fixture);
      acme = await domain.seed();
    });
    afterAll(async () => await fixture.close());

    const all = async (): Promise<readonly Entitlement[]> =>
      await listEntitlements(fixture.store.db, NAMESPACE, {
        orderBy: "createdAt",
        direction: "asc",
        includeDeleted: true,
        limit: 1_000,
        offset: 0,
      });
    const outbox = async (): Promise<number> =>
      (await fixture.store.db.selectFrom("outbox").select("id").execute()).length;

    test("of many requests for one feature at the same time one wins, and the others name the winner", async () => {
      const attempts = Array.from({ length: 8 }, () => domain.entitlements.create(acme, metered));
      const results = await Promise.allSettled(attempts);
      const [winner, ...none] = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      expect(none).toEqual([]);
      const losers = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
      expect(losers).toHaveLength(7);
      for (const loser of losers) {
        expect(loser).toMatchObject({ kind: "conflict", extensions: { conflictingEntityId: winner?.id } });
      }
    });

    test(`whatever races, at most one is active at any instant (seed ${SEED})`, async () => {
      const verb = fc.constantFrom("create", "override", "delete", "schedule");
      const round = fc.record({
        verbs: fc.array(verb, { minLength: 2, maxLength: 5 }),
        passes: fc.integer({ min: 0, max: 3 }),
      });
      const attempt = async (kind: string): Promise<void> => {
        const { entitlements } = domain;
        if (kind === "create") await entitlements.create(acme, metered);
        if (kind === "override") await entitlements.override(acme, "tokens", metered);
        if (kind === "delete") await entitlements.delete(acme, "tokens");
        if (kind !== "schedule") return;
        const [activeFrom, activeTo] = [1, 2].map((days) => instantFromMicros(domain.clock.now() + days));
        await entitlements.create(acme, metered, { managedBy: "subscription", activeFrom, activeTo });
      };
      await fc.assert(
        fc.asyncProperty(fc.array(round, { maxLength: 4 }), async (rounds) => {
          for (const { verbs, passes } of rounds) {
            domain.clock.advance(passes);
            const results = await Promise.allSettled(verbs.map(attempt));
            for (const result of results) if (result.status === "rejected") expect(result.reason).toBeInstanceOf(Fault);
            expect(overlaps(await all())).toEqual([]);
          }
        }),
        { seed: SEED, numRuns: 25 },
      );
    });

    test("the database refuses what goes past the service", async () => {
      const first = await domain.entitlements.create(acme, metered);
      const feature = await domain.features.get("tokens");
      const context = { namespace: NAMESPACE, newId: domain.newId, customerId: acme.id, feature, managed: null };
      const insert = async (now: Instant, end: Partial<Pick<Entitlement, "activeTo">> = {}): Promise<boolean> => {
        const { entitlement } = newEntitlement(metered, { ...context, now });
        return await insertEntitlement(fixture.store.db, { ...entitlement, ...end });
      };
      expect(await insert(later(DAY))).toBe(false);
      expect(await insert(later(-DAY))).toBe(false);
      expect(await insert(later(-DAY), { activeTo: first.activeFrom })).toBe(true);
      // Ends before it starts: it is never active, and in nobody's way.
      expect(await insert(later(DAY), { activeTo: START })).toBe(true);
    });

    test("a scheduled one is in the way of one without an end, and one that ends before it is not", async () => {
      const scheduled = { managedBy: "subscription", activeFrom: later(DAY), activeTo: later(2 * DAY) } as const;
      const { id } = await domain.entitlements.create(acme, metered, scheduled);
      const clash = { code: "entitlement_exists", extensions: { conflictingEntityId: id } };
      await expect(domain.entitlements.create(acme, metered)).rejects.toMatchObject(clash);
      const before = { ...scheduled, activeFrom: START, activeTo: later(DAY) };
      await domain.entitlements.create(acme, metered, before);
      await domain.entitlements.create(acme, { ...metered, featureKey: "images" });
      expect(overlaps(await all())).toEqual([]);
      expect(await domain.entitlements.find(acme, "tokens")).toMatchObject({ activeTo: later(DAY) });
      domain.clock.set(later(DAY));
      expect(await domain.entitlements.find(acme, "tokens")).toMatchObject({ id });
    });

    test("one that was deleted meanwhile is not overridden", async () => {
      const { id } = await domain.entitlements.create(acme, metered);
      domain.clock.advance(2 * MINUTE);
      await domain.entitlements.delete(acme, id);
      // As if the override had read the time first and then waited for the deletion.
      domain.clock.set(later(MINUTE));
      await expect(domain.entitlements.override(acme, id, metered)).rejects.toMatchObject({
        code: "entitlement_ended",
      });
      expect(await all()).toHaveLength(1);
    });

    test("one that begins with more usage periods than a balance is computed over is refused", async () => {
      const hourly = { ...metered, usagePeriod: { interval: "PT1H" } };
      const ancient = { ...hourly, measureUsageFrom: "1900-01-01T00:00:00Z" };
      await expect(domain.entitlements.create(acme, ancient)).rejects.toMatchObject({
        code: "too_many_periods",
        fields: [{ field: "$.measureUsageFrom" }],
      });
      const made = await domain.entitlements.create(acme, { ...hourly, measureUsageFrom: "2015-01-01T00:00:00Z" });
      expect(made.metered).not.toBeNull();
    });

    test("a managed one takes grants, and nothing else from clients", async () => {
      const { entitlements, grants } = domain;
      const managed = await entitlements.create(acme, metered, { managedBy: "subscription" });
      domain.clock.advance(MINUTE);
      const refused = { kind: "forbidden", message: expect.stringContaining("entitlement is managed by subscription") };
      await expect(entitlements.delete(acme, managed.id)).rejects.toMatchObject(refused);
      await expect(entitlements.reset(acme, "tokens", {})).rejects.toMatchObject(refused);
      await expect(entitlements.override(acme, "tokens", metered)).rejects.toMatchObject(refused);
      const draft = { amount: "5", effectiveAt: "2026-01-10T12:01:00Z", maxRolloverAmount: "0" };
      const grant = await grants.create(managed, draft);
      await grants.void(grant.id, undefined);
      await domain.customers.delete(acme.id);
      expect(await entitlements.byId(managed.id)).toMatchObject({ deletedAt: later(MINUTE) });
    });

    test("a change is one transaction with those who take part, and is told after it", async () => {
      const { entitlements, grants } = domain;
      const draft = { ...metered, measureUsageFrom: "2026-01-10T11:00:00Z", issueAmount: "10" };
      const made = await entitlements.create(acme, draft);
      const grant = await grants.create(made, {
        amount: "5",
        effectiveAt: "2026-01-10T12:30:00Z",
        maxRolloverAmount: "0",
      });
      await grants.void(grant.id, undefined);
      await entitlements.reset(acme, made.id, {});
      domain.clock.advance(MINUTE);
      await entitlements.delete(acme, "tokens");
      await entitlements.delete(acme, made.id);
      expect(domain.calls).toEqual([
        "created at 0",
        `grant_created at ${30 * MINUTE}`,
        "grant_voided at 0",
        "reset of revision 3 at 0",
        "reset at 0",
        `ended at ${MINUTE}`,
      ]);
      expect(await outbox()).toBe(5);
      expect(await entitlements.byId(made.id)).toMatchObject({ revision: 5 });
      const own = { customerId: acme.id, entitlementIds: [made.id] };
      expect(domain.changed).toEqual([own, own, own, own, own, { ...own, entitlementIds: [] }]);
    });

    test.each(["created", "ended", "grant_created", "grant_voided", "reset"])(
      "nothing is left of a refused %s",
      async (cause) => {
        const { entitlements, grants } = domain;
        const draft = { ...metered, measureUsageFrom: "2026-01-10T11:00:00Z", issueAmount: "10" };
        const made = await entitlements.create(acme, draft);
        const grant = { amount: "5", effectiveAt: "2026-01-10T12:00:00Z", maxRolloverAmount: "0" };
        const { id } = await grants.create(made, grant);
        domain.clock.advance(MINUTE);
        const read = async () => ({
          all: await all(),
          grants: await grants.list({ orderBy: "id", direction: "asc", includeDeleted: true, limit: 10, offset: 0 }),
          customer: await domain.customers.get("acme"),
          traces: await outbox(),
          changed: [...domain.changed],
        });
        const before = await read();
        domain.refuses = cause;
        const attempts: Readonly<Record<string, () => Promise<unknown>>> = {
          created: () => entitlements.override(acme, "tokens", metered),
          ended: () => domain.customers.delete("acme"),
          grant_created: () => grants.create(made, grant),
          grant_voided: () => grants.void(id, undefined),
          reset: () => entitlements.reset(acme, "tokens", {}),
        };
        await expect(attempts[cause]?.()).rejects.toThrow("refused by a participant");
        expect(await read()).toEqual(before);
      },
    );

    test("one of two resets in the same minute wins, and one of two that void a grant", async () => {
      const { entitlements, grants } = domain;
      const made = await entitlements.create(acme, { ...metered, measureUsageFrom: "2026-01-10T11:00:00Z" });
      const grant = await grants.create(made, {
        amount: "5",
        effectiveAt: "2026-01-10T12:00:00Z",
        maxRolloverAmount: "0",
      });
      const resets = await Promise.allSettled([1, 2].map(() => entitlements.reset(acme, "tokens", {})));
      expect(resets.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
      const voids = await Promise.allSettled([1, 2].map(() => grants.void(grant.id, undefined)));
      expect(voids.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
      expect(await entitlements.byId(made.id)).toMatchObject({ revision: 4, resets: [{ at: START, anchor: START }] });
    });

    test("with a customer go its entitlements, and nobody makes one for it meanwhile", async () => {
      const { entitlements } = domain;
      const active = await entitlements.create(acme, { ...metered, issueAmount: "1" });
      const window = { managedBy: "subscription", activeFrom: later(DAY) } as const;
      const scheduled = await entitlements.create(acme, { ...metered, featureKey: "images" }, window);
      domain.clock.advance(MINUTE);
      await domain.customers.delete("acme");
      const listed = { orderBy: "id", direction: "asc", includeDeleted: false, limit: 10, offset: 0 } as const;
      expect(await domain.grants.list(listed)).toMatchObject({ totalCount: 0 });
      expect((await all()).map(({ deletedAt }) => deletedAt)).toEqual([later(MINUTE), later(MINUTE)]);
      expect(new Set(domain.changed.at(-1)?.entitlementIds)).toEqual(new Set([active.id, scheduled.id]));
      await expect(entitlements.create(acme, metered)).rejects.toMatchObject({ code: "customer_deleted" });
    });

    test("values are recomputed from events, converted exactly, whatever came late", async () => {
      const conversion = { operation: "divide", factor: Decimal.of("3") } as const;
      const draft = { ...metered, usagePeriod: { interval: "DAY" }, measureUsageFrom: "2026-01-01T00:00:00Z" };
      const managed = { managedBy: "subscription", conversion, activeFrom: later(-20 * DAY) } as const;
      const made = await domain.entitlements.create(acme, { ...draft, issueAmount: "10" }, managed);
      if (!isMetered(made)) throw new Error("not metered");
      const read = async (at: Instant) => await domain.calculation.value(made, at);
      await store(domain, 0, START - MINUTE, "4");
      await store(domain, 1, START - 5 * DAY, "100");
      expect(await read(START)).toMatchObject({ usage: Decimal.zero, balance: Decimal.of("10") });
      const before = instantFromMicros(START - 1);
      expect((await read(before)).usage.toText()).toBe("1.333333333333333333333333");
      expect((await read(before)).balance.toText()).toBe("8.666666666666666666666667");
      expect((await read(later(-5 * DAY + MINUTE))).overage.toText()).toBe("23.333333333333333333333333");
      await store(domain, 2, START - 2 * MINUTE, "2");
      expect((await read(before)).balance.toText()).toBe("8");
      expect(await read(instantFromMicros(Date.UTC(2025, 11, 31) * 1_000))).toMatchObject({ balance: Decimal.zero });
    });
  });
}

async function store({ events }: Domain, offset: number, micros: number, n: string): Promise<void> {
  const time = instantFromMicros(micros);
  const known = { namespace: NAMESPACE, source: "s", type: "prompt", subject: "acme", isTimeGiven: true, partition: 0 };
  const event = { ...known, id: String(offset), time, data: `{"n":${n}}`, ingestedAt: time, storedAt: time, offset };
  await events.insert(encodeEvents([event]), `block ${offset}`);
}

/** Pairs of entitlements to one feature that are both active at some instant. */
function overlaps(entitlements: readonly Entitlement[]): readonly (readonly [string, string])[] {
  const active = entitlements.filter((each) => (endOf(each) ?? Number.POSITIVE_INFINITY) > each.activeFrom);
  return active.flatMap((a, index) =>
    active.slice(index + 1).flatMap((b): (readonly [string, string])[] => {
      const from = Math.max(a.activeFrom, b.activeFrom);
      const to = Math.min(endOf(a) ?? Number.POSITIVE_INFINITY, endOf(b) ?? Number.POSITIVE_INFINITY);
      return a.featureKey === b.featureKey && from < to ? [[a.id, b.id]] : [];
    }),
  );
}
