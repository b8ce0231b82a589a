/**
 * Rows of roll-ups kept in memory, for queries over all subjects: a statement takes the engine 3 to 5 ms before it reads
 * anything, adding up a few hundred rows here takes less than one.
 *
 * Rows of a chunk never change and chunk numbers are never used again, so what is kept can be old but never wrong; which chunks
 * count comes with each query. Only levels without subjects are kept, up to a number of rows in all, those longest unused go
 * first. `answer` yields exactly the cells that the statement over the same rows would (`sql/usage.ts`).
 */

import { assert } from "../../../kernel/assert.ts";
import type { Cell } from "../sql/aggregations/aggregation.ts";
import type { TextFilter, UsageQuery } from "../store.ts";
import { offsetSegments } from "../windows.ts";
import { type BucketRow, BucketSum } from "./bucket-sum.ts";
import { outerBuckets } from "./buckets.ts";
import { type Cover, coverOf, type LevelPart } from "./cover.ts";
import { filterOf } from "./group-filter.ts";
import { levelNumber, type RollUp, type RollUpLevel } from "./roll-up.ts";
import { windowNumbers } from "./window-numbers.ts";

/** Rows of these chunks on a level, each with its chunk. More than `limit` rows may be left out. */
export type LoadRows = (
  query: UsageQuery,
  rollUp: RollUp,
  level: RollUpLevel,
  chunks: readonly number[],
  limit: number,
) => Promise<readonly BucketRow[]>;

/** Larger levels are read by statements. */
const MAX_LEVEL_ROWS = 30_000;
/** About 300 bytes each. */
const MAX_ROWS = 200_000;

interface LevelRows {
  /** By chunk; null when the level has too many rows. */
  readonly chunks: Map<number, readonly BucketRow[]> | null;
  readonly rows: number;
}

export class HotBuckets {
  readonly #load: LoadRows;
  /** Longest unused first. */
  readonly #levels = new Map<string, LevelRows>();
  readonly #loading = new Map<string, Promise<LevelRows>>();

  constructor(load: LoadRows) {
    this.#load = load;
  }

  /** The cells of the answer; null when the query needs more than what can be kept here. */
  async answer(query: UsageQuery): Promise<readonly (readonly Cell[])[] | null> {
    const { rollUp } = query;
    if (rollUp === undefined) return null;
    const cover = hotCover(query, rollUp);
    if (cover === null) return null;
    const rows: BucketRow[] = [];
    for (const part of cover.parts) {
      const level = await this.#rowsOf(query, rollUp, part.level);
      if (level.chunks === null) return null;
      for (const chunk of rollUp.chunks) {
        for (const row of level.chunks.get(chunk) ?? []) if (isCounted(rollUp, part, row)) rows.push(row);
      }
    }
    return summed(query, rollUp, rows);
  }

  async #rowsOf(query: UsageQuery, rollUp: RollUp, level: RollUpLevel): Promise<LevelRows> {
    const key = `${rollUp.id}/${levelNumber(level)}`;
    for (;;) {
      const known = this.#levels.get(key);
      const missing = rollUp.chunks.filter((chunk) => known?.chunks?.has(chunk) !== true);
      if (known !== undefined && (known.chunks === null || missing.length === 0)) {
        // Used last, hence at the end.
        this.#levels.delete(key);
        this.#levels.set(key, known);
        return known;
      }
      // Another query that is loading the level may load what this one needs.
      const loading = this.#loading.get(key);
      if (loading !== undefined) {
        await loading;
        continue;
      }
      const promise = this.#loadMissing(query, rollUp, level, known ?? null, missing);
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
    level: RollUpLevel,
    known: LevelRows | null,
    missing: readonly number[],
  ): Promise<LevelRows> {
    // Chunks that do not count any more, because they were merged, are let go.
    const chunks = new Map(rollUp.chunks.map((chunk) => [chunk, known?.chunks?.get(chunk) ?? []]));
    const found = await this.#load(query, rollUp, level, missing, MAX_LEVEL_ROWS + 1);
    const byChunk = Map.groupBy(found, ({ chunk }) => chunk);
    for (const [chunk, rows] of byChunk) chunks.set(chunk, rows);
    const rows = [...chunks.values()].reduce((sum, each) => sum + each.length, 0);
    return rows > MAX_LEVEL_ROWS ? { chunks: null, rows: 0 } : { chunks, rows };
  }

  #keep(key: string, level: LevelRows): void {
    this.#levels.delete(key);
    this.#levels.set(key, level);
    let rows = [...this.#levels.values()].reduce((sum, each) => sum + each.rows, 0);
    for (const [oldest, each] of this.#levels) {
      if (rows <= MAX_ROWS) return;
      if (oldest === key) continue;
      this.#levels.delete(oldest);
      rows -= each.rows;
    }
  }
}

/** How buckets alone answer the query, without events and subjects; null when they do not. */
export function hotCover(query: UsageQuery, rollUp: RollUp): Cover | null {
  // Sets are united by the engine, and a watched query tells how far the engine has got.
  if (query.meter.aggregation === "UNIQUE_COUNT" || query.watchAs !== undefined) return null;
  if (![...query.filters.values()].every(isPlain)) return null;
  const cover = coverOf(query, rollUp);
  if (cover === null || cover.hasTail || cover.edges.length > 0) return null;
  return cover.parts.some(({ level }) => level.bySubject) ? null : cover;
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

/** One row of cells for each window and group, like the statement's. */
function summed(query: UsageQuery, rollUp: RollUp, rows: readonly BucketRow[]): readonly (readonly Cell[])[] {
  const filters = [...query.filters].map(([key, filter]) => [indexOf(rollUp, key), filterOf(filter)] as const);
  const indexes = query.groupBy.map((key) => indexOf(rollUp, key));
  const numbers =
    query.window === undefined
      ? () => [0, 0] as const
      : windowNumbers(query.window.size, offsetSegments(query.window.timeZone, query.from, query.to));
  const sums = new Map<string, { readonly place: readonly Cell[]; readonly sum: BucketSum }>();
  for (const row of rows) {
    if (!filters.every(([index, isMatch]) => isMatch(row.groups[index] ?? "-"))) continue;
    const [number, offset] = numbers(row.bucket);
    // The first character is the mark that filters look at.
    const groups = indexes.map((index) => (row.groups[index] ?? "-").slice(1));
    const key = JSON.stringify([number, offset, ...groups]);
    let found = sums.get(key);
    if (found === undefined) {
      found = { place: [number, offset, ...groups], sum: new BucketSum() };
      sums.set(key, found);
    }
    found.sum.add(row);
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
