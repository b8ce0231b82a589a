/**
 * Filters: which keys a run certainly does not hold, without touching the disk.
 *
 * A split-block Bloom filter: a key belongs to one block of 256 bits, one half of a cache line, and sets one bit in each of
 * the block's eight words. Nearly every claim is of a new identity and asks every run, so a lookup costs one cache miss per
 * run and stops at the first unset bit. There are no false negatives; the share of false positives is about 0.14 % at 16
 * bits per key and 0.6 % at 12.
 */

const BLOCK_WORDS = 8;
const BLOCK_BITS = 256;

/** Runs up to this size are many and cheap to filter well; larger ones are few and decide the memory. */
const GENEROUS_ENTRIES = 4_000_000;

/** Words of a filter for `entries` keys, a multiple of a block. */
export function filterWords(entries: number): number {
  const bitsPerKey = entries <= GENEROUS_ENTRIES ? 16 : 12;
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

export class Filter {
  readonly words: Uint32Array;
  readonly #blocksPerHash: number;

  /** Takes over `words`, whose length is a multiple of eight. */
  constructor(words: Uint32Array) {
    this.words = words;
    this.#blocksPerHash = words.length / BLOCK_WORDS / 2 ** 32;
  }

  add(place: number, bits: number): void {
    const words = this.words;
    const at = this.#block(place);
    setBit(words, at, Math.imul(bits, SALT_0));
    setBit(words, at + 1, Math.imul(bits, SALT_1));
    setBit(words, at + 2, Math.imul(bits, SALT_2));
    setBit(words, at + 3, Math.imul(bits, SALT_3));
    setBit(words, at + 4, Math.imul(bits, SALT_4));
    setBit(words, at + 5, Math.imul(bits, SALT_5));
    setBit(words, at + 6, Math.imul(bits, SALT_6));
    setBit(words, at + 7, Math.imul(bits, SALT_7));
  }

  /** False when no key with these hashes was added. */
  mayContain(place: number, bits: number): boolean {
    const words = this.words;
    const at = this.#block(place);
    return (
      hasBit(words, at, Math.imul(bits, SALT_0)) &&
      hasBit(words, at + 1, Math.imul(bits, SALT_1)) &&
      hasBit(words, at + 2, Math.imul(bits, SALT_2)) &&
      hasBit(words, at + 3, Math.imul(bits, SALT_3)) &&
      hasBit(words, at + 4, Math.imul(bits, SALT_4)) &&
      hasBit(words, at + 5, Math.imul(bits, SALT_5)) &&
      hasBit(words, at + 6, Math.imul(bits, SALT_6)) &&
      hasBit(words, at + 7, Math.imul(bits, SALT_7))
    );
  }

  /** First word of the block: the hash scaled to the number of blocks, which needs no power of two. */
  #block(place: number): number {
    return Math.trunc(place * this.#blocksPerHash) * BLOCK_WORDS;
  }
}

function setBit(words: Uint32Array, at: number, product: number): void {
  words[at] = (words[at] as number) | (1 << (product >>> 27));
}

function hasBit(words: Uint32Array, at: number, product: number): boolean {
  return (((words[at] as number) >>> (product >>> 27)) & 1) === 1;
}
