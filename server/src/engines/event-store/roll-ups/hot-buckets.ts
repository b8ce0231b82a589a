/**
 * Rows of roll-ups kept in memory, for queries over all subjects: a statement takes the engine 3 to 5 ms before it reads
 * anything, adding up a few hundred rows here takes less than one.
 *
 * Rows of a chunk never change and chunk numbers are never used again, so what is kept can be old but never wrong; which chunks
 * count comes with each query. Only levels without subjects are kept, those of minutes by the day, up to a number of rows in all;
 * those longest unused go first.
 *
 * A bucket that a bound of the query cuts is known from its rows as well, if the events of each lie on one side of the bound: a
 * row tells when its first and its last event were. So a query until now needs no events, though now is within a bucket.
 *
 * What of a query is not in kept rows (larger levels, the events around whole buckets and after the coverage) comes from one
 * statement, as states that are added to those of the rows. `answer` yields exactly the cells that one statement over
 * everything would (`sql/usage.ts`).
 */

import { assert } from "../../../kernel/assert.ts";
import type { Period } from "../../../kernel/period.ts";
import type { Cell } from "../sql/aggregations/aggregation.ts";
import type { TextFilter, UsageQuery } from "../store.ts";
import { END_OF_EVENT_TIME, FIRST_EVENT_TIME, offsetSegments } from "../windows.ts";
import { type BucketRow, BucketSum, type UsageState } from "./bucket-sum.ts";
import { mergedPeriods, nextBucketStart, outerBuckets } from "./buckets.ts";
import { type Cover, coverOf, levelsFor, type LevelPart } from "./cover.ts";
import { filterOf } from "./group-filter.ts";
import { levelNumber, type RollUp, type RollUpLevel } from "./roll-up.ts";
import { windowNumbers } from "./window-numbers.ts";

/** States of some events of a result row, which is known by its window (number, UTC offset) and its groups. */
export interface PlacedState {
  readonly place: readonly Cell[];
  readonly state: UsageState;
}

/** What of a level is loaded and kept as one. */
export interface Block {
  readonly level: RollUpLevel;
  readonly period: Period;
}

/** What the rows come from. */
export interface HotSource {
  /** Rows of these chunks in a block, each with its chunk. More than `limit` rows may be left out. */
  rows(
    query: UsageQuery,
    rollUp: RollUp,
    block: Block,
    chunks: readonly number[],
    limit: number,
  ): Promise<readonly BucketRow[]>;
  /** The states of everything in the cover. */
  states(query: UsageQuery, rollUp: RollUp, cover: Cover): Promise<readonly PlacedState[]>;
}

/** Blocks with more rows are read by statements. */
const MAX_BLOCK_ROWS = 30_000;
/** Two days around the bounds of a query, and as many more; of a longer time, minutes are read by statements. */
const MAX_BLOCKS = 4;
const ALL_TIME: Period = { from: FIRST_EVENT_TIME, to: END_OF_EVENT_TIME };
/** More edges than the two of a period come of windows that cut buckets, of which most have events on both sides. */
const MAX_DECIDED_EDGES = 2;
/** About 300 bytes each. */
const MAX_ROWS = 200_000;

interface BlockRows {
  /** By chunk; null when the block has too many rows. */
  readonly chunks: Map<number, readonly BucketRow[]> | null;
  readonly rows: number;
}

export class HotBuckets {
  readonly #source: HotSource;
  readonly #maxBlockRows: number;
  /** Longest unused first. */
  readonly #blocks = new Map<string, BlockRows>();
  readonly #loading = new Map<string, Promise<BlockRows>>();

  constructor(source: HotSource, maxBlockRows = MAX_BLOCK_ROWS) {
    this.#source = source;
    this.#maxBlockRows = maxBlockRows;
  }

  /** The cells of the answer; null when kept rows are of no use to the query. */
  async answer(query: UsageQuery): Promise<readonly (readonly Cell[])[] | null> {
    const { rollUp } = query;
    if (rollUp === undefined) return null;
    const cover = hotCover(query, rollUp);
    if (cover === null) return null;
    const parts = await Promise.all(
      cover.parts.map(async (part) => ({ part, rows: await this.#countedRows(query, rollUp, part) })),
    );
    const kept = parts.flatMap(({ rows }) => (rows === null ? [] : [rows.map((row) => ({ row, at: row.bucket }))]));
    if (kept.length === 0) return null;
    const edges = await Promise.all(
      cover.edges.map(async (edge) => ({ edge, rows: await this.#edgeRows(query, rollUp, cover, edge) })),
    );
    kept.push(...edges.flatMap(({ rows }) => (rows === null ? [] : [rows.map((row) => ({ row, at: row.first }))])));
    const rest = {
      parts: parts.flatMap(({ part, rows }) => (rows === null ? part : [])),
      edges: edges.flatMap(({ edge, rows }) => (rows === null ? edge : [])),
      hasTail: cover.hasTail,
    };
    const hasRest = rest.parts.length > 0 || rest.edges.length > 0 || rest.hasTail;
    const states = hasRest ? await this.#source.states(query, rollUp, rest) : [];
    return summed(query, [...placedRows(query, rollUp, kept.flat()), ...states]);
  }

  /** The rows of just the events in the edge; null when that cannot be told from rows that are kept. */
  async #edgeRows(query: UsageQuery, rollUp: RollUp, cover: Cover, edge: Period): Promise<readonly BucketRow[] | null> {
    const level = finestLevel(query, rollUp);
    if (level === null || cover.edges.length > MAX_DECIDED_EDGES) return null;
    const buckets = outerBuckets(level.grain, edge);
    if (rollUp.stale.some((period) => isOverlapping(outerBuckets(level.grain, period), buckets))) return null;
    const rows = await this.#countedRows(query, rollUp, { level, periods: [buckets] });
    const touching = rows?.filter(({ first, last }) => first < edge.to && edge.from <= last) ?? null;
    const windowOf = windowsOf(query);
    const isWithin = ({ first, last }: BucketRow): boolean =>
      edge.from <= first && last < edge.to && windowOf(first).join() === windowOf(last).join();
    return touching?.every(isWithin) === true ? touching : null;
  }

  /** The rows of the part that count; null when they are too many to be kept. */
  async #countedRows(query: UsageQuery, rollUp: RollUp, part: LevelPart): Promise<readonly BucketRow[] | null> {
    const blocks = blocksOf(part);
    if (blocks.length > MAX_BLOCKS) return null;
    const loaded = await Promise.all(blocks.map((block) => this.#rowsOf(query, rollUp, block)));
    const rows: BucketRow[] = [];
    for (const { chunks } of loaded) {
      if (chunks === null) return null;
      for (const chunk of rollUp.chunks) {
        for (const row of chunks.get(chunk) ?? []) if (isCounted(rollUp, part, row)) rows.push(row);
      }
    }
    return rows;
  }

  async #rowsOf(query: UsageQuery, rollUp: RollUp, block: Block): Promise<BlockRows> {
    const key = `${rollUp.id}/${levelNumber(block.level)}/${block.period.from}`;
    for (;;) {
      const known = this.#blocks.get(key);
      const missing = rollUp.chunks.filter((chunk) => known?.chunks?.has(chunk) !== true);
      if (known !== undefined && (known.chunks === null || missing.length === 0)) {
        // Used last, hence at the end.
        this.#blocks.delete(key);
        this.#blocks.set(key, known);
        return known;
      }
      // Another query that is loading the block may load what this one needs.
      const loading = this.#loading.get(key);
      if (loading !== undefined) {
        await loading;
        continue;
      }
      const promise = this.#loadMissing(query, rollUp, block, known ?? null, missing);
      this.#loading.set(key, promise);
      try {
        this.#keep(key, await promise);
      } finally {
        this.#loading.delete(key);
      }
    }
  }

  async #loadMissing(
    query: UsageQuery,
    rollUp: RollUp,
    block: Block,
    known: BlockRows | null,
    missing: readonly number[],
  ): Promise<BlockRows> {
    // Chunks that do not count any more, because they were merged, are let go.
    const chunks = new Map(rollUp.chunks.map((chunk) => [chunk, known?.chunks?.get(chunk) ?? []]));
    const found = await this.#source.rows(query, rollUp, block, missing, this.#maxBlockRows + 1);
    const byChunk = Map.groupBy(found, ({ chunk }) => chunk);
    for (const [chunk, rows] of byChunk) chunks.set(chunk, rows);
    const rows = [...chunks.values()].reduce((sum, each) => sum + each.length, 0);
    return rows > this.#maxBlockRows ? { chunks: null, rows: 0 } : { chunks, rows };
  }

  #keep(key: string, block: BlockRows): void {
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    let rows = [...this.#blocks.values()].reduce((sum, each) => sum + each.rows, 0);
    for (const [oldest, each] of this.#blocks) {
      if (rows <= MAX_ROWS) return;
      if (oldest === key) continue;
      this.#blocks.delete(oldest);
      rows -= each.rows;
    }
  }
}

/** How buckets answer the query, without subjects; null when they do not. */
export function hotCover(query: UsageQuery, rollUp: RollUp): Cover | null {
  // Sets are united by the engine, and a watched query tells how far the engine has got.
  if (query.meter.aggregation === "UNIQUE_COUNT" || query.watchAs !== undefined) return null;
  if (![...query.filters.values()].every(isPlain)) return null;
  const cover = coverOf(query, rollUp);
  return cover === null || cover.parts.some(({ level }) => level.bySubject) ? null : cover;
}

/** Of the levels that tell apart what the query does, the finest; null when its rows are events. */
function finestLevel(query: UsageQuery, rollUp: RollUp): RollUpLevel | null {
  const levels = levelsFor(query, rollUp);
  const grain = levels.at(-1)?.grain;
  return grain === "MICROSECOND" ? null : (levels.find((level) => level.grain === grain) ?? null);
}

function isOverlapping(a: Period, b: Period): boolean {
  return a.from < b.to && b.from < a.to;
}

/** The blocks that the part lies in: days for small buckets, all time for the others. */
function blocksOf({ level, periods }: LevelPart): readonly Block[] {
  if (level.grain !== "MINUTE" && level.grain !== "MICROSECOND") return [{ level, period: ALL_TIME }];
  const days = mergedPeriods(periods.map((period) => outerBuckets("DAY", period)));
  const blocks: Block[] = [];
  for (const { from, to } of days) {
    for (let start = from; start < to && blocks.length <= MAX_BLOCKS; start = nextBucketStart("DAY", start)) {
      blocks.push({ level, period: { from: start, to: nextBucketStart("DAY", start) } });
    }
  }
  return blocks;
}

/** Patterns and letters without case are left to the engine. */
function isPlain(filter: TextFilter): boolean {
  switch (filter.op) {
    case "and":
    case "or":
      return filter.filters.every(isPlain);
    default:
      return ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists"].includes(filter.op);
  }
}

function isCounted(rollUp: RollUp, part: LevelPart, row: BucketRow): boolean {
  if (!part.periods.some(({ from, to }) => from <= row.bucket && row.bucket < to)) return false;
  return !rollUp.rebuilt.some(({ period, replaces }) => {
    if (!replaces.includes(row.chunk)) return false;
    const { from, to } = outerBuckets(part.level.grain, period);
    return from <= row.bucket && row.bucket < to;
  });
}

/** The rows that pass the filters, each with its groups and the window that `at` is in. */
function placedRows(
  query: UsageQuery,
  rollUp: RollUp,
  rows: readonly { readonly row: BucketRow; readonly at: number }[],
): readonly PlacedState[] {
  const filters = [...query.filters].map(([key, filter]) => [indexOf(rollUp, key), filterOf(filter)] as const);
  const indexes = query.groupBy.map((key) => indexOf(rollUp, key));
  const windowOf = windowsOf(query);
  return rows
    .filter(({ row }) => filters.every(([index, isMatch]) => isMatch(row.groups[index] ?? "-")))
    .map(({ row, at }) => {
      // The first character is the mark that filters look at.
      const groups = indexes.map((index) => (row.groups[index] ?? "-").slice(1));
      return { place: [...windowOf(at), ...groups], state: row };
    });
}

/** For an instant in microseconds, what tells the query's window of it from others. */
function windowsOf({ window, from, to }: UsageQuery): (micros: number) => readonly [number, number] {
  return window === undefined
    ? () => [0, 0] as const
    : windowNumbers(window.size, offsetSegments(window.timeZone, from, to));
}

/** One row of cells for each window and group, like the statement's. */
function summed(query: UsageQuery, states: readonly PlacedState[]): readonly (readonly Cell[])[] {
  const sums = new Map<string, { readonly place: readonly Cell[]; readonly sum: BucketSum }>();
  for (const { place, state } of states) {
    const key = JSON.stringify(place);
    let found = sums.get(key);
    if (found === undefined) {
      found = { place, sum: new BucketSum() };
      sums.set(key, found);
    }
    found.sum.add(state);
  }
  // Without windows and groups there is one row even over nothing.
  if (sums.size === 0 && query.window === undefined && query.groupBy.length === 0) {
    sums.set("", { place: [0, 0], sum: new BucketSum() });
  }
  return [...sums.values()].map(({ place, sum }) => [
    sum.events,
    sum.first,
    sum.last,
    ...place,
    ...sum.cells(query.meter.aggregation),
  ]);
}

function indexOf(rollUp: RollUp, key: string): number {
  const index = rollUp.groupKeys.indexOf(key);
  assert(index >= 0, "a query names only group-by keys of its meter");
  return index;
}
