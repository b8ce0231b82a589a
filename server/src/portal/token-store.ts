/** What is kept of portal tokens, in the state store; never their text. */

import { type Kysely, type Selectable, sql } from "kysely";
import { type Database, isStorableText, type PortalTokenTable } from "../engines/state-store/index.ts";
import type { Instant } from "../kernel/instant.ts";

export interface PortalToken {
  readonly id: string;
  readonly namespace: string;
  readonly subject: string;
  /** Slugs of the meters that can be queried; null is all. */
  readonly allowedMeterSlugs: readonly string[] | null;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
  readonly revokedAt: Instant | null;
  /** Not newer than a minute before the last use. */
  readonly lastUsedAt: Instant | null;
}

export async function insertToken(db: Kysely<Database>, token: PortalToken): Promise<void> {
  const { allowedMeterSlugs } = token;
  // Why: a token works only as long as its record is there and not revoked.
  await db
    .insertInto("portal_token")
    .values({
      id: token.id,
      namespace: token.namespace,
      subject: token.subject,
      allowed_meter_slugs: allowedMeterSlugs === null ? null : JSON.stringify(allowedMeterSlugs),
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      revoked_at: token.revokedAt,
      last_used_at: token.lastUsedAt,
    })
    .execute();
}

export async function findToken(db: Kysely<Database>, namespace: string, id: string): Promise<PortalToken | null> {
  // Why: whether a token was revoked.
  const row = await db
    .selectFrom("portal_token")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("id", "=", id)
    .executeTakeFirst();
  return row === undefined ? null : tokenFromRow(row);
}

/** The tokens that are not revoked and expire after the instant, newest first. */
export async function listTokens(
  db: Kysely<Database>,
  namespace: string,
  { expiringAfter, limit }: { readonly expiringAfter: Instant; readonly limit: number },
): Promise<readonly PortalToken[]> {
  // Why: the list of tokens; `id` makes the order total.
  const rows = await db
    .selectFrom("portal_token")
    .selectAll()
    .where("namespace", "=", namespace)
    .where("revoked_at", "is", null)
    .where("expires_at", ">", expiringAfter)
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
  return rows.map(tokenFromRow);
}

/** Which tokens to revoke: the one with the id, those of the subject, or the one with the id if it is the subject's. */
export interface RevocationTarget {
  readonly id?: string | undefined;
  readonly subject?: string | undefined;
}

export async function revokeTokens(
  db: Kysely<Database>,
  namespace: string,
  { id, subject }: RevocationTarget,
  at: Instant,
): Promise<void> {
  if (id !== undefined && !isStorableText(id)) return;
  if (subject !== undefined && !isStorableText(subject)) return;
  // Why: one statement, so that no token of the subject issued before slips through.
  await db
    .updateTable("portal_token")
    .set({ revoked_at: at })
    .where("namespace", "=", namespace)
    .where("revoked_at", "is", null)
    .$if(id !== undefined, (update) => update.where("id", "=", (id ?? "").toUpperCase()))
    .$if(subject !== undefined, (update) => update.where("subject", "=", subject ?? ""))
    .execute();
}

export async function markUsed(db: Kysely<Database>, id: string, at: Instant): Promise<void> {
  // Why: tells the operator which tokens are in use; never goes back when two requests overlap.
  await db
    .updateTable("portal_token")
    .set({ last_used_at: sql<Instant>`greatest(last_used_at, ${at}::bigint)` })
    .where("id", "=", id)
    .execute();
}

/** Forgets tokens that expired before the instant; resolves with how many. */
export async function deleteExpired(db: Kysely<Database>, before: Instant): Promise<number> {
  // Why: an expired token needs no record to be refused, and the list shows it for a while only.
  const result = await db.deleteFrom("portal_token").where("expires_at", "<=", before).executeTakeFirst();
  return Number(result.numDeletedRows);
}

/** The kept secret; `candidate` becomes it if there is none yet. */
export async function keptSecret(db: Kysely<Database>, candidate: string, at: Instant): Promise<string> {
  // Why: tokens must outlive a restart, so the first secret stays.
  await db
    .insertInto("portal_secret")
    .values({ only_one: true, secret: candidate, created_at: at })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await db.selectFrom("portal_secret").select("secret").executeTakeFirstOrThrow();
  return row.secret;
}

function tokenFromRow(row: Selectable<PortalTokenTable>): PortalToken {
  return {
    id: row.id,
    namespace: row.namespace,
    subject: row.subject,
    allowedMeterSlugs: row.allowed_meter_slugs,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    lastUsedAt: row.last_used_at,
  };
}
