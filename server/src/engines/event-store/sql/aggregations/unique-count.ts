/**
 * UNIQUE_COUNT: the number of distinct canonical texts, exactly. Missing, null, object and array values are ignored; the
 * empty string is a value.
 */

import { assert } from "../../../../kernel/assert.ts";
import { canonicalText, hasText } from "../extract.ts";
import type { AggregationSql } from "./aggregation.ts";

export const uniqueCount: AggregationSql = {
  columns: (tagged) => [`uniqExactIf(${canonicalText(tagged)}, ${hasText(tagged)})`],
  states: {
    value_count: (tagged) => `countIf(${hasText(tagged)})`,
    distinct_values: (tagged) => `uniqExactStateIf(${canonicalText(tagged)}, ${hasText(tagged)})`,
  },
  merged: (column) => [`uniqExactMerge(${column("distinct_values")})`],
  value: ([cell]) => {
    assert(typeof cell === "number", "a count is a number");
    return String(cell);
  },
};
