/** SUM: the exact sum of the numeric values. */

import { numericValue } from "../extract.ts";
import type { AggregationSql } from "./aggregation.ts";
import { checkedSum, textFromUnits } from "./fixed-point.ts";

/** The parts that all aggregations by sum and count share; their cells are those that `checkedSum` reads. */
export const sumAndCount: Pick<AggregationSql, "columns" | "states" | "ownStates" | "merged"> = {
  columns: (tagged) => [`toString(sum(${numericValue(tagged)}))`, `count(${numericValue(tagged)})`],
  states: {
    value_count: (tagged) => `count(${numericValue(tagged)})`,
    // A sum over no values is null.
    value_sum: (tagged) => `ifNull(sum(${numericValue(tagged)}), toDecimal256(0, 24))`,
  },
  ownStates: {
    value_count: (tagged) => `isNotNull(${numericValue(tagged)})`,
    value_sum: (tagged) => `ifNull(${numericValue(tagged)}, toDecimal256(0, 24))`,
  },
  merged: (column) => [`toString(sum(${column("value_sum")}))`, `sum(${column("value_count")})`],
};

export const sum: AggregationSql = {
  ...sumAndCount,
  value: (cells) => {
    const total = checkedSum(cells);
    return total === null ? null : textFromUnits(total.units);
  },
};
