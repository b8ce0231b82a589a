/**
 * Merging: several runs become one, so that a lookup has few filters to ask however many identities there are.
 *
 * A streaming merge: memory is one chunk per input, one for the output, and the output's filter and fences. No identity is
 * in two runs, because an identity enters the index only after every run was asked.
 */

import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../../kernel/assert.ts";
import { DamagedClaims } from "./damage.ts";
import { compareKeys, ENTRY_WORDS } from "./entry.ts";
import type { Seeds } from "./entry.ts";
import { fileName, readWords } from "./file.ts";
import type { RunRecord } from "./manifest.ts";
import { BLOCK_BYTES, BLOCK_ENTRIES, BLOCK_WORDS, blockCount, CHUNK_BLOCKS } from "./run-format.ts";
import { RunWriter } from "./run-writer.ts";

/** Plain data, so that it can be handed to another thread. */
export interface MergeTask {
  readonly directory: string;
  readonly inputs: readonly RunRecord[];
  readonly output: RunRecord;
  readonly seeds: Seeds;
  /** One shared word; storing 1 asks the merge to stop. */
  readonly cancel: Int32Array<SharedArrayBuffer>;
}

/** Writes the output run. Resolves with false, leaving a partial file, when it was cancelled. */
export async function mergeRuns(task: MergeTask): Promise<boolean> {
  const { directory, output, seeds } = task;
  const path = join(directory, fileName("run", output.number));
  const cursors: RunCursor[] = [];
  let writer: RunWriter | undefined;
  try {
    for (const input of task.inputs) cursors.push(await RunCursor.open(directory, input));
    writer = await RunWriter.create(path, output.number, output.entries, seeds);
    if (!(await mergeInto(writer, cursors, task.cancel))) {
      await writer.abandon();
      return false;
    }
    await writer.finish();
    return true;
  } catch (error) {
    await writer?.abandon();
    throw error;
  } finally {
    for (const cursor of cursors) await cursor.close();
  }
}

async function mergeInto(writer: RunWriter, cursors: RunCursor[], cancel: Int32Array): Promise<boolean> {
  const open = [...cursors];
  // Beside each other in memory, where most comparisons end.
  const heads = open.map(headOf);
  while (open.length > 0) {
    let least = 0;
    let head = heads[0] as number;
    for (let each = 1; each < heads.length; each++) {
      const other = heads[each] as number;
      if (other > head || (other === head && isBefore(open[least], open[each]))) continue;
      least = each;
      head = other;
    }
    const cursor = open[least];
    assert(cursor !== undefined, "the least of several runs is one of them");
    if (writer.add(cursor.words, cursor.at)) {
      if (Atomics.load(cancel, 0) !== 0) return false;
      await writer.writeChunk();
    }
    if (cursor.advance() || (await cursor.refill())) {
      heads[least] = headOf(cursor);
    } else {
      open.splice(least, 1);
      heads.splice(least, 1);
    }
  }
  return true;
}

/** The first 53 bits of the current key, ordered as keys are. */
function headOf({ words, at }: RunCursor): number {
  return (words[at] as number) * 2 ** 21 + ((words[at + 1] as number) >>> 11);
}

function isBefore(left: RunCursor | undefined, right: RunCursor | undefined): boolean {
  assert(left !== undefined && right !== undefined, "only runs with entries left are compared");
  const order = compareKeys(left.words, left.at, right.words, right.at);
  assert(order !== 0, "no identity is in two runs");
  return order < 0;
}

/** Reads the entries of a run in order, and verifies the checksum of every block. */
export class RunCursor {
  readonly words = new Uint32Array(CHUNK_BLOCKS * BLOCK_WORDS);
  /** Position in `words` of the current entry. */
  at = 0;
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #run: RunRecord;
  readonly #blocks: number;
  /** First block of the chunk, and one past its last. */
  #chunkStart = 0;
  #chunkEnd = 0;
  #blockEnd = 0;

  private constructor(file: FileHandle, path: string, run: RunRecord) {
    this.#file = file;
    this.#path = path;
    this.#run = run;
    this.#blocks = Math.ceil(run.entries / BLOCK_ENTRIES);
  }

  /** Opens a run at its first entry. */
  static async open(directory: string, run: RunRecord): Promise<RunCursor> {
    const path = join(directory, fileName("run", run.number));
    const cursor = new RunCursor(await open(path, "r"), path, run);
    try {
      await cursor.refill();
      return cursor;
    } catch (error) {
      await cursor.close();
      throw error;
    }
  }

  /** Moves to the next entry in memory; false asks for `refill`. */
  advance(): boolean {
    this.at += ENTRY_WORDS;
    if (this.at < this.#blockEnd) return true;
    const block = this.#chunkStart + Math.floor(this.at / BLOCK_WORDS) + 1;
    if (block >= this.#chunkEnd) return false;
    this.#enter(block);
    return true;
  }

  /** Reads the next chunk and moves to its first entry; false at the end of the run. */
  async refill(): Promise<boolean> {
    const start = this.#chunkEnd;
    if (start === this.#blocks) return false;
    const end = Math.min(start + CHUNK_BLOCKS, this.#blocks);
    await readWords(this.#file, this.#path, this.words.subarray(0, (end - start) * BLOCK_WORDS), start * BLOCK_BYTES);
    this.#chunkStart = start;
    this.#chunkEnd = end;
    this.#enter(start);
    return true;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #enter(block: number): void {
    const at = (block - this.#chunkStart) * BLOCK_WORDS;
    const count = blockCount(this.words, at, block, this.#run.number);
    if (count <= 0) throw new DamagedClaims(this.#path, `block ${block} does not match its checksum`);
    this.at = at;
    this.#blockEnd = at + count * ENTRY_WORDS;
  }
}
