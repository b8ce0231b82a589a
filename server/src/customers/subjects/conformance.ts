/**
 * What subjects promise on every state store: the same on PGlite and PostgreSQL, because uniqueness, order and JSON are the
 * database's work.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../../engines/state-store/fixture.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { createUlidSource, isUlid } from "../../kernel/id.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { CustomerService } from "../customer-service.ts";
import { SubjectService } from "./subject-service.ts";

const START = instantFromMicros(1_767_225_600_123_456);
const SECOND = 1_000_000;

/** Registers the suite for one engine. */
export function subjectConformance(engine: FixtureEngine): void {
  describe(`subjects on ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    let clock: ManualClock;
    let subjects: SubjectService;

    const open = (namespace: string): SubjectService => {
      const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
      const options = { db: fixture.store.db, namespace, clock, newId };
      return new SubjectService({ ...options, customers: new CustomerService(options), givesOwners: true });
    };
    const keys = async (): Promise<readonly string[]> => (await subjects.list()).map(({ key }) => key);

    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => {
      await emptyTables(fixture.store);
      clock = new ManualClock(START);
      subjects = open("default");
    });
    afterAll(async () => await fixture.close());

    test("a new subject has what was named and nothing else", async () => {
      const [bare, full] = await subjects.upsert([
        { key: "bare" },
        {
          key: "full",
          displayName: "Full Ltd.",
          metadata: { tier: "gold", limits: [1, { deep: null }], "": true },
          stripeCustomerId: "cus_1",
          currentPeriodStart: START,
          currentPeriodEnd: instantFromMicros(START + SECOND),
        },
      ]);
      const nothing = { displayName: null, metadata: null, stripeCustomerId: null };
      const times = { createdAt: START, updatedAt: START, deletedAt: null };
      const noPeriod = { currentPeriodStart: null, currentPeriodEnd: null };
      expect(bare).toEqual({ id: bare?.id, key: "bare", ...nothing, ...noPeriod, ...times });
      expect(full).toEqual({
        id: full?.id,
        key: "full",
        displayName: "Full Ltd.",
        metadata: { tier: "gold", limits: [1, { deep: null }], "": true },
        stripeCustomerId: "cus_1",
        currentPeriodStart: START,
        currentPeriodEnd: START + SECOND,
        ...times,
      });
      expect([bare, full].every((subject) => isUlid(subject?.id ?? ""))).toBe(true);
      expect(await subjects.get("full")).toEqual(full);
    });

    test("only what is named changes, and null clears", async () => {
      const draft = { key: "a", displayName: "A", metadata: { x: 1 }, stripeCustomerId: "cus_1" };
      const [made] = await subjects.upsert([{ ...draft, currentPeriodStart: START }]);
      clock.advance(SECOND);
      const updatedAt = START + SECOND;
      const [renamed] = await subjects.upsert([{ key: "a", displayName: "B" }]);
      expect(renamed).toEqual({ ...made, displayName: "B", updatedAt });
      const [cleared] = await subjects.upsert([
        { key: "a", displayName: null, metadata: null, stripeCustomerId: null },
      ]);
      expect(cleared).toEqual({ ...renamed, displayName: null, metadata: null, stripeCustomerId: null });
      expect(await subjects.upsert([{ key: "a", metadata: {} }])).toEqual([{ ...cleared, metadata: {} }]);
    });

    test("answers come in the order of the request, a key named twice is changed twice", async () => {
      const answer = await subjects.upsert([
        { key: "b", displayName: "first", stripeCustomerId: "cus_1" },
        { key: "a" },
        { key: "b", displayName: "second" },
      ]);
      expect(answer.map(({ key, displayName, stripeCustomerId }) => [key, displayName, stripeCustomerId])).toEqual([
        ["b", "second", "cus_1"],
        ["a", null, null],
        ["b", "second", "cus_1"],
      ]);
      expect(await subjects.upsert([])).toEqual([]);
      expect(await keys()).toEqual(["a", "b"]);
    });

    test("a request writes all its subjects or none", async () => {
      const drafts = [{ key: "a" }, { key: "b", stripeCustomerId: "sub_1" }];
      await expect(subjects.upsert(drafts)).rejects.toMatchObject({ kind: "validation", code: "invalid_subject" });
      expect(await keys()).toEqual([]);
    });

    test("requests at once leave one subject per key, with the changes of all", async () => {
      const many = Array.from({ length: 20 }, (_, index) => `k${index}`);
      await Promise.all([
        subjects.upsert(many.map((key) => ({ key, displayName: "name" }))),
        subjects.upsert(many.toReversed().map((key) => ({ key, stripeCustomerId: "cus_1" }))),
        subjects.upsert(many.map((key) => ({ key, metadata: { a: 1 } }))),
      ]);
      const listed = await subjects.list();
      expect(listed).toHaveLength(many.length);
      for (const subject of listed) {
        expect(subject).toMatchObject({ displayName: "name", stripeCustomerId: "cus_1", metadata: { a: 1 } });
      }
    });

    test("lists are sorted by the bytes of the key", async () => {
      const sorted = ["A", "B", "_", "a", "a b", "ab", "é", "\uffff", "😀"];
      await subjects.upsert(sorted.toReversed().map((key) => ({ key })));
      expect(await keys()).toEqual(sorted);
    });

    test("keys of all kinds are found again, alone and together", async () => {
      const awkward = ["it's", "a\\b", "100%", 'a"b', "a\nb", "[1]", "null", "😀", "é".repeat(512)];
      await subjects.upsert(awkward.map((key) => ({ key, displayName: `name of ${key}` })));
      for (const key of awkward) expect((await subjects.get(key)).key).toBe(key);
      const names = await subjects.names([...awkward, "unknown", "nul\0", "half\ud83d"]);
      expect(names).toEqual(new Map(awkward.map((key) => [key, `name of ${key}`])));
    });

    test("a subject without a display name is called by its key", async () => {
      await subjects.upsert([{ key: "a" }, { key: "b", displayName: "" }]);
      expect(await subjects.names(["a", "b"])).toEqual(
        new Map([
          ["a", "a"],
          ["b", ""],
        ]),
      );
      expect(await subjects.names([])).toEqual(new Map());
    });

    test("names of more subjects than a statement has parameters", async () => {
      await subjects.upsert([{ key: "k69999", displayName: "last" }]);
      const asked = Array.from({ length: 70_000 }, (_, index) => `k${index}`);
      expect(await subjects.names(asked)).toEqual(new Map([["k69999", "last"]]));
    });

    test("a deleted subject is found by id only, and its key is free", async () => {
      const [old] = await subjects.upsert([{ key: "a", displayName: "old" }]);
      clock.advance(SECOND);
      await subjects.delete("a");
      const deletedAt = START + SECOND;
      await expect(subjects.get("a")).rejects.toMatchObject({ kind: "not_found", code: "subject_not_found" });
      expect(await subjects.get(old?.id.toLowerCase() ?? "")).toEqual({ ...old, deletedAt, updatedAt: deletedAt });
      expect(await keys()).toEqual([]);
      expect(await subjects.names(["a"])).toEqual(new Map());

      const [fresh] = await subjects.upsert([{ key: "a" }]);
      expect(fresh?.id).not.toBe(old?.id);
      expect(fresh?.displayName).toBeNull();
      clock.advance(SECOND);
      await subjects.delete(old?.id ?? "");
      expect((await subjects.get(old?.id ?? "")).deletedAt).toBe(deletedAt);
      expect(await keys()).toEqual(["a"]);
    });

    test("deleting what does not exist has no effect", async () => {
      await subjects.upsert([{ key: "a" }]);
      for (const unknown of ["b", "A", "a\0", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]) await subjects.delete(unknown);
      expect(await keys()).toEqual(["a"]);
      await expect(subjects.get("a\0")).rejects.toMatchObject({ kind: "not_found" });
    });

    test("namespaces do not see each other", async () => {
      const other = open("other");
      const [mine] = await subjects.upsert([{ key: "a", displayName: "mine" }]);
      await other.upsert([{ key: "a", displayName: "theirs" }]);
      expect((await subjects.get("a")).displayName).toBe("mine");
      await expect(other.get(mine?.id ?? "")).rejects.toMatchObject({ kind: "not_found" });
      await other.delete(mine?.id ?? "");
      await other.delete("a");
      expect(await keys()).toEqual(["a"]);
      expect(await subjects.names(["a"])).toEqual(new Map([["a", "mine"]]));
    });
  });
}
