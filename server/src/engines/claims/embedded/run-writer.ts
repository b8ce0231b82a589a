/**
 * Writes a run file: entries in key order, in blocks, followed by the fence keys, the filter and the footer.
 *
 * The number of entries is known beforehand, so the filter is built while the entries stream through; memory is the filter,
 * the fences and one chunk. The footer comes last, so a file without a valid footer is not a run.
 */

import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { assert } from "../../../kernel/assert.ts";
import { bitsHash, ENTRY_WORDS, KEY_WORDS, placeHash } from "./entry.ts";
import type { Seeds } from "./entry.ts";
import { checksum, checksumOfAll, writeWords } from "./file.ts";
import { Filter, filterWords } from "./filter.ts";
import {
  BLOCK_BYTES,
  BLOCK_ENTRIES,
  BLOCK_WORDS,
  CHUNK_BLOCKS,
  FOOTER_MAGIC,
  FOOTER_VERSION,
  FOOTER_WORDS,
  sealBlock,
} from "./run-format.ts";

export class RunWriter {
  readonly #file: FileHandle;
  readonly #number: number;
  readonly #entries: number;
  readonly #seeds: Seeds;
  readonly #filter: Filter;
  readonly #fences: Uint32Array;
  readonly #chunk = new Uint32Array(CHUNK_BLOCKS * BLOCK_WORDS);
  /** Of the keys of the block under way. */
  readonly #hashes = { places: new Uint32Array(BLOCK_ENTRIES), bits: new Uint32Array(BLOCK_ENTRIES) };
  #added = 0;
  /** Blocks sealed so far, those in the chunk included. */
  #blocks = 0;
  #blocksInChunk = 0;
  #entriesInBlock = 0;

  private constructor(file: FileHandle, number: number, entries: number, seeds: Seeds) {
    this.#file = file;
    this.#number = number;
    this.#entries = entries;
    this.#seeds = seeds;
    this.#filter = new Filter(new Uint32Array(filterWords(entries)));
    this.#fences = new Uint32Array(Math.ceil(entries / BLOCK_ENTRIES) * KEY_WORDS);
  }

  /** Starts the run `number`, which will hold exactly `entries` entries; an existing file is overwritten. */
  static async create(path: string, number: number, entries: number, seeds: Seeds): Promise<RunWriter> {
    return new RunWriter(await open(path, "w"), number, entries, seeds);
  }

  /** Adds the entry at `source[at]`, whose key is greater than all before. True asks for `writeChunk` before the next. */
  add(source: Uint32Array, at: number): boolean {
    if (this.#entriesInBlock === 0) {
      this.#fences.set(source.subarray(at, at + KEY_WORDS), this.#blocks * KEY_WORDS);
    }
    const target = this.#blocksInChunk * BLOCK_WORDS + this.#entriesInBlock * ENTRY_WORDS;
    for (let word = 0; word < ENTRY_WORDS; word++) this.#chunk[target + word] = source[at + word] as number;
    this.#hashes.places[this.#entriesInBlock] = placeHash(source, at, this.#seeds);
    this.#hashes.bits[this.#entriesInBlock] = bitsHash(source, at, this.#seeds);
    this.#added++;
    this.#entriesInBlock++;
    if (this.#entriesInBlock === BLOCK_ENTRIES) this.#seal();
    return this.#blocksInChunk === CHUNK_BLOCKS;
  }

  async writeChunk(): Promise<void> {
    const words = this.#chunk.subarray(0, this.#blocksInChunk * BLOCK_WORDS);
    await writeWords(this.#file, words, (this.#blocks - this.#blocksInChunk) * BLOCK_BYTES);
    this.#chunk.fill(0);
    this.#blocksInChunk = 0;
  }

  /** Completes the file and closes it; resolves once its contents are durable. Its name is durable with the manifest that has it. */
  async finish(): Promise<void> {
    if (this.#entriesInBlock > 0) this.#seal();
    await this.writeChunk();
    assert(this.#added === this.#entries, "a run holds exactly the entries that were announced");
    const filter = this.#filter.words;
    const footer = new Uint32Array(FOOTER_WORDS);
    footer.set([FOOTER_MAGIC, FOOTER_VERSION, this.#number, this.#entries, Math.floor(this.#entries / 2 ** 32)]);
    footer.set([this.#blocks, filter.length, this.#seeds.first, this.#seeds.second], 5);
    footer.set([await checksumOfAll(this.#fences), await checksumOfAll(filter)], 9);
    footer[FOOTER_WORDS - 1] = checksum(footer, 0, FOOTER_WORDS - 1);
    let position = this.#blocks * BLOCK_BYTES;
    for (const part of [this.#fences, filter, footer]) {
      await writeWords(this.#file, part, position);
      position += part.byteLength;
    }
    await this.#file.sync();
    await this.#file.close();
  }

  /** Closes the unfinished file, which the next open removes. */
  async abandon(): Promise<void> {
    await this.#file.close();
  }

  #seal(): void {
    this.#filter.add(this.#hashes, this.#entriesInBlock);
    sealBlock(this.#chunk, this.#blocksInChunk * BLOCK_WORDS, this.#entriesInBlock, this.#blocks, this.#number);
    this.#blocks++;
    this.#blocksInChunk++;
    this.#entriesInBlock = 0;
  }
}
