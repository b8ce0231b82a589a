/**
 * The image of a data directory: a directory beside its engines with everything that a data directory needs, as of one
 * moment. Most of it are links to files that are never written again, so making one takes a fraction of a second, and the
 * server deletes and merges its own files as before.
 *
 * While a server runs, the image is made between two batches of the sink: state, event store and claims then agree on the
 * same stored position, and the log has every event from before that position to everything acknowledged since. Of a
 * stopped server it is what is there, which is what the next start would find.
 */

import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { FileLog } from "../../engines/event-log/index.ts";
import { copyBeginning, copyWhole, errorCode, gather, linkOrCopy, listTree } from "./files.ts";

/** Name of the image in the data directory. */
const IMAGE_NAME = "snapshot";

/** What an image says about itself. */
export interface ImageInfo {
  /** Whether the state store is in the image, or a PostgreSQL that is backed up by its own means. */
  readonly state: "embedded" | "postgres";
  /** Greatest log offset that the state store counted as stored, -1 for none; null when no server ran that knew it. */
  readonly storedUpTo: number | null;
  /** One past the last log offset in the image. */
  readonly logEnd: number;
}

/** Asks something that deletes or rewrites stored rows to rest; resolves once it does, with the function that ends it. */
export type Hold = () => Promise<() => void>;

/** The running parts that an image is made of. */
export interface RunningParts {
  readonly log: FileLog;
  /** Makes the event store's part of the image in a directory, see `ChdbEngine.snapshot`. */
  readonly snapshotEvents: (into: string) => Promise<void>;
  /** Copies the state store; undefined when it is a PostgreSQL. */
  readonly copyState: ((into: string) => Promise<void>) | undefined;
  /** Calls `work` while the sink rests and its claims are in `claimsInto`. */
  readonly whileSinkRests: <T>(claimsInto: string, work: () => Promise<T>) => Promise<T>;
  readonly storedUpTo: () => number;
  /** Jobs that change stored rows besides the sink. */
  readonly holds: readonly Hold[];
}

/** Where the image of a data directory is made. */
export function imagePath(dataDirectory: string): string {
  return join(dataDirectory, IMAGE_NAME);
}

/** Removes the image if there is one: of a backup that ended, or that a crash interrupted. */
export async function removeImage(dataDirectory: string): Promise<void> {
  await rm(imagePath(dataDirectory), { recursive: true, force: true });
}

async function makePlace(dataDirectory: string): Promise<string> {
  await removeImage(dataDirectory);
  const image = imagePath(dataDirectory);
  await mkdir(image, { mode: 0o700 });
  return image;
}

/** Makes the image of a running server's data directory. */
export async function imageOfRunning(dataDirectory: string, parts: RunningParts): Promise<ImageInfo> {
  const image = await makePlace(dataDirectory);
  const releases: (() => void)[] = [];
  try {
    for (const hold of parts.holds) releases.push(await hold());
    return await parts.whileSinkRests(join(image, "claims"), async () => {
      const storedUpTo = parts.storedUpTo();
      const copies = await Promise.allSettled([
        parts.copyState?.(join(image, "state")),
        parts.snapshotEvents(join(image, "events")),
      ]);
      for (const copy of copies) if (copy.status === "rejected") throw copy.reason;
      // Last, and after the claims: no claim may name an offset that the log of the image does not have.
      const logEnd = await imageLog(parts.log, image);
      return { state: parts.copyState === undefined ? "postgres" : "embedded", storedUpTo, logEnd } as const;
    });
  } finally {
    for (const release of releases.toReversed()) release();
  }
}

/**
 * Makes the image of a data directory that nothing uses; `log` is its log, whose lock keeps servers away. With
 * `hasPostgres` the state store is elsewhere.
 */
export async function imageOfStopped(dataDirectory: string, log: FileLog, hasPostgres: boolean): Promise<ImageInfo> {
  const image = await makePlace(dataDirectory);
  const claims = await pathsIn(join(dataDirectory, "claims"));
  const isRun = (path: string): boolean => basename(path).startsWith("run-");
  await gather({ sealed: claims.filter(isRun), growing: claims.filter((path) => !isRun(path)) }, join(image, "claims"));
  if (!hasPostgres) await imageFiles(dataDirectory, image, "state", () => "copy");
  await imageFiles(dataDirectory, image, "events", kindOfEventFile);
  const logEnd = await imageLog(log, image);
  return { state: hasPostgres ? "postgres" : "embedded", storedUpTo: null, logEnd };
}

async function imageLog(log: FileLog, image: string): Promise<number> {
  return await log.withFiles(async ({ sealed, active, end }) => {
    const into = join(image, "log");
    await gather({ sealed, growing: [] }, into);
    await copyBeginning(active.path, join(into, basename(active.path)), active.bytes);
    return end;
  });
}

async function pathsIn(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  });
  return names.map((name) => join(directory, name));
}

type FileKind = "link" | "copy" | "skip";

/** Puts a part of the data directory into the image, file by file; `kindOf` gets paths relative to the part. */
async function imageFiles(
  dataDirectory: string,
  image: string,
  part: string,
  kindOf: (path: string, siblings: ReadonlySet<string>) => FileKind,
): Promise<void> {
  const from = join(dataDirectory, part);
  const into = join(image, part);
  const { directories, files } = await listTree(from);
  const siblings = new Set(files);
  await mkdir(into, { mode: 0o700 });
  for (const path of directories) await mkdir(join(into, path));
  for (const path of files) {
    const kind = kindOf(path, siblings);
    if (kind === "link") await linkOrCopy(join(from, path), join(into, path));
    else if (kind === "copy") await copyWhole(join(from, path), join(into, path));
  }
}

/** Definitions and parts count; the rest makes itself. Of a part only the small texts are ever written again. */
function kindOfEventFile(path: string, files: ReadonlySet<string>): FileKind {
  if (!path.startsWith("store/") && !path.startsWith("metadata/")) return "skip";
  const isInPart = files.has(join(dirname(path), "checksums.txt"));
  return isInPart && !path.endsWith(".txt") ? "link" : "copy";
}
