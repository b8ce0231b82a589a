/**
 * Roll-ups in the state store: which chunks count.
 *
 * Invariants: a chunk is recorded as writing before its first row is written; whatever changes what queries see - chunks,
 * coverage, stale and rebuilt periods - changes in one transaction; a chunk's record goes away only after its rows.
 */

import { randomInt } from "node:crypto";
import type { Kysely, Selectable, Transaction } from "kysely";
import type { PositionVector, RollUp, RollUpLevel } from "../../engines/event-store/index.ts";
import type { Database, RollUpTable } from "../../engines/state-store/index.ts";
import type { Instant } from "../../kernel/instant.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";

export interface ChunkRecord {
  readonly id: number;
  readonly rows: number;
}

/** A roll-up as recorded; chunks oldest first. */
export interface RollUpRecord extends RollUp {
  readonly meterId: string;
  readonly meterVersion: number;
  readonly status: "building" | "ready";
  readonly monthsLeft: readonly Period[];
  readonly sizedAtEvents: number;
  readonly chunkRecords: readonly ChunkRecord[];
}

/** All roll-ups with the chunks that count. */
export async function loadRollUps(db: Kysely<Database>): Promise<readonly RollUpRecord[]> {
  // Why: queries take roll-ups from memory; this is read once at the start.
  const rollUps = await db.selectFrom("roll_up").selectAll().orderBy("id").execute();
  // Why: only these chunks' rows are looked at.
  const chunks = await db
    .selectFrom("roll_up_chunk")
    .select(["id", "roll_up", "rows"])
    .where("status", "=", "counting")
    .orderBy("changed_at")
    .orderBy("id")
    .execute();
  return rollUps.map((row) =>
    recordFromRow(
      row,
      chunks.filter((chunk) => chunk.roll_up === row.id).map(({ id, rows }) => ({ id, rows })),
    ),
  );
}

function recordFromRow(row: Selectable<RollUpTable>, chunkRecords: readonly ChunkRecord[]): RollUpRecord {
  return {
    id: row.id,
    meterId: row.meter_id,
    meterVersion: row.meter_version,
    groupKeys: row.group_keys,
    levels: row.levels,
    status: row.status,
    coverage: new Map(Object.entries(row.coverage).map(([partition, offset]) => [Number(partition), offset])),
    monthsLeft: row.months_left.map(periodOf),
    stale: row.stale.map(periodOf),
    rebuilt: row.rebuilt.map((each) => ({ ...each, period: periodOf(each.period) })),
    sizedAtEvents: row.sized_at_events,
    chunks: chunkRecords.map(({ id }) => id),
    chunkRecords,
  };
}

function periodOf({ from, to }: { readonly from: number; readonly to: number }): Period {
  return { from: instantFromMicros(from), to: instantFromMicros(to) };
}

export interface NewRollUp {
  readonly meterId: string;
  readonly meterVersion: number;
  readonly groupKeys: readonly string[];
  readonly levels: readonly RollUpLevel[];
  readonly coverage: PositionVector;
  readonly monthsLeft: readonly Period[];
  readonly sizedAtEvents: number;
}

/** Records a roll-up that is going to be built. */
export async function insertRollUp(db: Kysely<Database>, rollUp: NewRollUp, now: Instant): Promise<RollUpRecord> {
  // Why: a restart goes on with the months that are left.
  const row = await db
    .insertInto("roll_up")
    .values({
      meter_id: rollUp.meterId,
      meter_version: rollUp.meterVersion,
      group_keys: JSON.stringify(rollUp.groupKeys),
      levels: JSON.stringify(rollUp.levels),
      status: "building",
      coverage: JSON.stringify(Object.fromEntries(rollUp.coverage)),
      months_left: JSON.stringify(rollUp.monthsLeft),
      sized_at_events: rollUp.sizedAtEvents,
      created_at: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return recordFromRow(row, []);
}

/** Records a chunk under a number that no chunk had before; its rows do not count yet. */
export async function beginChunk(db: Kysely<Database>, rollUp: number, now: Instant): Promise<number> {
  const id = randomInt(2 ** 26) * 2 ** 26 + randomInt(2 ** 26);
  // Why: rows of a chunk that never gets to count are found and deleted.
  await db.insertInto("roll_up_chunk").values({ id, roll_up: rollUp, status: "writing", changed_at: now }).execute();
  return id;
}

/** What changes together when a chunk begins to count. */
export interface RollUpChange {
  readonly rollUp: RollUpRecord;
  /** Chunks that count from now on. */
  readonly added: readonly ChunkRecord[];
  /** Chunks that do not count any more. */
  readonly retired: readonly number[];
}

/** Makes the change visible to the next queries and starts, in one transaction. */
export async function applyChange(db: Kysely<Database>, change: RollUpChange, now: Instant): Promise<void> {
  const { rollUp, added, retired } = change;
  await db.transaction().execute(async (tx) => {
    // Why: coverage and chunks must agree at every moment.
    await tx
      .updateTable("roll_up")
      .set({
        status: rollUp.status,
        coverage: JSON.stringify(Object.fromEntries(rollUp.coverage)),
        months_left: JSON.stringify(rollUp.monthsLeft),
        stale: JSON.stringify(rollUp.stale),
        rebuilt: JSON.stringify(rollUp.rebuilt),
      })
      .where("id", "=", rollUp.id)
      .execute();
    for (const { id, rows } of added) {
      // Why: the number of rows tells at the next start whether the event store has them all.
      await tx
        .updateTable("roll_up_chunk")
        .set({ status: "counting", rows, changed_at: now })
        .where("id", "=", id)
        .execute();
    }
    await retire(tx, retired, now);
  });
}

async function retire(tx: Transaction<Database>, chunks: readonly number[], now: Instant): Promise<void> {
  if (chunks.length === 0) return;
  // Why: queries that run now may still read the rows; they are deleted later.
  await tx
    .updateTable("roll_up_chunk")
    .set({ status: "retired", changed_at: now })
    .where("id", "in", [...chunks])
    .execute();
}

/** Forgets a roll-up; its rows are deleted later. */
export async function removeRollUp(db: Kysely<Database>, id: number, now: Instant): Promise<void> {
  await db.transaction().execute(async (tx) => {
    // Why: whatever state its chunks are in, nobody will ask for them again.
    await tx
      .updateTable("roll_up_chunk")
      .set({ status: "retired", changed_at: now })
      .where("roll_up", "=", id)
      .execute();
    // Why: the meter was changed or deleted, or the roll-up is replaced by one with other levels.
    await tx.deleteFrom("roll_up").where("id", "=", id).execute();
  });
}

/** Retires what an earlier run left half written. Called before anything is written. */
export async function retireUnfinished(db: Kysely<Database>, now: Instant): Promise<void> {
  // Why: whoever was writing it is gone.
  await db
    .updateTable("roll_up_chunk")
    .set({ status: "retired", changed_at: now })
    .where("status", "=", "writing")
    .execute();
}

/** Chunks retired before the instant. */
export async function retiredBefore(db: Kysely<Database>, before: Instant): Promise<readonly number[]> {
  // Why: nothing reads their rows any more.
  const rows = await db
    .selectFrom("roll_up_chunk")
    .select("id")
    .where("status", "=", "retired")
    .where("changed_at", "<", before)
    .limit(1000)
    .execute();
  return rows.map(({ id }) => id);
}

/** Every chunk that has a record. */
export async function recordedChunks(db: Kysely<Database>): Promise<ReadonlySet<number>> {
  // Why: rows of chunks without a record belong to nobody.
  const rows = await db.selectFrom("roll_up_chunk").select("id").execute();
  return new Set(rows.map(({ id }) => id));
}

/** Forgets retired chunks whose rows are deleted. */
export async function forgetChunks(db: Kysely<Database>, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return;
  // Why: the table must not grow with history.
  await db
    .deleteFrom("roll_up_chunk")
    .where("id", "in", [...ids])
    .where("status", "=", "retired")
    .execute();
}
