import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadMigrations, migrate, type Migration } from "./migrations.ts";

describe("files", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "tallystick-migrations-"));
  });
  afterEach(async () => await rm(directory, { recursive: true, force: true }));

  test("come in the order of their numbers, with the checksum of their text", async () => {
    await writeFile(join(directory, "0010_b.sql"), "select 2");
    await writeFile(join(directory, "0002_a.sql"), "abc");
    await writeFile(join(directory, "notes.txt"), "no migration");
    const migrations = await loadMigrations(directory);
    expect(migrations.map(({ name }) => name)).toEqual(["0002_a", "0010_b"]);
    expect(migrations[0]?.checksum).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  test.each([
    [["1_a.sql"], "migration 1_a.sql is not named NNNN_name.sql"],
    [["0001_a.sql", "0001_b.sql"], "two migrations have the number 0001"],
  ])("%j are refused", async (names, message) => {
    for (const name of names) await writeFile(join(directory, name), "");
    await expect(loadMigrations(directory)).rejects.toThrow(message);
  });
});

describe("history", () => {
  const a: Migration = { name: "0001_a", sql: "-- 0001_a", checksum: "sum a" };
  const b: Migration = { name: "0002_b", sql: "-- 0002_b", checksum: "sum b" };
  const c: Migration = { name: "0003_c", sql: "-- 0003_c", checksum: "sum c" };

  /** What the database is told while it migrates from `applied` to `known`; the statements of a failing script reject. */
  async function scripts(applied: readonly Migration[], known: readonly Migration[]): Promise<readonly string[]> {
    const told: string[] = [];
    const run = migrate(
      {
        query: async (sql, parameters) => {
          if (sql.startsWith("select")) return applied.map(({ name, checksum }) => ({ name, checksum }));
          told.push(`record ${parameters[0] ?? ""}`);
          return [];
        },
        script: async (sql) => {
          if (sql.startsWith("create table if not exists")) return;
          told.push(sql);
          if (sql === "fails") throw new Error("syntax error");
        },
      },
      known,
    );
    await run.catch((error: unknown) => told.push(String(error)));
    return told;
  }

  test("what is missing is applied, each file in its own transaction with its record", async () => {
    expect(await scripts([a], [a, b, c])).toEqual([
      "begin",
      "-- 0002_b",
      "record 0002_b",
      "commit",
      "begin",
      "-- 0003_c",
      "record 0003_c",
      "commit",
    ]);
    expect(await scripts([a, b, c], [a, b, c])).toEqual([]);
  });

  test("a failing file is rolled back, and nothing after it is tried", async () => {
    const told = await scripts([], [{ ...a, sql: "fails" }, b]);
    expect(told).toEqual(["begin", "fails", "rollback", "Error: migration 0001_a failed"]);
  });

  test("another history is refused before anything is applied", async () => {
    const refusal = async (applied: readonly Migration[], known: readonly Migration[]): Promise<string> =>
      (await scripts(applied, known)).join("\n");
    const changed = { ...a, checksum: "sum of other text" };
    expect(await refusal([changed], [a, b])).toMatch(
      /^MigrationRefused: migration 0001_a was changed after it was applied/,
    );
    expect(await refusal([a, b], [a])).toMatch(
      /^MigrationRefused: the state store has migration 0002_b, which this version/,
    );
    expect(await refusal([a, c], [a, b, c])).toMatch(/^MigrationRefused: migration 0002_b comes before 0003_c/);
  });
});
