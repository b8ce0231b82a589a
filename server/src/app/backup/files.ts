/**
 * What backup, restore and the image of a data directory do with files: link or copy them, list them, hash them, sync them.
 *
 * Invariants: a link is only ever made to a file that nobody writes again; what a function resolves for is complete, and
 * durable where its comment says so.
 */

import { createHash } from "node:crypto";
import { constants, createReadStream, createWriteStream } from "node:fs";
import { copyFile, link, mkdir, open, readdir, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";

/** Why a backup or a restore did not happen, for the person who asked for it: a sentence that says what to do. */
export class BackupError extends Error {
  override readonly name = "BackupError";
}

/** Errors of `link` that say that these two places cannot share a file. */
const NO_LINK = new Set(["EXDEV", "EPERM", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);
const READ_BYTES = 1024 * 1024;
/** Files that are worked on at the same time: a sync mostly waits for the disk. */
const FILES_AT_ONCE = 8;

/** The `code` of a system error, such as `ENOENT`. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Gives a file that is never written again a second name; a copy where the file system does not allow that. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!NO_LINK.has(errorCode(error) ?? "")) throw error;
    await copyWhole(from, to);
  }
}

/** Copies a file, sharing its blocks where the file system can; fails when `to` exists. */
export async function copyWhole(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
}

/** Copies the first `bytes` bytes of a file, which may be growing. */
export async function copyBeginning(from: string, to: string, bytes: number): Promise<void> {
  if (bytes === 0) return await (await open(to, "wx")).close();
  await pipeline(createReadStream(from, { end: bytes - 1 }), createWriteStream(to, { flags: "wx" }));
}

/** The two kinds of files that an engine names, see `withFiles` of log and claims. */
export interface EngineFiles {
  readonly sealed: readonly string[];
  readonly growing: readonly string[];
}

/** Puts an engine's files into the new directory `into`: links to the sealed ones, copies of the growing ones. */
export async function gather({ sealed, growing }: EngineFiles, into: string): Promise<void> {
  await mkdir(into, { recursive: true, mode: 0o700 });
  for (const path of sealed) await linkOrCopy(path, join(into, basename(path)));
  for (const path of growing) await copyWhole(path, join(into, basename(path)));
}

/** Paths below a directory, relative to it; directories before what is in them. */
export interface Tree {
  readonly directories: readonly string[];
  readonly files: readonly string[];
}

/** Lists everything below `root`. Symbolic links are left out: no engine needs one. */
export async function listTree(root: string): Promise<Tree> {
  const directories: string[] = [];
  const files: string[] = [];
  const open = [""];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const entry of await readdir(join(root, at), { withFileTypes: true })) {
      const path = join(at, entry.name);
      if (entry.isDirectory()) {
        directories.push(path);
        open.push(path);
      } else if (entry.isFile()) files.push(path);
    }
  }
  return { directories: directories.toSorted(), files: files.toSorted() };
}

/** True when there is nothing at `path`, or an empty directory. */
export async function isEmptyOrAbsent(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length === 0;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return true;
    if (errorCode(error) === "ENOTDIR") return false;
    throw error;
  }
}

/** Removes what is in a directory, and the directory itself unless it cannot be, as a mount point cannot. */
export async function removeContents(directory: string): Promise<void> {
  for (const name of await readdir(directory)) await rm(join(directory, name), { recursive: true, force: true });
  await rmdir(directory).catch(() => undefined);
}

/** Length and SHA-256 of a file, as its bytes are read once from the beginning to the end. */
export async function fingerprint(path: string, signal: AbortSignal): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
    signal.throwIfAborted();
    const piece: Buffer = chunk;
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Makes a file, or the names in a directory, survive a power cut. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Syncs `root` and the `directories` below it, and the directory that `root` is in. */
export async function syncDirectories(root: string, directories: readonly string[]): Promise<void> {
  await forEachOf(directories, (path) => sync(join(root, path)));
  await sync(root);
  await sync(dirname(root));
}

/** Does `work` for each item, a few at a time; rejects with the first failure after all that had begun has ended. */
export async function forEachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  let failure: { readonly error: unknown } | null = null;
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (failure !== null) return;
      await work(item).catch((error: unknown) => (failure ??= { error }));
    }
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, worker));
  // The assignment happens in a callback, which the compiler does not see.
  const failed = failure as { readonly error: unknown } | null;
  if (failed !== null) throw failed.error;
}
