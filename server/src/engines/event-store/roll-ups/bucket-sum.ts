/** Adding up states: what `sql/aggregations` does with them in SQL, in whole numbers of 10^-24. Pure. */

import { assert } from "../../../kernel/assert.ts";
import type { Cell } from "../sql/aggregations/aggregation.ts";
import { textFromUnits } from "../sql/aggregations/fixed-point.ts";
import type { Aggregation } from "../store.ts";

/** The states of some events; times in microseconds, values in units of 10^-24. */
export interface UsageState {
  readonly events: number;
  readonly first: number;
  readonly last: number;
  readonly valueCount: number;
  readonly sum: bigint;
  readonly min: bigint | null;
  readonly max: bigint | null;
  /** Event time, ingestion instant, partition and offset of the latest event with a value, and its value. */
  readonly latest: readonly [number, number, number, number, bigint];
}

/** A row of a roll-up. */
export interface BucketRow extends UsageState {
  readonly chunk: number;
  readonly bucket: number;
  /** Marked texts, see `sql/roll-up-rows.ts`; empty on levels without groups. */
  readonly groups: readonly string[];
}

/** The sum of states, and its cells as `AggregationSql.merged` selects them. */
export class BucketSum {
  #events = 0;
  #first = Infinity;
  #last = -Infinity;
  #valueCount = 0;
  #sum = 0n;
  #min: bigint | null = null;
  #max: bigint | null = null;
  #latest: UsageState["latest"] | null = null;

  get events(): number {
    return this.#events;
  }

  /** Of the first event, 0 when there is none. */
  get first(): number {
    return this.#events === 0 ? 0 : this.#first;
  }

  get last(): number {
    return this.#events === 0 ? 0 : this.#last;
  }

  add(row: UsageState): void {
    this.#events += row.events;
    this.#first = Math.min(this.#first, row.first);
    this.#last = Math.max(this.#last, row.last);
    this.#sum += row.sum;
    if (row.min !== null && (this.#min === null || row.min < this.#min)) this.#min = row.min;
    if (row.max !== null && (this.#max === null || row.max > this.#max)) this.#max = row.max;
    if (row.valueCount > 0 && (this.#latest === null || isLater(row.latest, this.#latest))) this.#latest = row.latest;
    this.#valueCount += row.valueCount;
  }

  cells(aggregation: Aggregation): readonly Cell[] {
    switch (aggregation) {
      case "COUNT":
        return [this.#valueCount];
      case "SUM":
      case "AVG":
        return [textFromUnits(this.#sum), this.#valueCount];
      case "MIN":
        return [this.#min === null ? null : textFromUnits(this.#min)];
      case "MAX":
        return [this.#max === null ? null : textFromUnits(this.#max)];
      case "LATEST":
        return [this.#latest === null ? null : textFromUnits(this.#latest[4])];
      case "UNIQUE_COUNT":
        assert(false, "sets are united by the engine");
    }
  }
}

function isLater(a: UsageState["latest"], b: UsageState["latest"]): boolean {
  for (const index of [0, 1, 2, 3] as const) if (a[index] !== b[index]) return a[index] > b[index];
  return false;
}
