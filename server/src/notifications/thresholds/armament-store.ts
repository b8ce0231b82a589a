/** What thresholds have fired, in the state store. */

import { type Kysely, sql, type Transaction } from "kysely";
import type { Database } from "../../engines/state-store/index.ts";
import type { Armament } from "./armament.ts";

/** A rule that watches an entitlement. */
export interface ArmamentKey {
  readonly ruleId: string;
  readonly entitlementId: string;
}

/** What is stored of these pairs, in their order; null where nothing is. */
export async function readArmaments(
  db: Kysely<Database>,
  keys: readonly ArmamentKey[],
): Promise<readonly (Armament | null)[]> {
  if (keys.length === 0) return [];
  const wanted = JSON.stringify(keys);
  // Why: one look-up for everything that a batch touched and memory does not have.
  const rows = await db
    .selectFrom("notification_threshold_state as state")
    .innerJoin(
      sql<ArmamentKey>`jsonb_to_recordset(${wanted}::jsonb)`.as<"pair">(
        sql`pair ("ruleId" text, "entitlementId" text)`,
      ),
      (join) =>
        join.onRef("pair.ruleId", "=", "state.rule_id").onRef("pair.entitlementId", "=", "state.entitlement_id"),
    )
    .select(["rule_id", "entitlement_id", "period_start_at", "thresholds"])
    .execute();
  const found = new Map(rows.map((row) => [`${row.rule_id} ${row.entitlement_id}`, row]));
  return keys.map(({ ruleId, entitlementId }) => {
    const row = found.get(`${ruleId} ${entitlementId}`);
    return row === undefined ? null : { periodStart: row.period_start_at, thresholds: row.thresholds };
  });
}

/** As `readArmaments` for one pair, locked until the transaction ends; made first if it is missing. */
export async function lockArmament(
  tx: Transaction<Database>,
  { ruleId, entitlementId }: ArmamentKey,
  initial: Armament,
): Promise<Armament> {
  // Why: concurrent evaluations of the pair wait here for each other, so each sees what the one before it did.
  await tx
    .insertInto("notification_threshold_state")
    .values({
      rule_id: ruleId,
      entitlement_id: entitlementId,
      period_start_at: initial.periodStart,
      thresholds: JSON.stringify(initial.thresholds),
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await tx
    .selectFrom("notification_threshold_state")
    .select(["period_start_at", "thresholds"])
    .where("rule_id", "=", ruleId)
    .where("entitlement_id", "=", entitlementId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  return { periodStart: row.period_start_at, thresholds: row.thresholds };
}

/** Writes a locked pair. */
export async function writeArmament(
  tx: Transaction<Database>,
  { ruleId, entitlementId }: ArmamentKey,
  { periodStart, thresholds }: Armament,
): Promise<void> {
  // Why: the caller holds the row's lock.
  await tx
    .updateTable("notification_threshold_state")
    .set({ period_start_at: periodStart, thresholds: JSON.stringify(thresholds) })
    .where("rule_id", "=", ruleId)
    .where("entitlement_id", "=", entitlementId)
    .execute();
}
