import { sql } from "kysely";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { instantFromMicros } from "../../kernel/instant.ts";
import { stateStoreConformance } from "./conformance.ts";
import { EMBEDDED, type StateStoreFixture } from "./fixture.ts";
import { openStateStore } from "./index.ts";
import type { StateStore } from "./store.ts";

stateStoreConformance(EMBEDDED);

describe("PGlite in its thread", () => {
  let fixture: StateStoreFixture;
  beforeAll(async () => {
    fixture = await EMBEDDED.open();
  });
  afterAll(async () => await fixture.close());

  const connectPort = (): ReturnType<NonNullable<StateStore["connectPort"]>> => {
    const port = fixture.store.connectPort?.();
    if (port === undefined) throw new Error("an embedded store gives out ports");
    return port;
  };

  test("a long query does not block the event loop", async () => {
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    const result = await sql<{ n: number }>`select count(*) as n from generate_series(1, 1000000)`.execute(
      fixture.store.db,
    );
    clearInterval(timer);
    expect(result.rows).toEqual([{ n: 1_000_000 }]);
    // A query on this thread would let no timer fire before it answers.
    expect(ticks).toBeGreaterThan(10);
  });

  test("a copy holds what was committed before, all or nothing of a transaction, and the store goes on", async () => {
    const root = await mkdtemp(join(tmpdir(), "tallystick-copy-"));
    const { db, copyTo } = fixture.store;
    await db.insertInto("lease").values(lease("before")).execute();
    const pair = db.transaction().execute(async (handle) => {
      await handle.insertInto("lease").values(lease("one")).execute();
      await handle.insertInto("lease").values(lease("two")).execute();
    });
    const copying = copyTo?.(join(root, "copy"));
    await Promise.all([pair, copying, db.insertInto("lease").values(lease("meanwhile")).execute()]);
    await db.insertInto("lease").values(lease("after")).execute();
    const copy = await openStateStore({ kind: "embedded", directory: join(root, "copy") });
    const names = (await copy.db.selectFrom("lease").select("name").execute()).map(({ name }) => name);
    await copy.close();
    expect(names).toContain("before");
    expect(names).not.toContain("after");
    expect(names.includes("one")).toBe(names.includes("two"));

    await expect(copyTo?.(join(root, "copy", "postgres", "PG_VERSION"))).rejects.toThrow("cannot copy the embedded");
    expect(await db.deleteFrom("lease").execute()).toMatchObject([{ numDeletedRows: 5n }]);
    await rm(root, { recursive: true });
  });

  test("two clients share one PGlite, and a transaction of one keeps the other out", async () => {
    const other = await openStateStore({ kind: "shared", port: connectPort() });
    const order: string[] = [];
    const inside = Promise.withResolvers<void>();
    const transaction = fixture.store.db.transaction().execute(async (handle) => {
      await handle.insertInto("lease").values(lease("shared")).execute();
      inside.resolve();
      await new Promise(setImmediate);
      await handle.deleteFrom("lease").where("name", "=", "shared").execute();
      order.push("transaction");
    });
    await inside.promise;
    const seen = await other.db.selectFrom("lease").select("name").execute();
    order.push("reader");
    await transaction;
    expect(seen).toEqual([]);
    expect(order).toEqual(["transaction", "reader"]);
    await other.close();
    await fixture.store.ping();
  });

  test("a thread that dies inside a transaction, or waiting for one, releases it", async () => {
    const port = connectPort();
    const worker = new Worker(new URL("./dying-client.ts", import.meta.url), {
      workerData: port,
      transferList: [port],
    });
    await new Promise((resolve) => worker.once("message", resolve));
    await worker.terminate();
    expect(await fixture.store.db.selectFrom("lease").select("name").execute()).toEqual([]);
  });

  test("requests under way fail when the store closes", async () => {
    const other = await openStateStore({ kind: "shared", port: connectPort() });
    const pending = sql`select count(*) from generate_series(1, 100000)`.execute(other.db);
    await Promise.all([other.close(), expect(pending).rejects.toThrow("the state store is closed")]);
    await expect(other.ping()).rejects.toThrow("the state store is closed");
  });

  test("the directory is locked against a second opening", async () => {
    await expect(openStateStore(fixture.config)).rejects.toThrow(/is open in another process/);
    await fixture.store.ping();
  });
});

/** Making a database takes two seconds of CPU, many more on a crowded machine. */
const MAKING_TIMEOUT_MS = 120_000;

describe("PGlite on disk", () => {
  test(
    "a half-made database is made again, data outlives close, and changed history refuses to open",
    async () => {
      const directory = await mkdtemp(join(tmpdir(), "tallystick-state-"));
      try {
        await cp(import.meta.dirname, join(directory, "postgres.new"), { recursive: true });
        const first = await openStateStore({ kind: "embedded", directory });
        expect(existsSync(join(directory, "postgres.new"))).toBe(false);
        await first.db.insertInto("lease").values(lease("kept")).execute();
        await first.close();

        const second = await openStateStore({ kind: "embedded", directory });
        expect(await second.db.selectFrom("lease").select("name").execute()).toEqual([{ name: "kept" }]);
        await sql`update schema_migration set checksum = 'other' where name = '0001_metering'`.execute(second.db);
        await second.close();

        const third = openStateStore({ kind: "embedded", directory });
        await expect(third).rejects.toThrow(/migration 0001_metering was changed after it was applied/);
        expect(await readdir(directory)).toContain("postgres");
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },
    MAKING_TIMEOUT_MS,
  );
});

function lease(name: string): {
  name: string;
  holder: string;
  fencing_token: number;
  expires_at: ReturnType<typeof instantFromMicros>;
} {
  return { name, holder: "test", fencing_token: 1, expires_at: instantFromMicros(1) };
}
