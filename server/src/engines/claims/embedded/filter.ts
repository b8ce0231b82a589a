/**
 * Filters: which keys a run certainly does not hold, without touching the disk.
 *
 * A split-block Bloom filter: a key belongs to one block of 256 bits, one half of a cache line, and sets one bit in each of
 * the block's eight words. Nearly every claim is of a new identity and asks every run, so a lookup costs one cache miss per
 * run. There are no false negatives. A false positive reads a block, which on a disk that is not cached costs as much as a
 * hundred lookups, so bits are spent on having few: 0.016 % at 24 bits per key, 0.042 % at 20.
 */

const BLOCK_WORDS = 8;
const BLOCK_BITS = 256;

/** Runs up to this size are many and cheap to filter well; larger ones are few and decide the memory. */
const GENEROUS_ENTRIES = 4_000_000;
/** Keys whose blocks are fetched from memory, side by side, before the first of them is tested. */
const AHEAD = 1024;

/** Words of a new filter for `entries` keys, a multiple of a block. */
export function filterWords(entries: number): number {
  const bitsPerKey = entries <= GENEROUS_ENTRIES ? 24 : 20;
  return Math.max(1, Math.ceil((entries * bitsPerKey) / BLOCK_BITS)) * BLOCK_WORDS;
}

/** Odd multipliers that draw eight 5-bit numbers from one hash; those of the Parquet format's filter. */
const SALT_0 = 0x47b6137b;
const SALT_1 = 0x44974d91;
const SALT_2 = 0x8824ad5b;
const SALT_3 = 0xa2b7289d;
const SALT_4 = 0x705495c7;
const SALT_5 = 0x2df1424b;
const SALT_6 = 0x9efc4947;
const SALT_7 = 0x5c6bfb31;

/** Two hashes of each key, as parallel columns. */
export interface KeyHashes {
  readonly places: Uint32Array;
  readonly bits: Uint32Array;
}

const IN_ORDER = Uint32Array.from({ length: AHEAD }, (_, index) => index);
/** First words of the blocks of the keys being added or tested, and a word that keeps the fetching from being optimised away. */
const blocks = new Int32Array(AHEAD + 1);

export class Filter {
  readonly words: Uint32Array;
  readonly #blocksPerHash: number;

  /** Takes over `words`, whose length is a multiple of eight. */
  constructor(words: Uint32Array) {
    this.words = words;
    this.#blocksPerHash = words.length / BLOCK_WORDS / 2 ** 32;
  }

  /** Adds the first `count` keys, at most `AHEAD` of them. */
  add(hashes: KeyHashes, count: number): void {
    this.#fetch(hashes.places, IN_ORDER, 0, count);
    for (let each = 0; each < count; each++) this.#set(blocks[each] as number, hashes.bits[each] as number);
  }

  /** Appends to `possible` those of `indices[from .. to - 1]` whose keys, with the hashes at that index, may have been added. */
  collectPossible(hashes: KeyHashes, indices: Uint32Array, from: number, to: number, possible: number[]): void {
    for (let start = from; start < to; start += AHEAD) {
      const end = Math.min(start + AHEAD, to);
      this.#fetch(hashes.places, indices, start, end);
      this.#test(hashes.bits, indices, start, end, possible);
    }
  }

  /**
   * Computes the blocks of the keys and touches each, so that the processor waits for many at a time. Testing a key right
   * after that would make it wait for each: it cannot look past a test whose outcome it cannot guess.
   */
  #fetch(places: Uint32Array, indices: Uint32Array, start: number, end: number): void {
    const words = this.words;
    let touched = 0;
    for (let each = start; each < end; each++) {
      const at = this.#block(places[indices[each] as number] as number);
      blocks[each - start] = at;
      touched ^= words[at] as number;
    }
    blocks[AHEAD] = touched;
  }

  #test(bits: Uint32Array, indices: Uint32Array, start: number, end: number, possible: number[]): void {
    const words = this.words;
    for (let each = start; each < end; each++) {
      const index = indices[each] as number;
      const at = blocks[each - start] as number;
      const hash = bits[index] as number;
      // Four words at once: the outcome of one alone is a coin toss, which is what the processor guesses worst.
      const firstHalf =
        bit(words, at, Math.imul(hash, SALT_0)) &
        bit(words, at + 1, Math.imul(hash, SALT_1)) &
        bit(words, at + 2, Math.imul(hash, SALT_2)) &
        bit(words, at + 3, Math.imul(hash, SALT_3));
      if ((firstHalf & 1) === 0) continue;
      const secondHalf =
        bit(words, at + 4, Math.imul(hash, SALT_4)) &
        bit(words, at + 5, Math.imul(hash, SALT_5)) &
        bit(words, at + 6, Math.imul(hash, SALT_6)) &
        bit(words, at + 7, Math.imul(hash, SALT_7));
      if ((secondHalf & 1) === 1) possible.push(index);
    }
  }

  #set(at: number, hash: number): void {
    const words = this.words;
    setBit(words, at, Math.imul(hash, SALT_0));
    setBit(words, at + 1, Math.imul(hash, SALT_1));
    setBit(words, at + 2, Math.imul(hash, SALT_2));
    setBit(words, at + 3, Math.imul(hash, SALT_3));
    setBit(words, at + 4, Math.imul(hash, SALT_4));
    setBit(words, at + 5, Math.imul(hash, SALT_5));
    setBit(words, at + 6, Math.imul(hash, SALT_6));
    setBit(words, at + 7, Math.imul(hash, SALT_7));
  }

  /** First word of the block: the hash scaled to the number of blocks, which needs no power of two. */
  #block(place: number): number {
    return Math.trunc(place * this.#blocksPerHash) * BLOCK_WORDS;
  }
}

function setBit(words: Uint32Array, at: number, product: number): void {
  words[at] = (words[at] as number) | (1 << (product >>> 27));
}

/** The word with the bit of `product` in the lowest place; the places above it mean nothing. */
function bit(words: Uint32Array, at: number, product: number): number {
  return (words[at] as number) >>> (product >>> 27);
}
