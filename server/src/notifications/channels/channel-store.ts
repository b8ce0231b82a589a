/** Channels in the state store. */

import type { Kysely, Selectable, Transaction } from "kysely";
import type { Database, NotificationChannelTable } from "../../engines/state-store/index.ts";
import { listPage, type ListPageQuery } from "../list-store.ts";
import type { Channel } from "./channel.ts";

/** Which channels a list shows. */
export interface ChannelListQuery extends ListPageQuery {
  readonly includeDeleted: boolean;
  readonly includeDisabled: boolean;
}

export async function insertChannel(db: Kysely<Database>, namespace: string, channel: Channel): Promise<void> {
  const { id, createdAt } = channel;
  // Why: a new channel; its id is new, so nothing can clash.
  await db
    .insertInto("notification_channel")
    .values({ id, namespace, type: "WEBHOOK", created_at: createdAt, ...changeableColumns(channel) })
    .execute();
}

/** Writes everything that can change. */
export async function updateChannel(tx: Transaction<Database>, channel: Channel): Promise<void> {
  // Why: the caller holds the row's lock, so the whole row may be written.
  await tx.updateTable("notification_channel").set(changeableColumns(channel)).where("id", "=", channel.id).execute();
}

/** The channel with this id, deleted or not, or null. */
export async function findChannel(
  db: Kysely<Database>,
  namespace: string,
  id: string,
  { isLocked = false }: { readonly isLocked?: boolean } = {},
): Promise<Channel | null> {
  // Why: every operation on one channel begins here. Ids are stored in upper case and accepted in both.
  const query = db
    .selectFrom("notification_channel")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("id", "=", id.toUpperCase());
  const row = await (isLocked ? query.forUpdate() : query).executeTakeFirst();
  return row === undefined ? null : channelFromRow(row);
}

/** Those of the ids that are live channels, locked against deletion until the transaction ends. */
export async function lockLiveChannels(
  tx: Transaction<Database>,
  namespace: string,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  // Why: a rule must not be tied to a channel that is deleted meanwhile.
  const rows = await tx
    .selectFrom("notification_channel")
    .select("id")
    .where("namespace", "=", namespace)
    .where("id", "in", ids)
    .where("deleted_at", "is", null)
    .orderBy("id")
    .forShare()
    .execute();
  return new Set(rows.map(({ id }) => id));
}

/** Ids of the live rules that tell a channel. */
export async function rulesOfChannel(tx: Transaction<Database>, channelId: string): Promise<readonly string[]> {
  // Why: a channel that is used cannot be deleted.
  const rows = await tx
    .selectFrom("notification_rule_channel")
    .innerJoin("notification_rule", "notification_rule.id", "notification_rule_channel.rule_id")
    .select("notification_rule.id")
    .where("channel_id", "=", channelId)
    .where("deleted_at", "is", null)
    .orderBy("notification_rule.id")
    .execute();
  return rows.map(({ id }) => id);
}

export async function listChannels(
  db: Kysely<Database>,
  namespace: string,
  query: ChannelListQuery,
): Promise<{ readonly items: readonly Channel[]; readonly totalCount: number }> {
  let filtered = db.selectFrom("notification_channel").where("namespace", "=", namespace);
  if (!query.includeDeleted) filtered = filtered.where("deleted_at", "is", null);
  if (!query.includeDisabled) filtered = filtered.where("is_disabled", "=", false);
  const { rows, totalCount } = await listPage(filtered.selectAll(), query);
  return { items: rows.map(channelFromRow), totalCount };
}

function changeableColumns(channel: Channel) {
  return {
    name: channel.name,
    is_disabled: channel.isDisabled,
    url: channel.url,
    custom_headers: JSON.stringify(channel.customHeaders),
    signing_secret: channel.signingSecret,
    former_secrets: JSON.stringify(channel.formerSecrets),
    metadata: channel.metadata === null ? null : JSON.stringify(channel.metadata),
    updated_at: channel.updatedAt,
    deleted_at: channel.deletedAt,
  };
}

function channelFromRow(row: Selectable<NotificationChannelTable>): Channel {
  return {
    id: row.id,
    name: row.name,
    isDisabled: row.is_disabled,
    url: row.url,
    customHeaders: row.custom_headers,
    signingSecret: row.signing_secret,
    formerSecrets: row.former_secrets,
    metadata: row.metadata,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  };
}
