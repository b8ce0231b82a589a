/**
 * Migrations: plain SQL files, applied in the order of their numbers when a store opens.
 *
 * Invariants:
 * 1. The caller holds the store's lock, so each file is applied once however many processes start together.
 * 2. A file and its record commit in one transaction: a crash leaves it applied or not begun.
 * 3. History is immutable. A file whose text changed after it was applied, a file that is missing, and one that slipped
 *    in before an applied one refuse the start, because the schema is then not what the code believes.
 */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface Migration {
  /** File name without `.sql`, such as `0001_metering`. */
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the text, in hex. */
  readonly checksum: string;
}

/** One session of the database with nobody else migrating it. */
export interface MigrationSession {
  query(sql: string, parameters: readonly string[]): Promise<readonly Record<string, unknown>[]>;
  /** Runs several statements at once, without parameters. */
  script(sql: string): Promise<void>;
}

/** The store was migrated by other code than this; the message names the migration. */
export class MigrationRefused extends Error {
  override readonly name = "MigrationRefused";
}

const MIGRATIONS_DIRECTORY = join(import.meta.dirname, "migrations");

/** The schema's migrations in order. Throws when two share a number or a name is malformed. */
export async function loadMigrations(directory: string = MIGRATIONS_DIRECTORY): Promise<readonly Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith(".sql")).toSorted();
  const numbers = new Set<string>();
  const migrations: Migration[] = [];
  for (const file of files) {
    if (!/^\d{4}_[a-z0-9_]+\.sql$/.test(file)) throw new Error(`migration ${file} is not named NNNN_name.sql`);
    const number = file.slice(0, 4);
    if (numbers.has(number)) throw new Error(`two migrations have the number ${number}`);
    numbers.add(number);
    const sql = await readFile(join(directory, file), "utf8");
    migrations.push({ name: file.slice(0, -4), sql, checksum: createHash("sha256").update(sql).digest("hex") });
  }
  return migrations;
}

/** Applies what is missing. Throws `MigrationRefused` before it changes anything when the history differs. */
export async function migrate(session: MigrationSession, migrations: readonly Migration[]): Promise<void> {
  await session.script(
    `create table if not exists schema_migration (
       name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp())`,
  );
  const applied = await session.query("select name, checksum from schema_migration order by name", []);
  checkHistory(
    migrations,
    applied.map((row) => ({ name: String(row["name"]), checksum: String(row["checksum"]) })),
  );
  for (const migration of migrations.slice(applied.length)) await apply(session, migration);
}

function checkHistory(
  migrations: readonly Migration[],
  applied: readonly { readonly name: string; readonly checksum: string }[],
): void {
  const byName = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const [index, record] of applied.entries()) {
    const migration = byName.get(record.name);
    if (migration === undefined) {
      throw new MigrationRefused(
        `the state store has migration ${record.name}, which this version of Tallystick does not know: ` +
          "start the version that made it, or a newer one",
      );
    }
    if (migration.checksum !== record.checksum) {
      throw new MigrationRefused(
        `migration ${record.name} was changed after it was applied to this state store ` +
          `(applied ${record.checksum.slice(0, 12)}, now ${migration.checksum.slice(0, 12)}): ` +
          "restore the file and put the change into a new migration",
      );
    }
    const expected = migrations[index];
    if (expected?.name !== record.name) {
      throw new MigrationRefused(
        `migration ${expected?.name ?? "?"} comes before ${record.name}, which is applied already: ` +
          "give it a number after the last applied one",
      );
    }
  }
}

async function apply(session: MigrationSession, migration: Migration): Promise<void> {
  await session.script("begin");
  try {
    await session.script(migration.sql);
    await session.query("insert into schema_migration (name, checksum) values ($1, $2)", [
      migration.name,
      migration.checksum,
    ]);
    await session.script("commit");
  } catch (error) {
    await session.script("rollback");
    throw new Error(`migration ${migration.name} failed`, { cause: error });
  }
}
