/**
 * The sink's state: which batch is under way, how far each partition is stored, and the conflicts it met.
 *
 * Invariants: a batch is recorded before any of its rows is inserted; the stored position, the batch's status and its
 * conflicts change in one transaction.
 */

import type { Kysely, Transaction } from "kysely";
import type { StoredEvent } from "../../engines/event-store/index.ts";
import { eventBytes } from "../../engines/event-store/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import { EventHasher } from "../event-hash.ts";
import type { BatchRange, ConflictingArrival, PreparedBatch } from "./batch.ts";

/** Conflicts listed per identity; further ones are only counted. */
const CONFLICTS_PER_IDENTITY = 100;
/** Rows per statement: PostgreSQL allows 65,535 parameters, and a statement holds up all others on an embedded store. */
const ROWS_PER_STATEMENT = 500;
/** Batches kept after the last one, for whoever looks into an incident. */
const BATCHES_KEPT = 16;

export interface SinkProgress {
  /** First offset that is not stored. */
  readonly next: number;
  readonly lastStoredAt: number;
  /** The batch that was under way when the sink stopped. */
  readonly recorded: BatchRange | null;
}

/** How far the partition is stored, and whether a batch is under way. */
export async function loadProgress(db: Kysely<Database>, partition: number): Promise<SinkProgress> {
  // Why: the sink takes up its work where it stood.
  const position = await db
    .selectFrom("stored_position")
    .selectAll()
    .where("partition", "=", partition)
    .executeTakeFirst();
  // Why: a batch under way must be replayed with the same boundaries and the same stored-at instant.
  const batch = await db
    .selectFrom("sink_batch")
    .selectAll()
    .where("partition", "=", partition)
    .where("status", "=", "recorded")
    .executeTakeFirst();
  return {
    next: position === undefined ? 0 : position.stored_upto + 1,
    lastStoredAt: position?.last_stored_at ?? 0,
    recorded: batch ? { partition, from: batch.from_offset, to: batch.to_offset, storedAt: batch.stored_at } : null,
  };
}

/** Records the batch as under way; from here on its boundaries are fixed. */
export async function recordBatch(db: Kysely<Database>, batch: BatchRange): Promise<void> {
  // Why: a crash after this point replays exactly these offsets.
  await db
    .insertInto("sink_batch")
    .values({
      partition: batch.partition,
      from_offset: batch.from,
      to_offset: batch.to,
      stored_at: batch.storedAt,
      status: "recorded",
    })
    .execute();
}

/** Marks the batch as stored. `winners` are the stored events that its conflicts lost to. */
export async function commitBatch(
  db: Kysely<Database>,
  batch: PreparedBatch,
  winners: readonly StoredEvent[],
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await insertConflicts(tx, batch, winners);
    // Why: the batch needs no replay any more.
    await tx
      .updateTable("sink_batch")
      .set({ status: "inserted" })
      .where("partition", "=", batch.partition)
      .where("from_offset", "=", batch.from)
      .execute();
    // Why: queries see events up to here.
    await tx
      .insertInto("stored_position")
      .values({ partition: batch.partition, stored_upto: batch.to, last_stored_at: batch.storedAt })
      .onConflict((conflict) =>
        conflict.column("partition").doUpdateSet({ stored_upto: batch.to, last_stored_at: batch.storedAt }),
      )
      .execute();
    // Why: the table must not grow with history.
    await tx
      .deleteFrom("sink_batch")
      .where("partition", "=", batch.partition)
      .where("status", "=", "inserted")
      .where("from_offset", "<", (expression) =>
        expression
          .selectFrom("sink_batch")
          .select((column) => column.fn.coalesce(column.fn.min("from_offset"), column.val(0)).as("oldest"))
          .where("from_offset", "in", (newest) =>
            newest
              .selectFrom("sink_batch")
              .select("from_offset")
              .where("partition", "=", batch.partition)
              .orderBy("from_offset", "desc")
              .limit(BATCHES_KEPT),
          ),
      )
      .execute();
  });
}

async function insertConflicts(
  tx: Transaction<Database>,
  batch: PreparedBatch,
  winners: readonly StoredEvent[],
): Promise<void> {
  if (batch.conflicts.length === 0) return;
  const hasher = new EventHasher();
  const byPlace = new Map(winners.map((event) => [`${event.partition}/${event.offset}`, event]));
  const room = await roomPerIdentity(tx, batch.conflicts);
  const rows = batch.conflicts.flatMap((conflict) => {
    const winner = byPlace.get(`${conflict.firstPartition}/${conflict.firstOffset}`);
    const left = room.get(identityKey(conflict)) ?? CONFLICTS_PER_IDENTITY;
    if (winner === undefined || left <= 0) return [];
    room.set(identityKey(conflict), left - 1);
    return [
      {
        namespace: conflict.namespace,
        source: stateText(conflict.source),
        event_id: stateText(conflict.id),
        first_seen_at: winner.ingestedAt,
        seen_at: conflict.seenAt,
        first_payload_hash: hasher.payloadHash(eventBytes(winner)),
        payload_hash: conflict.payloadHash,
        event: conflict.event,
        partition: batch.partition,
        log_offset: conflict.offset,
      },
    ];
  });
  for (const chunk of chunks(rows)) {
    // Why: conflicts are listable; a replayed batch meets the same ones again.
    await tx
      .insertInto("event_conflict")
      .values(chunk)
      .onConflict((conflict) => conflict.columns(["partition", "log_offset"]).doNothing())
      .execute();
  }
}

/** How many more conflicts each identity of the batch may list. */
async function roomPerIdentity(
  tx: Transaction<Database>,
  conflicts: readonly ConflictingArrival[],
): Promise<Map<string, number>> {
  const room = new Map<string, number>();
  for (const chunk of chunks(conflicts)) {
    // Why: one client in a loop must not fill the table.
    const counts = await tx
      .selectFrom("event_conflict")
      .select((column) => ["namespace", "source", "event_id", column.fn.countAll<number>().as("count")])
      .where((expression) =>
        expression(
          expression.refTuple("namespace", "source", "event_id"),
          "in",
          chunk.map((each) => expression.tuple(each.namespace, stateText(each.source), stateText(each.id))),
        ),
      )
      .groupBy(["namespace", "source", "event_id"])
      .execute();
    for (const row of counts) {
      room.set(JSON.stringify([row.namespace, row.source, row.event_id]), CONFLICTS_PER_IDENTITY - row.count);
    }
  }
  return room;
}

function identityKey(conflict: ConflictingArrival): string {
  return JSON.stringify([conflict.namespace, stateText(conflict.source), stateText(conflict.id)]);
}

/** PostgreSQL's text has no NUL; the event's own JSON text keeps it, escaped. */
export function stateText(text: string): string {
  return text.replaceAll("\0", "\ufffd");
}

function* chunks<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < rows.length; at += ROWS_PER_STATEMENT) yield rows.slice(at, at + ROWS_PER_STATEMENT);
}
