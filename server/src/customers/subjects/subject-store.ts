/** Subjects in the state store. */

import { type Kysely, type Selectable, sql, type Transaction } from "kysely";
import type { Database, SubjectTable } from "../../engines/state-store/index.ts";
import type { Instant } from "../../kernel/instant.ts";
import { isStorableText, type Subject, type SubjectDraft } from "./subject.ts";

/** Who writes, under which id if the subject is new, and when. */
export interface SubjectWrite {
  readonly namespace: string;
  readonly newId: string;
  readonly at: Instant;
}

/** Creates the subject, or changes the properties of the live one with its key that the draft names. */
export async function upsertSubject(
  tx: Transaction<Database>,
  draft: SubjectDraft,
  { namespace, newId, at }: SubjectWrite,
): Promise<Subject> {
  const named = {
    ...(draft.displayName === undefined ? {} : { display_name: draft.displayName }),
    ...(draft.metadata === undefined
      ? {}
      : { metadata: draft.metadata === null ? null : JSON.stringify(draft.metadata) }),
    ...(draft.stripeCustomerId === undefined ? {} : { stripe_customer_id: draft.stripeCustomerId }),
    ...(draft.currentPeriodStart === undefined ? {} : { current_period_start_at: draft.currentPeriodStart }),
    ...(draft.currentPeriodEnd === undefined ? {} : { current_period_end_at: draft.currentPeriodEnd }),
  };
  // Why: one statement, so that two clients that name a new key at once get one subject with the changes of both.
  const row = await tx
    .insertInto("subject")
    .values({ id: newId, namespace, key: draft.key, created_at: at, updated_at: at, ...named })
    .onConflict((conflict) =>
      conflict
        .columns(["namespace", "key"])
        .where("deleted_at", "is", null)
        .doUpdateSet({ ...named, updated_at: at }),
    )
    .returningAll()
    .executeTakeFirstOrThrow();
  return subjectFromRow(row);
}

/** Makes the live subjects with these keys that are missing; the keys in the order in which all who write subjects take them. */
export async function insertMissingSubjects(
  tx: Transaction<Database>,
  namespace: string,
  subjects: readonly { readonly id: string; readonly key: string }[],
  at: Instant,
): Promise<void> {
  if (subjects.length === 0) return;
  // Why: a customer names subjects that nobody has made yet; two customers that do so at once make one.
  await tx
    .insertInto("subject")
    .values(subjects.map(({ id, key }) => ({ id, namespace, key, created_at: at, updated_at: at })))
    .onConflict((conflict) => conflict.columns(["namespace", "key"]).where("deleted_at", "is", null).doNothing())
    .execute();
}

/** The subject with this id, deleted or not, else the live subject with this key. */
export async function findSubject(db: Kysely<Database>, namespace: string, idOrKey: string): Promise<Subject | null> {
  if (!isStorableText(idOrKey)) return null;
  // Why: paths accept either. Ids are stored in upper case and accepted in both.
  const row = await db
    .selectFrom("subject")
    .selectAll()
    .where("namespace", "=", namespace)
    .where((where) =>
      where.or([
        where("id", "=", idOrKey.toUpperCase()),
        where.and([where("key", "=", idOrKey), where("deleted_at", "is", null)]),
      ]),
    )
    .orderBy((order) => order.case().when("id", "=", idOrKey.toUpperCase()).then(0).else(1).end())
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : subjectFromRow(row);
}

/** All live subjects, by key. */
export async function listSubjects(db: Kysely<Database>, namespace: string): Promise<Subject[]> {
  // Why: the list of subjects, which has no pages.
  const rows = await db
    .selectFrom("subject")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("deleted_at", "is", null)
    .orderBy("key")
    .execute();
  return rows.map(subjectFromRow);
}

/** The display names of those keys that are live subjects, by key; null for a subject without one. */
export async function displayNames(
  db: Kysely<Database>,
  namespace: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, string | null>> {
  const storable = keys.filter(isStorableText);
  if (storable.length === 0) return new Map();
  // Why: one look-up for all rows of a query's result; as JSON, because a statement takes 65,535 parameters at most, and as
  // an array, because for a joined subquery the planner reads the whole table.
  const rows = await db
    .selectFrom("subject")
    .select(["key", "display_name"])
    .where("namespace", "=", namespace)
    .where("deleted_at", "is", null)
    .where(sql<boolean>`key = any (array(select jsonb_array_elements_text(${JSON.stringify(storable)}::jsonb)))`)
    .execute();
  return new Map(rows.map((row) => [row.key, row.display_name]));
}

/** Marks a subject as deleted; its key is free again. */
export async function markSubjectDeleted(db: Kysely<Database>, id: string, at: Instant): Promise<void> {
  // Why: deletion is soft, the subject can still be looked up by the id that a client noted.
  await db
    .updateTable("subject")
    .set({ deleted_at: at, updated_at: at })
    .where("id", "=", id)
    .where("deleted_at", "is", null)
    .execute();
}

function subjectFromRow(row: Selectable<SubjectTable>): Subject {
  return {
    id: row.id,
    key: row.key,
    displayName: row.display_name,
    metadata: row.metadata,
    stripeCustomerId: row.stripe_customer_id,
    currentPeriodStart: row.current_period_start_at,
    currentPeriodEnd: row.current_period_end_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  };
}
