import { sql } from "kysely";
import { readdir } from "node:fs/promises";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { stateStoreConformance } from "./conformance.ts";
import { findPostgres } from "./fixture.ts";
import { openStateStore } from "./index.ts";
import type { StateStore } from "./store.ts";

const engine = await findPostgres();
if (typeof engine === "string") process.stderr.write(`PostgreSQL suite skipped: ${engine}\n`);
else stateStoreConformance(engine);

describe.skipIf(typeof engine === "string")("PostgreSQL server", () => {
  test("stores that open together migrate once", async () => {
    if (typeof engine === "string") throw new Error(engine);
    const fixture = await engine.open();
    const others: StateStore[] = [];
    try {
      await sql`drop schema public cascade`.execute(fixture.store.db);
      await sql`create schema public`.execute(fixture.store.db);
      others.push(...(await Promise.all(Array.from({ length: 4 }, async () => await openStateStore(fixture.config)))));
      const applied = await sql<{ n: number }>`select count(*) as n from schema_migration`.execute(fixture.store.db);
      const migrations = await readdir(new URL("./migrations/", import.meta.url));
      expect(applied.rows).toEqual([{ n: migrations.length }]);
    } finally {
      for (const other of others) await other.close();
      await fixture.close();
    }
  });
});

describe("the URL of a PostgreSQL store is a secret", () => {
  const URLS: readonly (readonly [url: string, message: RegExp])[] = [
    ["not a url with s3cret", /is not of the form postgres:/],
    ["http://user:s3cret@localhost/db", /is not of the form postgres:/],
    ["postgres://user:s3cret@127.0.0.1:1/db", /cannot open the state store at 127\.0\.0\.1:1\/db: .*ECONNREFUSED/],
    ["postgres://user:s3cret@127.0.0.1:bad/db", /is not of the form postgres:/],
    ["postgres://user@127.0.0.1:1/db?password=s3cret", /cannot open the state store at 127\.0\.0\.1:1\/db/],
  ];
  test.each(URLS)("%s", async (url, message) => {
    const error: unknown = await openStateStore({ kind: "postgres", url }).catch((reason: unknown) => reason);
    if (!(error instanceof Error)) throw new Error("opening must fail");
    expect(error.message).toMatch(message);
    expect(error.cause).toBeUndefined();
    expect(inspect(error)).not.toContain("s3cret");
  });
});
