/** Holds in the state store. */

import type { Kysely, Selectable, Transaction } from "kysely";
import type { PositionVector } from "../../engines/event-store/index.ts";
import type { Database, HoldTable } from "../../engines/state-store/index.ts";
import { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { Hold, StoredHoldStatus } from "./hold.ts";

/** Which of an entitlement's reservations a list has. */
export interface HoldQuery {
  readonly entitlementId: string;
  readonly kind: Hold["kind"];
  readonly status: StoredHoldStatus | null;
  /** Decides whether a held one has expired. */
  readonly at: Instant;
  readonly limit: number;
  readonly offset: number;
}

export async function insertHold(tx: Transaction<Database>, hold: Hold): Promise<void> {
  const { id, namespace, entitlementId, customerId, featureKey, kind, key, metadata } = hold;
  // Why: the hold has to be durable before anybody relies on it.
  await tx
    .insertInto("hold")
    .values({
      id,
      namespace,
      entitlement_id: entitlementId,
      customer_id: customerId,
      feature_key: featureKey,
      kind,
      key,
      metadata: metadata === null ? null : JSON.stringify(metadata),
      created_at: hold.createdAt,
      ...changingColumns(hold),
    })
    .execute();
}

/** Writes everything of a hold that may change. */
export async function updateHold(tx: Transaction<Database>, hold: Hold): Promise<void> {
  // Why: a hold that ends, or a lease that is renewed.
  await tx.updateTable("hold").set(changingColumns(hold)).where("id", "=", hold.id).execute();
}

/** The hold with this id, locked until the transaction ends; null when there is none in the namespace. */
export async function lockHold(tx: Transaction<Database>, namespace: string, id: string): Promise<Hold | null> {
  // Why: two ends of one hold at once, such as a confirmation and its repetition, must see each other.
  const row = await tx
    .selectFrom("hold")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
  return row === undefined ? null : holdFromRow(row);
}

export async function findHold(db: Kysely<Database>, namespace: string, id: string): Promise<Hold | null> {
  // Why: everything that names a hold begins with it.
  const row = await db
    .selectFrom("hold")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("id", "=", id)
    .executeTakeFirst();
  return row === undefined ? null : holdFromRow(row);
}

/** The entitlement's reservation with this key, or null. */
export async function findHoldByKey(db: Kysely<Database>, entitlementId: string, key: string): Promise<Hold | null> {
  // Why: a repeated call answers the reservation that the first one made.
  const row = await db
    .selectFrom("hold")
    .selectAll()
    .where("entitlement_id", "=", entitlementId)
    .where("key", "=", key)
    .executeTakeFirst();
  return row === undefined ? null : holdFromRow(row);
}

/** One slice of a list, newest first, and how long the whole list is. */
export async function listHolds(
  db: Kysely<Database>,
  query: HoldQuery,
): Promise<{ readonly items: readonly Hold[]; readonly totalCount: number }> {
  // Why: lists of reservations; what has expired may not be marked yet.
  let rows = db.selectFrom("hold").where("entitlement_id", "=", query.entitlementId).where("kind", "=", query.kind);
  if (query.status === "expired") {
    rows = rows.where((where) =>
      where.or([
        where("status", "=", "expired"),
        where.and([where("status", "=", "held"), where("counts_until_at", "<=", query.at)]),
      ]),
    );
  } else if (query.status !== null) {
    rows = rows.where("status", "=", query.status);
    if (query.status === "held") rows = rows.where("counts_until_at", ">", query.at);
  }
  const count = await rows.select((select) => select.fn.countAll<number>().as("count")).executeTakeFirstOrThrow();
  const items = await rows
    .selectAll()
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(query.limit)
    .offset(query.offset)
    .execute();
  return { items: items.map(holdFromRow), totalCount: count.count };
}

/** Every hold that may hold something: of one entitlement, or of all. */
export async function countingHolds(db: Kysely<Database>, entitlementId: string | null): Promise<readonly Hold[]> {
  // Why: what is held is kept in memory; this is where it comes from.
  const all = db
    .selectFrom("hold")
    .selectAll()
    .where((where) => where.or([where("status", "=", "held"), where("settling_amount", "is not", null)]));
  const rows = await (entitlementId === null ? all : all.where("entitlement_id", "=", entitlementId)).execute();
  return rows.map(holdFromRow);
}

/** Marks holds whose time has run out; returns how many. */
export async function markExpired(db: Kysely<Database>, at: Instant): Promise<number> {
  // Why: keeps the table's indexes small and tells people what became of a hold; nothing waits for it.
  const result = await db
    .updateTable("hold")
    .set((set) => ({ status: "expired", ended_at: set.ref("counts_until_at") }))
    .where("status", "=", "held")
    .where("counts_until_at", "<=", at)
    .executeTakeFirst();
  return Number(result.numUpdatedRows);
}

/** Forgets what settled in every balance that includes the events up to `upTo`. */
export async function clearSettled(db: Kysely<Database>, upTo: PositionVector): Promise<void> {
  for (const [partition, offset] of upTo) {
    // Why: a start reads what may still hold something, and these do no longer.
    await db
      .updateTable("hold")
      .set({ settling_amount: null, settling_partition: null, settling_offset: null })
      .where("settling_amount", "is not", null)
      .where("settling_partition", "=", partition)
      .where("settling_offset", "<=", offset)
      .execute();
  }
}

/** Deletes holds that ended before `at` and hold nothing any more; returns how many. */
export async function deleteEndedBefore(db: Kysely<Database>, at: Instant): Promise<number> {
  // Why: the table would grow by every piece of work for ever.
  const result = await db
    .deleteFrom("hold")
    .where("status", "<>", "held")
    .where("ended_at", "<", at)
    .where("settling_amount", "is", null)
    .executeTakeFirst();
  return Number(result.numDeletedRows);
}

function changingColumns(hold: Hold) {
  const { settling } = hold;
  return {
    amount: hold.amount.toText(),
    used: hold.used.toText(),
    status: hold.status,
    expires_at: hold.expiresAt,
    counts_until_at: hold.countsUntil,
    lasts_micros: hold.lastsMicros,
    settling_amount: settling?.amount.toText() ?? null,
    settling_partition: settling?.until.partition ?? null,
    settling_offset: settling?.until.offset ?? null,
    ended_at: hold.endedAt,
  };
}

function holdFromRow(row: Selectable<HoldTable>): Hold {
  return {
    id: row.id,
    namespace: row.namespace,
    entitlementId: row.entitlement_id,
    customerId: row.customer_id,
    featureKey: row.feature_key,
    kind: row.kind,
    key: row.key,
    amount: Decimal.of(row.amount),
    used: Decimal.of(row.used),
    status: row.status,
    expiresAt: row.expires_at,
    countsUntil: row.counts_until_at,
    lastsMicros: row.lasts_micros,
    settling: settlingFromRow(row),
    metadata: row.metadata,
    createdAt: row.created_at,
    endedAt: row.ended_at,
  };
}

function settlingFromRow(row: Selectable<HoldTable>): Hold["settling"] {
  const { settling_amount: amount, settling_partition: partition, settling_offset: offset } = row;
  if (amount === null || partition === null || offset === null) return null;
  return { amount: Decimal.of(amount), until: { partition, offset } };
}

/** The revision of an entitlement that is active at `at`, locked until the transaction ends; null when there is none. */
export async function lockActiveEntitlement(
  tx: Transaction<Database>,
  id: string,
  at: Instant,
): Promise<number | null> {
  // Why: a decision about a balance must not overlap with a change of what the balance is made of.
  const row = await tx
    .selectFrom("entitlement")
    .select(["revision", "active_from", "active_to", "deleted_at"])
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined || at < row.active_from) return null;
  const hasEnded = (row.active_to !== null && row.active_to <= at) || (row.deleted_at !== null && row.deleted_at <= at);
  return hasEnded ? null : row.revision;
}
