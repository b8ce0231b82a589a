/**
 * What has been loaded into a data directory so far, in a file beside it, so that a long load can be interrupted and go on.
 *
 * Invariant: the ledger never claims more than the product acknowledged and shows in queries. It may claim less after an
 * interruption; the events in between are sent again, and the product counts them once.
 */

import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LoadReport } from "../ingest/load.ts";
import { type History, HISTORY_TYPES } from "./events.ts";

/** What one chunk of the load cost. */
export interface ChunkCost {
  /** Events stored after it. */
  readonly total: number;
  readonly events: number;
  /** From the first event sent to the last one visible. */
  readonly seconds: number;
  readonly acknowledgedSeconds: number;
  readonly latencyP50Ms: number;
  readonly latencyP99Ms: number;
  /** Processor time of the server and the event store's process, and of everything but them and the load generator. */
  readonly cpuSeconds: number;
  readonly engineCpuSeconds: number;
  readonly othersCpuSeconds: number;
  /** Resident memory after it. */
  readonly serverMiB: number;
  readonly engineMiB: number;
}

export interface Ledger {
  readonly history: History;
  readonly loaded: number;
  readonly countByType: readonly number[];
  readonly tokensByType: readonly number[];
  readonly chunks: readonly ChunkCost[];
}

const FILE = "ledger.json";

/** The ledger of the directory; an empty one when there is none. Rejects when it is of another history. */
export async function readLedger(directory: string, history: History): Promise<Ledger> {
  const text = await readFile(join(directory, FILE), "utf8").catch(() => null);
  if (text === null) {
    const nothing = HISTORY_TYPES.map(() => 0);
    return { history, loaded: 0, countByType: nothing, tokensByType: nothing, chunks: [] };
  }
  const ledger: Ledger = JSON.parse(text);
  if (JSON.stringify(ledger.history) === JSON.stringify(history)) return ledger;
  throw new Error(
    `${directory} holds another history: ${JSON.stringify(ledger.history)}; delete it or name another one`,
  );
}

/** Replaces the file in one step. */
export async function writeLedger(directory: string, ledger: Ledger): Promise<void> {
  const file = join(directory, FILE);
  await writeFile(`${file}.new`, JSON.stringify(ledger));
  await rename(`${file}.new`, file);
}

/** The ledger after one more chunk. */
export function withChunk(ledger: Ledger, report: LoadReport, chunk: ChunkCost): Ledger {
  const added = (left: readonly number[], right: readonly number[]) =>
    left.map((value, index) => value + (right[index] ?? 0));
  return {
    history: ledger.history,
    loaded: ledger.loaded + report.events,
    countByType: added(ledger.countByType, report.countByType),
    tokensByType: added(ledger.tokensByType, report.tokensByType),
    chunks: [...ledger.chunks, chunk],
  };
}
