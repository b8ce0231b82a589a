/** Compiles the look at the watched queries that run at this moment, and its rows back. */

import type { Cell } from "./aggregations/aggregation.ts";
import type { Statement } from "./fragment.ts";
import { Binder } from "./fragment.ts";
import { text, wholeNumber } from "./listing.ts";

/** What a running query has read, and what it plans to read according to the engine. */
export interface RunningQuery {
  readonly label: string;
  readonly read: number;
  readonly planned: number;
}

/** The running queries whose `log_comment` is one of the labels. Looks at the server's own tables only, not at events. */
export function runningQueriesStatement(labels: readonly string[]): Statement {
  const binder = new Binder();
  return binder.statement(
    "SELECT Settings['log_comment'] AS label, read_rows, total_rows_approx FROM system.processes " +
      `WHERE label IN ${binder.texts(labels)}`,
  );
}

/** Reads a row of the look. */
export function runningQuery(cells: readonly Cell[]): RunningQuery {
  return { label: text(cells[0]), read: wholeNumber(cells[1]), planned: wholeNumber(cells[2]) };
}
