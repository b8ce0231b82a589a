/** Rules in the state store. */

import { type Kysely, type Selectable, sql, type Transaction } from "kysely";
import type { Database, NotificationRuleTable } from "../../engines/state-store/index.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { listPage, type ListPageQuery } from "../list-store.ts";
import type { Rule } from "./rule.ts";

/** Which rules a list shows; the lists of texts filter when they are given. */
export interface RuleListQuery extends ListPageQuery {
  readonly includeDeleted: boolean;
  readonly includeDisabled: boolean;
  /** Ids or keys. */
  readonly features: readonly string[] | undefined;
  readonly channels: readonly string[] | undefined;
}

export async function insertRule(tx: Transaction<Database>, namespace: string, rule: Rule): Promise<void> {
  const { id, type, createdAt } = rule;
  // Why: a new rule; its id is new, so nothing can clash.
  await tx
    .insertInto("notification_rule")
    .values({ id, namespace, type, created_at: createdAt, ...changeableColumns(rule) })
    .execute();
  await insertChannelsOf(tx, rule);
}

/** Writes everything that can change. */
export async function updateRule(tx: Transaction<Database>, rule: Rule): Promise<void> {
  // Why: the caller holds the row's lock, so the whole row may be written.
  await tx.updateTable("notification_rule").set(changeableColumns(rule)).where("id", "=", rule.id).execute();
  await tx.deleteFrom("notification_rule_channel").where("rule_id", "=", rule.id).execute();
  await insertChannelsOf(tx, rule);
}

async function insertChannelsOf(tx: Transaction<Database>, rule: Rule): Promise<void> {
  const rows = rule.channels.map((channel, position) => ({ rule_id: rule.id, position, channel_id: channel }));
  // Why: the channels of a rule, in the order in which they were given.
  if (rows.length > 0) await tx.insertInto("notification_rule_channel").values(rows).execute();
}

/** The rule with this id, deleted or not, or null. */
export async function findRule(
  db: Kysely<Database>,
  namespace: string,
  id: string,
  { lock }: { readonly lock?: "update" | "share" } = {},
): Promise<Rule | null> {
  // Why: every operation on one rule begins here. Ids are stored in upper case and accepted in both.
  const query = db
    .selectFrom("notification_rule")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("id", "=", id.toUpperCase());
  const locked = lock === undefined ? query : lock === "update" ? query.forUpdate() : query.forShare();
  const [rule] = await withChannels(db, await locked.execute());
  return rule ?? null;
}

/** All rules that act: neither deleted nor disabled. */
export async function activeRules(db: Kysely<Database>, namespace: string): Promise<readonly Rule[]> {
  // Why: evaluations look at every rule, so they are kept in memory.
  const rows = await db
    .selectFrom("notification_rule")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("deleted_at", "is", null)
    .where("is_disabled", "=", false)
    .orderBy("id")
    .execute();
  return await withChannels(db, rows);
}

export async function listRules(
  db: Kysely<Database>,
  namespace: string,
  query: RuleListQuery,
): Promise<{ readonly items: readonly Rule[]; readonly totalCount: number }> {
  let filtered = db.selectFrom("notification_rule").where("namespace", "=", namespace);
  if (!query.includeDeleted) filtered = filtered.where("deleted_at", "is", null);
  if (!query.includeDisabled) filtered = filtered.where("is_disabled", "=", false);
  if (query.features !== undefined) {
    const wanted = JSON.stringify([...query.features, ...query.features.map((ref) => ref.toUpperCase())]);
    filtered = filtered.where(
      sql<boolean>`exists (select from jsonb_array_elements(features) as one
        where ${wanted}::jsonb @> jsonb_build_array(one -> 'id') or ${wanted}::jsonb @> jsonb_build_array(one -> 'key'))`,
    );
  }
  if (query.channels !== undefined) {
    const wanted = JSON.stringify(query.channels.map((id) => id.toUpperCase()));
    filtered = filtered.where(
      sql<boolean>`exists (select from notification_rule_channel as tie
        where tie.rule_id = notification_rule.id and ${wanted}::jsonb @> to_jsonb(tie.channel_id))`,
    );
  }
  const { rows, totalCount } = await listPage(filtered.selectAll(), query);
  return { items: await withChannels(db, rows), totalCount };
}

async function withChannels(
  db: Kysely<Database>,
  rows: readonly Selectable<NotificationRuleTable>[],
): Promise<readonly Rule[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  // Why: one look-up of the channels of all rules of a page.
  const ties = await db
    .selectFrom("notification_rule_channel")
    .select(["rule_id", "channel_id"])
    .where("rule_id", "in", ids)
    .orderBy("rule_id")
    .orderBy("position")
    .execute();
  const channels = Map.groupBy(ties, ({ rule_id }) => rule_id);
  return rows.map((row) => ({
    id: row.id,
    type: row.type,
    name: row.name,
    isDisabled: row.is_disabled,
    channels: (channels.get(row.id) ?? []).map(({ channel_id }) => channel_id),
    features: row.features,
    thresholds: row.thresholds.map(({ type, value }) => ({ type, value: Decimal.of(value) })),
    metadata: row.metadata,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  }));
}

function changeableColumns(rule: Rule) {
  return {
    name: rule.name,
    is_disabled: rule.isDisabled,
    features: JSON.stringify(rule.features),
    thresholds: JSON.stringify(rule.thresholds.map(({ type, value }) => ({ type, value: value.toText() }))),
    metadata: rule.metadata === null ? null : JSON.stringify(rule.metadata),
    updated_at: rule.updatedAt,
    deleted_at: rule.deletedAt,
  };
}
