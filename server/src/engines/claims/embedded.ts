/**
 * Embedded claims: an exact, durable index from identity to first log position on the local disk.
 *
 * A log-structured merge tree made for one job: keys are uniformly random, nearly all are new, nothing is ever deleted or
 * changed. New claims enter a memory table and a journal; a full table becomes an immutable sorted run, while a new table
 * takes its place; runs merge in tiers. A lookup asks both tables and the filter of every run, and reads a block only where
 * a filter says maybe.
 *
 * Invariants:
 * 1. An identity is in one table or in exactly one run, never in two places: it enters only after all were asked.
 * 2. Claims and changes of the set of files take turns in one queue; only the writing of runs happens beside it.
 * 3. Memory is never ahead of the disk for longer than one turn: when a write fails, nothing is answered any more, because
 *    a repeated claim would otherwise be answered from memory without being durable.
 *
 * One process writes to a directory at a time; whoever opens the index sees to it (it holds the data directory's lock).
 */

import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { assert } from "../../kernel/assert.ts";
import type { ClaimRequest, ClaimResult, Claims } from "./claims.ts";
import { Batch } from "./embedded/batch.ts";
import { ENTRY_WORDS } from "./embedded/entry.ts";
import type { Seeds } from "./embedded/entry.ts";
import { fileName, syncDirectory } from "./embedded/file.ts";
import { Journal } from "./embedded/journal.ts";
import { emptyManifest, MANIFEST_NAME, readManifest, removeLeftOvers, writeManifest } from "./embedded/manifest.ts";
import type { Manifest, RunRecord } from "./embedded/manifest.ts";
import { BackgroundMerge } from "./embedded/background-merge.ts";
import { Pace } from "./embedded/pace.ts";
import { LOOKUP_LIMIT, Run } from "./embedded/run.ts";
import { MemoryTable } from "./embedded/table.ts";
import { TableWrite } from "./embedded/table-write.ts";

export interface EmbeddedClaimsOptions {
  /** Directory of the index and of nothing else; created when missing. */
  readonly directory: string;
  /** How many identities the memory table holds before it becomes a run. */
  readonly tableCapacity?: number;
  /** How many runs of a tier are merged into one of the next. */
  readonly fanout?: number;
  /** Merges of at least this many entries happen in a thread of their own; starting one takes longer than smaller ones. */
  readonly threadedMergeEntries?: number;
}

/** Identities handled between two offers to rest; about a millisecond. */
const SLICE = 1024;
/** Claims wait for a merge when there are this many times `fanout` runs, because every run makes them slower. */
const RUNS_PER_FANOUT = 6;

/** The files of the index at a moment at which none of them changes. */
export interface ClaimsFiles {
  /** Paths of files that are never written again. */
  readonly sealed: readonly string[];
  /** Paths of files that later claims change. */
  readonly growing: readonly string[];
}

/** Claims in files of the local disk. */
export interface FileClaims extends Claims {
  /**
   * Calls `work` with the files that make up the index. Until it has ended no claim is answered and no file changes, so it
   * should be short. Rejects with the error of `work`, which leaves the index as it is.
   */
  withFiles(work: (files: ClaimsFiles) => Promise<void>): Promise<void>;
}

/** What is open: replaced as a whole whenever the set of files changes. */
interface OpenFiles {
  readonly manifest: Manifest;
  readonly journal: Journal;
  /** The journal of the full table, while there is one. */
  readonly fullJournal: Journal | null;
  /** In the order of the manifest. */
  readonly runs: readonly Run[];
}

/**
 * Opens the index in `directory`, or creates it. Rejects with `DamagedClaims` when a file of the index fails a check. Its
 * `claim` takes offsets of up to 48 bits, rejects every request after a write failed, and does not change its request; the
 * caller leaves the request unchanged until it is answered.
 */
export async function openEmbeddedClaims(options: EmbeddedClaimsOptions): Promise<FileClaims> {
  const { directory, tableCapacity = 131_072, fanout = 8, threadedMergeEntries = 65_536 } = options;
  assert(Number.isInteger(tableCapacity) && tableCapacity >= 1, "the claims table holds at least one identity");
  assert(Number.isInteger(fanout) && fanout >= 2, "at least two runs are merged at a time");
  await mkdir(directory, { recursive: true });
  const stored = await readManifest(directory);
  await removeLeftOvers(directory, stored);
  const opened = stored === undefined ? await createFiles(directory) : await openFiles(directory, stored);
  return new EmbeddedClaims({ directory, tableCapacity, fanout, threadedMergeEntries }, opened);
}

/** The open files, and the entries that belong into the memory tables, frame by frame. */
interface Opened {
  readonly files: OpenFiles;
  readonly entries: readonly Uint32Array[];
  readonly fullEntries: readonly Uint32Array[];
}

async function createFiles(directory: string): Promise<Opened> {
  const random = new Uint32Array(new Uint8Array(randomBytes(8)).buffer);
  const manifest = emptyManifest({ first: random[0] as number, second: random[1] as number }, 1);
  const journal = await Journal.create(directory, manifest.journal);
  await writeManifest(directory, manifest);
  await syncDirectory(dirname(directory));
  return { files: { manifest, journal, fullJournal: null, runs: [] }, entries: [], fullEntries: [] };
}

async function openFiles(directory: string, manifest: Manifest): Promise<Opened> {
  const open: { close(): Promise<void> }[] = [];
  try {
    const runs: Run[] = [];
    for (const record of manifest.runs) {
      const run = await Run.open(directory, record, manifest.seeds);
      open.push(run);
      runs.push(run);
    }
    const full = manifest.fullJournal === null ? null : await Journal.open(directory, manifest.fullJournal);
    if (full !== null) open.push(full.journal);
    const { journal, entries } = await Journal.open(directory, manifest.journal);
    const files = { manifest, journal, fullJournal: full?.journal ?? null, runs };
    return { files, entries, fullEntries: full?.entries ?? [] };
  } catch (error) {
    for (const file of open) await file.close();
    throw error;
  }
}

class EmbeddedClaims implements FileClaims {
  readonly #directory: string;
  readonly #tableCapacity: number;
  readonly #fanout: number;
  readonly #threadedMergeEntries: number;
  readonly #seeds: Seeds;
  #table: MemoryTable;
  /** The table before it, until its run takes its place. */
  #full: MemoryTable | null = null;
  /** An empty table for the next change of tables. */
  #spare: MemoryTable | null = null;
  #files: OpenFiles;
  #write: TableWrite | undefined;
  #merge: BackgroundMerge | undefined;
  #nextNumber: number;
  #queue: Promise<unknown> = Promise.resolve();
  #failure: unknown;
  #closing: Promise<void> | undefined;

  constructor(options: Required<EmbeddedClaimsOptions>, { files, entries, fullEntries }: Opened) {
    this.#directory = options.directory;
    this.#tableCapacity = options.tableCapacity;
    this.#fanout = options.fanout;
    this.#threadedMergeEntries = options.threadedMergeEntries;
    this.#files = files;
    this.#seeds = files.manifest.seeds;
    this.#table = MemoryTable.of(entries, this.#seeds, options.tableCapacity);
    const { journal, fullJournal, runs } = files.manifest;
    this.#nextNumber = 1 + Math.max(journal, fullJournal ?? 0, ...runs.map((run) => run.number));
    if (files.fullJournal !== null) this.#startWrite(MemoryTable.of(fullEntries, this.#seeds, 1));
    this.#startMerge();
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    assert(this.#closing === undefined, "nothing is claimed after the claims were closed");
    const batch = new Batch(request);
    return this.#inTurn(async () => {
      const limit = Math.min(LOOKUP_LIMIT, this.#tableCapacity);
      for (let from = 0; from < batch.count; from += limit) {
        await this.#claimRange(batch, from, Math.min(from + limit, batch.count));
      }
      return batch.result;
    });
  }

  async count(): Promise<number> {
    return this.#inTurn(async () => {
      let count = this.#table.count + (this.#full?.count ?? 0);
      for (const run of this.#files.runs) count += run.record.entries;
      return count;
    });
  }

  async withFiles(work: (files: ClaimsFiles) => Promise<void>): Promise<void> {
    const outcome = await this.#inTurn(async () => {
      const { manifest, runs } = this.#files;
      const path = (name: string): string => join(this.#directory, name);
      const sealed = runs.map((run) => path(fileName("run", run.record.number)));
      const { fullJournal } = manifest;
      const files = {
        sealed: fullJournal === null ? sealed : [...sealed, path(fileName("journal", fullJournal))],
        growing: [path(fileName("journal", manifest.journal)), path(MANIFEST_NAME)],
      };
      // A failure of the turn itself would stop the index, which this work cannot harm.
      return await work(files).then(
        () => null,
        (error: unknown) => ({ error }),
      );
    });
    if (outcome !== null) throw outcome.error;
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#merge?.cancel();
    await this.#queue;
    // After a failure there are no more turns, but the run may still be being written.
    await this.#write?.settled();
    await this.#inTurn(() => this.#awaitWrite()).catch(() => undefined);
    await this.#merge?.settled();
    await this.#files.journal.close();
    await this.#files.fullJournal?.close();
    for (const run of this.#files.runs) await run.close();
  }

  /** Does `work` after everything that was asked before; a failure is final. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      if (this.#failure !== undefined) {
        throw new Error("The claims index stopped after an earlier failure; restart to open it again.", {
          cause: this.#failure,
        });
      }
      try {
        return await work();
      } catch (error) {
        this.#failure = error;
        throw error;
      }
    });
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #claimRange(batch: Batch, from: number, to: number): Promise<void> {
    // Making room first keeps the table as it is between the lookups and the insertions below.
    if (this.#table.count + (to - from) > this.#table.capacity) await this.#changeTables();
    const pace = new Pace();
    const pending = await this.#askTables(batch, from, to, pace);
    await this.#askRuns(batch, pending, pace);
    const before = this.#table.count;
    for (let each = 0; each < pending.length; each++) {
      this.#insert(batch, pending[each] as number);
      if (each % SLICE === SLICE - 1) await pace.rest();
    }
    const added = this.#table.entries.subarray(before * ENTRY_WORDS, this.#table.count * ENTRY_WORDS);
    if (added.length > 0) await this.#files.journal.append(added);
  }

  /** Answers from the memory tables; returns the indices of the identities that they do not know. */
  async #askTables(batch: Batch, from: number, to: number, pace: Pace): Promise<Uint32Array> {
    const tables = this.#full === null ? [this.#table] : [this.#table, this.#full];
    const pending = new Uint32Array(to - from);
    let unknown = 0;
    for (let start = from; start < to; start += SLICE) {
      const end = Math.min(start + SLICE, to);
      batch.hash(start, end, this.#seeds);
      for (let index = start; index < end; index++) {
        if (!tables.some((table) => isAnswered(batch, index, table))) pending[unknown++] = index;
      }
      await pace.rest();
    }
    return pending.subarray(0, unknown);
  }

  /** Answers the `pending` identities that are in a run. All filters are asked before the first block is read. */
  async #askRuns(batch: Batch, pending: Uint32Array, pace: Pace): Promise<void> {
    const lookups = this.#files.runs.map((run) => ({ run, candidates: new Array<number>() }));
    for (let start = 0; start < pending.length; start += SLICE) {
      const end = Math.min(start + SLICE, pending.length);
      for (const { run, candidates } of lookups) run.collectCandidates(batch, pending, start, end, candidates);
      await pace.rest();
    }
    for (const { run, candidates } of lookups) {
      if (candidates.length > 0) await run.lookUp(batch, candidates, pace);
    }
  }

  /** Enters an identity that was nowhere before this request; the first of equal ones in the request wins. */
  #insert(batch: Batch, index: number): void {
    if (batch.isAnswered[index] === 1) return;
    const table = this.#table;
    const before = table.count;
    const at = table.findOrInsert(batch.keys, index * ENTRY_WORDS, batch.places[index] as number);
    if (table.count > before) batch.completeEntry(index, table.entries, at);
    batch.answer(index, table.entries, at);
  }

  /** Begins an empty table with a journal of its own; the full one is written to a run of tier 0 meanwhile. */
  async #changeTables(): Promise<void> {
    if (this.#table.count === 0) return;
    await this.#awaitWrite();
    await this.#awaitFewerRuns();
    const full = this.#table;
    const journal = await Journal.create(this.#directory, this.#nextNumber++);
    await this.#replaceFiles({ journal, fullJournal: this.#files.journal, runs: this.#files.runs });
    this.#table = this.#spare ?? new MemoryTable(this.#tableCapacity);
    this.#spare = null;
    this.#startWrite(full);
  }

  #startWrite(full: MemoryTable): void {
    this.#full = full;
    const record: RunRecord = { number: this.#nextNumber++, tier: 0, entries: full.count };
    const write = new TableWrite(this.#directory, record, full, this.#seeds);
    this.#write = write;
    void write.settled().then(() => this.#inTurn(() => this.#finishWrite(write)).catch(() => undefined));
  }

  /** Puts the run in the place of the full table, once it is written. Does nothing the second time. */
  async #finishWrite(write: TableWrite): Promise<void> {
    if (this.#write !== write) return;
    await write.outcome;
    this.#write = undefined;
    const run = await Run.open(this.#directory, write.record, this.#seeds);
    await this.#replaceFiles({ journal: this.#files.journal, fullJournal: null, runs: [...this.#files.runs, run] });
    write.table.clear();
    // A table that a crash left behind may be of another size.
    this.#spare = write.table.capacity === this.#tableCapacity ? write.table : null;
    this.#full = null;
    this.#startMerge();
  }

  async #awaitWrite(): Promise<void> {
    const write = this.#write;
    if (write === undefined) return;
    await write.settled();
    await this.#finishWrite(write);
  }

  /** Makes these the files that count, then closes and removes those that no longer do. */
  async #replaceFiles(files: Omit<OpenFiles, "manifest">): Promise<void> {
    const before = this.#files;
    const manifest: Manifest = {
      ...before.manifest,
      journal: files.journal.number,
      fullJournal: files.fullJournal?.number ?? null,
      runs: files.runs.map((run) => run.record),
    };
    await writeManifest(this.#directory, manifest);
    this.#files = { ...files, manifest };
    if (before.fullJournal !== null && before.fullJournal !== files.fullJournal) {
      await before.fullJournal.close();
      await rm(join(this.#directory, fileName("journal", before.fullJournal.number)));
    }
    for (const run of before.runs.filter((each) => !files.runs.includes(each))) {
      await run.close();
      await rm(run.path);
    }
  }

  /** Starts merging the oldest runs of the lowest tier that has enough of them, unless a merge is under way. */
  #startMerge(): void {
    if (this.#merge !== undefined || this.#closing !== undefined) return;
    const records = this.#files.manifest.runs;
    const tiers = [...new Set(records.map((record) => record.tier))].toSorted((left, right) => left - right);
    for (const tier of tiers) {
      const inputs = records.filter((record) => record.tier === tier).slice(0, this.#fanout);
      if (inputs.length < this.#fanout) continue;
      const entries = inputs.reduce((sum, record) => sum + record.entries, 0);
      const output = { number: this.#nextNumber++, tier: tier + 1, entries };
      const merge = new BackgroundMerge(
        { directory: this.#directory, inputs, output, seeds: this.#seeds },
        entries >= this.#threadedMergeEntries,
      );
      this.#merge = merge;
      void merge.settled().then(() => this.#inTurn(() => this.#finishMerge(merge)).catch(() => undefined));
      return;
    }
  }

  /** Puts the output of a settled merge in the place of its inputs. Does nothing the second time. */
  async #finishMerge(merge: BackgroundMerge): Promise<void> {
    if (this.#merge !== merge || this.#closing !== undefined) return;
    this.#merge = undefined;
    if (!(await merge.outcome)) return;
    const { inputs, output } = merge.task;
    const run = await Run.open(this.#directory, output, this.#seeds);
    const merged = new Set(inputs.map((record) => record.number));
    const rest = this.#files.runs.filter((each) => !merged.has(each.record.number));
    await this.#replaceFiles({ ...this.#files, runs: [run, ...rest] });
    this.#startMerge();
  }

  /** Holds claims back while merging does not keep up with them. */
  async #awaitFewerRuns(): Promise<void> {
    while (this.#merge !== undefined && this.#files.runs.length >= RUNS_PER_FANOUT * this.#fanout) {
      const merge = this.#merge;
      await merge.settled();
      await this.#finishMerge(merge);
      if (this.#closing !== undefined) return;
    }
  }
}

/** Whether `table` has the identity `index`, and now the batch its answer. */
function isAnswered(batch: Batch, index: number, table: MemoryTable): boolean {
  const at = table.find(batch.keys, index * ENTRY_WORDS, batch.places[index] as number);
  if (at < 0) return false;
  batch.answer(index, table.entries, at);
  return true;
}
