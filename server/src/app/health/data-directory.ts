/**
 * Can the data directory be used at all? Asked before any engine is opened, because each of them would say it in words of
 * its own, and the event store only after it has tried for a minute.
 */

import { constants } from "node:fs";
import { access, mkdir } from "node:fs/promises";

/** What to do about what the system said. */
const REMEDIES: ReadonlyMap<string, string> = new Map([
  ["EROFS", "its disk is mounted read-only; mount it writable"],
  ["EACCES", "this user may not write there; change the owner or the permissions"],
  ["EPERM", "this user may not write there; change the owner or the permissions"],
  ["ENOSPC", "its disk is full; free some space"],
  ["EDQUOT", "its disk quota is used up; free some space"],
  ["ENOTDIR", "a part of the path is a file"],
  ["EEXIST", "it is a file"],
]);

/** Makes the directory unless it is there; rejects with a sentence that says what is wrong and what to do. */
export async function prepareDataDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    const remedy = REMEDIES.get(code) ?? code;
    throw new Error(`the data directory ${directory} cannot be written: ${remedy}, or set another dataDir`, {
      cause: error,
    });
  }
}
