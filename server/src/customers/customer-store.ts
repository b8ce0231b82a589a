/**
 * Customers in the state store.
 *
 * Two requests that want one subject key wait for each other in the unique index, so every change takes its subject keys in
 * one order, that of their bytes: then neither can wait for what the other holds.
 */

import { type Kysely, type Selectable, type SelectQueryBuilder, sql, type Transaction } from "kysely";
import { type CustomerTable, type Database, isUniqueViolation } from "../engines/state-store/index.ts";
import type { Instant } from "../kernel/instant.ts";
import { type Customer, sortedKeys } from "./customer.ts";
import { isStorableText } from "./subjects/subject.ts";

export interface CustomerListQuery {
  readonly orderBy: "id" | "name" | "createdAt";
  readonly direction: "asc" | "desc";
  readonly includeDeleted: boolean;
  /** Parts of texts, in whatever case. */
  readonly key?: string | undefined;
  readonly name?: string | undefined;
  readonly primaryEmail?: string | undefined;
  /** Part of one of the subject keys. */
  readonly subject?: string | undefined;
  readonly limit: number;
  readonly offset: number;
}

/** Rows of one statement, which takes 65,535 parameters at most. */
const MAX_INSERTED = 1000;
const ORDER_COLUMNS = { id: "id", name: "name", createdAt: "created_at" } as const;

/** True when a change lost a race for a key or subject key: whoever has it is committed by now. */
export function isOwnerRace(error: unknown): boolean {
  return isUniqueViolation(error, "customer_key") || isUniqueViolation(error, "customer_subject_key");
}

/** Inserts customers; in the order of their keys, so that requests that want the same ones do not block each other. */
export async function insertCustomers(tx: Transaction<Database>, customers: readonly Customer[]): Promise<void> {
  for (let from = 0; from < customers.length; from += MAX_INSERTED) {
    const rows = customers.slice(from, from + MAX_INSERTED).map((customer) => ({
      id: customer.id,
      namespace: customer.namespace,
      ...contentColumns(customer),
      created_at: customer.createdAt,
    }));
    // Why: from here on events with their keys or subject keys, also past ones, are these customers'.
    await tx.insertInto("customer").values(rows).execute();
  }
  const owned = customers.flatMap((customer) => customer.subjectKeys.map((key) => ({ customer, key })));
  for (let from = 0; from < owned.length; from += MAX_INSERTED) {
    await insertSubjectKeys(tx, owned.slice(from, from + MAX_INSERTED));
  }
}

/** Replaces what may change of a customer; `before` is the customer as the store has it, locked. */
export async function updateCustomer(tx: Transaction<Database>, before: Customer, after: Customer): Promise<void> {
  // Why: a client replaces a customer as a whole.
  await tx.updateTable("customer").set(contentColumns(after)).where("id", "=", after.id).execute();
  const [had, has] = [new Set(before.subjectKeys), new Set(after.subjectKeys)];
  const changed = sortedKeys([...had, ...has]).filter((key) => had.has(key) !== has.has(key));
  // Runs of keys that are all new or all gone: the order of the keys stays, and the usual change is one statement.
  for (let from = 0; from < changed.length;) {
    const isNew = has.has(changed[from] ?? "");
    const end = changed.findIndex((key, index) => index > from && has.has(key) !== isNew);
    const run = changed.slice(from, end === -1 ? undefined : end);
    if (isNew)
      await insertSubjectKeys(
        tx,
        run.map((key) => ({ customer: after, key })),
      );
    else await deleteSubjectKeys(tx, after.id, run);
    from += run.length;
  }
}

/** Marks a customer as deleted and frees its key and subject keys, which it keeps on record. */
export async function markCustomerDeleted(tx: Transaction<Database>, id: string, at: Instant): Promise<void> {
  // Why: deletion is soft, what the customer was billed for must stay explainable.
  await tx.updateTable("customer").set({ deleted_at: at, updated_at: at }).where("id", "=", id).execute();
  await tx.updateTable("customer_subject").set({ released_at: at }).where("customer_id", "=", id).execute();
}

/** The customer with this id, deleted or not, else the live customer with this key. */
export async function findCustomer(db: Kysely<Database>, namespace: string, idOrKey: string): Promise<Customer | null> {
  if (!isStorableText(idOrKey)) return null;
  // Why: paths accept either. Ids are stored in upper case and accepted in both.
  const row = await customers(db, namespace)
    .where((where) =>
      where.or([
        where("id", "=", idOrKey.toUpperCase()),
        where.and([where("key", "=", idOrKey), where("deleted_at", "is", null)]),
      ]),
    )
    .orderBy((order) => order.case().when("id", "=", idOrKey.toUpperCase()).then(0).else(1).end())
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : customerFromRow(row);
}

/** As `findCustomer`, and nobody else changes the customer until the transaction ends. */
export async function lockCustomer(
  tx: Transaction<Database>,
  namespace: string,
  idOrKey: string,
): Promise<Customer | null> {
  const found = await findCustomer(tx, namespace, idOrKey);
  if (found === null) return null;
  // Why twice: the row that was waited for is read afresh, but subject keys that a locking statement reads are those of
  // before the wait.
  await tx.selectFrom("customer").select("id").where("id", "=", found.id).forUpdate().execute();
  return await findCustomer(tx, namespace, found.id);
}

/** The customers with these ids, deleted or not, in no order. */
export async function findCustomers(
  db: Kysely<Database>,
  namespace: string,
  ids: readonly string[],
): Promise<Customer[]> {
  if (ids.length === 0) return [];
  // Why: a query or a page of a list names several.
  const rows = await customers(db, namespace).where(isOneOf("id", ids)).execute();
  return rows.map(customerFromRow);
}

/** One page of customers and how many there are on all pages. */
export async function listCustomers(
  db: Kysely<Database>,
  namespace: string,
  query: CustomerListQuery,
): Promise<{ readonly items: readonly Customer[]; readonly totalCount: number }> {
  const texts = [query.key, query.name, query.primaryEmail, query.subject];
  if (!texts.every((text) => text === undefined || isStorableText(text))) return { items: [], totalCount: 0 };
  // Why: the list of customers; `id` makes the order total, so that pages neither skip nor repeat.
  const rows = await matching(customers(db, namespace), query)
    .orderBy(ORDER_COLUMNS[query.orderBy], query.direction)
    .orderBy("id", query.direction)
    .limit(query.limit)
    .offset(query.offset)
    .execute();
  const all = db.selectFrom("customer").select(sql<string>`count(*)`.as("count"));
  const { count } = await matching(all.where("namespace", "=", namespace), query).executeTakeFirstOrThrow();
  return { items: rows.map(customerFromRow), totalCount: Number(count) };
}

/** Who has a subject as its key or among its subject keys. */
export interface SubjectClaim {
  readonly subject: string;
  readonly customerId: string;
  readonly by: "key" | "subjectKey";
}

/** All claims of live customers to these subjects; at most one by key and one by subject key for each. */
export async function claimsTo(
  db: Kysely<Database>,
  namespace: string,
  subjects: readonly string[],
): Promise<readonly SubjectClaim[]> {
  const storable = subjects.filter(isStorableText);
  if (storable.length === 0) return [];
  // Why: whose usage it is, for a page of events, a batch of the sink or a change that must not take what another has.
  const rows = await db
    .selectFrom("customer")
    .select(["key as subject", "id as customerId", sql<"key" | "subjectKey">`'key'`.as("by")])
    .where("namespace", "=", namespace)
    .where("deleted_at", "is", null)
    .where(isOneOf("key", storable))
    .unionAll(
      db
        .selectFrom("customer_subject")
        .select([
          "subject_key as subject",
          "customer_id as customerId",
          sql<"key" | "subjectKey">`'subjectKey'`.as("by"),
        ])
        .where("namespace", "=", namespace)
        .where("released_at", "is", null)
        .where(isOneOf("subject_key", storable)),
    )
    .execute();
  return rows.map(({ subject, customerId, by }) => ({ subject: subject ?? "", customerId, by }));
}

/**
 * Whether a column is one of the texts. As JSON, because a statement takes 65,535 parameters at most; and as an array,
 * because for a joined subquery the planner reads the whole table (97 ms instead of 11 for 100 of 100,000 customers).
 */
function isOneOf(column: "id" | "key" | "subject_key", texts: readonly string[]) {
  const array = sql`array(select jsonb_array_elements_text(${JSON.stringify(texts)}::jsonb))`;
  return sql<boolean>`${sql.ref(column)} = any (${array})`;
}

type CustomerQuery<Row> = SelectQueryBuilder<Database, "customer", Row>;

/** Customers with their subject keys. */
function customers(db: Kysely<Database>, namespace: string): CustomerQuery<CustomerRow> {
  const keys = sql<readonly string[]>`(
    select coalesce(jsonb_agg(subject_key order by subject_key), '[]') from customer_subject
    where customer_subject.customer_id = customer.id
  )`;
  return db.selectFrom("customer").selectAll().select(keys.as("subject_keys")).where("namespace", "=", namespace);
}

function matching<Row>(rows: CustomerQuery<Row>, query: CustomerListQuery): CustomerQuery<Row> {
  const { includeDeleted, key, name, primaryEmail, subject } = query;
  let narrowed = includeDeleted ? rows : rows.where("deleted_at", "is", null);
  if (key !== undefined) narrowed = narrowed.where(contains("key", key));
  if (name !== undefined) narrowed = narrowed.where(contains("name", name));
  if (primaryEmail !== undefined) narrowed = narrowed.where(contains("primary_email", primaryEmail));
  if (subject === undefined) return narrowed;
  return narrowed.where(
    sql<boolean>`id in (select customer_id from customer_subject where ${contains("subject_key", subject)})`,
  );
}

/** Whether a column contains a text, whatever their case. */
function contains(column: string, text: string) {
  return sql<boolean>`strpos(lower(${sql.ref(column)} collate "default"), lower(${text}::text collate "default")) > 0`;
}

async function insertSubjectKeys(
  tx: Transaction<Database>,
  owned: readonly { readonly customer: Customer; readonly key: string }[],
): Promise<void> {
  // Why: each of these subjects is its customer's from here on.
  await tx
    .insertInto("customer_subject")
    .values(
      owned.map(({ customer: { id, namespace }, key }) => ({
        customer_id: id,
        namespace,
        subject_key: key,
        released_at: null,
      })),
    )
    .execute();
}

async function deleteSubjectKeys(
  tx: Transaction<Database>,
  customerId: string,
  keys: readonly string[],
): Promise<void> {
  // Why: these subjects are no longer this customer's, and free for others.
  await tx
    .deleteFrom("customer_subject")
    .where("customer_id", "=", customerId)
    .where(isOneOf("subject_key", keys))
    .execute();
}

function contentColumns(customer: Customer) {
  return {
    key: customer.key,
    name: customer.name,
    description: customer.description,
    primary_email: customer.primaryEmail,
    currency: customer.currency,
    billing_address: customer.billingAddress === null ? null : JSON.stringify(customer.billingAddress),
    metadata: customer.metadata === null ? null : JSON.stringify(customer.metadata),
    annotations: customer.annotations === null ? null : JSON.stringify(customer.annotations),
    updated_at: customer.updatedAt,
    deleted_at: customer.deletedAt,
  };
}

type CustomerRow = Selectable<CustomerTable> & { readonly subject_keys: readonly string[] };

function customerFromRow(row: CustomerRow): Customer {
  return {
    id: row.id,
    namespace: row.namespace,
    key: row.key,
    name: row.name,
    description: row.description,
    primaryEmail: row.primary_email,
    currency: row.currency,
    billingAddress: row.billing_address,
    metadata: row.metadata,
    annotations: row.annotations,
    subjectKeys: row.subject_keys,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  };
}
