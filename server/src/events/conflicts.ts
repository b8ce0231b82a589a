/** Conflicts: later events with an earlier event's identity and other content. Written by the sink, listed here. */

import type { Kysely } from "kysely";
import type { Database } from "../engines/state-store/index.ts";
import { Fault } from "../kernel/fault.ts";
import { formatInstant, type Instant, instantFromMicros } from "../kernel/instant.ts";
import { stateText } from "./sink/batch-store.ts";

export interface ConflictQuery {
  readonly namespace: string;
  readonly source?: string | undefined;
  readonly id?: string | undefined;
  readonly seenAtFrom?: Instant | undefined;
  readonly seenAtTo?: Instant | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface ConflictPage {
  /** JSON texts of the items, latest arrival first. */
  readonly items: readonly string[];
  readonly nextCursor: string | null;
}

/** One page of conflicts. Fault: `invalid_cursor`. */
export async function listConflicts(db: Kysely<Database>, query: ConflictQuery): Promise<ConflictPage> {
  const { source, id, seenAtFrom, seenAtTo } = query;
  const after = query.cursor === undefined ? null : parseCursor(query.cursor);
  // Why: shows which clients reuse ids.
  const rows = await db
    .selectFrom("event_conflict")
    .selectAll()
    .where("namespace", "=", query.namespace)
    .$if(source !== undefined, (select) => select.where("source", "=", stateText(source ?? "")))
    .$if(id !== undefined, (select) => select.where("event_id", "=", stateText(id ?? "")))
    .$if(seenAtFrom !== undefined, (select) => select.where("seen_at", ">=", seenAtFrom ?? instantFromMicros(0)))
    .$if(seenAtTo !== undefined, (select) => select.where("seen_at", "<", seenAtTo ?? instantFromMicros(0)))
    .$if(after !== null, (select) =>
      select.where((where) =>
        where(where.refTuple("seen_at", "id"), "<", where.tuple(after?.seenAt ?? instantFromMicros(0), after?.id ?? 0)),
      ),
    )
    .orderBy("seen_at", "desc")
    .orderBy("id", "desc")
    .limit(query.limit)
    .execute();
  const last = rows.at(-1);
  const items = rows.map((row) => {
    const head = JSON.stringify({
      source: row.source,
      id: row.event_id,
      firstSeenAt: formatInstant(row.first_seen_at),
      seenAt: formatInstant(row.seen_at),
      firstPayloadHash: Buffer.from(row.first_payload_hash).toString("hex"),
      payloadHash: Buffer.from(row.payload_hash).toString("hex"),
    });
    return `${head.slice(0, -1)},"event":${row.event}}`;
  });
  const isFull = last !== undefined && rows.length === query.limit;
  return { items, nextCursor: isFull ? Buffer.from(`${last.seen_at},${last.id}`).toString("base64url") : null };
}

/** Forgets conflicts that arrived before `before`; returns how many. */
export async function deleteConflictsBefore(db: Kysely<Database>, before: Instant): Promise<number> {
  // Why: the list is kept for a time that the configuration sets, so that it does not grow with history.
  const result = await db.deleteFrom("event_conflict").where("seen_at", "<", before).executeTakeFirst();
  return Number(result.numDeletedRows);
}

function parseCursor(cursor: string): { readonly seenAt: Instant; readonly id: number } {
  const match = /^([0-9]{1,16}),([0-9]{1,15})$/.exec(Buffer.from(cursor, "base64url").toString("latin1"));
  if (match === null) {
    const message = "the cursor is not one that this list returned: pass nextCursor of the page before, unchanged";
    throw new Fault("validation", "invalid_cursor", message, {
      fields: [{ code: "invalid_cursor", message, field: "$.cursor" }],
    });
  }
  return { seenAt: instantFromMicros(Number(match[1])), id: Number(match[2]) };
}
