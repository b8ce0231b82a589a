/** COUNT: the number of events, whatever their values. */

import { assert } from "../../../../kernel/assert.ts";
import type { AggregationSql } from "./aggregation.ts";

export const count: AggregationSql = {
  columns: () => ["count()"],
  states: { value_count: () => "count()" },
  ownStates: { value_count: () => "1" },
  merged: (column) => [`sum(${column("value_count")})`],
  value: ([cell]) => {
    assert(typeof cell === "number", "a count is a number");
    return String(cell);
  },
};
