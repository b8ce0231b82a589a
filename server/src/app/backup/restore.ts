/**
 * `tallystick restore`: makes a data directory out of a backup.
 *
 * Every checksum is compared before the first file is written, and files are copied, never linked: engines write to some of
 * them, and a backup must stay as it is. The mark in the data directory keeps a server from starting on half of one.
 */

import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  BackupError,
  copyWhole,
  errorCode,
  fingerprint,
  forEachOf,
  isEmptyOrAbsent,
  messageOf,
  removeContents,
  sync,
  syncDirectories,
} from "./files.ts";
import { readManifest } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import { markFinished, markUnfinished } from "./restore-mark.ts";

export interface RestoreOptions {
  /** The backup. */
  readonly source: string;
  /** Absent or empty. */
  readonly dataDirectory: string;
  readonly signal: AbortSignal;
}

/** What was restored. */
export interface RestoreReport {
  readonly dataDirectory: string;
  readonly manifest: Manifest;
}

/**
 * Restores a backup. Rejects with a `BackupError`, before anything is written, when the backup is damaged, incomplete or of
 * a newer format, or the data directory is not empty.
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreReport> {
  const source = resolve(options.source);
  const dataDirectory = resolve(options.dataDirectory);
  const manifest = await readManifest(source);
  if (!(await isEmptyOrAbsent(dataDirectory))) {
    throw new BackupError(
      `${dataDirectory} exists and is not empty: name a new directory, a restore replaces nothing.`,
    );
  }
  await verify(source, manifest, options.signal);
  try {
    await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
    await markUnfinished(dataDirectory);
    for (const path of manifest.directories) await mkdir(join(dataDirectory, path), { mode: 0o700 });
    await forEachOf(manifest.files, async ({ path }) => {
      options.signal.throwIfAborted();
      const copy = join(dataDirectory, path);
      await copyWhole(join(source, path), copy);
      await sync(copy);
    });
    await syncDirectories(dataDirectory, manifest.directories);
    await markFinished(dataDirectory, manifest);
  } catch (error) {
    // What cannot be removed stays marked as unfinished.
    await removeContents(dataDirectory).catch(() => undefined);
    if (error instanceof BackupError) throw error;
    throw new BackupError(`${dataDirectory} could not be written: ${messageOf(error)}.`, { cause: error });
  }
  return { dataDirectory, manifest };
}

/** Compares every file with the manifest; names all that differ, up to a few. */
async function verify(source: string, manifest: Manifest, signal: AbortSignal): Promise<void> {
  const damaged: string[] = [];
  await forEachOf(manifest.files, async ({ path, bytes, sha256 }) => {
    const found = await fingerprint(join(source, path), signal).catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return null;
      throw error;
    });
    if (found === null) damaged.push(`${path} is missing`);
    else if (found.bytes !== bytes) damaged.push(`${path} has ${found.bytes} bytes instead of ${bytes}`);
    else if (found.sha256 !== sha256) damaged.push(`${path} does not match its checksum`);
  });
  if (damaged.length === 0) return;
  const named = damaged.toSorted().slice(0, 5).join("; ");
  const more = damaged.length > 5 ? `; and ${damaged.length - 5} more` : "";
  throw new BackupError(`the backup ${source} is damaged: ${named}${more}. Use another backup.`);
}
