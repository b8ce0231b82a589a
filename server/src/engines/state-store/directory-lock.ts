/**
 * A lock on a directory that its holder's death releases.
 *
 * Two PGlites on one directory destroy it, and PGlite's own `postmaster.pid` does not keep a second one out. Node has no
 * `flock`, and a file with a process number is stale after `kill -9`. SQLite, which is part of Node, locks its file with
 * the kernel's record locks, and those vanish with the process; between threads of one process SQLite keeps count itself.
 */

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const SQLITE_BUSY = 5;

/** Takes the lock of an existing directory and returns its release. Throws when another process or thread holds it. */
export function lockDirectory(directory: string): () => void {
  const lock = new DatabaseSync(join(directory, "lock"), { timeout: 0 });
  try {
    lock.exec("begin exclusive");
  } catch (error) {
    lock.close();
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) {
      throw new Error(`the state store in ${directory} is open in another process: stop that one first`, {
        cause: error,
      });
    }
    throw error;
  }
  return () => lock.close();
}
