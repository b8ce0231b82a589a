/**
 * Entries: the 32 bytes that the index keeps per identity, and the hashes that find them.
 *
 * An entry is eight little-endian 32-bit words, the same in memory, in the journal and in run files:
 *
 *     words 0..3   key: the first 16 bytes of the identity
 *     word  4      offset, bits 0..31
 *     word  5      offset, bits 32..47, and above them the 16 bits of the partition
 *     words 6..7   fingerprint of the payload
 *
 * Keys are ordered word by word as unsigned numbers, word 0 first. Words are read with `as number` because the compiler
 * cannot know that an index lies inside a typed array; every caller derives the index from the array's own count.
 */

import { endianness } from "node:os";
import { assert } from "../../../kernel/assert.ts";

/** 32-bit words of an entry. An identity has as many, so both are addressed with the same stride. */
export const ENTRY_WORDS = 8;
export const ENTRY_BYTES = 32;
export const KEY_WORDS = 4;

/** One past the largest offset that fits an entry. */
export const OFFSET_LIMIT = 2 ** 48;
/** One past the largest partition that fits an entry. */
export const PARTITION_LIMIT = 2 ** 16;

const TWO_TO_32 = 2 ** 32;

assert(endianness() === "LE", "the claims index maps its files to memory as little-endian words");

/**
 * Two secret random words per index. They keep the places of identities in hash tables and filters unpredictable: who may
 * choose event ids can otherwise choose thousands that share a place.
 */
export interface Seeds {
  readonly first: number;
  readonly second: number;
}

/** Orders two keys given as word arrays and positions: negative, zero or positive. */
export function compareKeys(left: Uint32Array, leftAt: number, right: Uint32Array, rightAt: number): number {
  for (let word = 0; word < KEY_WORDS; word++) {
    const difference = (left[leftAt + word] as number) - (right[rightAt + word] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Places the offset of an event and its partition in words 4 and 5 of the entry at `at`. */
export function writePosition(entry: Uint32Array, at: number, partition: number, offset: number): void {
  entry[at + 4] = offset >>> 0;
  entry[at + 5] = (Math.floor(offset / TWO_TO_32) | (partition << 16)) >>> 0;
}

export function readPartition(entry: Uint32Array, at: number): number {
  return (entry[at + 5] as number) >>> 16;
}

export function readOffset(entry: Uint32Array, at: number): number {
  return ((entry[at + 5] as number) & 0xffff) * TWO_TO_32 + (entry[at + 4] as number);
}

/** First hash of the key at `at`: the place in the memory table and the block of a filter. Unsigned 32 bits. */
export function placeHash(key: Uint32Array, at: number, seeds: Seeds): number {
  return mix(key[at] as number, key[at + 1] as number, seeds.first);
}

/** Second hash of the key at `at`, independent of the first: the bits in a filter block. Unsigned 32 bits. */
export function bitsHash(key: Uint32Array, at: number, seeds: Seeds): number {
  return mix(key[at + 2] as number, key[at + 3] as number, seeds.second);
}

/**
 * Mixes two words and a seed into 32 bits, with the multipliers of MurmurHash3's finalizer. The words are SHA-256 output,
 * so uniformity comes for free; the mixing only has to depend on the seed in every bit.
 */
function mix(left: number, right: number, seed: number): number {
  let hash = Math.imul(left ^ seed, 0x85ebca6b);
  hash ^= hash >>> 15;
  hash = Math.imul((hash + right) | 0, 0xc2b2ae35);
  hash ^= hash >>> 13;
  hash = Math.imul(hash ^ seed, 0x85ebca6b);
  return (hash ^ (hash >>> 16)) >>> 0;
}
