/**
 * What an aggregation is to the compiler: columns to select over the events of one result row, and a pure function from
 * their cells to the value. Exact decimals travel as text; the last step of an aggregation is plain integer arithmetic.
 *
 * Over events and roll-ups together it takes two steps: each side yields *states*, which are what roll-ups keep, and the
 * cells are computed from all of them.
 */

import type { Binder } from "../fragment.ts";

export type Cell = string | number | null;

/** The columns of roll-ups that hold an aggregation's state, with their ClickHouse types. */
export const STATE_TYPES = {
  /** Events that have a value. */
  value_count: "UInt64",
  value_sum: "Decimal(76, 24)",
  value_min: "Nullable(Decimal(76, 24))",
  value_max: "Nullable(Decimal(76, 24))",
  /** Event time, arrival and value of the event that counts as last; of all zeros where no event has a value. */
  latest: "Tuple(DateTime64(6, 'UTC'), DateTime64(6, 'UTC'), UInt16, UInt64, Decimal(76, 24))",
  distinct_values: "AggregateFunction(uniqExact, String)",
} as const;

export type StateColumn = keyof typeof STATE_TYPES;

export const STATE_COLUMNS: readonly StateColumn[] = [
  "value_count",
  "value_sum",
  "value_min",
  "value_max",
  "latest",
  "distinct_values",
];

/** One state of many, from the expression of a column that holds them. Every combination is exact and in any order. */
export const COMBINED: Readonly<Record<StateColumn, (column: string) => string>> = {
  value_count: (column) => `sum(${column})`,
  value_sum: (column) => `sum(${column})`,
  value_min: (column) => `min(${column})`,
  value_max: (column) => `max(${column})`,
  latest: (column) => `max(${column})`,
  distinct_values: (column) => `uniqExactMergeState(${column})`,
};

export interface AggregationSql {
  /** SQL expressions; `tagged` is the expression of the value's tagged text. */
  readonly columns: (tagged: string, binder: Binder) => readonly string[];
  /** The states of events, by column, from the expression of the value's tagged text; the others are not needed. */
  readonly states: Readonly<Partial<Record<StateColumn, (tagged: string) => string>>>;
  /** The same states of a single event, which take no grouping; absent where there is no such shortcut. */
  readonly ownStates?: Readonly<Partial<Record<StateColumn, (tagged: string) => string>>>;
  /** The cells from rows of states, like those of `columns`; `column` gives the expression of a state column. */
  readonly merged: (column: (name: StateColumn) => string) => readonly string[];
  /** Canonical text of the value; null where no row is to appear. Throws the fault `aggregate_overflow`. */
  readonly value: (cells: readonly Cell[]) => string | null;
}
