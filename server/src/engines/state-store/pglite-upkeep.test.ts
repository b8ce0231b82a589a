import { PGlite } from "@electric-sql/pglite";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeEmbeddedDirectory } from "./fixture.ts";
import { upkeep } from "./pglite-upkeep.ts";

let directory: string;
let pglite: PGlite;
beforeAll(async () => {
  directory = await makeEmbeddedDirectory();
  pglite = await PGlite.create(join(directory, "postgres"));
  await pglite.exec(`create table "odd ""name" (id int primary key, n int)`);
});
afterAll(async () => {
  await pglite.close();
  await rm(directory, { recursive: true, force: true });
});

test("nothing is done while nothing is due", async () => {
  await pglite.exec("checkpoint");
  const done = await upkeep(pglite, { walBytes: 1_000_000, deadRows: 1000 });
  expect(done).toEqual({ isCheckpointed: false, vacuumed: [] });
});

test("a long log is checkpointed, after which it is short again", async () => {
  await pglite.exec("select pg_logical_emit_message(false, 'filler', repeat('x', 100000))");
  const limits = { walBytes: 50_000, deadRows: 1000 };
  expect((await upkeep(pglite, limits)).isCheckpointed).toBe(true);
  expect((await upkeep(pglite, limits)).isCheckpointed).toBe(false);
});

test("a table full of dead rows is vacuumed, after which it stays small", async () => {
  await pglite.exec(`insert into "odd ""name" select g, 0 from generate_series(1, 100) g`);
  for (let n = 1; n <= 5; n += 1) await pglite.query(`update "odd ""name" set n = $1`, [n]);
  const limits = { walBytes: 1_000_000_000, deadRows: 100 };
  expect((await upkeep(pglite, limits)).vacuumed).toEqual([`public."odd ""name"`]);
  expect((await upkeep(pglite, limits)).vacuumed).toEqual([]);
});
