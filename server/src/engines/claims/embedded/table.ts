/**
 * The memory table: the newest claims, in insertion order and findable by key.
 *
 * Entries lie one after the other in the order in which they were claimed, so that the entries of one claim are one piece of
 * memory and go to the journal as they are. An open-addressing table of slots, at most half full, maps keys to entries.
 */

import { assert } from "../../../kernel/assert.ts";
import { compareKeys, ENTRY_WORDS, placeHash } from "./entry.ts";
import type { Seeds } from "./entry.ts";

export class MemoryTable {
  readonly capacity: number;
  /** `capacity` entries of which the first `count` are in use. */
  readonly entries: Uint32Array<ArrayBuffer>;
  #count = 0;
  /** Index of an entry plus one; 0 marks a free slot. */
  readonly #slots: Uint32Array;
  readonly #mask: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.entries = new Uint32Array(capacity * ENTRY_WORDS);
    const slots = 2 ** Math.ceil(Math.log2(capacity * 2));
    this.#slots = new Uint32Array(slots);
    this.#mask = slots - 1;
  }

  /** A table of the entries of a journal, which may be more than `capacity`. */
  static of(frames: readonly Uint32Array[], seeds: Seeds, capacity: number): MemoryTable {
    const count = frames.reduce((sum, frame) => sum + frame.length / ENTRY_WORDS, 0);
    const table = new MemoryTable(Math.max(capacity, count));
    for (const frame of frames) table.#load(frame, seeds);
    return table;
  }

  get count(): number {
    return this.#count;
  }

  /** Position in `entries` of the entry with the key at `keys[at]`, or -1. `place` is the key's `placeHash`. */
  find(keys: Uint32Array, at: number, place: number): number {
    const index = (this.#slots[this.#slot(keys, at, place)] as number) - 1;
    return index < 0 ? -1 : index * ENTRY_WORDS;
  }

  /**
   * Returns the position in `entries` of the entry with the key at `keys[at]`. When there was none, `count` grows by one,
   * the new entry has its key, and the caller fills in the other words.
   */
  findOrInsert(keys: Uint32Array, at: number, place: number): number {
    const slot = this.#slot(keys, at, place);
    const index = (this.#slots[slot] as number) - 1;
    if (index >= 0) return index * ENTRY_WORDS;
    assert(this.#count < this.capacity, "the claims table is written to a run before it overflows");
    const position = this.#count * ENTRY_WORDS;
    for (let word = 0; word < 4; word++) this.entries[position + word] = keys[at + word] as number;
    this.#count++;
    this.#slots[slot] = this.#count;
    return position;
  }

  /** Inserts whole entries. */
  #load(source: Uint32Array, seeds: Seeds): void {
    for (let at = 0; at < source.length; at += ENTRY_WORDS) {
      const position = this.findOrInsert(source, at, placeHash(source, at, seeds));
      this.entries.set(source.subarray(at, at + ENTRY_WORDS), position);
    }
  }

  clear(): void {
    this.#slots.fill(0);
    this.#count = 0;
  }

  /** The slot that holds the key, or the free one where it belongs. */
  #slot(keys: Uint32Array, at: number, place: number): number {
    let slot = place & this.#mask;
    for (;;) {
      const index = (this.#slots[slot] as number) - 1;
      if (index < 0 || compareKeys(this.entries, index * ENTRY_WORDS, keys, at) === 0) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }
}
