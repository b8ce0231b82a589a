/**
 * One writer per log directory.
 *
 * Node offers no file locks, but the SQLite inside it takes one: an exclusive transaction on `lock` holds a lock of the
 * operating system on that file. The kernel drops it when the process ends in whatever way, so that nothing stale is
 * ever left behind by `kill -9`, and the number of a dead process that was given to another one cannot confuse anybody.
 * It holds between processes, threads and containers that share the directory. `lock.owner` only says who holds it, for
 * the message.
 */

import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";

const SQLITE_BUSY = 5;

/** Another process, or another part of this one, writes the directory. */
export class LogLocked extends Error {
  override readonly name = "LogLocked";
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY;
}

async function describeOwner(path: string): Promise<string> {
  const owner = await readFile(path, "utf8").catch(() => "");
  return owner === "" ? "another process" : `process ${owner.trim()}`;
}

/** Takes the directory; resolves with the function that gives it back. Rejects with `LogLocked` when it is taken. */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const owner = join(directory, "lock.owner");
  const database = new DatabaseSync(join(directory, "lock"));
  try {
    // Nothing is ever written, so a rollback journal would only be a file that a full disk refuses and a kill leaves.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw error;
    const who = await describeOwner(owner);
    throw new LogLocked(
      `The event log in ${resolve(directory)} is already open for writing by ${who}. ` +
        "Stop that process first, or use another data directory.",
      { cause: error },
    );
  }
  // Who holds the lock is only told, never decided on, so a full disk must not stop the log from opening.
  await writeFile(owner, `${process.pid}\n`).catch(() => undefined);
  return async () => database.close();
}
