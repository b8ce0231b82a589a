/**
 * The manifest of a backup: what is in it, and that it is complete.
 *
 * Invariants: it is written last, after every file it names is on disk, so a directory without one is no backup; its own
 * checksum covers all of it; a reader refuses a format that it does not know before it looks at anything else.
 */

import { createHash } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { BackupError, errorCode, sync } from "./files.ts";
import type { ImageInfo } from "./image.ts";

const FORMAT_VERSION = 1;
export const MANIFEST_NAME = "manifest.json";

/** A file of the backup; its path is relative to the backup and has `/` between names. */
export interface BackedUpFile {
  readonly path: string;
  readonly bytes: number;
  /** SHA-256 of its bytes, in hexadecimal. */
  readonly sha256: string;
}

export interface Manifest extends ImageInfo {
  readonly formatVersion: typeof FORMAT_VERSION;
  /** Version of the product that made the backup. */
  readonly productVersion: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** Every directory, parents before what is in them: some engines miss an empty one. */
  readonly directories: readonly string[];
  readonly files: readonly BackedUpFile[];
}

/** The manifest without what is the same in each. */
export type ManifestContents = Omit<Manifest, "formatVersion">;

/** Writes the manifest into the backup; resolves when the backup is complete and durable. */
export async function writeManifest(directory: string, contents: ManifestContents): Promise<void> {
  const manifest: Manifest = { formatVersion: FORMAT_VERSION, ...contents };
  const draft = join(directory, `${MANIFEST_NAME}.new`);
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ ...manifest, checksum: checksum(manifest) }, null, 1)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, join(directory, MANIFEST_NAME));
  await sync(directory);
}

/** Reads the manifest of a backup. Rejects with a `BackupError` when it is none that this version can restore. */
export async function readManifest(directory: string): Promise<Manifest> {
  const text = await readFile(join(directory, MANIFEST_NAME), "utf8").catch((error: unknown) => {
    if (errorCode(error) !== "ENOENT" && errorCode(error) !== "ENOTDIR") throw error;
    throw new BackupError(
      `${directory} is not a complete backup: it has no ${MANIFEST_NAME}, which is written last. ` +
        "Use a backup whose command ended without an error.",
    );
  });
  const parsed = parse(text);
  const { formatVersion, productVersion } = parsed;
  if (typeof formatVersion === "number" && formatVersion > FORMAT_VERSION) {
    throw new BackupError(
      `${directory} has backup format ${formatVersion}, made by Tallystick ${String(productVersion)}; this version ` +
        `reads format ${FORMAT_VERSION}. Restore it with that version or a later one.`,
    );
  }
  const { checksum: stated, ...manifest } = parsed;
  if (formatVersion !== FORMAT_VERSION || stated !== checksum(manifest)) {
    throw new BackupError(`${join(directory, MANIFEST_NAME)} is damaged: it does not match its checksum.`);
  }
  // The checksum says that `writeManifest` wrote it.
  const read = manifest as unknown as Manifest;
  // A backup that somebody made up must not write elsewhere.
  const isOutside = (path: string): boolean => isAbsolute(path) || path.split("/").includes("..");
  if ([...read.directories, ...read.files.map(({ path }) => path)].some(isOutside)) {
    throw new BackupError(`${join(directory, MANIFEST_NAME)} is damaged: it names files outside the backup.`);
  }
  return read;
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** JSON keeps the order of members, so the same document gives the same text. */
function checksum(manifest: object): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}
