/** Features in the state store. */

import type { FilterString } from "@tallystick/contract";
import type { Kysely, Selectable, SelectQueryBuilder } from "kysely";
import { type Database, type FeatureTable, isStorableText, isUniqueViolation } from "../engines/state-store/index.ts";
import type { Instant } from "../kernel/instant.ts";
import type { SliceRequest } from "../kernel/page.ts";
import { type Feature, filtersOf, type UnitCost } from "./feature.ts";

export type FeatureOrder = "id" | "key" | "name" | "createdAt" | "updatedAt";

const ORDER_COLUMNS = {
  id: "feature.id",
  key: "feature.key",
  name: "feature.name",
  createdAt: "feature.created_at",
  updatedAt: "feature.updated_at",
} as const satisfies Record<FeatureOrder, `feature.${keyof FeatureTable}`>;

export interface FeatureListQuery extends SliceRequest {
  readonly orderBy: FeatureOrder;
  readonly direction: "asc" | "desc";
  readonly includeArchived: boolean;
  /** Only features of these meters, by slug or id. */
  readonly meters?: readonly string[] | undefined;
}

/** Inserts a feature; false when a live one has its key. */
export async function insertFeature(db: Kysely<Database>, feature: Feature): Promise<boolean> {
  try {
    // Why: the unique index decides between two requests for one key.
    await db
      .insertInto("feature")
      .values({
        id: feature.id,
        namespace: feature.namespace,
        key: feature.key,
        name: feature.name,
        metadata: jsonText(feature.metadata),
        meter_id: feature.meterId,
        simple_filters: jsonText(feature.simpleFilters),
        advanced_filters: jsonText(feature.advancedFilters),
        unit_cost: jsonText(feature.unitCost),
        created_at: feature.createdAt,
        updated_at: feature.updatedAt,
        archived_at: feature.archivedAt,
      })
      .execute();
    return true;
  } catch (error) {
    if (isUniqueViolation(error, "feature_key")) return false;
    throw error;
  }
}

/** The feature with this id, archived or not, else the live feature with this key. */
export async function findFeature(db: Kysely<Database>, namespace: string, idOrKey: string): Promise<Feature | null> {
  if (!isStorableText(idOrKey)) return null;
  const id = idOrKey.toUpperCase();
  // Why: paths accept either. Ids are stored in upper case and accepted in both.
  const row = await features(db)
    .where("feature.namespace", "=", namespace)
    .where((where) =>
      where.or([
        where("feature.id", "=", id),
        where.and([where("feature.key", "=", idOrKey), where("feature.archived_at", "is", null)]),
      ]),
    )
    .orderBy((order) => order.case().when("feature.id", "=", id).then(0).else(1).end())
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : featureFromRow(row);
}

/** The features with these ids, archived or not, in any order. */
export async function findFeatures(
  db: Kysely<Database>,
  namespace: string,
  ids: readonly string[],
): Promise<readonly Feature[]> {
  if (ids.length === 0) return [];
  // Why: one look-up for a whole page of entitlements.
  const rows = await features(db).where("feature.namespace", "=", namespace).where("feature.id", "in", ids).execute();
  return rows.map(featureFromRow);
}

export async function listFeatures(
  db: Kysely<Database>,
  namespace: string,
  query: FeatureListQuery,
): Promise<readonly Feature[]> {
  // Why: the list of features; `id` makes the order total.
  const rows = await listed(features(db), namespace, query)
    .orderBy(ORDER_COLUMNS[query.orderBy], query.direction)
    .orderBy("feature.id", query.direction)
    .limit(query.limit)
    .offset(query.offset)
    .execute();
  return rows.map(featureFromRow);
}

/** How many features the list has on all its pages. */
export async function countFeatures(db: Kysely<Database>, namespace: string, query: FeatureListQuery): Promise<number> {
  // Why: pages tell how many there are.
  const row = await listed(features(db), namespace, query)
    .clearSelect()
    .select((select) => select.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return row.count;
}

/** The features of a meter, archived ones too, by key. */
export async function featuresOfMeter(db: Kysely<Database>, meterId: string): Promise<readonly Feature[]> {
  // Why: whether a meter may be deleted or lose a group-by key.
  const rows = await features(db)
    .where("feature.meter_id", "=", meterId)
    .orderBy("feature.key")
    .orderBy("feature.id")
    .execute();
  return rows.map(featureFromRow);
}

/** Archives a live feature; false when it is archived already. */
export async function markArchived(db: Kysely<Database>, id: string, at: Instant): Promise<boolean> {
  // Why: what uses the feature keeps it, so its row stays; one of two requests at once finds it archived.
  const result = await db
    .updateTable("feature")
    .set({ archived_at: at, updated_at: at })
    .where("id", "=", id)
    .where("archived_at", "is", null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Replaces the unit cost of a live feature; false when it is archived. */
export async function setUnitCost(
  db: Kysely<Database>,
  id: string,
  unitCost: UnitCost | null,
  at: Instant,
): Promise<boolean> {
  // Why: everything else about a feature is immutable.
  const result = await db
    .updateTable("feature")
    .set({ unit_cost: jsonText(unitCost), updated_at: at })
    .where("id", "=", id)
    .where("archived_at", "is", null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

type FeatureRow = Selectable<FeatureTable> & { readonly meter_slug: string | null };

/** Features with the slugs of their meters. */
function features(db: Kysely<Database>) {
  return db
    .selectFrom("feature")
    .leftJoin("meter", "meter.id", "feature.meter_id")
    .selectAll("feature")
    .select("meter.slug as meter_slug");
}

function listed<Output>(
  select: SelectQueryBuilder<Database & { meter: Database["meter"] | null }, "feature" | "meter", Output>,
  namespace: string,
  { includeArchived, meters }: FeatureListQuery,
) {
  const known = meters?.filter(isStorableText);
  return select
    .where("feature.namespace", "=", namespace)
    .$if(!includeArchived, (query) => query.where("feature.archived_at", "is", null))
    .$if(known !== undefined, (query) =>
      query.where((where) =>
        where.or(
          (known ?? []).flatMap((meter) => [
            where("meter.slug", "=", meter),
            where("feature.meter_id", "=", meter.toUpperCase()),
          ]),
        ),
      ),
    );
}

function featureFromRow(row: FeatureRow): Feature {
  // The contract's schemas have checked the filters before they were stored.
  const advancedFilters = row.advanced_filters as Readonly<Record<string, FilterString>> | null;
  return {
    id: row.id,
    namespace: row.namespace,
    key: row.key,
    name: row.name,
    metadata: row.metadata,
    meterId: row.meter_id,
    meterSlug: row.meter_slug,
    filters: filtersOf(row.simple_filters, advancedFilters),
    simpleFilters: row.simple_filters,
    advancedFilters,
    unitCost: row.unit_cost,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    archivedAt: row.archived_at,
  };
}

function jsonText(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}
