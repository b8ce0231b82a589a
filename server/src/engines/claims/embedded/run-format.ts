/**
 * The layout of run files, shared by their writer and their readers. The README shows it as a picture.
 */

import { ENTRY_WORDS } from "./entry.ts";
import { checksum } from "./file.ts";

/** 4096 bytes: what one read brings in, and what one checksum covers. */
export const BLOCK_WORDS = 1024;
export const BLOCK_BYTES = BLOCK_WORDS * 4;
/** 127 entries leave one entry's room for the trailer. */
export const BLOCK_ENTRIES = BLOCK_WORDS / ENTRY_WORDS - 1;

const TRAILER = BLOCK_ENTRIES * ENTRY_WORDS;
const TRAILER_COUNT = TRAILER;
const TRAILER_BLOCK = TRAILER + 1;
const TRAILER_RUN = TRAILER + 2;
const TRAILER_CHECKSUM = BLOCK_WORDS - 1;

export const FOOTER_WORDS = 16;
export const FOOTER_MAGIC = 0x52594c54; // "TLYR"
export const FOOTER_VERSION = 1;

/** How many blocks a sequential reader or writer moves at once: 256 KiB. */
export const CHUNK_BLOCKS = 64;

/** Completes the block at `words[at]`, which holds `count` entries and zeros behind them. */
export function sealBlock(words: Uint32Array, at: number, count: number, block: number, run: number): void {
  words[at + TRAILER_COUNT] = count;
  words[at + TRAILER_BLOCK] = block;
  words[at + TRAILER_RUN] = run;
  words[at + TRAILER_CHECKSUM] = checksum(words, at, at + TRAILER_CHECKSUM);
}

/** Number of entries of the block at `words[at]`, or -1 if it is not the intact block `block` of the run `run`. */
export function blockCount(words: Uint32Array, at: number, block: number, run: number): number {
  const isIntact =
    words[at + TRAILER_BLOCK] === block &&
    words[at + TRAILER_RUN] === run &&
    words[at + TRAILER_CHECKSUM] === checksum(words, at, at + TRAILER_CHECKSUM);
  return isIntact ? (words[at + TRAILER_COUNT] as number) : -1;
}
