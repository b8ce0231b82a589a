/** SUM: the exact sum of the numeric values, guarded against the silent overflow of ClickHouse's decimal sums. */

import { numericValue } from "../extract.ts";
import type { AggregationSql } from "./aggregation.ts";
import { checkedSum, textFromUnits } from "./fixed-point.ts";

/** The cells that `checkedSum` reads. */
export function sumColumns(tagged: string): readonly string[] {
  const value = numericValue(tagged);
  return [`toString(sum(${value}))`, `count(${value})`, `toString(max(abs(${value})))`];
}

export const sum: AggregationSql = {
  columns: sumColumns,
  value: (cells) => {
    const total = checkedSum(cells);
    return total === null ? null : textFromUnits(total.units);
  },
};
