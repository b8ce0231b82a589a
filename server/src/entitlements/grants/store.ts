/** Grants in the state store. */

import { type ExpressionBuilder, type Kysely, type Selectable, sql, type Transaction } from "kysely";
import { type Database, type EntitlementGrantTable, isStorableText } from "../../engines/state-store/index.ts";
import { assert } from "../../kernel/assert.ts";
import { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { SliceRequest } from "../../kernel/page.ts";
import { type Interval, parseInterval } from "../input.ts";
import type { EntitlementGrant } from "./grant.ts";

export interface GrantListQuery extends SliceRequest {
  readonly orderBy: "effectiveAt" | "id" | "createdAt" | "updatedAt";
  readonly direction: "asc" | "desc";
  readonly includeDeleted: boolean;
  readonly entitlementId?: string | undefined;
  /** Ids or keys. */
  readonly features?: readonly string[] | undefined;
  readonly customerIds?: readonly string[] | undefined;
  /** Ids or keys of customers. */
  readonly customers?: readonly string[] | undefined;
}

const ORDER_COLUMNS = {
  effectiveAt: "entitlement_grant.effective_at",
  id: "entitlement_grant.id",
  createdAt: "entitlement_grant.created_at",
  updatedAt: "entitlement_grant.updated_at",
} as const;

export async function insertGrants(tx: Transaction<Database>, grants: readonly EntitlementGrant[]): Promise<void> {
  if (grants.length === 0) return;
  // Why: an entitlement comes with its first grants, in one statement.
  await tx.insertInto("entitlement_grant").values(grants.map(rowOf)).execute();
}

/** The grant with this id that is not deleted. */
export async function findGrant(db: Kysely<Database>, namespace: string, id: string): Promise<EntitlementGrant | null> {
  if (!isStorableText(id)) return null;
  // Why: voiding names a grant alone. Ids are stored in upper case and accepted in both.
  const row = await db
    .selectFrom("entitlement_grant")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("id", "=", id.toUpperCase())
    .where("deleted_at", "is", null)
    .executeTakeFirst();
  return row === undefined ? null : grantFromRow(row);
}

/** All grants that these entitlements ever had, deleted ones too, in no order: what balances are computed from. */
export async function grantsOf(
  db: Kysely<Database>,
  entitlementIds: readonly string[],
): Promise<readonly EntitlementGrant[]> {
  if (entitlementIds.length === 0) return [];
  const rows = await db
    .selectFrom("entitlement_grant")
    .selectAll()
    .where("entitlement_id", "in", entitlementIds)
    .execute();
  return rows.map(grantFromRow);
}

/** Grants that fit a query, one part of them in order. */
export async function listGrants(
  db: Kysely<Database>,
  namespace: string,
  query: GrantListQuery,
): Promise<readonly EntitlementGrant[]> {
  // Why: the lists of grants; `id` makes the order total.
  const rows = await owned(db)
    .selectAll("entitlement_grant")
    .where((where) => matches(where, namespace, query))
    .orderBy(ORDER_COLUMNS[query.orderBy], query.direction)
    .orderBy("entitlement_grant.id", query.direction)
    .limit(query.limit)
    .offset(query.offset)
    .execute();
  return rows.map(grantFromRow);
}

/** How many grants fit a query on all pages. */
export async function countGrants(db: Kysely<Database>, namespace: string, query: GrantListQuery): Promise<number> {
  // Why: a page tells how many items there are altogether.
  const { count } = await owned(db)
    .select(sql<string>`count(*)`.as("count"))
    .where((where) => matches(where, namespace, query))
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function markVoided(tx: Transaction<Database>, id: string, at: Instant, now: Instant): Promise<void> {
  // Why: a voided grant stays on record, it covered usage before.
  await tx.updateTable("entitlement_grant").set({ voided_at: at, updated_at: now }).where("id", "=", id).execute();
}

export async function markGrantsDeleted(
  tx: Transaction<Database>,
  entitlementIds: readonly string[],
  at: Instant,
): Promise<void> {
  if (entitlementIds.length === 0) return;
  // Why: grants go with their entitlement.
  await tx
    .updateTable("entitlement_grant")
    .set({ deleted_at: at, updated_at: at })
    .where("entitlement_id", "in", entitlementIds)
    .where("deleted_at", "is", null)
    .execute();
}

function owned(db: Kysely<Database>) {
  return db
    .selectFrom("entitlement_grant")
    .innerJoin("entitlement", "entitlement.id", "entitlement_grant.entitlement_id")
    .innerJoin("customer", "customer.id", "entitlement.customer_id");
}

function matches(
  where: ExpressionBuilder<Database, "customer" | "entitlement" | "entitlement_grant">,
  namespace: string,
  { entitlementId, features, customerIds, customers, includeDeleted }: GrantListQuery,
) {
  const conditions = [where("entitlement_grant.namespace", "=", namespace)];
  if (!includeDeleted) conditions.push(where("entitlement_grant.deleted_at", "is", null));
  if (entitlementId !== undefined) conditions.push(where("entitlement_grant.entitlement_id", "=", entitlementId));
  if (features !== undefined && features.length > 0) {
    conditions.push(
      where.or([
        where("entitlement.feature_key", "in", storable(features)),
        where("entitlement.feature_id", "in", storable(features.map((id) => id.toUpperCase()))),
      ]),
    );
  }
  if (customerIds !== undefined) conditions.push(where("entitlement.customer_id", "in", storable(customerIds)));
  if (customers !== undefined && customers.length > 0) {
    conditions.push(
      where.or([
        where("customer.id", "in", storable(customers.map((id) => id.toUpperCase()))),
        where.and([where("customer.key", "in", storable(customers)), where("customer.deleted_at", "is", null)]),
      ]),
    );
  }
  return where.and(conditions);
}

/** A list for `in`, which must not be empty; texts that the store cannot hold match nothing anyway. */
function storable(texts: readonly string[]): readonly string[] {
  const kept = texts.filter(isStorableText);
  return kept.length === 0 ? [""] : kept;
}

function rowOf(grant: EntitlementGrant) {
  return {
    id: grant.id,
    namespace: grant.namespace,
    entitlement_id: grant.entitlementId,
    amount: grant.amount.toText(),
    priority: grant.priority,
    effective_at: grant.effectiveAt,
    expiration_unit: grant.expiration?.unit ?? null,
    expiration_count: grant.expiration?.count ?? null,
    expires_at: grant.expiresAt,
    recurrence_interval: grant.recurrenceInterval?.text ?? null,
    recurrence_anchor_at: grant.recurrence?.anchor ?? null,
    min_rollover: grant.minRollover.toText(),
    max_rollover: grant.maxRollover.toText(),
    metadata: grant.metadata === null ? null : JSON.stringify(grant.metadata),
    annotations: grant.annotations === null ? null : JSON.stringify(grant.annotations),
    created_at: grant.createdAt,
    updated_at: grant.updatedAt,
  };
}

function grantFromRow(row: Selectable<EntitlementGrantTable>): EntitlementGrant {
  const interval = row.recurrence_interval === null ? null : storedInterval(row.recurrence_interval);
  const anchor = row.recurrence_anchor_at;
  const { expiration_unit: unit, expiration_count: count } = row;
  return {
    id: row.id,
    namespace: row.namespace,
    entitlementId: row.entitlement_id,
    amount: Decimal.of(row.amount),
    priority: row.priority,
    effectiveAt: row.effective_at,
    expiration: unit === null || count === null ? null : { unit, count },
    expiresAt: row.expires_at,
    voidedAt: row.voided_at,
    deletedAt: row.deleted_at,
    minRollover: Decimal.of(row.min_rollover),
    maxRollover: Decimal.of(row.max_rollover),
    recurrence: interval === null || anchor === null ? null : { interval: interval.duration, anchor },
    recurrenceInterval: interval,
    metadata: row.metadata,
    annotations: row.annotations,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function storedInterval(text: string): Interval {
  const interval = parseInterval(text);
  assert(interval !== null, "a stored grant recurs by a valid interval");
  return interval;
}
