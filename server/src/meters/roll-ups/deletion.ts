/** Deleting rows of chunks that do not count any more. */

import type { Kysely } from "kysely";
import type { RollUpStore } from "../../engines/event-store/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import { forgetChunks, recordedChunks, retiredBefore } from "./record.ts";

/** Longer than any query runs: a query that began before a chunk was retired may still read it. */
const GRACE_MICROS = 5 * 60 * 1_000_000;

/** Deletes the rows of retired chunks, once there are at least so many of them. */
export async function deleteRetired(
  db: Kysely<Database>,
  store: RollUpStore,
  now: Instant,
  minChunks: number,
): Promise<void> {
  const retired = await retiredBefore(db, instantFromMicros(now - GRACE_MICROS));
  if (retired.length < minChunks) return;
  await store.deleteChunks(retired);
  await forgetChunks(db, retired);
}

/** Deletes the rows of chunks that have no record, as a power cut or a restored backup may leave them. */
export async function deleteUnknown(
  db: Kysely<Database>,
  store: RollUpStore,
  rows: ReadonlyMap<number, number>,
): Promise<void> {
  const recorded = await recordedChunks(db);
  await store.deleteChunks([...rows.keys()].filter((chunk) => !recorded.has(chunk)));
}
