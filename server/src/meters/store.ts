/** Meters in the state store. */

import type { Kysely, Selectable } from "kysely";
import { type Database, isUniqueViolation, type MeterTable } from "../engines/state-store/index.ts";
import type { Instant } from "../kernel/instant.ts";
import type { Meter } from "./meter.ts";

/** Most meters that a list returns. */
const MAX_LISTED = 1000;

export type MeterOrder = "slug" | "name" | "aggregation" | "createdAt" | "updatedAt";

const ORDER_COLUMNS = {
  slug: "slug",
  name: "name",
  aggregation: "aggregation",
  createdAt: "created_at",
  updatedAt: "updated_at",
} as const satisfies Record<MeterOrder, keyof MeterTable>;

export interface MeterListQuery {
  readonly orderBy: MeterOrder;
  readonly direction: "asc" | "desc";
  readonly includeDeleted: boolean;
}

/** Inserts a meter; false when a live meter has its slug. */
export async function insertMeter(db: Kysely<Database>, meter: Meter): Promise<boolean> {
  try {
    // Why: a new meter sees all old events from this moment on.
    await db
      .insertInto("meter")
      .values({
        id: meter.id,
        namespace: meter.namespace,
        slug: meter.slug,
        name: meter.name,
        description: meter.description,
        aggregation: meter.aggregation,
        event_type: meter.eventType,
        event_from: meter.eventFrom,
        value_property: meter.valueProperty,
        group_by: JSON.stringify(meter.groupBy),
        metadata: meter.metadata === null ? null : JSON.stringify(meter.metadata),
        created_at: meter.createdAt,
        updated_at: meter.updatedAt,
        deleted_at: meter.deletedAt,
      })
      .execute();
    return true;
  } catch (error) {
    if (isUniqueViolation(error, "meter_slug")) return false;
    throw error;
  }
}

/**
 * The meter with this id, deleted or not, else the live meter with this slug. `isLocked` keeps it from being changed by
 * others until the transaction `db` ends.
 */
export async function findMeter(
  db: Kysely<Database>,
  namespace: string,
  idOrSlug: string,
  { isLocked = false } = {},
): Promise<Meter | null> {
  // Why: paths accept either. Ids are stored in upper case and accepted in both.
  const row = await db
    .selectFrom("meter")
    .selectAll()
    .where("namespace", "=", namespace)
    .where((where) =>
      where.or([
        where("id", "=", idOrSlug.toUpperCase()),
        where.and([where("slug", "=", idOrSlug), where("deleted_at", "is", null)]),
      ]),
    )
    .orderBy((order) => order.case().when("id", "=", idOrSlug.toUpperCase()).then(0).else(1).end())
    .limit(1)
    .$if(isLocked, (select) => select.forUpdate())
    .executeTakeFirst();
  return row === undefined ? null : meterFromRow(row);
}

export async function listMeters(db: Kysely<Database>, namespace: string, query: MeterListQuery): Promise<Meter[]> {
  // Why: the list of meters; `id` makes the order total.
  const rows = await db
    .selectFrom("meter")
    .selectAll()
    .where("namespace", "=", namespace)
    .$if(!query.includeDeleted, (select) => select.where("deleted_at", "is", null))
    .orderBy(ORDER_COLUMNS[query.orderBy], query.direction)
    .orderBy("id", query.direction)
    .limit(MAX_LISTED)
    .execute();
  return rows.map(meterFromRow);
}

/** Every meter that is not deleted. */
export async function liveMeters(db: Kysely<Database>): Promise<Meter[]> {
  // Why: each may have a roll-up.
  const rows = await db.selectFrom("meter").selectAll().where("deleted_at", "is", null).orderBy("id").execute();
  return rows.map(meterFromRow);
}

/** The live meters of these event types, by slug; for the validation of listed events. */
export async function metersOfTypes(
  db: Kysely<Database>,
  namespace: string,
  eventTypes: readonly string[],
): Promise<Meter[]> {
  if (eventTypes.length === 0) return [];
  // Why: one query for a whole page of events.
  const rows = await db
    .selectFrom("meter")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("deleted_at", "is", null)
    .where("event_type", "in", eventTypes)
    .orderBy("slug")
    .execute();
  return rows.map(meterFromRow);
}

/** Replaces what may change of a meter. */
export async function updateMeter(db: Kysely<Database>, meter: Meter): Promise<void> {
  // Why: only name, description, group-by and metadata may change; all else is immutable.
  await db
    .updateTable("meter")
    .set({
      name: meter.name,
      description: meter.description,
      group_by: JSON.stringify(meter.groupBy),
      metadata: meter.metadata === null ? null : JSON.stringify(meter.metadata),
      version: meter.version,
      updated_at: meter.updatedAt,
    })
    .where("id", "=", meter.id)
    .execute();
}

/** Marks a meter as deleted; its slug is free again. */
export async function markDeleted(db: Kysely<Database>, id: string, at: Instant): Promise<void> {
  // Why: deletion is soft, the meter stays queryable by id.
  await db
    .updateTable("meter")
    .set({ deleted_at: at, updated_at: at })
    .where("id", "=", id)
    .where("deleted_at", "is", null)
    .execute();
}

function meterFromRow(row: Selectable<MeterTable>): Meter {
  return {
    id: row.id,
    namespace: row.namespace,
    slug: row.slug,
    name: row.name,
    description: row.description,
    aggregation: row.aggregation,
    eventType: row.event_type,
    eventFrom: row.event_from,
    valueProperty: row.value_property,
    groupBy: row.group_by,
    metadata: row.metadata,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  };
}
