/**
 * What features promise on every state store: the same on PGlite and PostgreSQL, because uniqueness, order and locks are the
 * database's work.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../engines/state-store/fixture.ts";
import { ManualClock } from "../kernel/clock.ts";
import { createUlidSource } from "../kernel/id.ts";
import { instantFromMicros } from "../kernel/instant.ts";
import { MeterService } from "../meters/index.ts";
import { FeatureService, featureUses } from "./index.ts";

const START = instantFromMicros(1_767_225_600_123_456);
const SECOND = 1_000_000;
const ALL = { orderBy: "key", direction: "asc", includeArchived: false, limit: 100, offset: 0 } as const;

/** Registers the suite for one engine. */
export function featureConformance(engine: FixtureEngine): void {
  describe(`features on ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    let clock: ManualClock;
    let meters: MeterService;
    let features: FeatureService;
    /** Ids of features that outlive their being archived. */
    let inUse: ReadonlySet<string>;

    const open = (namespace: string) => {
      const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
      const options = { db: fixture.store.db, namespace, clock, newId };
      const uses = featureUses(async (_, ids) => await Promise.resolve(new Set(ids.filter((id) => inUse.has(id)))));
      const ownMeters = new MeterService({ ...options, reservedEventTypes: [], users: [uses] });
      return { meters: ownMeters, features: new FeatureService({ ...options, meters: ownMeters }) };
    };
    const keys = async (query: Partial<Parameters<FeatureService["list"]>[0]> = {}) =>
      (await features.list({ ...ALL, ...query })).map(({ key }) => key);
    const makeMeter = (slug: string) =>
      meters.create({ slug, eventType: "e", aggregation: "COUNT", groupBy: { model: "$.m", kind: "$.k" } });

    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => {
      await emptyTables(fixture.store);
      inUse = new Set();
      clock = new ManualClock(START);
      ({ meters, features } = open("default"));
    });
    afterAll(async () => await fixture.close());

    test("a feature is found by id and key with everything that was sent", async () => {
      const meter = await makeMeter("calls");
      const made = await features.create({
        key: "api",
        name: "API",
        metadata: { a: "b" },
        meterSlug: "calls",
        advancedMeterGroupByFilters: { model: { $like: "gpt%" } },
        unitCost: { type: "manual", amount: "0.10" },
      });
      expect(made).toEqual({
        id: made.id,
        namespace: "default",
        key: "api",
        name: "API",
        metadata: { a: "b" },
        meterId: meter.id,
        meterSlug: "calls",
        filters: new Map([["model", { op: "like", pattern: "gpt%" }]]),
        simpleFilters: null,
        advancedFilters: { model: { $like: "gpt%" } },
        unitCost: { type: "manual", amount: "0.1" },
        createdAt: START,
        updatedAt: START,
        archivedAt: null,
      });
      expect(await features.get("api")).toEqual(made);
      expect(await features.get(made.id)).toEqual(made);
      expect(await features.get(made.id.toLowerCase())).toEqual(made);
      expect(await features.byKey("api")).toEqual(made);
      expect(await features.byKey(made.id)).toBeNull();
      expect(await features.byKey("nul\0")).toBeNull();
      await expect(open("other").features.get("api")).rejects.toMatchObject({ code: "feature_not_found" });
    });

    test("a meter may be named by its id, also in lower case", async () => {
      const { id } = await makeMeter("calls");
      for (const [index, meterSlug] of [id, id.toLowerCase()].entries()) {
        expect(await features.create({ key: `f${index}`, name: "F", meterSlug })).toMatchObject({ meterSlug: "calls" });
      }
    });

    test("one of two requests for a key gets it, and it is free again after archiving", async () => {
      const twice = await Promise.allSettled([1, 2].map(() => features.create({ key: "one", name: "One" })));
      expect(twice.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
      expect(twice.find(({ status }) => status === "rejected")).toMatchObject({
        reason: { kind: "conflict", code: "feature_key_taken" },
      });
      const first = await features.get("one");
      clock.advance(SECOND);
      const archivals = await Promise.allSettled([1, 2].map(() => features.archive("one")));
      expect(archivals.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
      await expect(features.archive(first.id)).rejects.toMatchObject({ kind: "validation", code: "feature_archived" });
      await expect(features.archive("one")).rejects.toMatchObject({ code: "feature_not_found" });
      const at = instantFromMicros(START + SECOND);
      expect(await features.get(first.id)).toEqual({ ...first, updatedAt: at, archivedAt: at });
      const second = await features.create({ key: "one", name: "Again" });
      expect(await features.get("one")).toEqual(second);
      expect([...(await features.getMany([first.id, second.id, "nobody"])).keys()].toSorted()).toEqual(
        [first.id, second.id].toSorted(),
      );
    });

    test("what memory answers is never older than the last change", async () => {
      const made = await features.create({ key: "one", name: "One" });
      expect(features.recent("one")).toBeUndefined();
      await features.get("one");
      await features.getMany([made.id]);
      expect(features.recent("one")).toEqual(made);
      expect(features.recent(made.id)).toEqual(made);
      await features.archive("one");
      expect(features.recent("one")).toBeUndefined();
      expect(features.recent(made.id)).toBeUndefined();
      expect(await features.byKey("one")).toBeNull();
    });

    test("a look-up that a change overlaps is not remembered", async () => {
      await features.create({ key: "one", name: "One" });
      await Promise.all([features.get("one"), features.archive("one"), features.byKey("one")]);
      expect(features.recent("one")).toBeUndefined();
    });

    test("the unit cost can change, of a live feature only", async () => {
      await makeMeter("calls");
      const made = await features.create({ key: "one", name: "One", meterSlug: "calls" });
      clock.advance(SECOND);
      const unitCost = { type: "llm", modelProperty: "model" } as const;
      const changed = await features.update("one", { unitCost });
      expect(changed).toEqual({ ...made, unitCost, updatedAt: instantFromMicros(START + SECOND) });
      expect(await features.get("one")).toEqual(changed);
      const unknown = { type: "llm", modelProperty: "region" } as const;
      await expect(features.update("one", { unitCost: unknown })).rejects.toMatchObject({ code: "invalid_feature" });
      expect(await features.update("one", { unitCost: null })).toMatchObject({ unitCost: null });
      await features.archive("one");
      await expect(features.update(made.id, { unitCost })).rejects.toMatchObject({ code: "feature_archived" });
    });

    test("a meter stays as long as live features need it", async () => {
      await makeMeter("calls");
      await features.create({ key: "a", name: "A", meterSlug: "calls", meterGroupByFilters: { model: "x" } });
      const costed = { type: "llm", tokenTypeProperty: "kind" } as const;
      await features.create({ key: "b", name: "B", meterSlug: "calls", unitCost: costed });
      await expect(meters.delete("calls")).rejects.toMatchObject({
        kind: "conflict",
        code: "meter_in_use",
        message: 'meter "calls" is used by feature "a", feature "b"; archive or delete what uses it first',
      });
      await expect(meters.update("calls", { groupBy: { other: "$.o" } })).rejects.toMatchObject({
        code: "meter_in_use",
        fields: [{ field: "$.groupBy.kind" }, { field: "$.groupBy.model" }],
      });
      // Another path under the same key keeps the key.
      await meters.update("calls", { groupBy: { model: "$.other", kind: "$.k", more: "$.x" } });
      await features.archive("a");
      await meters.update("calls", { groupBy: { kind: "$.k" } });
      await features.archive("b");
      await meters.delete("calls");
      expect(await keys({ includeArchived: true, meters: ["calls"] })).toEqual(["a", "b"]);
      await expect(features.create({ key: "c", name: "C", meterSlug: "calls" })).rejects.toMatchObject({
        kind: "not_found",
        code: "meter_not_found",
      });
    });

    test("a meter stays as long as something uses archived features of it", async () => {
      await makeMeter("calls");
      const draft = { name: "A", meterSlug: "calls", meterGroupByFilters: { model: "x" } };
      const { id } = await features.create({ key: "a", ...draft });
      await features.archive("a");
      inUse = new Set([id]);
      await expect(meters.delete("calls")).rejects.toThrow(/entitlements of the archived feature "a"/u);
      await expect(meters.update("calls", { groupBy: {} })).rejects.toMatchObject({
        code: "meter_in_use",
        fields: [{ field: "$.groupBy.model" }],
      });
      inUse = new Set();
      await meters.delete("calls");
    });

    test("a feature and the deletion of its meter at once do not both succeed", async () => {
      for (let round = 0; round < 10; round += 1) {
        const slug = `m${round}`;
        await makeMeter(slug);
        const made = features.create({ key: `f${round}`, name: "F", meterSlug: slug });
        const [feature, deletion] = await Promise.allSettled([made, meters.delete(slug)]);
        expect([feature.status, deletion.status].toSorted()).toEqual(["fulfilled", "rejected"]);
      }
    });

    test("lists are filtered, sorted and cut as asked", async () => {
      const { id } = await makeMeter("calls");
      await makeMeter("tokens");
      for (const [key, meterSlug] of [
        ["c", "calls"],
        ["a", "tokens"],
        ["b", "calls"],
        ["d", undefined],
      ] as const) {
        clock.advance(SECOND);
        await features.create({
          key,
          name: `name ${key === "a" ? "z" : key}`,
          ...(meterSlug === undefined ? {} : { meterSlug }),
        });
      }
      clock.advance(SECOND);
      await features.archive("c");
      await open("other").features.create({ key: "x", name: "X" });
      expect(await keys()).toEqual(["a", "b", "d"]);
      expect(await keys({ includeArchived: true, direction: "desc" })).toEqual(["d", "c", "b", "a"]);
      expect(await keys({ orderBy: "name" })).toEqual(["b", "d", "a"]);
      expect(await keys({ orderBy: "createdAt", includeArchived: true })).toEqual(["c", "a", "b", "d"]);
      expect(await keys({ orderBy: "id", includeArchived: true })).toEqual(["c", "a", "b", "d"]);
      expect(await keys({ orderBy: "updatedAt", includeArchived: true })).toEqual(["a", "b", "d", "c"]);
      expect(await keys({ meters: ["calls"] })).toEqual(["b"]);
      expect(await keys({ meters: [id.toLowerCase(), "tokens"] })).toEqual(["a", "b"]);
      expect(await keys({ meters: ["nothing", "\0"] })).toEqual([]);
      expect(await keys({ meters: [] })).toEqual([]);
      expect(await keys({ limit: 1, offset: 1 })).toEqual(["b"]);
      const page = await features.page({ ...ALL, limit: 1, offset: 5, meters: ["calls"], includeArchived: true });
      expect(page).toEqual({ items: [], totalCount: 2 });
    });
  });
}
