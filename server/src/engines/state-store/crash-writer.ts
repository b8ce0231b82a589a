/**
 * A process for the crash test: commits pairs of rows without end, and prints how many pairs are committed, first of all
 * those that it found. Argument: the store's directory.
 */

import { writeSync } from "node:fs";
import { assert } from "../../kernel/assert.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { openStateStore } from "./index.ts";

const directory = process.argv[2];
assert(directory !== undefined, "the crash writer gets a directory");
const { db } = await openStateStore({ kind: "embedded", directory });

const found = await db
  .selectFrom("stored_position")
  .select((eb) => eb.fn.countAll<number>().as("rows"))
  .executeTakeFirstOrThrow();
assert(found.rows % 2 === 0, "a transaction is stored whole");
report(found.rows / 2);

for (let pair = found.rows / 2; ; pair += 1) {
  await db.transaction().execute(async (transaction) => {
    for (const partition of [2 * pair, 2 * pair + 1]) {
      const row = { partition, stored_upto: pair, last_stored_at: instantFromMicros(partition) };
      await transaction.insertInto("stored_position").values(row).execute();
    }
  });
  report(pair + 1);
}

/** Written at once: a line in a stream's buffer would die with the process. */
function report(pairs: number): void {
  writeSync(1, `${pairs}\n`);
}
