/**
 * Runs: immutable sorted files of entries, with their filter and fence keys in memory.
 *
 * A lookup asks the filter, finds the one block that can hold the key by binary search over the fences (first keys of the
 * blocks), and reads it. Lookups come in batches and are done in file order, so that neighbouring blocks share a read.
 * Reads are synchronous: a block in the page cache takes about one microsecond, a tenth of what handing the read to the
 * thread pool costs, and the batch rests between slices. Blocks are not cached here, because identities are uniformly
 * random, hit no block more often than others, and the page cache already holds what memory allows.
 *
 * Nothing read is trusted before its checksum matched.
 */

import { readSync } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Batch } from "./batch.ts";
import { DamagedClaims } from "./damage.ts";
import { compareKeys, ENTRY_WORDS, KEY_WORDS } from "./entry.ts";
import type { Seeds } from "./entry.ts";
import { asBytes, checksum, checksumOfAll, fileName, readWords } from "./file.ts";
import { Filter } from "./filter.ts";
import type { RunRecord } from "./manifest.ts";
import type { Pace } from "./pace.ts";
import {
  BLOCK_BYTES,
  BLOCK_ENTRIES,
  BLOCK_WORDS,
  blockCount,
  FOOTER_MAGIC,
  FOOTER_VERSION,
  FOOTER_WORDS,
} from "./run-format.ts";

/** Wanted blocks this close are read together with those between them: cheaper than another system call. */
const GAP_BLOCKS = 4;
/** The most that one read brings in: 64 KiB. */
const SPAN_BLOCKS = 16;
/** Block and identity of a lookup are sorted as one number; `Batch` ranges are no longer than this. */
export const LOOKUP_LIMIT = 65_536;

export class Run {
  readonly record: RunRecord;
  readonly path: string;
  readonly #file: FileHandle;
  readonly #filter: Filter;
  readonly #fences: Uint32Array;
  readonly #blocks: number;
  readonly #span = new Uint32Array(SPAN_BLOCKS * BLOCK_WORDS);

  private constructor(record: RunRecord, path: string, file: FileHandle, fences: Uint32Array, filter: Filter) {
    this.record = record;
    this.path = path;
    this.#file = file;
    this.#fences = fences;
    this.#blocks = fences.length / KEY_WORDS;
    this.#filter = filter;
  }

  /** Opens the run that the manifest records; throws `DamagedClaims` unless footer, fences and filter are intact. */
  static async open(directory: string, record: RunRecord, seeds: Seeds): Promise<Run> {
    const path = join(directory, fileName("run", record.number));
    const file = await open(path, "r").catch((error: unknown) => {
      throw new DamagedClaims(path, "it cannot be opened", error);
    });
    try {
      const footer = await readFooter(file, path, record, seeds);
      const fences = new Uint32Array(Math.ceil(record.entries / BLOCK_ENTRIES) * KEY_WORDS);
      // How many bits a key gets was decided when the run was written.
      const filter = new Uint32Array(footer[6] as number);
      const fencesAt = (fences.length / KEY_WORDS) * BLOCK_BYTES;
      const filterAt = fencesAt + fences.byteLength;
      if ((await file.stat()).size !== filterAt + filter.byteLength + footer.byteLength) {
        throw new DamagedClaims(path, "it is longer or shorter than its footer says");
      }
      await readWords(file, path, fences, fencesAt);
      if ((await checksumOfAll(fences)) !== footer[9]) {
        throw new DamagedClaims(path, "the fence keys do not match their checksum");
      }
      await readWords(file, path, filter, filterAt);
      if ((await checksumOfAll(filter)) !== footer[10]) {
        throw new DamagedClaims(path, "the filter does not match its checksum");
      }
      return new Run(record, path, file, fences, new Filter(filter));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Appends to `candidates` those of `pending[from .. to - 1]` that the filter does not rule out. */
  collectCandidates(batch: Batch, pending: Uint32Array, from: number, to: number, candidates: number[]): void {
    this.#filter.collectPossible(batch, pending, from, to, candidates);
  }

  /** Answers those of the `candidates` (indices of identities of the batch) whose entries the run holds. */
  async lookUp(batch: Batch, candidates: readonly number[], pace: Pace): Promise<void> {
    const lookups = await this.#inFileOrder(batch, candidates, pace);
    let done = 0;
    while (done < lookups.length) {
      const first = blockOf(lookups, done);
      let end = done + 1;
      let last = first;
      while (end < lookups.length) {
        const block = blockOf(lookups, end);
        if (block - last > GAP_BLOCKS || block - first >= SPAN_BLOCKS) break;
        last = block;
        end++;
      }
      this.#readBlocks(first, last);
      let checked = -1;
      let count = 0;
      for (; done < end; done++) {
        const block = blockOf(lookups, done);
        const at = (block - first) * BLOCK_WORDS;
        if (block !== checked) count = this.#checkBlock(at, block);
        checked = block;
        this.#search(batch, candidates[(lookups[done] as number) % LOOKUP_LIMIT] as number, at, count);
      }
      await pace.rest();
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** The candidates as `block * LOOKUP_LIMIT + place in candidates`, ascending. */
  async #inFileOrder(batch: Batch, candidates: readonly number[], pace: Pace): Promise<Float64Array> {
    const lookups = new Float64Array(candidates.length);
    for (let place = 0; place < candidates.length; place++) {
      const block = this.#findBlock(batch.keys, (candidates[place] as number) * ENTRY_WORDS);
      lookups[place] = block * LOOKUP_LIMIT + place;
      if (place % 4096 === 4095) await pace.rest();
    }
    return lookups.toSorted();
  }

  /** The last block whose first key is not greater than the key: the only one that can hold it. */
  #findBlock(keys: Uint32Array, at: number): number {
    let low = 0;
    let high = this.#blocks - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (compareKeys(this.#fences, middle * KEY_WORDS, keys, at) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #readBlocks(first: number, last: number): void {
    const length = (last - first + 1) * BLOCK_BYTES;
    const bytes = asBytes(this.#span);
    let done = 0;
    while (done < length) {
      const read = readSync(this.#file.fd, bytes, done, length - done, first * BLOCK_BYTES + done);
      if (read === 0) throw new DamagedClaims(this.path, `it ends within block ${first}`);
      done += read;
    }
  }

  #checkBlock(at: number, block: number): number {
    const count = blockCount(this.#span, at, block, this.record.number);
    if (count < 0) throw new DamagedClaims(this.path, `block ${block} does not match its checksum`);
    return count;
  }

  /** Binary search within the block at `at` of the read buffer. */
  #search(batch: Batch, index: number, at: number, count: number): void {
    let low = 0;
    let high = count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const order = compareKeys(this.#span, at + middle * ENTRY_WORDS, batch.keys, index * ENTRY_WORDS);
      if (order === 0) {
        batch.answer(index, this.#span, at + middle * ENTRY_WORDS);
        return;
      }
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
  }
}

function blockOf(lookups: Float64Array, place: number): number {
  return Math.floor((lookups[place] as number) / LOOKUP_LIMIT);
}

/** Reads the last bytes of the file; throws `DamagedClaims` unless they are the footer of the run that the manifest records. */
async function readFooter(file: FileHandle, path: string, record: RunRecord, seeds: Seeds): Promise<Uint32Array> {
  const footer = new Uint32Array(FOOTER_WORDS);
  const at = (await file.stat()).size - footer.byteLength;
  if (at < 0) throw new DamagedClaims(path, "it is shorter than a footer");
  await readWords(file, path, footer, at);
  if (footer[FOOTER_WORDS - 1] !== checksum(footer, 0, FOOTER_WORDS - 1)) {
    throw new DamagedClaims(path, "the footer does not match its checksum");
  }
  const { number, entries } = record;
  const blocks = Math.ceil(entries / BLOCK_ENTRIES);
  const start = [FOOTER_MAGIC, FOOTER_VERSION, number, entries % 2 ** 32, Math.floor(entries / 2 ** 32), blocks];
  const isSame = start.every((word, index) => footer[index] === word);
  if (!isSame || footer[7] !== seeds.first || footer[8] !== seeds.second) {
    throw new DamagedClaims(path, "its footer says that it is another run than the manifest does");
  }
  return footer;
}
