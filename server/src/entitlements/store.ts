/** Entitlements and their manual resets in the state store. */

import { type ExpressionBuilder, type Kysely, type Selectable, sql, type Transaction } from "kysely";
import {
  type Database,
  type EntitlementTable,
  isExclusionViolation,
  isStorableText,
} from "../engines/state-store/index.ts";
import { assert } from "../kernel/assert.ts";
import { Decimal } from "../kernel/decimal.ts";
import type { Instant } from "../kernel/instant.ts";
import type { SliceRequest } from "../kernel/page.ts";
import type { Reset } from "./engine/index.ts";
import { endOf, type Entitlement, type EntitlementType, type MeteredFields } from "./entitlement.ts";
import { parseInterval } from "./input.ts";

export interface EntitlementListQuery extends SliceRequest {
  readonly orderBy: "createdAt" | "updatedAt";
  readonly direction: "asc" | "desc";
  readonly includeDeleted: boolean;
  /** Only those that are active at this instant. */
  readonly activeAt?: Instant | undefined;
  /** Ids or keys. */
  readonly features?: readonly string[] | undefined;
  readonly customerIds?: readonly string[] | undefined;
  readonly customerKeys?: readonly string[] | undefined;
  readonly types?: readonly EntitlementType[] | undefined;
}

const ORDER_COLUMNS = { createdAt: "entitlement.created_at", updatedAt: "entitlement.updated_at" } as const;

/** Waits for everyone else who changes entitlements of the customer; whether the customer is still there. */
export async function lockOwner(tx: Transaction<Database>, customerId: string): Promise<boolean> {
  // Why: two requests for one feature wait for each other here instead of in the exclusion constraint, where they could
  // deadlock; and no entitlement is made for a customer that is being deleted.
  const row = await tx
    .selectFrom("customer")
    .select("deleted_at")
    .where("id", "=", customerId)
    .forUpdate()
    .executeTakeFirst();
  return row !== undefined && row.deleted_at === null;
}

/** Inserts an entitlement; false when another one to the feature is active at some instant of its life. */
export async function insertEntitlement(db: Kysely<Database>, entitlement: Entitlement): Promise<boolean> {
  const { metered, usagePeriod } = entitlement;
  try {
    // Why: the exclusion constraint has the last word on whether it may be active.
    await db
      .insertInto("entitlement")
      .values({
        id: entitlement.id,
        namespace: entitlement.namespace,
        customer_id: entitlement.customerId,
        feature_id: entitlement.featureId,
        feature_key: entitlement.featureKey,
        type: entitlement.type,
        metadata: jsonText(entitlement.metadata),
        annotations: jsonText(entitlement.annotations),
        managed_by: entitlement.managedBy,
        active_from: entitlement.activeFrom,
        active_to: entitlement.activeTo,
        usage_interval: usagePeriod?.interval.text ?? null,
        usage_anchor_at: usagePeriod?.anchor ?? null,
        config: entitlement.config,
        measure_usage_from: metered?.measureUsageFrom ?? null,
        issue_amount: metered?.issue?.amount ?? null,
        issue_priority: metered?.issue?.priority ?? null,
        is_soft_limit: metered?.isSoftLimit ?? false,
        preserve_overage_at_reset: metered?.preserveOverageAtReset ?? false,
        conversion: jsonText(metered?.conversion ?? null),
        created_at: entitlement.createdAt,
        updated_at: entitlement.updatedAt,
      })
      .execute();
    return true;
  } catch (error) {
    if (isExclusionViolation(error, "entitlement_active")) return false;
    throw error;
  }
}

/** The entitlement of the customer to the feature that is active at some instant of `[from, to)`, or null; the first one. */
export async function findClash(
  db: Kysely<Database>,
  entitlement: Pick<Entitlement, "customerId" | "featureKey" | "activeFrom" | "activeTo" | "deletedAt">,
): Promise<string | null> {
  const end = endOf(entitlement);
  // Why: a refused request names the entitlement that is in its way.
  const row = await db
    .selectFrom("entitlement")
    .select("id")
    .where("customer_id", "=", entitlement.customerId)
    .where("feature_key", "=", entitlement.featureKey)
    .where((where) => where.or([where(END, "is", null), where(END, ">", entitlement.activeFrom)]))
    .where((where) => where.or([where(END, "is", null), where(END, ">", where.ref("active_from"))]))
    .$if(end !== null, (select) => select.where("active_from", "<", end))
    .orderBy("active_from")
    .limit(1)
    .executeTakeFirst();
  return row?.id ?? null;
}

/** The entitlement with this id, in any state. */
export async function findEntitlement(
  db: Kysely<Database>,
  namespace: string,
  id: string,
): Promise<Entitlement | null> {
  if (!isStorableText(id)) return null;
  // Why: ids are stored in upper case and accepted in both.
  const row = await entitlements(db)
    .where("entitlement.namespace", "=", namespace)
    .where("entitlement.id", "=", id.toUpperCase())
    .executeTakeFirst();
  return row === undefined ? null : entitlementFromRow(row);
}

/** The entitlements with these ids, in any state and any order. */
export async function entitlementsWithIds(
  db: Kysely<Database>,
  namespace: string,
  ids: readonly string[],
): Promise<readonly Entitlement[]> {
  if (ids.length === 0) return [];
  // Why: balances are brought into memory many at a time.
  const rows = await entitlements(db)
    .where("entitlement.namespace", "=", namespace)
    .where("entitlement.id", "in", ids)
    .execute();
  return rows.map(entitlementFromRow);
}

/** The entitlement of the customer to the feature that is active at the instant. */
export async function findActive(
  db: Kysely<Database>,
  customerId: string,
  featureKey: string,
  at: Instant,
): Promise<Entitlement | null> {
  if (!isStorableText(featureKey)) return null;
  // Why: clients name entitlements by feature.
  const row = await entitlements(db)
    .where("entitlement.customer_id", "=", customerId)
    .where("entitlement.feature_key", "=", featureKey)
    .where((where) => activeAt(where, at))
    .executeTakeFirst();
  return row === undefined ? null : entitlementFromRow(row);
}

/** As `findEntitlement`, and nobody else changes it, its resets or its grants until the transaction ends. */
export async function lockEntitlement(tx: Transaction<Database>, namespace: string, id: string): Promise<Entitlement> {
  // Why twice: the row that was waited for is read afresh, but what a locking statement reads of resets is that of before.
  await tx.selectFrom("entitlement").select("id").where("id", "=", id).forUpdate().execute();
  const found = await findEntitlement(tx, namespace, id);
  assert(found !== null, "entitlements are never removed");
  return found;
}

/** Entitlements that fit a query, one part of them in order. */
export async function listEntitlements(
  db: Kysely<Database>,
  namespace: string,
  query: EntitlementListQuery,
): Promise<readonly Entitlement[]> {
  // Why: the lists of entitlements; `id` makes the order total.
  const rows = await entitlements(db)
    .where((where) => matches(where, namespace, query))
    .orderBy(ORDER_COLUMNS[query.orderBy], query.direction)
    .orderBy("entitlement.id", query.direction)
    .limit(query.limit)
    .offset(query.offset)
    .execute();
  return rows.map(entitlementFromRow);
}

/** How many entitlements fit a query on all pages. */
export async function countEntitlements(
  db: Kysely<Database>,
  namespace: string,
  query: EntitlementListQuery,
): Promise<number> {
  // Why: a page tells how many items there are altogether.
  const { count } = await db
    .selectFrom("entitlement")
    .innerJoin("customer", "customer.id", "entitlement.customer_id")
    .select(sql<string>`count(*)`.as("count"))
    .where((where) => matches(where, namespace, query))
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Ends entitlements: replaces their `activeTo` or `deletedAt`, and counts the change. */
export async function endEntitlements(
  tx: Transaction<Database>,
  ids: readonly string[],
  end: { readonly active_to: Instant } | { readonly deleted_at: Instant },
  at: Instant,
): Promise<void> {
  if (ids.length === 0) return;
  // Why: entitlements end by themselves, by an override, by deletion or with their customer.
  await tx
    .updateTable("entitlement")
    .set({ ...end, updated_at: at, revision: sql`revision + 1` })
    .where("id", "in", ids)
    .execute();
}

/** The ids of the customer's entitlements that are not deleted and have not ended before the instant, locked. */
export async function lockUnended(
  tx: Transaction<Database>,
  customerId: string,
  at: Instant,
): Promise<readonly string[]> {
  // Why: with the customer go its entitlements, scheduled ones too.
  const rows = await tx
    .selectFrom("entitlement")
    .select("id")
    .where("customer_id", "=", customerId)
    .where("deleted_at", "is", null)
    .where((where) => where.or([where("active_to", "is", null), where("active_to", ">", at)]))
    .orderBy("id")
    .forUpdate()
    .execute();
  return rows.map(({ id }) => id);
}

/** Those of the features that have entitlements, scheduled ones too, which neither ended before the instant nor are deleted. */
export async function featuresWithUnended(
  db: Kysely<Database>,
  featureIds: readonly string[],
  at: Instant,
): Promise<ReadonlySet<string>> {
  if (featureIds.length === 0) return new Set();
  // Why: what their usage is counted by must neither go nor change under them.
  const rows = await db
    .selectFrom("entitlement")
    .select("feature_id")
    .distinct()
    .where("feature_id", "in", featureIds)
    .where("deleted_at", "is", null)
    .where((where) => where.or([where("active_to", "is", null), where("active_to", ">", at)]))
    .execute();
  return new Set(rows.map(({ feature_id }) => feature_id));
}

/** Counts a change of what the entitlement's balance is computed from. */
export async function bumpRevision(tx: Transaction<Database>, id: string, at: Instant): Promise<void> {
  // Why: whatever was computed for an older revision is void.
  await tx
    .updateTable("entitlement")
    .set({ revision: sql`revision + 1`, updated_at: at })
    .where("id", "=", id)
    .execute();
}

export async function insertReset(
  tx: Transaction<Database>,
  entitlementId: string,
  reset: Reset,
  now: Instant,
): Promise<void> {
  // Why: a reset is a fact from which periods and balances follow.
  await tx
    .insertInto("entitlement_reset")
    .values({
      entitlement_id: entitlementId,
      reset_at: reset.at,
      anchor_at: reset.anchor,
      preserve_overage: reset.preserveOverage,
      created_at: now,
    })
    .execute();
}

const END = sql<Instant | null>`least(entitlement.active_to, entitlement.deleted_at)`;

function activeAt(where: ExpressionBuilder<Database, "entitlement">, at: Instant) {
  return where.and([
    where("entitlement.active_from", "<=", at),
    where.or([where(END, "is", null), where(END, ">", at)]),
  ]);
}

function matches(
  where: ExpressionBuilder<Database, "customer" | "entitlement">,
  namespace: string,
  query: EntitlementListQuery,
) {
  const { features, customerIds, customerKeys, types } = query;
  const conditions = [where("entitlement.namespace", "=", namespace)];
  if (!query.includeDeleted) conditions.push(where("entitlement.deleted_at", "is", null));
  if (features !== undefined && features.length > 0) {
    conditions.push(
      where.or([
        where("entitlement.feature_key", "in", storable(features)),
        where("entitlement.feature_id", "in", storable(features.map((id) => id.toUpperCase()))),
      ]),
    );
  }
  if (customerIds !== undefined) {
    conditions.push(where("entitlement.customer_id", "in", storable(customerIds.map((id) => id.toUpperCase()))));
  }
  if (customerKeys !== undefined) {
    conditions.push(where("customer.key", "in", storable(customerKeys)), where("customer.deleted_at", "is", null));
  }
  if (types !== undefined && types.length > 0) conditions.push(where("entitlement.type", "in", types));
  return where.and(query.activeAt === undefined ? conditions : [...conditions, activeAt(where, query.activeAt)]);
}

/** A list for `in`, which must not be empty; texts that the store cannot hold match nothing anyway. */
function storable(texts: readonly string[]): readonly string[] {
  const kept = texts.filter(isStorableText);
  return kept.length === 0 ? [""] : kept;
}

function entitlements(db: Kysely<Database>) {
  return db
    .selectFrom("entitlement")
    .innerJoin("customer", "customer.id", "entitlement.customer_id")
    .selectAll("entitlement")
    .select("customer.key as customer_key")
    .select(
      sql<string | null>`(select min(subject_key) from customer_subject
        where customer_subject.customer_id = entitlement.customer_id)`.as("smallest_subject_key"),
    )
    .select(
      sql<readonly Reset[]>`(select coalesce(jsonb_agg(jsonb_build_object(
          'at', reset_at, 'anchor', anchor_at, 'preserveOverage', preserve_overage) order by reset_at), '[]')
        from entitlement_reset where entitlement_reset.entitlement_id = entitlement.id)`.as("resets"),
    );
}

interface EntitlementRow extends Selectable<EntitlementTable> {
  readonly customer_key: string | null;
  readonly smallest_subject_key: string | null;
  readonly resets: readonly Reset[];
}

function entitlementFromRow(row: EntitlementRow): Entitlement {
  return {
    id: row.id,
    namespace: row.namespace,
    customerId: row.customer_id,
    customerKey: row.customer_key,
    smallestSubjectKey: row.smallest_subject_key,
    featureId: row.feature_id,
    featureKey: row.feature_key,
    type: row.type,
    metadata: row.metadata,
    annotations: row.annotations,
    managedBy: row.managed_by,
    activeFrom: row.active_from,
    activeTo: row.active_to,
    usagePeriod: usagePeriodFromRow(row),
    config: row.config,
    metered: meteredFromRow(row),
    resets: row.resets,
    revision: row.revision,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  };
}

function usagePeriodFromRow({ usage_interval, usage_anchor_at }: EntitlementRow): Entitlement["usagePeriod"] {
  if (usage_interval === null || usage_anchor_at === null) return null;
  const interval = parseInterval(usage_interval);
  assert(interval !== null, "a stored usage period has a valid interval");
  return { interval, anchor: usage_anchor_at };
}

function meteredFromRow(row: EntitlementRow): MeteredFields | null {
  if (row.measure_usage_from === null) return null;
  const { issue_amount: amount, issue_priority: priority, conversion } = row;
  return {
    measureUsageFrom: row.measure_usage_from,
    issue: amount === null || priority === null ? null : { amount, priority },
    isSoftLimit: row.is_soft_limit,
    preserveOverageAtReset: row.preserve_overage_at_reset,
    conversion: conversion === null ? null : { operation: conversion.operation, factor: Decimal.of(conversion.factor) },
  };
}

function jsonText(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}
