/**
 * The journal: the entries of the memory table, durable before a claim is answered.
 *
 * A journal is a sequence of frames, each a header of eight words followed by entries; see the README for the layout. A
 * frame is written and synced before the next one is begun. Therefore a crash can tear the last frame only, whose claim was
 * never answered: it is cut off at open. A damaged frame with an intact one behind it is not a torn tail but damage, and
 * is refused.
 */

import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../../kernel/assert.ts";
import { DamagedClaims } from "./damage.ts";
import { ENTRY_BYTES, ENTRY_WORDS } from "./entry.ts";
import { checksum, fileName, readWords, writeWords } from "./file.ts";

const FRAME_MAGIC = 0x4a594c54; // "TLYJ"
const HEADER_WORDS = 8;
const HEADER_BYTES = HEADER_WORDS * 4;

export class Journal {
  readonly number: number;
  readonly #file: FileHandle;
  #frames: number;
  #bytes: number;

  private constructor(number: number, file: FileHandle, frames: number, bytes: number) {
    this.number = number;
    this.#file = file;
    this.#frames = frames;
    this.#bytes = bytes;
  }

  /** Creates an empty journal: a single frame without entries, synced. Its name is durable with the manifest that has it. */
  static async create(directory: string, number: number): Promise<Journal> {
    const file = await open(join(directory, fileName("journal", number)), "w+");
    const journal = new Journal(number, file, 0, 0);
    await journal.append(new Uint32Array(0));
    return journal;
  }

  /** Opens a journal, cuts a torn tail, and returns the entries frame by frame, in order. */
  static async open(directory: string, number: number): Promise<{ journal: Journal; entries: Uint32Array[] }> {
    const path = join(directory, fileName("journal", number));
    const file = await open(path, "r+").catch((error: unknown) => {
      throw new DamagedClaims(path, "it cannot be opened", error);
    });
    try {
      const { size } = await file.stat();
      const words = new Uint32Array(Math.floor(size / 4));
      await readWords(file, path, words, 0);
      const { entries, end } = readFrames(path, words, number);
      if (end * 4 < size) {
        await file.truncate(end * 4);
        await file.sync();
      }
      return { journal: new Journal(number, file, entries.length, end * 4), entries };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The entries of a journal, frame by frame, without changing it; a torn tail is left out. */
  static async read(directory: string, number: number): Promise<readonly Uint32Array[]> {
    const path = join(directory, fileName("journal", number));
    const file = await open(path, "r").catch((error: unknown) => {
      throw new DamagedClaims(path, "it cannot be opened", error);
    });
    try {
      const words = new Uint32Array(Math.floor((await file.stat()).size / 4));
      await readWords(file, path, words, 0);
      return readFrames(path, words, number).entries;
    } finally {
      await file.close();
    }
  }

  /** True when the file holds no entries, or does not hold even its first frame yet. */
  static async isBlank(directory: string, name: string): Promise<boolean> {
    return (await stat(join(directory, name))).size <= HEADER_BYTES;
  }

  /** Appends whole entries as one frame; resolves once they are durable. */
  async append(entries: Uint32Array): Promise<void> {
    const frame = new Uint32Array(HEADER_WORDS + entries.length);
    frame.set(entries, HEADER_WORDS);
    frame[0] = FRAME_MAGIC;
    frame[1] = this.number;
    frame[2] = this.#frames;
    frame[3] = entries.length / ENTRY_WORDS;
    frame[4] = checksum(frame, HEADER_WORDS, frame.length);
    frame[HEADER_WORDS - 1] = checksum(frame, 0, HEADER_WORDS - 1);
    await writeWords(this.#file, frame, this.#bytes);
    await this.#file.datasync();
    this.#bytes += frame.byteLength;
    this.#frames++;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** The entries of the intact frames, and at which word these end. */
function readFrames(path: string, words: Uint32Array, number: number): { entries: Uint32Array[]; end: number } {
  const entries: Uint32Array[] = [];
  let end = 0;
  for (;;) {
    const length = frameLength(words, end, number, entries.length);
    if (length === 0) break;
    entries.push(words.subarray(end + HEADER_WORDS, end + length));
    end += length;
  }
  if (entries.length === 0) throw new DamagedClaims(path, "its first frame does not match its checksum");
  // Frames are multiples of an entry, so a frame behind the damage lies on the same grid.
  for (let at = end + HEADER_WORDS; at < words.length; at += HEADER_WORDS) {
    if (isHeader(words, at, number)) {
      throw new DamagedClaims(path, `the frame at byte ${end * 4} does not match its checksum, but later ones do`);
    }
  }
  return { entries, end };
}

/** Words of the intact frame at `at`, or 0 if there is none with the number `frame`. */
function frameLength(words: Uint32Array, at: number, number: number, frame: number): number {
  if (!isHeader(words, at, number) || words[at + 2] !== frame) return 0;
  const length = HEADER_WORDS + (words[at + 3] as number) * ENTRY_WORDS;
  if (at + length > words.length) return 0;
  return checksum(words, at + HEADER_WORDS, at + length) === words[at + 4] ? length : 0;
}

function isHeader(words: Uint32Array, at: number, number: number): boolean {
  return (
    at + HEADER_WORDS <= words.length &&
    words[at] === FRAME_MAGIC &&
    words[at + 1] === number &&
    words[at + HEADER_WORDS - 1] === checksum(words, at, at + HEADER_WORDS - 1)
  );
}

assert(HEADER_BYTES === ENTRY_BYTES, "journal headers and entries lie on one grid");
