/** The state store: that its positions lie within the log, and that what it says about conflicts is true. */

import type { Kysely } from "kysely";
import type { ClaimsReader } from "../../engines/claims/index.ts";
import type { FileLog } from "../../engines/event-log/index.ts";
import { eventBytes, type RollUpEventStore, type StoredEvent } from "../../engines/event-store/index.ts";
import type { Database, EventConflictTable } from "../../engines/state-store/index.ts";
import { EventHasher } from "../../events/index.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { type CheckContext, type CheckReport, Findings, skipped } from "./report.ts";

const CONFLICTS_PER_READ = 500;

const STATE_ADVICE =
  "The log or the state store is not of this data directory, or of another time: bring both back from one backup.";
const CONFLICTS_ADVICE = "Usage is not affected; the list of conflicts is. Tell it the people who rely on that list.";

/** Up to where events are stored. */
export interface StoredProgress {
  /** Offset of the last stored event; -1 when there is none. */
  readonly upTo: number;
  /** Offsets, both inclusive, of the batch that was under way when the server stopped. */
  readonly batch: { readonly from: number; readonly to: number } | null;
}

/** Reads the position of the partition 0 and the batch under way. */
export async function loadStoredProgress(db: Kysely<Database>): Promise<StoredProgress> {
  // Why: events up to here must be stored, later ones must not.
  const position = await db.selectFrom("stored_position").selectAll().where("partition", "=", 0).executeTakeFirst();
  // Why: of this batch any row may be stored or not.
  const batch = await db
    .selectFrom("sink_batch")
    .selectAll()
    .where("partition", "=", 0)
    .where("status", "=", "recorded")
    .executeTakeFirst();
  return {
    upTo: position?.stored_upto ?? -1,
    batch: batch === undefined ? null : { from: batch.from_offset, to: batch.to_offset },
  };
}

/** Compares positions and batches with the log. */
export async function checkState(
  db: Kysely<Database>,
  log: FileLog | null,
  { upTo, batch }: StoredProgress,
): Promise<CheckReport> {
  if (log === null) return skipped("state", "not checked: the log cannot be opened");
  const findings = new Findings("state", STATE_ADVICE);
  // Why: only the partition 0 exists, and only one batch is ever under way.
  const positions = await db.selectFrom("stored_position").selectAll().execute();
  // Why: the same of batches.
  const batches = await db.selectFrom("sink_batch").selectAll().where("status", "=", "recorded").execute();
  const [start, end] = [log.start(0), log.end(0)];
  if (upTo >= end) findings.add(`events up to offset ${upTo} count as stored, but the log ends at offset ${end - 1}`);
  if (upTo < start - 1) {
    findings.add(`events up to offset ${upTo} count as stored, but the log begins at offset ${start}`);
  }
  for (const { partition } of positions.filter((each) => each.partition !== 0)) {
    findings.add(`there is a position of partition ${partition}, which the log does not have`);
  }
  if (batches.length > 1) findings.add(`${batches.length} batches are under way, instead of one at most`);
  if (batch !== null && (batch.from !== upTo + 1 || batch.to >= end)) {
    const range = `${batch.from} to ${batch.to}`;
    findings.add(
      `the batch under way has offsets ${range}, but ${upTo + 1} is the next to be stored and ${end - 1} the last`,
    );
  }
  if (batch !== null && findings.differences === 0) {
    findings.note(
      `a batch of offsets ${batch.from} to ${batch.to} was under way; the next start of the server finishes it`,
    );
  }
  return findings.report(`the stored position, offset ${upTo}, and ${batches.length} batches with the log`);
}

interface ConflictInput {
  readonly db: Kysely<Database>;
  readonly claims: ClaimsReader | null;
  readonly store: RollUpEventStore;
  readonly stored: StoredProgress;
  readonly context: CheckContext;
}

/** Looks whether each recorded conflict lost to an event that is stored. */
export async function checkConflicts({ db, claims, store, stored, context }: ConflictInput): Promise<CheckReport> {
  if (claims === null) return skipped("conflicts", "not checked: the claims are damaged");
  const findings = new Findings("conflicts", CONFLICTS_ADVICE);
  const hasher = new EventHasher();
  let compared = 0;
  for (let after = 0; ;) {
    context.signal.throwIfAborted();
    // Why: every conflict is looked at once, a few at a time.
    const rows = await db
      .selectFrom("event_conflict")
      .selectAll()
      .where("id", ">", after)
      .orderBy("id")
      .limit(CONFLICTS_PER_READ)
      .execute();
    if (rows.length === 0) break;
    after = rows.at(-1)?.id ?? after;
    compared += rows.length;
    const identities = Buffer.concat(rows.map((row) => identityOf(row, hasher)));
    const firsts = await claims.find(identities);
    const events = await store.eventsAt(
      0,
      [...new Set(firsts)].filter((offset) => offset >= 0),
    );
    const byOffset = new Map(events.map((event) => [event.offset, event]));
    for (const [index, row] of rows.entries()) {
      const first = firsts[index] ?? -1;
      // A lost claim is told by the check of claims.
      const winner = first < 0 ? await findStored(store, identifiedBy(row), stored.upTo) : byOffset.get(first);
      const finding = findingOf(row, winner?.offset ?? first, winner ?? null, stored);
      const name = `the conflict at offset ${row.log_offset} (${row.source}, ${row.event_id})`;
      if (finding !== null) findings.add(`${name} ${finding}`);
    }
  }
  return findings.report(`${compared} conflicts with the events they lost to`);
}

function findingOf(
  row: Pick<EventConflictTable, "log_offset" | "first_seen_at">,
  first: number,
  winner: StoredEvent | null,
  { upTo }: StoredProgress,
): string | null {
  if (row.log_offset > upTo) return "was recorded beyond the stored position";
  if (first < 0) return "lost to an event that is neither claimed nor stored";
  if (winner === null) return `lost to offset ${first}, where no event is stored`;
  if (first >= row.log_offset) return `lost to offset ${first}, which came later`;
  return winner.ingestedAt === row.first_seen_at
    ? null
    : `lost to offset ${first}, which came at another time than it says`;
}

type Identified = Pick<StoredEvent, "namespace" | "source" | "id">;

/** The columns of the table cannot hold every text, the recorded event can. */
function identifiedBy({ namespace, event }: Pick<EventConflictTable, "namespace" | "event">): Identified {
  const { id, source }: { id: string; source: string } = JSON.parse(event);
  return { namespace, source, id };
}

function identityOf(row: Pick<EventConflictTable, "namespace" | "event">, hasher: EventHasher): Uint8Array {
  const { namespace, ...names } = identifiedBy(row);
  const instant = instantFromMicros(0);
  const place = { namespace, time: instant, ingestedAt: instant, storedAt: instant, partition: 0, offset: 0 };
  const rest = { type: "", subject: "", data: null, isTimeGiven: false };
  return hasher.identity(Buffer.from(namespace), eventBytes({ ...names, ...rest, ...place }));
}

/**
 * The first stored event of the identity among the offsets up to `upTo`; null when there is none. For the rare
 * cases in which the claim, which would tell it at once, is lost.
 */
export async function findStored(
  store: RollUpEventStore,
  { namespace, source, id }: Pick<StoredEvent, "namespace" | "source" | "id">,
  upTo: number,
): Promise<StoredEvent | null> {
  const [event] = await store.listEvents({
    namespace,
    source: { op: "eq", value: source },
    id: { op: "eq", value: id },
    sort: { by: "ingestedAt", direction: "asc" },
    limit: 1,
    upTo: new Map([[0, upTo]]),
  });
  return event ?? null;
}
