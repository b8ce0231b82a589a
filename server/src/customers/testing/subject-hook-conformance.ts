/** What the subject hook promises on every state store, beside the ownership that the model tells. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../../engines/state-store/fixture.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { createUlidSource } from "../../kernel/id.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { CustomerService } from "../customer-service.ts";
import type { Customer, CustomerChange } from "../customer.ts";
import { SubjectService } from "../subjects/subject-service.ts";

const START = instantFromMicros(1_767_225_600_123_456);
const ALL = { orderBy: "id", direction: "asc", includeDeleted: false, limit: 100_000, offset: 0 } as const;

/** Registers the suite for one engine. */
export function subjectHookConformance(engine: FixtureEngine): void {
  describe(`the subject hook on ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    let customers: CustomerService;
    let subjects: SubjectService;
    let changes: CustomerChange[];
    /** The customers that something is attached to. */
    let inUse: Set<string>;
    /** Refuses every change while it is set. */
    let isRefusing: boolean;

    const open = (givesOwners: boolean): SubjectService => {
      const clock = new ManualClock(START);
      const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
      const options = { db: fixture.store.db, namespace: "default", clock, newId };
      customers = new CustomerService({
        ...options,
        inTransaction: [async () => await (isRefusing ? Promise.reject(new Error("refused")) : Promise.resolve())],
        isInUse: async (_, id) => await Promise.resolve(inUse.has(id)),
      });
      customers.onChange((change) => changes.push(change));
      return new SubjectService({ ...options, customers, givesOwners });
    };
    const live = async (): Promise<readonly Customer[]> => (await customers.list(ALL)).items;
    const keys = async (): Promise<readonly string[]> => (await subjects.list()).map(({ key }) => key);
    const owner = async (subject: string): Promise<Customer> => {
      const found = await customers.ownerOf(subject);
      if (found === null) throw new Error(`nobody owns ${subject}`);
      return found;
    };

    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => {
      await emptyTables(fixture.store);
      changes = [];
      inUse = new Set();
      isRefusing = false;
      subjects = open(true);
    });
    afterAll(async () => await fixture.close());

    test("gives a subject a customer that is named after it, and tells of it", async () => {
      // What was known before is not believed afterwards.
      expect(await customers.ownerOf("a")).toBeNull();
      await subjects.upsert([{ key: "b", displayName: "" }, { key: "a", displayName: "ACME" }, { key: "b" }]);
      const [a, b] = [await owner("a"), await owner("b")];
      const nothing = { description: null, primaryEmail: null, currency: null, billingAddress: null, metadata: null };
      expect(a).toEqual({
        id: a.id,
        namespace: "default",
        key: "a",
        name: "ACME",
        ...nothing,
        annotations: { "tallystick.createdBy": "subject" },
        subjectKeys: ["a"],
        createdAt: START,
        updatedAt: START,
        deletedAt: null,
      });
      expect(b).toMatchObject({ key: "b", name: "b", subjectKeys: ["b"] });
      expect(changes).toEqual([
        { before: null, after: a, customerIds: [a.id], subjects: ["a"] },
        { before: null, after: b, customerIds: [b.id], subjects: ["b"] },
      ]);
      await subjects.upsert([{ key: "a", displayName: "changed" }]);
      expect(await live()).toEqual([a, b]);
    });

    test("gives an older subject a customer when it is changed, and leaves one that somebody owns alone", async () => {
      await open(false).upsert([{ key: "a" }]);
      expect(await live()).toEqual([]);
      subjects = open(true);
      await customers.create({ name: "by key", key: "k" });
      await customers.create({ name: "by subject key", subjectKeys: ["s"] });
      await subjects.upsert([{ key: "a" }, { key: "k" }, { key: "s" }]);
      expect((await live()).map(({ name }) => name)).toEqual(["by key", "by subject key", "a"]);
    });

    test("names that are too long for a customer are cut, and keys left out", async () => {
      const [long, longer] = [`${"k".repeat(255)}😀`, "é".repeat(512)];
      await subjects.upsert([{ key: "a", displayName: long }, { key: longer }, { key: "k".repeat(256) }]);
      expect((await owner("a")).name).toBe("k".repeat(255));
      expect(await owner(longer)).toMatchObject({ key: null, name: "é".repeat(256), subjectKeys: [longer] });
      expect((await owner("k".repeat(256))).key).toHaveLength(256);
    });

    test("gives thousands of subjects customers at once", async () => {
      const many = Array.from({ length: 1_500 }, (_, index) => ({ key: `k${index}` }));
      await subjects.upsert(many);
      expect((await customers.ownersOf(many.map(({ key }) => key))).size).toBe(1_500);
    });

    test("is one transaction with the subject, and with what takes part", async () => {
      isRefusing = true;
      await expect(subjects.upsert([{ key: "a" }])).rejects.toThrow("refused");
      await expect(customers.create({ name: "A", subjectKeys: ["a"] })).rejects.toThrow("refused");
      expect([await keys(), await live(), changes]).toEqual([[], [], []]);
    });

    test("a customer makes the subjects that it names", async () => {
      const [known] = await open(false).upsert([{ key: "b", displayName: "kept" }]);
      subjects = open(false);
      const made = await customers.create({ name: "A", key: "not-a-subject", subjectKeys: ["b", "a"] });
      expect(await keys()).toEqual(["a", "b"]);
      expect(await subjects.get("b")).toEqual(known);
      await customers.update(made.id, { name: "A", subjectKeys: ["c", "a"] });
      expect(await keys()).toEqual(["a", "b", "c"]);
      await expect(customers.create({ name: "B", subjectKeys: ["a", "d"] })).rejects.toMatchObject({
        kind: "conflict",
      });
      expect(await keys()).toEqual(["a", "b", "c"]);
    });

    test.each<[string, { key?: string; subjectKeys?: readonly string[] }]>([
      ["key", { key: "a" }],
      ["subject key", { subjectKeys: ["a", "x"] }],
      ["key and subject key", { key: "a", subjectKeys: ["a"] }],
      ["subjects of two", { key: "a", subjectKeys: ["b"] }],
    ])("a stand-in gives way to a customer with its %s, created or updated", async (_, draft) => {
      for (const isUpdate of [false, true]) {
        await emptyTables(fixture.store);
        subjects = open(true);
        const other = await customers.create({ name: "Other" });
        await subjects.upsert([{ key: "a" }, { key: "b" }]);
        const standIn = await owner("a");
        changes.length = 0;
        const named = { name: "ACME", ...draft };
        const made = isUpdate ? await customers.update(other.id, named) : await customers.create(named);
        expect(await owner("a")).toEqual(made);
        expect(made.annotations).toBeNull();
        expect((await customers.get(standIn.id)).deletedAt).not.toBeNull();
        expect(changes.at(0)).toMatchObject({ before: standIn, after: { id: standIn.id, deletedAt: START } });
        expect(changes.at(-1)?.after).toEqual(made);
      }
    });

    test("a stand-in that is made use of does not give way, nor does one that a client has described", async () => {
      await subjects.upsert([{ key: "a" }, { key: "b" }, { key: "c" }]);
      const [a, b, c] = [await owner("a"), await owner("b"), await owner("c")];
      inUse.add(a.id);
      const described = await customers.update(b.id, { name: "B", key: "b", subjectKeys: ["b"] });
      expect(described.annotations).toBeNull();
      for (const [key, { id }] of [["a", a] as const, ["b", b] as const]) {
        for (const draft of [{ key }, { subjectKeys: [key, "c"] }, { key, subjectKeys: [key] }]) {
          const refused = { kind: "conflict", extensions: { conflictingEntityId: id } };
          await expect(customers.create({ name: "N", ...draft })).rejects.toMatchObject(refused);
        }
      }
      // What was refused has taken nothing from anybody.
      expect(await live()).toEqual([a, described, c]);
    });

    test("deleting a subject deletes its stand-in, unless it is made use of or owns more", async () => {
      await subjects.upsert([{ key: "idle" }, { key: "used" }, { key: "described" }]);
      const [idle, used, described] = [await owner("idle"), await owner("used"), await owner("described")];
      inUse.add(used.id);
      await customers.update(described.id, { name: "D", key: "described", subjectKeys: ["described"] });
      for (const { subjectKeys } of [idle, used, described]) await subjects.delete(subjectKeys[0] ?? "");
      expect((await customers.get(idle.id)).deletedAt).toBe(START);
      const still = { key: "used", subjectKeys: [], annotations: used.annotations, deletedAt: null };
      expect(await customers.get(used.id)).toMatchObject(still);
      expect(await customers.get(described.id)).toMatchObject({ subjectKeys: [], deletedAt: null });
      // Once nothing is attached any more, it goes with the next subject of its key.
      inUse.clear();
      await subjects.upsert([{ key: "used" }]);
      await subjects.delete("used");
      expect((await customers.get(used.id)).deletedAt).toBe(START);
    });

    test("subjects and customers that come at once end with one owner each, and nobody is refused", async () => {
      for (const round of [1, 2, 3]) {
        const many = Array.from({ length: 6 }, (_, index) => `r${round}-${index}`);
        const before = (await live()).length;
        await Promise.all([
          subjects.upsert(many.map((key) => ({ key }))),
          ...many.map((key) => customers.create({ name: key, key, subjectKeys: [key] })),
          subjects.upsert(many.toReversed().map((key) => ({ key, displayName: "again" }))),
        ]);
        const made = (await live()).slice(before);
        expect(new Map(made.map(({ key, annotations }) => [key, annotations]))).toEqual(
          new Map(many.map((key) => [key, null])),
        );
        expect(made).toHaveLength(many.length);
      }
    });

    test("stand-ins that claim each other's subjects at once do not block each other", async () => {
      for (const round of [1, 2, 3, 4]) {
        const [one, other] = [`one-${round}`, `other-${round}`];
        await subjects.upsert([{ key: one }, { key: other }]);
        const [a, b] = [await owner(one), await owner(other)];
        const settled = await Promise.allSettled([
          customers.update(a.id, { name: "A", subjectKeys: [one, other] }),
          customers.update(b.id, { name: "B", subjectKeys: [one, other] }),
        ]);
        expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
        const lost = settled.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : []));
        expect(lost).toMatchObject([{ kind: "precondition_failed" }]);
      }
    });
  });
}
