/**
 * The event store against the log: every event that is the first of its identity is stored, as it was accepted, and no other
 * is. On the way every record of the log is read and its checksums verified.
 *
 * Sums are compared first, and only where they differ the events one by one, so memory and time do not depend on luck.
 */

import type { ClaimsReader } from "../../engines/claims/index.ts";
import type { FileLog } from "../../engines/event-log/index.ts";
import { type RollUpEventStore, SLOT_OFFSETS, type StoredEvent } from "../../engines/event-store/index.ts";
import type { Readable } from "./engines.ts";
import { differingSlots, isRepeated, Ledger } from "./ledger.ts";
import { type LogEvents, LogReading } from "./log-reading.ts";
import { type CheckContext, type CheckReport, Findings, skipped } from "./report.ts";
import { findStored, type StoredProgress } from "./state-check.ts";

/** Slots that are looked at event by event; each costs two queries. */
export const MAX_DETAILED_SLOTS = 100;
/** Events without a claim whose identity is looked for among the stored ones; each costs a query. */
const MAX_LOOK_UPS = 1_000;

const LOG_ADVICE =
  "Acknowledged events may be in the damaged part. Stop here and bring the log back from a backup: docs/verify.md.";
const EVENTS_ADVICE =
  "Usage computed from these events is wrong. Keep a copy of the data directory, then restore a backup: docs/verify.md.";

interface OffsetRange {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** What one pass over the log found. */
export interface LogPass {
  readonly files: CheckReport;
  /** Events up to the stored position that should be stored; null when that cannot be told. */
  readonly expected: Ledger | null;
  readonly duplicates: number;
  /** Slots with an event that is not claimed, or claimed by a later one. */
  readonly doubtfulSlots: ReadonlySet<number>;
  readonly gaps: readonly OffsetRange[];
}

/** Reads the whole log. */
export async function passLog(
  { engine: log, damage }: Readable<FileLog>,
  claims: ClaimsReader | null,
  stored: StoredProgress,
  context: CheckContext,
): Promise<LogPass> {
  const findings = new Findings("log_files", LOG_ADVICE);
  if (log === null) {
    findings.add(damage);
    const files = findings.report("the log could not be opened");
    return { files, expected: null, duplicates: 0, doubtfulSlots: new Set(), gaps: [] };
  }
  const [start, end] = [log.start(0), log.end(0)];
  const expected = new Ledger();
  const doubtfulSlots = new Set<number>();
  const gaps: OffsetRange[] = [];
  let duplicates = 0;
  const take = ({ from, count, claimedAt, contents }: LogEvents): void => {
    for (let index = 0; index < Math.min(count, stored.upTo + 1 - from); index++) {
      const offset = from + index;
      const claimed = claimedAt[index] ?? -1;
      if (claimed === offset) expected.addEvent(offset, contents[2 * index] ?? 0, contents[2 * index + 1] ?? 0);
      else if (claimed < 0 || claimed > offset) doubtfulSlots.add(Math.floor(offset / SLOT_OFFSETS));
      else duplicates += 1;
    }
  };
  for await (const part of new LogReading(log, claims).events(start, end)) {
    context.signal.throwIfAborted();
    if (part.kind === "gap") {
      findings.add(part.finding);
      gaps.push(part);
    } else if (claims !== null) {
      take(part);
    }
    const done = (part.kind === "gap" ? part.to : part.from + part.count) - start;
    context.onProgress({ step: "reading the log", done, total: end - start });
  }
  const segments = await log.withFiles(async ({ sealed }) => sealed.length + 1);
  const files = findings.report(
    `checksums of ${end - start} events in ${segments} segments, offsets ${start} to ${end - 1}`,
  );
  return { files, expected: claims === null ? null : expected, duplicates, doubtfulSlots, gaps };
}

export interface LogCheckInput {
  readonly log: FileLog | null;
  readonly claims: ClaimsReader | null;
  readonly store: RollUpEventStore;
  /** Sums of what is stored up to the position. */
  readonly held: Ledger;
  readonly stored: StoredProgress;
  readonly pass: LogPass;
  readonly context: CheckContext;
}

/** Compares the log with the stored events. */
export async function checkEventsAgainstLog(input: LogCheckInput): Promise<CheckReport> {
  const { log, claims, held, pass, stored, context } = input;
  if (log === null) return skipped("events_log", "not checked: the log cannot be opened");
  if (claims === null || pass.expected === null) {
    return skipped("events_log", "not checked: without intact claims nobody knows which events are duplicates");
  }
  const findings = new Findings("events_log", EVENTS_ADVICE);
  const [start, end] = [log.start(0), Math.min(log.end(0), stored.upTo + 1)];
  const comparison = new Comparison(input, new LogReading(log, claims), findings);
  const slots = [...new Set([...differingSlots(pass.expected, held, "content"), ...pass.doubtfulSlots])]
    .map((slot) => ({ from: Math.max(slot * SLOT_OFFSETS, start), to: Math.min((slot + 1) * SLOT_OFFSETS, end) }))
    .filter(({ from, to }) => from < to && !pass.gaps.some((gap) => gap.from < to && from < gap.to))
    .toSorted((a, b) => a.from - b.from);
  for (const [index, slot] of slots.slice(0, MAX_DETAILED_SLOTS).entries()) {
    context.signal.throwIfAborted();
    context.onProgress({ step: "comparing events", done: index, total: Math.min(slots.length, MAX_DETAILED_SLOTS) });
    await comparison.compare(slot, false);
  }
  findings.addUncounted(slots.length - Math.min(slots.length, MAX_DETAILED_SLOTS));
  if (comparison.notLookedUp > 0) {
    findings.note(
      `${comparison.notLookedUp} events without a claim are not stored and may be duplicates: mend the claims first`,
    );
  }
  await checkBeyond(input, comparison, findings, log.end(0));
  if (start > 0)
    findings.note(`${start} offsets were trimmed from the log: their events are compared with claims only`);
  for (const { from, to } of pass.gaps) findings.note(`offsets ${from} to ${to - 1} of the log cannot be read`);
  const waiting = log.end(0) - 1 - Math.max(stored.upTo, start - 1);
  if (waiting > 0)
    findings.note(`${waiting} events of the log are not stored yet; the next start of the server stores them`);
  return findings.report(
    `${pass.expected.rows} events and ${pass.duplicates} duplicates of the log with ${held.rows} stored events`,
  );
}

/** What is stored beyond the position: rows of the recorded batch only. */
async function checkBeyond(
  { store, stored }: LogCheckInput,
  comparison: Comparison,
  findings: Findings,
  logEnd: number,
): Promise<void> {
  const { upTo, batch } = stored;
  if (batch !== null) await comparison.compare({ from: batch.from, to: Math.min(batch.to + 1, logEnd) }, true);
  const from = Math.max(upTo, batch?.to ?? -1) + 1;
  const beyond = await store.audit.sums({ from, to: Number.MAX_SAFE_INTEGER, slotOffsets: SLOT_OFFSETS });
  for (const { slot, rows } of beyond.toSorted((a, b) => a.slot - b.slot)) {
    const range = `${slot * SLOT_OFFSETS} to ${(slot + 1) * SLOT_OFFSETS - 1}`;
    findings.add(
      `${rows} events at offsets ${range} are stored, but the state store counts those up to ${upTo} only: after a power ` +
        "cut or with an older PostgreSQL this is to be expected; start the server, which counts them, and verify again",
    );
  }
  const strange = await store.audit.strangeRows();
  if (strange > 0) findings.add(`${strange} stored events name a log partition other than 0, the only one there is`);
}

/** Compares events one by one. */
class Comparison {
  readonly #store: RollUpEventStore;
  readonly #upTo: number;
  readonly #reading: LogReading;
  readonly #findings: Findings;
  #lookUps = 0;

  constructor({ store, stored }: LogCheckInput, reading: LogReading, findings: Findings) {
    this.#store = store;
    this.#upTo = stored.upTo;
    this.#reading = reading;
    this.#findings = findings;
  }

  /** How many events could be duplicates or missing, because neither a claim nor a look-up told. */
  get notLookedUp(): number {
    return Math.max(0, this.#lookUps - MAX_LOOK_UPS);
  }

  async compare({ from, to }: OffsetRange, mayBeMissing: boolean): Promise<void> {
    const held = new Ledger(1);
    for (const sums of await this.#store.audit.sums({ from, to: to - 1, slotOffsets: 1 })) held.addSums(sums);
    for await (const part of this.#reading.events(from, to)) {
      if (part.kind === "gap") continue;
      for (let index = 0; index < part.count; index++) await this.#compareEvent(part, index, held, mayBeMissing);
    }
  }

  async #compareEvent(events: LogEvents, index: number, held: Ledger, mayBeMissing: boolean): Promise<void> {
    const offset = events.from + index;
    const claimedAt = events.claimedAt[index] ?? -1;
    const found = held.at(offset);
    if (claimedAt >= 0 && claimedAt < offset) {
      if (found.rows > 0) await this.#add(offset, `is stored, but is a duplicate of the event at offset ${claimedAt}`);
      return;
    }
    if (found.rows === 0) {
      const isExpected = !mayBeMissing && (claimedAt >= 0 || (await this.#isFirst(offset)));
      if (isExpected) await this.#add(offset, "is not stored");
      return;
    }
    const one = new Ledger(1);
    one.addEvent(offset, events.contents[2 * index] ?? 0, events.contents[2 * index + 1] ?? 0);
    if (isRepeated(found, one.at(offset), "content")) return;
    await this.#add(offset, this.#findings.wantsExample ? await this.#howItDiffers(offset) : "");
  }

  /** Whether no earlier event of the identity is stored: without its claim, that tells a duplicate from a lost event. */
  async #isFirst(offset: number): Promise<boolean> {
    this.#lookUps += 1;
    const event = this.#lookUps > MAX_LOOK_UPS ? null : await this.#reading.event(offset);
    return event !== null && (await findStored(this.#store, event, this.#upTo)) === null;
  }

  async #add(offset: number, what: string): Promise<void> {
    const event = this.#findings.wantsExample ? await this.#reading.event(offset) : null;
    const name = event === null ? "" : ` (type ${event.type}, source ${event.source}, id ${event.id})`;
    this.#findings.add(`the event at offset ${offset}${name} ${what}`);
  }

  async #howItDiffers(offset: number): Promise<string> {
    const logged = await this.#reading.event(offset);
    const [stored] = await this.#store.eventsAt(0, [offset]);
    if (logged === null || stored === undefined) return "is stored with other contents";
    const names = Object.keys(logged).filter((name) => !isSame(logged, stored, name));
    return names.length === 0
      ? "is stored with other properties for meters than its data says"
      : `is stored with another ${names.join(" and ")}`;
  }
}

function isSame(a: Omit<StoredEvent, "storedAt">, b: Omit<StoredEvent, "storedAt">, name: string): boolean {
  return Reflect.get(a, name) === Reflect.get(b, name);
}
