/**
 * The few file system calls that the log makes, behind one interface, so that tests can run the real log on a disk that
 * fills up, fails to sync or loses power. All of them are asynchronous: none blocks the event loop.
 */

import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { lockDirectory } from "./lock.ts";

/** An open file. */
export interface LogFile {
  /** Reads up to `into.length` bytes at `position`; resolves with how many were read, 0 at the end of the file. */
  read(into: Buffer, position: number): Promise<number>;
  /** Writes some of `bytes` at `position`; resolves with how many were written. */
  write(bytes: Buffer, position: number): Promise<number>;
  truncate(length: number): Promise<void>;
  /** Forces the file's bytes and its length to the disk. */
  datasync(): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface LogFiles {
  /** Takes the directory for this process's only writer; rejects with `LogLocked` when it is taken. */
  lock(directory: string): Promise<() => Promise<void>>;
  /** Creates the directory, durably, unless it is there. */
  makeDirectory(directory: string): Promise<void>;
  /** File names in the directory; none when it does not exist. */
  list(directory: string): Promise<readonly string[]>;
  /** `create` makes an empty file, also where there was one before. */
  open(path: string, mode: "read" | "write" | "create"): Promise<LogFile>;
  rename(from: string, to: string): Promise<void>;
  /** Removes the file; succeeds when there is none. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(directory: string): Promise<void>;
}

/** Reads exactly `length` bytes, or up to the end of the file if that comes first, into a buffer of their own. */
export async function readUpTo(file: LogFile, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const count = await file.read(bytes.subarray(filled), position + filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

/** Writes all of `bytes`; after a rejection any part of them may have been written. */
export async function writeAll(file: LogFile, bytes: Buffer, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) written += await file.write(bytes.subarray(written), position + written);
}

class DiskFile implements LogFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async read(into: Buffer, position: number): Promise<number> {
    return (await this.#handle.read(into, 0, into.length, position)).bytesRead;
  }

  async write(bytes: Buffer, position: number): Promise<number> {
    return (await this.#handle.write(bytes, 0, bytes.length, position)).bytesWritten;
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  datasync(): Promise<void> {
    return this.#handle.datasync();
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Whether `error` says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function makeDirectory(directory: string): Promise<void> {
  const topmost = await mkdir(directory, { recursive: true });
  if (topmost === undefined) return;
  // A new directory survives a power cut only once its parent is synced, at every level that was created.
  for (let created = directory; ; created = dirname(created)) {
    await syncDirectory(dirname(created));
    if (created === topmost) return;
  }
}

const FLAGS = { read: "r", write: "r+", create: "w+" } as const;

/** The real thing. */
export const diskFiles: LogFiles = {
  lock: lockDirectory,
  makeDirectory,
  list: (directory) =>
    readdir(directory).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    }),
  open: async (path, mode) => new DiskFile(await open(path, FLAGS[mode])),
  rename,
  remove: (path) => rm(path, { force: true }),
  syncDirectory,
};
