/**
 * Opens the engines of a data directory that no server uses, for reading, and closes them.
 *
 * The log comes first, because its lock keeps servers away until everything is closed. What cannot be read because a file of it is
 * damaged is null, with the reason beside it; whatever else goes wrong is a `VerifyError`.
 */

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type ClaimsReader, DamagedClaims, openClaimsReader } from "../../engines/claims/index.ts";
import { type FileLog, LogDamaged, LogLocked, openEmbeddedLog } from "../../engines/event-log/index.ts";
import {
  type ChdbEngine,
  createEventStore,
  type RollUpEventStore,
  startChdbEngine,
} from "../../engines/event-store/index.ts";
import { openStateStore, type StateStore } from "../../engines/state-store/index.ts";
import { messageOf } from "../backup/files.ts";
import { refuseUnfinishedRestore } from "../backup/restore-mark.ts";
import { VerifyError } from "./report.ts";

/** Just below what a request to the event store may take. */
const QUERY_TIMEOUT_MS = 100_000;

/** An engine whose files may be damaged. */
export type Readable<T> =
  | { readonly engine: T; readonly damage: null }
  | { readonly engine: null; readonly damage: string };

export interface VerifiedEngines {
  readonly log: Readable<FileLog>;
  readonly claims: Readable<ClaimsReader>;
  readonly store: RollUpEventStore;
  readonly state: StateStore;
  /** What opening the log has cut off: a record that was never acknowledged. */
  readonly cutTail: string | null;
  close(): Promise<void>;
}

/** Opens the engines; rejects with a `VerifyError` when a server runs on the directory or it is none. */
export async function openForVerification(
  dataDirectory: string,
  postgresUrl: string | undefined,
): Promise<VerifiedEngines> {
  await refuseUnsuitable(dataDirectory, postgresUrl);
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.toReversed()) await closer();
  };
  try {
    let cutTail: string | null = null;
    const log = await orDamage(LogDamaged, () =>
      openEmbeddedLog({
        directory: join(dataDirectory, "log"),
        report: (report) => {
          if (report.kind === "tail_cut") cutTail = `${report.bytes} bytes at the end of ${report.file}`;
        },
      }),
    );
    closers.push(async () => await log.engine?.close());
    const claims = await orDamage(DamagedClaims, () => openClaimsReader(join(dataDirectory, "claims")));
    closers.push(async () => await claims.engine?.close());
    const state = await openStateStore(
      postgresUrl === undefined
        ? { kind: "embedded", directory: join(dataDirectory, "state") }
        : { kind: "postgres", url: postgresUrl },
    );
    closers.push(() => state.close());
    const engine: ChdbEngine = await startChdbEngine({ dataDirectory: join(dataDirectory, "events") });
    closers.push(() => engine.stop());
    const store = createEventStore({
      endpoint: { kind: "embedded", socketPath: engine.socketPath },
      queryTimeoutMs: QUERY_TIMEOUT_MS,
    });
    closers.push(() => store.close());
    await store.migrate();
    return { log, claims, store, state, cutTail, close };
  } catch (error) {
    await close();
    if (error instanceof LogLocked) throw new VerifyError(`${error.message} A running server cannot be verified.`);
    throw new VerifyError(messageOf(error), { cause: error });
  }
}

/** Engines make what they miss, which would hide that it is gone. */
async function refuseUnsuitable(dataDirectory: string, postgresUrl: string | undefined): Promise<void> {
  const isThere = async (name: string): Promise<boolean> =>
    await stat(join(dataDirectory, name)).then(
      (found) => found.isDirectory(),
      () => false,
    );
  if (!(await isThere("log"))) {
    throw new VerifyError(`${dataDirectory} is not a data directory of Tallystick: it has no log.`);
  }
  for (const name of postgresUrl === undefined ? ["events", "state"] : ["events"]) {
    if (await isThere(name)) continue;
    throw new VerifyError(`${join(dataDirectory, name)} is missing: bring it back from a backup.`);
  }
  await refuseUnfinishedRestore(dataDirectory).catch((error: unknown) => {
    throw new VerifyError(messageOf(error), { cause: error });
  });
}

async function orDamage<T>(
  kind: abstract new (...values: never[]) => Error,
  open: () => Promise<T>,
): Promise<Readable<T>> {
  try {
    return { engine: await open(), damage: null };
  } catch (error) {
    if (error instanceof kind) return { engine: null, damage: error.message };
    throw error;
  }
}
