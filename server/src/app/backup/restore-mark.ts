/**
 * The mark of a restore in the data directory, `restored.json`: a server must not start on a restore that did not finish,
 * nor with a PostgreSQL that is ahead of the restored events, because what lies between would never be stored.
 *
 * The mark is made before the first file and replaced when the last one is on disk; the first start on it removes it.
 */

import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, sync } from "./files.ts";
import type { ImageInfo } from "./image.ts";

const MARK_NAME = "restored.json";

type Mark = { readonly kind: "unfinished" } | ({ readonly kind: "finished" } & ImageInfo);

/** Marks the data directory as being restored. */
export async function markUnfinished(dataDirectory: string): Promise<void> {
  await writeMark(dataDirectory, { kind: "unfinished" });
}

/** Marks the data directory as restored from an image; durable when it resolves. */
export async function markFinished(dataDirectory: string, image: ImageInfo): Promise<void> {
  const { state, storedUpTo, logEnd } = image;
  await writeMark(dataDirectory, { kind: "finished", state, storedUpTo, logEnd });
}

async function writeMark(dataDirectory: string, mark: Mark): Promise<void> {
  const draft = join(dataDirectory, `${MARK_NAME}.new`);
  await writeFile(draft, `${JSON.stringify(mark)}\n`, { mode: 0o600 });
  await sync(draft);
  await rename(draft, join(dataDirectory, MARK_NAME));
  await sync(dataDirectory);
}

async function readMark(dataDirectory: string): Promise<Mark | null> {
  try {
    return JSON.parse(await readFile(join(dataDirectory, MARK_NAME), "utf8")) as Mark;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}

/** Rejects when the data directory is a restore that did not finish. To be asked before any engine opens it. */
export async function refuseUnfinishedRestore(dataDirectory: string): Promise<void> {
  if ((await readMark(dataDirectory))?.kind !== "unfinished") return;
  throw new Error(
    `the restore into ${dataDirectory} did not finish: delete the directory and run tallystick restore again`,
  );
}

/**
 * To be called on the first start after a restore, with what the state store counts as stored (-1 for nothing) and before
 * anything is stored. Rejects when the state store does not belong to the restored events.
 */
export async function checkRestored(
  dataDirectory: string,
  state: ImageInfo["state"],
  storedUpTo: number,
): Promise<void> {
  const mark = await readMark(dataDirectory);
  if (mark?.kind !== "finished") return;
  if (mark.state !== state) {
    throw new Error(
      mark.state === "postgres"
        ? `the backup restored into ${dataDirectory} was taken with a PostgreSQL as state store: restore its dump and set postgres.url`
        : `the backup restored into ${dataDirectory} includes the state store: start without postgres.url`,
    );
  }
  const covered = mark.storedUpTo ?? mark.logEnd - 1;
  if (storedUpTo > covered) {
    throw new Error(
      `the PostgreSQL database counts events up to offset ${storedUpTo} as stored, but the backup restored into ` +
        `${dataDirectory} has them up to offset ${covered} only: restore the dump that was made before that backup`,
    );
  }
  await rm(join(dataDirectory, MARK_NAME), { force: true });
  await sync(dataDirectory);
}
