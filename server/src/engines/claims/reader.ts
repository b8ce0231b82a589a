/**
 * Reads an embedded claims index without claiming and without changing any of its files, for whoever checks it.
 *
 * Invariants: nothing in the directory is written, removed or created; nothing is answered from a block, frame, filter or
 * manifest whose checksum does not match. Nobody else has the index open.
 */

import { assert } from "../../kernel/assert.ts";
import { IDENTITY_BYTES } from "./claims.ts";
import { Batch } from "./embedded/batch.ts";
import { DamagedClaims } from "./embedded/damage.ts";
import { ENTRY_WORDS, readOffset, readPartition } from "./embedded/entry.ts";
import { Journal } from "./embedded/journal.ts";
import { MANIFEST_NAME, readManifest } from "./embedded/manifest.ts";
import type { Manifest } from "./embedded/manifest.ts";
import { RunCursor } from "./embedded/merge.ts";
import { Pace } from "./embedded/pace.ts";
import { LOOKUP_LIMIT, Run } from "./embedded/run.ts";
import { MemoryTable } from "./embedded/table.ts";
import { join } from "node:path";

const FINGERPRINT_BYTES = 8;

/** One claim: the position, and the first two words of the identity, little-endian. */
export type ClaimVisitor = (partition: number, offset: number, first: number, second: number) => void;

export interface ClaimsReader {
  /** How many identities are claimed. */
  readonly count: number;
  /** How many files hold them. */
  readonly files: number;
  /** For each of the identities, 32 bytes each, the offset of its first claim in the partition 0; -1 where there is none. */
  find(identities: Uint8Array): Promise<Float64Array>;
  /** Calls `visit` for every claim, in no particular order. Rejects with `DamagedClaims` at the first damaged block. */
  visitAll(visit: ClaimVisitor): Promise<void>;
  close(): Promise<void>;
}

/** Opens the index in `directory`. Rejects with `DamagedClaims` when it is missing or a file of it fails a check. */
export async function openClaimsReader(directory: string): Promise<ClaimsReader> {
  const manifest = await readManifest(directory).catch((error: unknown) => {
    throw error instanceof DamagedClaims ? error : missing(directory, error);
  });
  if (manifest === undefined) throw missing(directory);
  const runs: Run[] = [];
  try {
    for (const record of manifest.runs) runs.push(await Run.open(directory, record, manifest.seeds));
    const { journal, fullJournal, seeds } = manifest;
    const frames = [...(await Journal.read(directory, journal))];
    if (fullJournal !== null) frames.push(...(await Journal.read(directory, fullJournal)));
    const table = MemoryTable.of(frames, seeds, 1);
    return new EmbeddedClaimsReader(directory, manifest, runs, table);
  } catch (error) {
    for (const run of runs) await run.close();
    throw error;
  }
}

function missing(directory: string, cause?: unknown): DamagedClaims {
  return new DamagedClaims(join(directory, MANIFEST_NAME), "it is missing", cause);
}

class EmbeddedClaimsReader implements ClaimsReader {
  readonly #directory: string;
  readonly #manifest: Manifest;
  readonly #runs: readonly Run[];
  readonly #table: MemoryTable;

  constructor(directory: string, manifest: Manifest, runs: readonly Run[], table: MemoryTable) {
    this.#directory = directory;
    this.#manifest = manifest;
    this.#runs = runs;
    this.#table = table;
  }

  get count(): number {
    return this.#runs.reduce((sum, run) => sum + run.record.entries, this.#table.count);
  }

  get files(): number {
    const journals = this.#manifest.fullJournal === null ? 1 : 2;
    return this.#runs.length + journals + 1;
  }

  async find(identities: Uint8Array): Promise<Float64Array> {
    const count = identities.length / IDENTITY_BYTES;
    assert(Number.isInteger(count), "identities have 32 bytes each");
    const fingerprints = new Uint8Array(count * FINGERPRINT_BYTES);
    const batch = new Batch({ partition: 0, count, identities, fingerprints, offsets: new Float64Array(count) });
    for (let from = 0; from < count; from += LOOKUP_LIMIT) {
      await this.#ask(batch, from, Math.min(from + LOOKUP_LIMIT, count));
    }
    return batch.result.offsets.map((offset, index) =>
      batch.isAnswered[index] === 1 && batch.result.partitions[index] === 0 ? offset : -1,
    );
  }

  async #ask(batch: Batch, from: number, to: number): Promise<void> {
    batch.hash(from, to, this.#manifest.seeds);
    const unknown: number[] = [];
    for (let index = from; index < to; index++) {
      const at = this.#table.find(batch.keys, index * ENTRY_WORDS, batch.places[index] ?? 0);
      if (at >= 0) batch.answer(index, this.#table.entries, at);
      else unknown.push(index);
    }
    const pending = Uint32Array.from(unknown);
    for (const run of this.#runs) {
      const candidates: number[] = [];
      run.collectCandidates(batch, pending, 0, pending.length, candidates);
      if (candidates.length > 0) await run.lookUp(batch, candidates, new Pace());
    }
  }

  async visitAll(visit: ClaimVisitor): Promise<void> {
    for (const record of this.#manifest.runs) {
      const cursor = await RunCursor.open(this.#directory, record);
      try {
        do visitEntry(cursor.words, cursor.at, visit);
        while (cursor.advance() || (await cursor.refill()));
      } finally {
        await cursor.close();
      }
    }
    const { entries, count } = this.#table;
    for (let index = 0; index < count; index++) visitEntry(entries, index * ENTRY_WORDS, visit);
  }

  async close(): Promise<void> {
    for (const run of this.#runs) await run.close();
  }
}

function visitEntry(words: Uint32Array, at: number, visit: ClaimVisitor): void {
  visit(readPartition(words, at), readOffset(words, at), words[at] ?? 0, words[at + 1] ?? 0);
}
