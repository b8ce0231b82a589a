/**
 * The manifest: the one file that says which other files count.
 *
 * Every change of the set of files is: write and sync the new files, sync the directory, replace the manifest by renaming a
 * synced copy over it, sync the directory, and only then remove the old files. A crash at any step leaves the old set or
 * the new one; files that the manifest does not name are left-overs and are removed at open.
 */

import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { DamagedClaims } from "./damage.ts";
import type { Seeds } from "./entry.ts";
import { fileName, syncDirectory } from "./file.ts";
import { Journal } from "./journal.ts";

/** Format 1 had no `fullJournal`. */
const FORMAT = 2;
/** Name of the manifest in the directory of the index. */
export const MANIFEST_NAME = "manifest";
const DRAFT = "manifest.new";
const NUMBERED = /^(run|journal)-[0-9]{8,}$/;

/** What the manifest knows about a run. */
export interface RunRecord {
  readonly number: number;
  /** How often the run's entries were merged. */
  readonly tier: number;
  readonly entries: number;
}

export interface Manifest {
  readonly format: typeof FORMAT;
  readonly seeds: Seeds;
  /** Number of the journal that belongs to the memory table. */
  readonly journal: number;
  /** Number of the journal of the full table, as long as no run has its entries. */
  readonly fullJournal: number | null;
  /** Every run, oldest first; no identity is in two of them. */
  readonly runs: readonly RunRecord[];
}

/** The manifest as versions before 2026-11-21 wrote it. */
type FirstManifest = Omit<Manifest, "format" | "fullJournal"> & { readonly format: 1 };

/** The manifest of a directory without claims. */
export function emptyManifest(seeds: Seeds, journal: number): Manifest {
  return { format: FORMAT, seeds, journal, fullJournal: null, runs: [] };
}

/** Reads the manifest; undefined when the directory was never used. */
export async function readManifest(directory: string): Promise<Manifest | undefined> {
  const path = join(directory, MANIFEST_NAME);
  const names = await readdir(directory);
  if (!names.includes(MANIFEST_NAME)) {
    for (const name of names.filter((each) => NUMBERED.test(each))) {
      if (name.startsWith("run") || !(await Journal.isBlank(directory, name))) {
        throw new DamagedClaims(path, `it is missing, but ${name} is there`);
      }
    }
    return undefined;
  }
  const [sum, body, ...rest] = (await readFile(path, "utf8")).split("\n");
  if (sum === undefined || body === undefined || rest.join("") !== "" || sum !== digest(body)) {
    throw new DamagedClaims(path, "it does not match its checksum");
  }
  const manifest = JSON.parse(body) as Manifest | FirstManifest | { readonly format: unknown };
  if (isFirst(manifest)) return { ...manifest, format: FORMAT, fullJournal: null };
  if (isCurrent(manifest)) return manifest;
  throw new DamagedClaims(path, `its format is ${String(manifest.format)}, which this version does not know`);
}

/**
 * Replaces the manifest. The contents of the files that it names are synced already, their names are before it counts.
 * Resolves once the change is durable.
 */
export async function writeManifest(directory: string, manifest: Manifest): Promise<void> {
  const body = JSON.stringify(manifest);
  const draft = await open(join(directory, DRAFT), "w");
  try {
    await draft.writeFile(`${digest(body)}\n${body}\n`);
    await draft.sync();
  } finally {
    await draft.close();
  }
  await syncDirectory(directory);
  await rename(join(directory, DRAFT), join(directory, MANIFEST_NAME));
  await syncDirectory(directory);
}

/** Removes what a crash left behind, and nothing that the index did not write. */
export async function removeLeftOvers(directory: string, manifest: Manifest | undefined): Promise<void> {
  const named = new Set(manifest?.runs.map((run) => fileName("run", run.number)));
  for (const number of [manifest?.journal, manifest?.fullJournal]) {
    if (typeof number === "number") named.add(fileName("journal", number));
  }
  for (const name of await readdir(directory)) {
    if (name === DRAFT || (NUMBERED.test(name) && !named.has(name))) await rm(join(directory, name));
  }
}

function isFirst(manifest: { readonly format: unknown }): manifest is FirstManifest {
  return manifest.format === 1;
}

function isCurrent(manifest: { readonly format: unknown }): manifest is Manifest {
  return manifest.format === FORMAT;
}

function digest(body: string): string {
  return crc32(body).toString(16).padStart(8, "0");
}
