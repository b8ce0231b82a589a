/**
 * `tallystick verify`: checks that the parts of a data directory that no server uses agree with each other.
 *
 * Invariants: nothing is changed without `repair`, except for what opening the engines puts in order as a start of the server
 * does; with `repair` nothing but the state store's list of stale periods. Memory does not grow with the number of events,
 * except for some hundred bytes a thousand events.
 */

import { resolve } from "node:path";
import { systemClock } from "../../kernel/clock.ts";
import { messageOf } from "../backup/files.ts";
import { openForVerification, type VerifiedEngines } from "./engines.ts";
import { checkClaimsAgainstEvents, checkOnce, passClaims, passStored } from "./identity-check.ts";
import { checkEventsAgainstLog, passLog } from "./log-check.ts";
import { type CheckContext, type CheckReport, type Progress, VerifyError, type VerifyReport } from "./report.ts";
import { checkChunks, checkRollUps, markStale } from "./roll-up-check.ts";
import { checkConflicts, checkState, loadStoredProgress } from "./state-check.ts";

export interface VerifyOptions {
  readonly dataDirectory: string;
  /** Where the state is when it is in PostgreSQL. */
  readonly postgresUrl?: string;
  /** Marks what differs in roll-ups as stale, unless the events themselves differ. */
  readonly repair?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Verifies a data directory whose server is stopped. Rejects with a `VerifyError` when it cannot be checked: a server runs,
 * it is no data directory, an engine does not open. Damage that a check can name is a difference in the report.
 */
export async function verifyDataDirectory(options: VerifyOptions): Promise<VerifyReport> {
  const dataDirectory = resolve(options.dataDirectory);
  const startedMs = performance.now();
  const context: CheckContext = {
    signal: options.signal ?? new AbortController().signal,
    onProgress: options.onProgress ?? (() => undefined),
  };
  const engines = await openForVerification(dataDirectory, options.postgresUrl);
  try {
    const { checks, repaired } = await runChecks(engines, options.repair === true, context);
    const isClean = checks.every(({ status }) => status === "clean");
    return { dataDirectory, isClean, checks, repaired, seconds: (performance.now() - startedMs) / 1000 };
  } catch (error) {
    const reason: unknown = context.signal.aborted ? context.signal.reason : error;
    throw reason instanceof VerifyError ? reason : new VerifyError(messageOf(reason), { cause: error });
  } finally {
    await engines.close();
  }
}

async function runChecks(
  { log, claims: openedClaims, store, state, cutTail }: VerifiedEngines,
  repair: boolean,
  context: CheckContext,
): Promise<Pick<VerifyReport, "checks" | "repaired">> {
  const { db } = state;
  const stored = await loadStoredProgress(db);
  const claimsPass = await passClaims(openedClaims, stored);
  const { claims } = claimsPass;
  // One side computes in this process, the other one in the engine's.
  const [pass, held] = await both(passLog(log, claims, stored, context), passStored(store, stored, context));
  const files = cutTail === null ? pass.files : withNote(pass.files, `cut off, never acknowledged: ${cutTail}`);
  const logInput = { log: log.engine, claims, store, held, stored, pass, context };
  const ofEvents = [
    files,
    claimsPass.files,
    await checkState(db, log.engine, stored),
    await checkEventsAgainstLog(logInput),
    await checkOnce(store, held.rows, context),
    await checkClaimsAgainstEvents(claimsPass, held, store, stored),
    await checkConflicts({ db, claims, store, stored, context }),
  ];
  const rollUps = await checkRollUps(db, store.rollUps, context);
  const chunks = await checkChunks(db, store.rollUps);
  const canRepair = ofEvents.every(
    ({ name, status }) => !["events_log", "events_once"].includes(name) || status === "clean",
  );
  if (!repair || rollUps.differing.length === 0) return { checks: [...ofEvents, rollUps.report, chunks], repaired: [] };
  if (!canRepair) {
    const note =
      "not repaired: the events themselves differ or could not be checked, and the roll-ups may be what is right";
    return { checks: [...ofEvents, withNote(rollUps.report, note), chunks], repaired: [] };
  }
  const repaired = await markStale(db, rollUps.differing, systemClock.now());
  return { checks: [...ofEvents, rollUps.report, chunks], repaired };
}

/** Both results, or the first failure once both have ended: nothing may be at work on engines that are being closed. */
async function both<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}

function withNote(report: CheckReport, note: string): CheckReport {
  return { ...report, notes: [...report.notes, note] };
}
