/**
 * What every state store does, whatever its engine: the suite that PGlite and PostgreSQL both run.
 */

import { sql, type Transaction } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { instantFromMicros } from "../../kernel/instant.ts";
import type { Database } from "./database.ts";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "./fixture.ts";
import { isUniqueViolation, type StateStore } from "./store.ts";

/** Registers the suite for one engine. */
export function stateStoreConformance(engine: FixtureEngine): void {
  describe(`state store conformance: ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    const store = (): StateStore => fixture.store;
    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => await emptyTables(fixture.store));
    afterAll(async () => await fixture.close());

    columnValues(store);
    transactions(store);
    constraints(store);
    test("ping answers", async () => await store().ping());
  });

  describe(`state store limits: ${engine.name}`, () => {
    test("a transaction that idles too long is rolled back and frees what it holds", async () => {
      const fixture = await engine.open({ idleTransactionTimeoutMs: 100 });
      try {
        const { db } = fixture.store;
        const begun = Promise.withResolvers<void>();
        const freed = Promise.withResolvers<void>();
        const abandoned = db.transaction().execute(async (transaction) => {
          // On a busy machine the limit may strike before this statement; what follows holds all the same.
          await insertPosition(transaction, 1, 10).finally(begun.resolve);
          await freed.promise;
          await insertPosition(transaction, 2, 30);
        });
        const rejected = expect(abandoned).rejects.toThrow();
        await begun.promise;
        // On PGlite this waits for the whole transaction, on PostgreSQL for its row: only the limit lets it pass.
        await insertPosition(db, 1, 20);
        freed.resolve();
        await rejected;
        expect(await positions(fixture.store)).toEqual([[1, 20]]);
      } finally {
        await fixture.close();
      }
    });

    test("a closed store answers nothing, and closing it again is no error", async () => {
      const fixture = await engine.open();
      await fixture.store.close();
      await expect(fixture.store.ping()).rejects.toThrow();
      await fixture.close();
    });
  });
}

type Executor = StateStore["db"] | Transaction<Database>;

async function insertPosition(db: Executor, partition: number, storedUpto: number): Promise<void> {
  const row = { partition, stored_upto: storedUpto, last_stored_at: instantFromMicros(storedUpto) };
  await db.insertInto("stored_position").values(row).execute();
}

async function positions(store: StateStore): Promise<readonly (readonly [number, number])[]> {
  const rows = await store.db.selectFrom("stored_position").selectAll().orderBy("partition").execute();
  return rows.map((row) => [row.partition, row.stored_upto]);
}

async function selectValue(store: StateStore, expression: string): Promise<unknown> {
  const result = await sql<{ value: unknown }>`select ${sql.raw(expression)} as value`.execute(store.db);
  return result.rows[0]?.value;
}

function columnValues(store: () => StateStore): void {
  const READ: readonly (readonly [expression: string, want: unknown])[] = [
    ["'päivää'::text", "päivää"],
    ["null::text", null],
    ["true", true],
    ["false", false],
    ["42::int4", 42],
    ["9007199254740991::int8", 9007199254740991],
    ["-9007199254740991::int8", -9007199254740991],
    ["count(*)", 1],
    ["1.50::numeric", "1.50"],
    ["9007199254740993.000000000000000000000001::numeric", "9007199254740993.000000000000000000000001"],
    [`'{"b": [1, null, "x"], "a": {"c": true}}'::jsonb`, { b: [1, null, "x"], a: { c: true } }],
    ["'\"text\"'::jsonb", "text"],
    ["'\\x00ff10'::bytea", Uint8Array.of(0, 255, 16)],
    ["'2026-01-02 03:04:05.678901+00'::timestamptz", 1767323045678901],
    ["'2026-01-02 03:04:05+05:30'::timestamptz", 1767303245000000],
    ["'1969-12-31 23:59:59.999999+00'::timestamptz", -1],
    ["as_time(1767323045678901)", 1767323045678901],
    ["as_time(-1)", -1],
  ];
  test.each(READ)("%s is read exactly", async (expression, want) => {
    const got = await selectValue(store(), expression);
    expect(got).toEqual(want);
    // A Buffer equals a Uint8Array for the matcher, but prints and slices differently.
    if (want instanceof Uint8Array) expect(Object.getPrototypeOf(got)).toBe(Uint8Array.prototype);
  });

  const REFUSED: readonly (readonly [expression: string, message: RegExp])[] = [
    ["9007199254740992::int8", /9007199254740992 is not exact/],
    ["'infinity'::timestamptz", /infinity is no instant/],
    ["'1600-01-01 00:00:00+00'::timestamptz", /1600-01-01 00:00:00\+00 is no instant/],
    ["1.5::float8", /no columns of SQL type 701/],
    ["array['a']", /no columns of SQL type 1009/],
  ];
  test.each(REFUSED)("%s is refused, not rounded", async (expression, message) => {
    await expect(selectValue(store(), expression)).rejects.toThrow(message);
    await store().ping();
  });

  test("what is written is read back", async () => {
    const row = {
      namespace: "default",
      source: "quote' \" \\ \n ☃",
      event_id: "",
      first_seen_at: instantFromMicros(-1),
      seen_at: instantFromMicros(9007199254740991),
      first_payload_hash: Uint8Array.of(),
      payload_hash: Uint8Array.of(0, 1, 255),
      event: '{"data":{"n":9007199254740993.10}}',
      partition: 3,
      log_offset: 0,
    };
    await store().db.insertInto("event_conflict").values(row).execute();
    const { id, ...read } = await store().db.selectFrom("event_conflict").selectAll().executeTakeFirstOrThrow();
    expect(read).toEqual(row);
    expect(typeof id).toBe("number");
  });

  test("affected rows are counted", async () => {
    const { db } = store();
    for (const partition of [1, 2, 3]) await insertPosition(db, partition, 1);
    const updated = await db.updateTable("stored_position").set({ stored_upto: 2 }).executeTakeFirst();
    expect(updated.numUpdatedRows).toBe(3n);
    const deleted = await db.deleteFrom("stored_position").where("partition", ">", 1).executeTakeFirst();
    expect(deleted.numDeletedRows).toBe(2n);
    const inserted = await db
      .insertInto("stored_position")
      .values({ partition: 1, stored_upto: 5, last_stored_at: instantFromMicros(5) })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    expect(inserted.numInsertedOrUpdatedRows).toBe(0n);
  });
}

function transactions(store: () => StateStore): void {
  test("concurrent transactions and plain queries never mix", async () => {
    const { db } = store();
    await insertPosition(db, 0, 0);
    // Each transaction reads, yields, and writes: a lost update or a foreign statement inside would show in the sum.
    const increments = Array.from({ length: 20 }, async () => {
      await db.transaction().execute(async (transaction) => {
        const row = await transaction
          .selectFrom("stored_position")
          .select("stored_upto")
          .where("partition", "=", 0)
          .forUpdate()
          .executeTakeFirstOrThrow();
        await new Promise(setImmediate);
        await transaction
          .updateTable("stored_position")
          .set({ stored_upto: row.stored_upto + 1 })
          .where("partition", "=", 0)
          .execute();
      });
    });
    const rolledBack = Array.from({ length: 5 }, async (_, index) => {
      const failing = db.transaction().execute(async (transaction) => {
        await insertPosition(transaction, 100 + index, 1);
        await new Promise(setImmediate);
        throw new Error("changed my mind");
      });
      await expect(failing).rejects.toThrow("changed my mind");
    });
    const plain = Array.from({ length: 20 }, async (_, index) => await insertPosition(db, 1 + index, index));
    await Promise.all([...increments, ...rolledBack, ...plain]);
    const rows = await positions(store());
    expect(rows).toHaveLength(21);
    expect(rows[0]).toEqual([0, 20]);
  });

  test("uncommitted rows are invisible outside their transaction", async () => {
    const { db } = store();
    const inside = Promise.withResolvers<void>();
    const outside = Promise.withResolvers<void>();
    const writing = db.transaction().execute(async (transaction) => {
      await insertPosition(transaction, 7, 7);
      inside.resolve();
      await outside.promise;
      throw new Error("roll back");
    });
    await inside.promise;
    const reading = positions(store());
    outside.resolve();
    await expect(writing).rejects.toThrow("roll back");
    expect(await reading).toEqual([]);
  });

  test("a transaction with a failed statement does not commit in silence", async () => {
    const { db } = store();
    const swallowing = db.transaction().execute(async (transaction) => {
      await insertPosition(transaction, 1, 1);
      await insertPosition(transaction, 1, 2).catch(() => undefined);
    });
    await expect(swallowing).rejects.toThrow();
    expect(await positions(store())).toEqual([]);
  });
}

function constraints(store: () => StateStore): void {
  const METER = {
    id: "m1",
    namespace: "default",
    slug: "tokens",
    name: "Tokens",
    description: null,
    aggregation: "COUNT",
    event_type: "prompt",
    event_from: null,
    value_property: null,
    group_by: JSON.stringify({ model: "$.model" }),
    created_at: instantFromMicros(1),
    updated_at: instantFromMicros(1),
    deleted_at: null,
  } as const;

  test("a slug is unique among the meters that are not deleted", async () => {
    const { db } = store();
    await db.insertInto("meter").values(METER).execute();
    const again = db
      .insertInto("meter")
      .values({ ...METER, id: "m2" })
      .execute();
    const error: unknown = await again.catch((reason: unknown) => reason);
    expect(isUniqueViolation(error)).toBe(true);
    expect(isUniqueViolation(error, "meter_slug")).toBe(true);
    expect(isUniqueViolation(error, "meter_pkey")).toBe(false);
    await db
      .updateTable("meter")
      .set({ deleted_at: instantFromMicros(2) })
      .where("id", "=", "m1")
      .execute();
    await db
      .insertInto("meter")
      .values({ ...METER, id: "m2" })
      .execute();
    const meter = await db.selectFrom("meter").selectAll().where("id", "=", "m2").executeTakeFirstOrThrow();
    expect(meter).toEqual({
      ...METER,
      id: "m2",
      group_by: { model: "$.model" },
      metadata: null,
      annotations: null,
      version: 1,
    });
  });

  test("a partition has at most one recorded batch", async () => {
    const { db } = store();
    const batch = { partition: 0, from_offset: 0, to_offset: 9, stored_at: instantFromMicros(1) };
    const next = { ...batch, from_offset: 10, to_offset: 19 };
    await db
      .insertInto("sink_batch")
      .values({ ...batch, status: "recorded" })
      .execute();
    await db
      .insertInto("sink_batch")
      .values({ ...batch, partition: 1, status: "recorded" })
      .execute();
    const second = db
      .insertInto("sink_batch")
      .values({ ...next, status: "recorded" })
      .execute();
    await expect(second).rejects.toSatisfy((error) => isUniqueViolation(error, "sink_batch_recorded"));
    await db.updateTable("sink_batch").set({ status: "inserted" }).where("partition", "=", 0).execute();
    await db
      .insertInto("sink_batch")
      .values({ ...next, status: "recorded" })
      .execute();
  });
}
