/**
 * The writing of a full memory table to a run, on this thread between other work. The table is only read meanwhile: its
 * entries are written in their sorted order without being moved.
 *
 * Radix sort by the first word of the keys, least significant digit first, carrying word and index along so that memory is
 * read in sequence. Keys that share the first word are few, and are compared. Clients can search for event ids whose
 * identities share it, so the comparison sort is one that takes `n log n` steps for any input.
 */

import { join } from "node:path";
import { compareKeys, ENTRY_WORDS } from "./entry.ts";
import type { Seeds } from "./entry.ts";
import { fileName } from "./file.ts";
import type { RunRecord } from "./manifest.ts";
import { Pace } from "./pace.ts";
import { RunWriter } from "./run-writer.ts";
import type { MemoryTable } from "./table.ts";

const DIGIT_BITS = 11;
const DIGIT_VALUES = 2 ** DIGIT_BITS;

export class TableWrite {
  readonly record: RunRecord;
  readonly table: MemoryTable;
  /** Resolves once the contents of the run are written and synced. */
  readonly outcome: Promise<void>;

  /** Starts at once; the outcome's rejection is observed by whoever awaits it, and not reported as unhandled. */
  constructor(directory: string, record: RunRecord, table: MemoryTable, seeds: Seeds) {
    this.record = record;
    this.table = table;
    this.outcome = writeTable(join(directory, fileName("run", record.number)), record, table, seeds);
    this.outcome.catch(() => undefined);
  }

  /** Resolves when nothing is written any more, whatever the outcome. */
  async settled(): Promise<void> {
    await this.outcome.catch(() => undefined);
  }
}

async function writeTable(path: string, record: RunRecord, table: MemoryTable, seeds: Seeds): Promise<void> {
  const { entries, count } = table;
  const pace = new Pace();
  const order = await keyOrder(entries, count, pace);
  const writer = await RunWriter.create(path, record.number, count, seeds);
  try {
    for (const index of order) {
      if (!writer.add(entries, index * ENTRY_WORDS)) continue;
      await writer.writeChunk();
      await pace.rest();
    }
    await writer.finish();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** Entries by the first word of their keys, as parallel columns. */
interface Column {
  readonly words: Uint32Array;
  readonly indices: Uint32Array;
}

/** Resolves with the indices `0 .. count - 1` of the entries in key order; rests between passes as `pace` asks. */
async function keyOrder(entries: Uint32Array, count: number, pace: Pace): Promise<Uint32Array> {
  let column: Column = { words: new Uint32Array(count), indices: new Uint32Array(count) };
  let spare: Column = { words: new Uint32Array(count), indices: new Uint32Array(count) };
  for (let index = 0; index < count; index++) {
    column.words[index] = entries[index * ENTRY_WORDS] as number;
    column.indices[index] = index;
  }
  await pace.rest();
  for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
    distribute(column, spare, shift);
    [column, spare] = [spare, column];
    await pace.rest();
  }
  sortEqualWords(entries, column);
  return column.indices;
}

/** One stable pass: moves the rows of `from` to `to`, ordered by one digit of their words. */
function distribute(from: Column, to: Column, shift: number): void {
  const { words, indices } = from;
  const next = new Uint32Array(DIGIT_VALUES + 1);
  for (const word of words) {
    const after = ((word >>> shift) & (DIGIT_VALUES - 1)) + 1;
    next[after] = (next[after] as number) + 1;
  }
  for (let digit = 0; digit < DIGIT_VALUES; digit++) {
    next[digit + 1] = (next[digit + 1] as number) + (next[digit] as number);
  }
  for (let row = 0; row < words.length; row++) {
    const word = words[row] as number;
    const digit = (word >>> shift) & (DIGIT_VALUES - 1);
    const target = next[digit] as number;
    next[digit] = target + 1;
    to.words[target] = word;
    to.indices[target] = indices[row] as number;
  }
}

/** Orders each group of rows that share their word by the rest of their keys. */
function sortEqualWords(entries: Uint32Array, column: Column): void {
  const { words, indices } = column;
  for (let start = 0; start < words.length;) {
    let end = start + 1;
    while (end < words.length && words[end] === words[start]) end++;
    if (end - start > 1) {
      indices
        .subarray(start, end)
        .sort((left, right) => compareKeys(entries, left * ENTRY_WORDS, entries, right * ENTRY_WORDS));
    }
    start = end;
  }
}
