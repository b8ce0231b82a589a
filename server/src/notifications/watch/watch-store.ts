/**
 * When each metered entitlement has to be looked at next without any usage: its next reset point, and the next instant at
 * which its value changes by itself or was changed by a command.
 *
 * Commands write these rows in their own transaction, so a crash right after it loses nothing.
 *
 * Invariant: who looks at an entitlement moves its row on only if nobody has written the row since it was read. What is due
 * may stay the same instant when a command writes it, so the version of the row decides and not its content.
 */

import { type Kysely, sql, type Transaction } from "kysely";
import type { Database } from "../../engines/state-store/index.ts";
import type { Instant } from "../../kernel/instant.ts";

/** A reset point that is to be told. */
export interface DueReset {
  readonly entitlementId: string;
  readonly at: Instant;
  readonly cause: "creation" | "time" | "command";
  /** When a reset was asked for; null unless it was. */
  readonly causedAt: Instant | null;
  /** Another one whenever the row was written. */
  readonly version: string;
}

/** An entitlement whose value has to be looked at. */
export interface DueEvaluation {
  readonly entitlementId: string;
  readonly at: Instant;
  /** Another one whenever the row was written. */
  readonly version: string;
}

/** The transaction that wrote the row last: every write of a command counts, also one that leaves the row as it was. */
const VERSION = sql<string>`notification_watch.xmin::text`;

/** Something about an entitlement was changed at `at`, which may change its value. Makes the row if it is missing. */
export async function watchChange(
  tx: Transaction<Database>,
  namespace: string,
  entitlementId: string,
  at: Instant,
): Promise<void> {
  // Why: one statement for a new entitlement and for a changed one, in the transaction of the change.
  await tx
    .insertInto("notification_watch")
    .values({ entitlement_id: entitlementId, namespace, reset_at: at, reset_cause: "creation", evaluate_at: at })
    .onConflict((conflict) =>
      conflict.column("entitlement_id").doUpdateSet({
        evaluate_at: sql<Instant>`least(notification_watch.evaluate_at, excluded.evaluate_at)`,
      }),
    )
    .execute();
}

/** Other usage than before may belong to these customers, whose entitlements are looked at. */
export async function watchCustomers(
  tx: Transaction<Database>,
  customerIds: readonly string[],
  at: Instant,
): Promise<void> {
  if (customerIds.length === 0) return;
  // Why: attribution moves the whole history, so thresholds may be crossed without a new event.
  await tx
    .updateTable("notification_watch")
    .set({ evaluate_at: sql<Instant>`least(evaluate_at, ${at}::bigint)` })
    .where("entitlement_id", "in", (from) =>
      from.selectFrom("entitlement").select("id").where("customer_id", "in", customerIds),
    )
    .execute();
}

/** An entitlement is reset at the reset point `point` by a command that is given at `at`. */
export async function watchReset(
  tx: Transaction<Database>,
  namespace: string,
  entitlementId: string,
  { point, at }: { readonly point: Instant; readonly at: Instant },
): Promise<void> {
  await watchChange(tx, namespace, entitlementId, at);
  // Why: the point becomes the next to be told, unless one before it is still to be told: then it follows from that.
  await tx
    .updateTable("notification_watch")
    .set({ reset_at: point, reset_cause: "command", reset_caused_at: at })
    .where("entitlement_id", "=", entitlementId)
    .where((where) =>
      where.or([where("reset_at", "is", null), where("reset_cause", "=", "creation"), where("reset_at", ">", point)]),
    )
    .execute();
}

/** Reset points that have come, the oldest first. */
export async function dueResets(
  db: Kysely<Database>,
  namespace: string,
  now: Instant,
  limit: number,
): Promise<readonly DueReset[]> {
  // Why: what the worker tells next.
  const rows = await db
    .selectFrom("notification_watch")
    .select(["entitlement_id", "reset_at", "reset_cause", "reset_caused_at", VERSION.as("version")])
    .where("namespace", "=", namespace)
    .where("reset_at", "<=", now)
    .orderBy("reset_at")
    .limit(limit)
    .execute();
  return rows.flatMap((row) =>
    row.reset_at === null
      ? []
      : [
          {
            entitlementId: row.entitlement_id,
            at: row.reset_at,
            cause: row.reset_cause,
            causedAt: row.reset_caused_at,
            version: row.version,
          },
        ],
  );
}

/** Moves on from a reset point to the next; false when a command has changed the row since it was read. */
export async function advanceReset(
  tx: Transaction<Database>,
  { entitlementId, version }: DueReset,
  next: Instant | null,
): Promise<boolean> {
  // Why: the comparison and the row's lock decide between this worker and a command that comes between, which the next
  // point may follow from.
  const result = await tx
    .updateTable("notification_watch")
    .set({ reset_at: next, reset_cause: "time", reset_caused_at: null })
    .where("entitlement_id", "=", entitlementId)
    .where(VERSION, "=", version)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

/** Entitlements whose value has to be looked at, the longest due first. */
export async function dueEvaluations(
  db: Kysely<Database>,
  namespace: string,
  now: Instant,
  limit: number,
): Promise<readonly DueEvaluation[]> {
  // Why: what the worker evaluates next.
  const rows = await db
    .selectFrom("notification_watch")
    .select(["entitlement_id", "evaluate_at", VERSION.as("version")])
    .where("namespace", "=", namespace)
    .where("evaluate_at", "<=", now)
    .orderBy("evaluate_at")
    .limit(limit)
    .execute();
  return rows.flatMap((row) =>
    row.evaluate_at === null ? [] : [{ entitlementId: row.entitlement_id, at: row.evaluate_at, version: row.version }],
  );
}

/** Moves on to the next instant, unless a command has changed something since the row was read. */
export async function advanceEvaluation(
  db: Kysely<Database>,
  { entitlementId, version }: DueEvaluation,
  next: Instant | null,
): Promise<void> {
  // Why: a change that was committed while the value was looked at must not be forgotten.
  await db
    .updateTable("notification_watch")
    .set({ evaluate_at: next })
    .where("entitlement_id", "=", entitlementId)
    .where(VERSION, "=", version)
    .execute();
}

/** Ids of watched entitlements after an id, in their order: a walk over all of them in portions. */
export async function watchedAfter(
  db: Kysely<Database>,
  namespace: string,
  after: string,
  limit: number,
): Promise<readonly string[]> {
  // Why: after a crash nobody knows whose usage was not evaluated.
  const rows = await db
    .selectFrom("notification_watch")
    .select("entitlement_id")
    .where("namespace", "=", namespace)
    .where("entitlement_id", ">", after)
    .orderBy("entitlement_id")
    .limit(limit)
    .execute();
  return rows.map(({ entitlement_id }) => entitlement_id);
}

/** Up to which offset usage was evaluated, by partition. */
export async function readProgress(db: Kysely<Database>, namespace: string): Promise<ReadonlyMap<number, number>> {
  // Why: read once, at the start.
  const rows = await db.selectFrom("notification_progress").selectAll().where("namespace", "=", namespace).execute();
  return new Map(rows.map((row) => [row.partition, row.evaluated_upto]));
}

export async function writeProgress(
  db: Kysely<Database>,
  namespace: string,
  positions: ReadonlyMap<number, number>,
): Promise<void> {
  const rows = [...positions].map(([partition, upto]) => ({ namespace, partition, evaluated_upto: upto }));
  if (rows.length === 0) return;
  // Why: written now and then; what lies beyond after a crash is evaluated again, which changes nothing.
  await db
    .insertInto("notification_progress")
    .values(rows)
    .onConflict((conflict) =>
      conflict
        .columns(["namespace", "partition"])
        .doUpdateSet((set) => ({ evaluated_upto: set.ref("excluded.evaluated_upto") })),
    )
    .execute();
}
