/**
 * `tallystick backup`: takes an image of a data directory, from the running server or by itself when none runs, and makes
 * a backup of it: its files, their checksums, and the manifest last.
 *
 * All the work on the target happens in this process. A slow, full or vanished target therefore never touches the server,
 * which only keeps the image until this process is done with it.
 */

import { mkdir, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { LogLocked, openEmbeddedLog } from "../../engines/event-log/index.ts";
import { systemClock } from "../../kernel/clock.ts";
import { formatInstant } from "../../kernel/instant.ts";
import { withImageOfServer } from "./control-client.ts";
import {
  BackupError,
  fingerprint,
  forEachOf,
  isEmptyOrAbsent,
  linkOrCopy,
  listTree,
  messageOf,
  removeContents,
  sync,
  syncDirectories,
} from "./files.ts";
import { imageOfStopped, imagePath, removeImage } from "./image.ts";
import type { ImageInfo } from "./image.ts";
import { writeManifest } from "./manifest.ts";
import type { BackedUpFile } from "./manifest.ts";

export interface BackupOptions {
  readonly dataDirectory: string;
  /** Absent or empty; made for the owner only. */
  readonly target: string;
  /** Whether the state store is a PostgreSQL; only asked when no server runs. */
  readonly hasPostgres: boolean;
  readonly productVersion: string;
  /** Gives up and removes what was made. */
  readonly signal: AbortSignal;
}

/** What was backed up. */
export interface BackupReport extends ImageInfo {
  readonly target: string;
  readonly files: number;
  readonly bytes: number;
  /** Whether a server ran. */
  readonly isOnline: boolean;
}

/**
 * Takes a backup with every event that was acknowledged before the call. Rejects with a `BackupError` that says what to do;
 * nothing that looks like a backup is left then.
 */
export async function takeBackup(options: BackupOptions): Promise<BackupReport> {
  const dataDirectory = resolve(options.dataDirectory);
  const target = resolve(options.target);
  await refuseUnsuitable(dataDirectory, target);
  const copy = async (info: ImageInfo, signal: AbortSignal): Promise<Omit<BackupReport, "isOnline">> => {
    const files = await copyImage(imagePath(dataDirectory), target, signal, { ...options, info });
    return { ...info, target, files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
  };
  const online = await withImageOfServer(dataDirectory, options.signal, copy);
  if (online !== null) return { ...online, isOnline: true };
  return { ...(await withImageOfFiles(dataDirectory, options, copy)), isOnline: false };
}

async function refuseUnsuitable(dataDirectory: string, target: string): Promise<void> {
  const log = await stat(join(dataDirectory, "log")).catch(() => null);
  if (log === null) throw new BackupError(`${dataDirectory} is not a data directory of Tallystick: it has no log.`);
  if (!relative(dataDirectory, target).startsWith("..")) {
    throw new BackupError(`${target} lies in the data directory, and would be lost with it: name another place.`);
  }
  if (!(await isEmptyOrAbsent(target))) {
    throw new BackupError(`${target} exists and is not empty: name a new directory for each backup.`);
  }
}

/** The image that this process makes itself; the lock of the log keeps servers away until `work` is done with it. */
async function withImageOfFiles<T>(
  dataDirectory: string,
  { hasPostgres, signal }: BackupOptions,
  work: (info: ImageInfo, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const log = await openEmbeddedLog({ directory: join(dataDirectory, "log"), report: () => undefined }).catch(
    (error: unknown) => {
      if (!(error instanceof LogLocked)) throw error;
      throw new BackupError(
        `${error.message.replace(/ Stop that.*$/u, "")} It does not answer on its control socket: it may be starting or ` +
          "stopping, or run in a container of its own. Try again, or run the backup where the server runs.",
      );
    },
  );
  try {
    return await work(await imageOfStopped(dataDirectory, log, hasPostgres), signal);
  } finally {
    await removeImage(dataDirectory);
    await log.close();
  }
}

interface Description {
  readonly info: ImageInfo;
  readonly productVersion: string;
}

/** Makes the backup of an image. What is in the image is not written again, so links to it do as well as copies. */
async function copyImage(
  image: string,
  target: string,
  signal: AbortSignal,
  { info, productVersion }: Description,
): Promise<readonly BackedUpFile[]> {
  try {
    const topmost = await mkdir(target, { recursive: true, mode: 0o700 });
    const { directories, files: paths } = await listTree(image);
    for (const path of directories) await mkdir(join(target, path), { mode: 0o700 });
    const files: BackedUpFile[] = [];
    await forEachOf(paths, async (path) => {
      signal.throwIfAborted();
      const copy = join(target, path);
      await linkOrCopy(join(image, path), copy);
      files.push({ path, ...(await fingerprint(copy, signal)) });
      await sync(copy);
    });
    await syncDirectories(target, directories);
    if (topmost !== undefined) await sync(join(topmost, ".."));
    signal.throwIfAborted();
    files.sort((a, b) => (a.path < b.path ? -1 : 1));
    const createdAt = formatInstant(systemClock.now());
    await writeManifest(target, { productVersion, createdAt, ...info, directories, files });
    return files;
  } catch (error) {
    // The server's end explains a file that is missing.
    const reason: unknown = signal.aborted ? signal.reason : error;
    const left = await removeContents(target).then(
      () => "",
      (failure: unknown) => `; what is left in ${target} is no backup: ${messageOf(failure)}`,
    );
    const what = reason instanceof BackupError ? "" : `${target} could not be written: `;
    throw new BackupError(`${what}${messageOf(reason)}${left}`, { cause: error });
  }
}
