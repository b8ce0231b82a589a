/**
 * Identities: each has one stored event, and a claim that names that event's offset.
 *
 * Both directions are compared at once: a stored event without its claim would be billed again when it is sent again; a
 * claim without its event keeps an event from counting that should.
 */

import { type ClaimsReader, DamagedClaims } from "../../engines/claims/index.ts";
import { type RollUpEventStore, SLOT_OFFSETS } from "../../engines/event-store/index.ts";
import type { Readable } from "./engines.ts";
import { differingSlots, isRepeated, Ledger } from "./ledger.ts";
import { MAX_DETAILED_SLOTS } from "./log-check.ts";
import { type CheckContext, type CheckReport, Findings, skipped } from "./report.ts";
import type { StoredProgress } from "./state-check.ts";

/** Identities that one look for repetitions holds in the engine's memory. */
const IDENTITIES_PER_LOOK = 2_000_000;
/** Rows that are added up by one statement. */
const ROWS_PER_STATEMENT = 2_000_000;

const FILES_ADVICE = "Stop the server, delete the claims directory and start again: it is rebuilt from stored events.";
const CLAIMS_ADVICE =
  "If the stored events are in order, stop the server, delete the claims directory and start again: it is rebuilt from them.";
const ONCE_ADVICE =
  "Usage counts these events more than once. Keep a copy of the data directory, then restore a backup: docs/verify.md.";

/** What one pass over the claims found. */
export interface ClaimsPass {
  readonly files: CheckReport;
  /** Null when a file is damaged. */
  readonly claims: ClaimsReader | null;
  /** Claims up to the stored position. */
  readonly ledger: Ledger;
  /** Claims of positions that are not stored yet. */
  readonly ahead: number;
}

/** Reads all claims. */
export async function passClaims(
  { engine: claims, damage }: Readable<ClaimsReader>,
  { upTo }: StoredProgress,
): Promise<ClaimsPass> {
  const findings = new Findings("claims_files", FILES_ADVICE);
  const ledger = new Ledger();
  let ahead = 0;
  const failure =
    damage ??
    (await claims
      .visitAll((partition, offset, first, second) => {
        if (partition !== 0 || offset > upTo) ahead += 1;
        else ledger.addClaim(offset, first, second);
      })
      .then(() => null, damageOf));
  if (failure !== null) findings.add(failure);
  const compared =
    claims === null ? "the claims could not be opened" : `checksums of ${claims.count} claims in ${claims.files} files`;
  return { files: findings.report(compared), claims: failure === null ? claims : null, ledger, ahead };
}

function damageOf(error: unknown): string {
  if (error instanceof DamagedClaims) return error.message;
  throw error;
}

/** Adds up what is stored, up to the position. */
export async function passStored(
  store: RollUpEventStore,
  { upTo }: StoredProgress,
  context: CheckContext,
): Promise<Ledger> {
  const ledger = new Ledger();
  const periods = await store.audit.periods(ROWS_PER_STATEMENT);
  const total = periods.reduce((sum, { rows }) => sum + rows, 0);
  let done = 0;
  for (const { period, rows } of periods) {
    context.signal.throwIfAborted();
    const range = { from: 0, to: upTo, slotOffsets: SLOT_OFFSETS, period };
    for (const sums of await store.audit.sums(range)) ledger.addSums(sums);
    done += rows;
    context.onProgress({ step: "reading stored events", done, total });
  }
  return ledger;
}

/** Compares the claims with the stored events. */
export async function checkClaimsAgainstEvents(
  pass: ClaimsPass,
  held: Ledger,
  store: RollUpEventStore,
  { upTo }: StoredProgress,
): Promise<CheckReport> {
  const { claims, ledger, ahead } = pass;
  if (claims === null) return skipped("claims_events", "not checked: the claims are damaged");
  const findings = new Findings("claims_events", CLAIMS_ADVICE);
  const differing = differingSlots(ledger, held, "identity");
  const slots = new Set(differing.slice(0, MAX_DETAILED_SLOTS));
  const claimed = new Ledger(1);
  if (slots.size > 0) {
    await claims.visitAll((partition, offset, first, second) => {
      if (partition !== 0 || offset > upTo || !slots.has(Math.floor(offset / SLOT_OFFSETS))) return;
      claimed.addClaim(offset, first, second);
    });
  }
  for (const slot of slots) {
    const stored = new Ledger(1);
    const range = { from: slot * SLOT_OFFSETS, to: Math.min(upTo, (slot + 1) * SLOT_OFFSETS - 1), slotOffsets: 1 };
    for (const sums of await store.audit.sums(range)) stored.addSums(sums);
    compareOffsets(stored, claimed, range, findings);
  }
  findings.addUncounted(differing.length - slots.size);
  if (ahead > 0) findings.note(`${ahead} claims are of events that are not stored yet, which is in order`);
  return findings.report(`${ledger.rows} claims with ${held.rows} stored events, both ways`);
}

function compareOffsets(
  stored: Ledger,
  claimed: Ledger,
  { from, to }: { readonly from: number; readonly to: number },
  findings: Findings,
): void {
  for (let offset = from; offset <= to; offset++) {
    const [event, claim] = [stored.at(offset), claimed.at(offset)];
    if (event.rows === 0 && claim.rows > 0) findings.add(`a claim names offset ${offset}, where no event is stored`);
    else if (event.rows > 0 && claim.rows === 0) findings.add(`the event stored at offset ${offset} has no claim`);
    else if (claim.rows > 1) findings.add(`${claim.rows} claims name offset ${offset}, which has one event`);
    else if (event.rows > 0 && !isRepeated(event, claim, "identity")) {
      findings.add(`the claim of offset ${offset} is of another identity than the event stored there`);
    }
  }
}

/** Looks for identities that are stored more than once, which includes positions that are. */
export async function checkOnce(store: RollUpEventStore, events: number, context: CheckContext): Promise<CheckReport> {
  const findings = new Findings("events_once", ONCE_ADVICE);
  const parts = Math.ceil(events / IDENTITIES_PER_LOOK) || 1;
  for (let part = 0; part < parts; part++) {
    context.signal.throwIfAborted();
    context.onProgress({ step: "looking for repeated identities", done: part, total: parts });
    for (const { source, id, rows, offsets } of await store.audit.repeatedIdentities(part, parts)) {
      findings.add(`source ${source}, id ${id} is stored ${rows} times, at offsets ${offsets.join(", ")}`);
    }
  }
  return findings.report(`identities of ${events} stored events with each other`);
}
