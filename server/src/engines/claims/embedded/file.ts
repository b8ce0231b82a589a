/**
 * Files of the index: how they are named, read in full, checksummed and made durable.
 *
 * Checksums are CRC-32 (the IEEE 802.3 polynomial, as in zlib and gzip), computed natively.
 */

import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { DamagedClaims } from "./damage.ts";

/** How much is read, written or checksummed before other work may have its turn. */
const PIECE_BYTES = 1024 * 1024;

/** `run` and `7` give `run-00000007`. */
export function fileName(kind: "run" | "journal", number: number): string {
  return `${kind}-${String(number).padStart(8, "0")}`;
}

/** Checksum of `words[from .. to - 1]` as they lie in memory. */
export function checksum(words: Uint32Array, from: number, to: number): number {
  return crc32(asBytes(words.subarray(from, to)));
}

/** Checksum of a large array, piece by piece. */
export async function checksumOfAll(words: Uint32Array): Promise<number> {
  const bytes = asBytes(words);
  let sum = 0;
  for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
    sum = crc32(bytes.subarray(from, from + PIECE_BYTES), sum);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return sum;
}

/** The same memory as bytes. */
export function asBytes(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** Reads `words` full from the byte `position` on; a file that ends before is damaged. */
export async function readWords(file: FileHandle, path: string, words: Uint32Array, position: number): Promise<void> {
  const bytes = asBytes(words);
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(PIECE_BYTES, bytes.length - done);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw new DamagedClaims(path, `it ends at byte ${position + done}, before its contents do`);
    done += bytesRead;
  }
}

/** Writes all of `words` at the byte `position`. */
export async function writeWords(file: FileHandle, words: Uint32Array, position: number): Promise<void> {
  const bytes = asBytes(words);
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(PIECE_BYTES, bytes.length - done);
    const { bytesWritten } = await file.write(bytes, done, length, position + done);
    done += bytesWritten;
  }
}

/** Makes the creation, renaming and removal of files in `directory` durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
