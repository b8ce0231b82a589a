/**
 * What an aggregation is to the compiler: columns to select over the events of one result row, and a pure function from
 * their cells to the value. Exact decimals travel as text; the last step of an aggregation is plain integer arithmetic.
 */

import type { Binder } from "../fragment.ts";

export type Cell = string | number | null;

export interface AggregationSql {
  /** SQL expressions; `tagged` is the expression of the value's tagged text. */
  readonly columns: (tagged: string, binder: Binder) => readonly string[];
  /** Canonical text of the value; null where no row is to appear. Throws the fault `aggregate_overflow`. */
  readonly value: (cells: readonly Cell[]) => string | null;
}
