/** Events and their deliveries in the state store, as the API shows them. */

import { type Expression, type Kysely, type Selectable, sql, type SqlBool, type Transaction } from "kysely";
import type {
  Database,
  JsonValue,
  NotificationDeliveryTable,
  NotificationEventTable,
} from "../../engines/state-store/index.ts";
import type { Instant } from "../../kernel/instant.ts";
import { listPage, type ListPageQuery } from "../list-store.ts";

export type StoredDelivery = Selectable<NotificationDeliveryTable>;

/** An event with how its deliveries go. */
export interface StoredEvent extends Selectable<NotificationEventTable> {
  readonly deliveries: readonly StoredDelivery[];
}

/** Which events a list shows; lists of texts filter when they are given. */
export interface EventListQuery extends ListPageQuery {
  /** Inclusive. */
  readonly from: Instant | undefined;
  /** Exclusive. */
  readonly to: Instant | undefined;
  /** Ids or keys. */
  readonly features: readonly string[] | undefined;
  /** Ids or keys. */
  readonly subjects: readonly string[] | undefined;
  readonly rules: readonly string[] | undefined;
  readonly channels: readonly string[] | undefined;
  readonly orderBy: "createdAt" | "id";
}

/** The event with this id, or null. */
export async function findEvent(db: Kysely<Database>, namespace: string, id: string): Promise<StoredEvent | null> {
  // Why: one event by the id that a client or a receiver noted.
  const rows = await db
    .selectFrom("notification_event")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("id", "=", id.toUpperCase())
    .execute();
  const [event] = await withDeliveries(db, rows);
  return event ?? null;
}

export async function listEvents(
  db: Kysely<Database>,
  namespace: string,
  query: EventListQuery,
): Promise<{ readonly items: readonly StoredEvent[]; readonly totalCount: number }> {
  let filtered = db.selectFrom("notification_event").where("namespace", "=", namespace);
  if (query.from !== undefined) filtered = filtered.where("created_at", ">=", query.from);
  if (query.to !== undefined) filtered = filtered.where("created_at", "<", query.to);
  if (query.features !== undefined) filtered = filtered.where(isNamed("feature", query.features));
  if (query.subjects !== undefined) filtered = filtered.where(isNamed("subject", query.subjects));
  if (query.rules !== undefined) filtered = filtered.where("rule_id", "in", textList(upperCase(query.rules)));
  if (query.channels !== undefined) {
    const wanted = textList(upperCase(query.channels));
    filtered = filtered.where((where) =>
      where.exists(
        where
          .selectFrom("notification_delivery")
          .select("event_id")
          .whereRef("event_id", "=", "notification_event.id")
          .where("channel_id", "in", wanted),
      ),
    );
  }
  const { rows, totalCount } = await listPage(filtered.selectAll(), query);
  return { items: await withDeliveries(db, rows), totalCount };
}

function isNamed(what: "feature" | "subject", names: readonly string[]): Expression<SqlBool> {
  const ids = textList(upperCase(names));
  return sql<SqlBool>`(${sql.ref(`${what}_id`)} in ${ids} or ${sql.ref(`${what}_key`)} in ${textList(names)})`;
}

/** As JSON, because a statement takes 65,535 parameters at most. */
function textList(texts: readonly string[]) {
  const storable = texts.filter((text) => !text.includes("\0") && text.isWellFormed());
  return sql<string>`(select jsonb_array_elements_text(${JSON.stringify(storable)}::jsonb))`;
}

function upperCase(ids: readonly string[]): readonly string[] {
  return ids.map((id) => id.toUpperCase());
}

async function withDeliveries(
  db: Kysely<Database>,
  rows: readonly Selectable<NotificationEventTable>[],
): Promise<readonly StoredEvent[]> {
  if (rows.length === 0) return [];
  // Why: one look-up of the deliveries of all events of a page.
  const deliveries = await db
    .selectFrom("notification_delivery")
    .selectAll()
    .where("event_id", "in", textList(rows.map(({ id }) => id)))
    .orderBy("channel_id")
    .execute();
  const byEvent = Map.groupBy(deliveries, ({ event_id }) => event_id);
  return rows.map((row) => ({ ...row, deliveries: byEvent.get(row.id) ?? [] }));
}

/** The deliveries of an event that may be restarted, locked, with what their channels are like. */
export async function lockDeliveries(
  tx: Transaction<Database>,
  eventId: string,
): Promise<readonly { readonly channelId: string; readonly isUsable: boolean }[]> {
  // Why: a resend decides by the state of channels and deliveries, which must not change meanwhile.
  const rows = await tx
    .selectFrom("notification_delivery")
    .innerJoin("notification_channel", "notification_channel.id", "notification_delivery.channel_id")
    .select(["channel_id", "is_disabled", "deleted_at"])
    .where("event_id", "=", eventId)
    .orderBy("channel_id")
    .forUpdate("notification_delivery")
    .execute();
  return rows.map((row) => ({
    channelId: row.channel_id,
    isUsable: !row.is_disabled && row.deleted_at === null,
  }));
}

/** Restarts deliveries that were tried before; those that were not are left alone, they are sent anyway. */
export async function restartDeliveries(
  tx: Transaction<Database>,
  eventId: string,
  channels: readonly string[],
  annotations: Readonly<Record<string, JsonValue>>,
  at: Instant,
): Promise<void> {
  // Why: the schedule begins anew; a claim more makes the outcome of an attempt that is under way a mere entry.
  await tx
    .updateTable("notification_delivery")
    .set((set) => ({
      state: "RESENDING",
      reason: "",
      tries: 0,
      claim: set("claim", "+", 1),
      due_at: at,
      started_at: at,
      updated_at: at,
      annotations: sql<string>`annotations || ${JSON.stringify(annotations)}::jsonb`,
    }))
    .where("event_id", "=", eventId)
    .where("channel_id", "in", textList(channels))
    .where("state", "in", ["SENDING", "SUCCESS", "FAILED"])
    .execute();
}

/** Deletes events created before an instant, a limited number at once; resolves with how many. */
export async function deleteEventsBefore(
  db: Kysely<Database>,
  namespace: string,
  before: Instant,
  limit: number,
): Promise<number> {
  // Why: retention; in portions, so that nobody waits long for the embedded store.
  const result = await db
    .deleteFrom("notification_event")
    .where("id", "in", (from) =>
      from
        .selectFrom("notification_event")
        .select("id")
        .where("namespace", "=", namespace)
        .where("created_at", "<", before)
        .orderBy("created_at")
        .limit(limit),
    )
    .executeTakeFirst();
  return Number(result.numDeletedRows);
}
