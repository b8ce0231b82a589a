/**
 * What customers promise on every state store: the same on PGlite and PostgreSQL, because uniqueness, order, races and JSON
 * are the database's work.
 */

import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../../engines/state-store/fixture.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { createUlidSource } from "../../kernel/id.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { type CustomerParticipant, CustomerService } from "../customer-service.ts";
import type { CustomerListQuery } from "../customer-store.ts";
import type { CustomerChange, CustomerDraft } from "../customer.ts";
import { type Attempt, OwnershipModel, subjectOf, SUBJECTS } from "./ownership-model.ts";
import { SubjectService } from "../subjects/subject-service.ts";

const START = instantFromMicros(1_767_225_600_123_456);
const SECOND = 1_000_000;
const UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const PAGE: CustomerListQuery = { orderBy: "name", direction: "asc", includeDeleted: false, limit: 100, offset: 0 };

/** Registers the suite for one engine. */
export function customerConformance(engine: FixtureEngine): void {
  describe(`customers on ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    let clock: ManualClock;
    let customers: CustomerService;

    /** The customers that something is attached to. */
    const inUse = new Set<string>();
    const open = (namespace = "default", inTransaction: readonly CustomerParticipant[] = []): CustomerService => {
      const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
      const isInUse = async (_: unknown, id: string) => await Promise.resolve(inUse.has(id));
      return new CustomerService({ db: fixture.store.db, namespace, clock, newId, inTransaction, isInUse });
    };
    const names = async (query: Partial<CustomerListQuery>): Promise<readonly string[]> =>
      (await customers.list({ ...PAGE, ...query })).items.map(({ name }) => name);

    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => {
      await emptyTables(fixture.store);
      clock = new ManualClock(START);
      customers = open();
    });
    afterAll(async () => await fixture.close());

    const full: CustomerDraft = {
      name: "Full Ltd.",
      key: "full",
      description: "everything",
      primaryEmail: "a@b.test",
      currency: "EUR",
      billingAddress: { country: "HU", city: "Győr", line2: undefined },
      metadata: { "": "x", tier: "gold" },
      subjectKeys: ["b", "é", "a", "b", "😀", "\uffff"],
    };

    test("a customer has what was said and nothing else, also when it is read again", async () => {
      const bare = await customers.create({ name: "Bare" });
      const nothing = { description: null, primaryEmail: null, currency: null, billingAddress: null, metadata: null };
      const times = { createdAt: START, updatedAt: START, deletedAt: null };
      const ours = { namespace: "default", annotations: null, ...times };
      expect(bare).toEqual({ id: bare.id, name: "Bare", key: null, ...nothing, subjectKeys: [], ...ours });
      const made = await customers.create(full);
      const subjectKeys = ["a", "b", "é", "\uffff", "😀"];
      expect(made).toEqual({
        id: made.id,
        ...full,
        ...ours,
        billingAddress: { country: "HU", city: "Győr" },
        subjectKeys,
      });
      for (const service of [customers, open()]) {
        expect(await service.get(made.id.toLowerCase())).toEqual(made);
        expect(await service.get("full")).toEqual(made);
        expect(service.recent("full")).toEqual(made);
        expect(await service.get(bare.id)).toEqual(bare);
      }
    });

    test("a change replaces everything", async () => {
      const made = await customers.create(full);
      expect(await customers.get("full")).toEqual(made);
      clock.advance(SECOND);
      const bare = await customers.update("full", { name: "Bare", subjectKeys: ["é"] });
      const nothing = { key: null, description: null, primaryEmail: null, currency: null };
      const empty = { billingAddress: null, metadata: null };
      const updatedAt = instantFromMicros(START + SECOND);
      expect(bare).toEqual({ ...made, ...nothing, ...empty, name: "Bare", subjectKeys: ["é"], updatedAt });
      expect(await customers.get(made.id)).toEqual(bare);
      expect(await open().get(made.id)).toEqual(bare);
      await expect(customers.get("full")).rejects.toMatchObject({ kind: "not_found", code: "customer_not_found" });
      expect(await customers.update(made.id, full)).toEqual({ ...made, updatedAt });
    });

    test("key and subject keys are one customer's at a time; the refusal names who has which", async () => {
      const a = await customers.create({ name: "A", key: "a", subjectKeys: ["x", "y"] });
      const b = await customers.create({ name: "B", key: "b", subjectKeys: ["z"] });
      const taken = { kind: "conflict", code: "customer_key_taken", extensions: { conflictingEntityId: a.id } };
      await expect(customers.create({ name: "C", key: "a" })).rejects.toMatchObject(taken);
      await expect(customers.create({ name: "C", key: "c", subjectKeys: ["n", "x", "z"] })).rejects.toMatchObject({
        code: "subject_key_taken",
        extensions: { conflictingEntityId: a.id },
        fields: [{ message: expect.stringContaining(`"x"`) }, { message: expect.stringContaining(b.id) }],
      });
      await expect(customers.update("b", { name: "B", key: "a" })).rejects.toMatchObject(taken);
      expect(await customers.get("b")).toEqual(b);
      expect(await customers.ownersOf(["n", "c"])).toEqual(new Map());
      // The key of one may be a subject key of another, and the key wins.
      const c = await customers.create({ name: "C", key: "x" });
      expect(await customers.ownersOf(["x", "y", "z"])).toEqual(
        new Map([
          ["x", c.id],
          ["y", a.id],
          ["z", b.id],
        ]),
      );
    });

    test("deletion is soft and frees key and subject keys", async () => {
      const old = await customers.create({ name: "A", key: "a", subjectKeys: ["x"] });
      clock.advance(SECOND);
      await customers.delete("a");
      const deletedAt = instantFromMicros(START + SECOND);
      const gone = { ...old, updatedAt: deletedAt, deletedAt };
      for (const service of [customers, open()]) {
        expect(await service.get(old.id)).toEqual(gone);
        await expect(service.get("a")).rejects.toMatchObject({ code: "customer_not_found" });
        await expect(service.getLive(old.id)).rejects.toMatchObject({ kind: "precondition_failed" });
        expect(await service.ownerOf("x")).toBeNull();
        expect(await service.subjectsOf([old.id])).toEqual([{ id: old.id, subjects: ["a", "x"] }]);
        await expect(service.liveSubjectsOf([old.id])).rejects.toMatchObject({ code: "customer_not_found" });
      }
      await expect(customers.update(old.id, { name: "B" })).rejects.toMatchObject({ code: "customer_deleted" });
      const fresh = await customers.create({ name: "B", key: "a", subjectKeys: ["x"] });
      clock.advance(SECOND);
      await customers.delete(old.id);
      expect(await customers.get(old.id)).toEqual(gone);
      expect(await customers.get("a")).toEqual(fresh);
      expect(await customers.subjectsOf([old.id])).toEqual([{ id: old.id, subjects: [] }]);
      await expect(customers.delete(UNKNOWN)).rejects.toMatchObject({ code: "customer_not_found" });
    });

    test("of changes at once for one subject key or key exactly one wins, the others learn who", async () => {
      for (const draft of [{ subjectKeys: ["s"] }, { key: "k" }, { key: "m", subjectKeys: ["t", "u"] }]) {
        const attempts = Array.from({ length: 8 }, (_, index) => customers.create({ name: `${index}`, ...draft }));
        const settled = await Promise.allSettled(attempts);
        const [winner, ...more] = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
        expect(more).toEqual([]);
        for (const each of settled.filter(({ status }) => status === "rejected")) {
          expect(each).toMatchObject({ reason: { kind: "conflict", extensions: { conflictingEntityId: winner?.id } } });
        }
        for (const subject of draft.subjectKeys ?? []) expect(await customers.ownerOf(subject)).toEqual(winner);
      }
    });

    test("customers that hand subject keys around at once never block each other and never share one", async () => {
      const keys = ["a", "b", "c", "d", "e", "f"];
      const made = await Promise.all(keys.map((key) => customers.create({ name: key, subjectKeys: [key] })));
      for (let round = 1; round <= 5; round += 1) {
        await Promise.allSettled(
          made.map(({ id }, index) => {
            const wanted = [keys.at((index + round) % keys.length) ?? "", keys.at(index - round) ?? ""];
            return customers.update(id, { name: "n", subjectKeys: round % 2 === 0 ? wanted : [] });
          }),
        ).then((settled) => {
          const faults = settled.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : []));
          for (const fault of faults) expect(fault).toMatchObject({ kind: "conflict" });
        });
        const held = (await Promise.all(made.map(({ id }) => customers.get(id)))).flatMap((each) => each.subjectKeys);
        expect(held.length).toBe(new Set(held).size);
      }
    });

    test("whatever happens, ownership is that of the model, in memory and in the store", async () => {
      const [seed = 0] = crypto.getRandomValues(new Int32Array(1));
      const name = fc.option(fc.constantFrom(...SUBJECTS), { nil: undefined });
      const attempt: fc.Arbitrary<Attempt> = fc.record({
        kind: fc.constantFrom(
          "create",
          "create",
          "update",
          "update",
          "delete",
          "attach",
          "upsertSubject",
          "upsertSubject",
          "deleteSubject",
        ),
        target: fc.nat(5),
        key: name,
        subjectKeys: fc.subarray([...SUBJECTS]),
      });
      const property = fc.asyncProperty(fc.array(attempt, { maxLength: 25 }), async (attempts) => {
        await emptyTables(fixture.store);
        const service = open();
        const changes: CustomerChange[] = [];
        service.onChange((change) => changes.push(change));
        const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
        const subjects = new SubjectService({
          db: fixture.store.db,
          namespace: "default",
          clock,
          newId,
          customers: service,
          givesOwners: true,
        });
        const model = new OwnershipModel();
        service.onChange(({ before, after }) => (before === null ? model.ids.push(after.id) : null));
        for (const each of attempts) {
          clock.advance(1);
          const before = model.owners();
          changes.length = 0;
          expect(await run({ service, subjects, inUse }, model, each)).toBe(model.apply(each));
          expect((await subjects.list()).map(({ key }) => key)).toEqual([...model.subjects].toSorted());
          await expectModel(service, model);
          await expectModel(open(), model);
          for (const subject of SUBJECTS) {
            const [was, is] = [before.get(subject), model.owners().get(subject)];
            if (was === is) continue;
            expect(changes.flatMap((change) => change.subjects)).toContain(subject);
            const told = changes.flatMap((change) => change.customerIds);
            for (const index of [was, is]) if (index !== undefined) expect(told).toContain(model.ids[index]);
          }
        }
      });
      await fc.assert(property, { seed, numRuns: engine.name === "PGlite" ? 12 : 30 }).catch((error: unknown) => {
        throw new Error(`model of ownership, seed ${seed}`, { cause: error });
      });
    });

    test("lists: pages, order, parts of texts in any case", async () => {
      const made = [];
      for (const [name, key, subjectKeys] of [
        ["beta", "b_1", ["x%y"]],
        ["Alpha", "a_1", ["x_y"]],
        ["alpha", undefined, []],
        ["Éva", "e", ["xay"]],
      ] as const) {
        clock.advance(SECOND);
        made.push(await customers.create({ name, key, subjectKeys, primaryEmail: `${name}@Mail.test` }));
      }
      expect(await names({})).toEqual(["Alpha", "alpha", "beta", "Éva"]);
      expect(await names({ direction: "desc" })).toEqual(["Éva", "beta", "alpha", "Alpha"]);
      expect(await names({ orderBy: "createdAt" })).toEqual(["beta", "Alpha", "alpha", "Éva"]);
      expect(await names({ orderBy: "id", direction: "desc" })).toEqual(["Éva", "alpha", "Alpha", "beta"]);
      expect(await names({ name: "LPH" })).toEqual(["Alpha", "alpha"]);
      // What is known of other letters' case is a matter of the server's locale: C knows ASCII only.
      if (engine.name === "PGlite") expect(await names({ name: "éVA" })).toEqual(["Éva"]);
      expect(await names({ key: "_1" })).toEqual(["Alpha", "beta"]);
      expect(await names({ primaryEmail: "BETA@mail" })).toEqual(["beta"]);
      expect(await names({ subject: "X_Y" })).toEqual(["Alpha"]);
      expect(await names({ subject: "%" })).toEqual(["beta"]);
      expect(await names({ name: "a", key: "a" })).toEqual(["Alpha"]);
      expect(await names({ name: "nul\0" })).toEqual([]);
      const page = await customers.list({ ...PAGE, limit: 2, offset: 2 });
      expect([page.items.map(({ name }) => name), page.totalCount]).toEqual([["beta", "Éva"], 4]);
      await customers.delete(made[0]?.id ?? "");
      expect(await names({})).toEqual(["Alpha", "alpha", "Éva"]);
      expect(await names({ includeDeleted: true, subject: "x%y" })).toEqual(["beta"]);
    });

    test("who takes part in a change can refuse it, and listeners hear only of what was committed", async () => {
      const seen: CustomerChange[] = [];
      const participant: CustomerParticipant = async (tx, { before, after }) => {
        await tx.selectFrom("customer").select("id").where("id", "=", after.id).executeTakeFirstOrThrow();
        if (before !== null && after.deletedAt !== null) throw new Error("in use");
      };
      const service = open("default", [participant]);
      service.onChange((change) => seen.push(change));
      const made = await service.create({ name: "A", key: "a", subjectKeys: ["x"] });
      expect(seen).toEqual([{ before: null, after: made, customerIds: [made.id], subjects: ["a", "x"] }]);
      await expect(service.delete("a")).rejects.toThrow("in use");
      expect(seen).toHaveLength(1);
      expect((await service.get("a")).deletedAt).toBeNull();
      expect((await service.ownerOf("x"))?.id).toBe(made.id);
    });

    test("deletions at once are one", async () => {
      const { id } = await customers.create({ name: "A", key: "a" });
      const heard: CustomerChange[] = [];
      customers.onChange((change) => heard.push(change));
      await Promise.all([customers.delete(id), customers.delete(id), customers.delete(id)]);
      expect(heard).toHaveLength(1);
    });

    test("a look-up that a change overlaps is not remembered", async () => {
      let looks: Promise<unknown> = Promise.resolve();
      const participant: CustomerParticipant = async () => {
        looks = Promise.all([service.get(made.id), service.ownersOf(["x", "y"])]);
        // PGlite has one connection: there the look-ups wait for the change.
        if (engine.name !== "PGlite") await looks;
      };
      const made = await customers.create({ name: "A", key: "a", subjectKeys: ["x"] });
      const service = open("default", [participant]);
      const changed = await service.update(made.id, { name: "B", key: "b", subjectKeys: ["y"] });
      await looks;
      expect([service.recent(made.id), service.ownerInMemory("x")]).toEqual([undefined, undefined]);
      expect(await service.get(made.id)).toEqual(changed);
      expect(await service.ownersOf(["x", "y"])).toEqual(new Map([["y", made.id]]));
      await expect(service.get("a")).rejects.toMatchObject({ kind: "not_found" });
    });

    test("more subjects than a statement has parameters, and texts that the store cannot hold", async () => {
      const { id } = await customers.create({ name: "A", key: "k69999", subjectKeys: ["k0"] });
      const asked = Array.from({ length: 70_000 }, (_, index) => `k${index}`);
      const owners = new Map([
        ["k0", id],
        ["k69999", id],
      ]);
      expect(await customers.ownersOf([...asked, "nul\0", "half\ud83d"])).toEqual(owners);
      expect(customers.ownerInMemory("k1")).toBeNull();
      expect(customers.ownerInMemory("nul\0")).toBeNull();
      expect(customers.ownerInMemory("never asked")).toBeUndefined();
      await expect(customers.get("a\0")).rejects.toMatchObject({ kind: "not_found" });
    });

    test("a key that looks like an id is found unless an id wins", async () => {
      const made = await customers.create({ name: "A", key: UNKNOWN.toLowerCase() });
      expect(await customers.get(UNKNOWN.toLowerCase())).toEqual(made);
      const shadow = await customers.create({ name: "B", key: made.id });
      expect(await customers.get(made.id)).toEqual(made);
      expect(await customers.get(shadow.id)).toEqual(shadow);
      expect(await customers.get(made.id)).toEqual(made);
    });

    test("namespaces do not see each other", async () => {
      const other = open("other");
      const mine = await customers.create({ name: "A", key: "a", subjectKeys: ["x"] });
      const theirs = await other.create({ name: "A", key: "a", subjectKeys: ["x"] });
      await expect(other.get(mine.id)).rejects.toMatchObject({ kind: "not_found" });
      await expect(other.subjectsOf([mine.id])).rejects.toMatchObject({ kind: "not_found" });
      expect((await other.ownerOf("x"))?.id).toBe(theirs.id);
      expect((await other.list(PAGE)).totalCount).toBe(1);
      await other.delete("a");
      expect((await customers.ownerOf("x"))?.id).toBe(mine.id);
    });
  });
}

interface Driven {
  readonly service: CustomerService;
  readonly subjects: SubjectService;
  /** The customers that something is attached to. */
  readonly inUse: Set<string>;
}

/** Does what the attempt says; true unless it was refused as a conflict. */
async function run(
  { service, subjects, inUse }: Driven,
  model: OwnershipModel,
  { kind, target, key, subjectKeys }: Attempt,
): Promise<boolean> {
  const id = model.ids[target % Math.max(1, model.ids.length)];
  const draft = { name: "n", key, subjectKeys };
  try {
    if (kind === "create") await service.create(draft);
    else if (kind === "upsertSubject") await subjects.upsert([{ key: subjectOf(key) }]);
    else if (kind === "deleteSubject") await subjects.delete(subjectOf(key));
    else if (id !== undefined && kind === "update") await service.update(id, draft);
    else if (id !== undefined && kind === "delete") await service.delete(id);
    else if (id !== undefined) inUse.add(id);
    return true;
  } catch (error) {
    expect(["conflict", "precondition_failed"]).toContain((error as { readonly kind?: string }).kind);
    return false;
  }
}

async function expectModel(customers: CustomerService, model: OwnershipModel): Promise<void> {
  const owners = new Map([...model.owners()].map(([subject, index]) => [subject, model.ids[index]]));
  expect(await customers.ownersOf([...SUBJECTS])).toEqual(owners);
  for (const subject of SUBJECTS) expect((await customers.ownerOf(subject))?.id).toBe(owners.get(subject));
  const subjects = await customers.subjectsOf(model.ids);
  expect(subjects.map(({ id, subjects: keys }) => [id, keys.toSorted()])).toEqual(
    model.ids.map((id, index) => [id, model.subjectsOf(index)]),
  );
}
