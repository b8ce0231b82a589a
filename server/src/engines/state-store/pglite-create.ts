/**
 * Makes a new PGlite database in the directory that the first argument names, and ends. A process of its own, started by
 * `pglite-worker.ts`, so that the memory which PostgreSQL's `initdb` takes goes away with it.
 */

import { PGlite } from "@electric-sql/pglite";
import { assert } from "../../kernel/assert.ts";

const directory = process.argv[2];
assert(directory !== undefined, "the process is started with the directory of the database");
try {
  const database = await PGlite.create(directory);
  await database.close();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
