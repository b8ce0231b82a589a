/** AVG: the exact sum divided by the number of numeric values, rounded half away from zero to 24 fractional digits. */

import type { AggregationSql } from "./aggregation.ts";
import { checkedSum, divideHalfAwayFromZero, textFromUnits } from "./fixed-point.ts";
import { sumAndCount } from "./sum.ts";

export const avg: AggregationSql = {
  ...sumAndCount,
  value: (cells) => {
    const total = checkedSum(cells);
    return total === null ? null : textFromUnits(divideHalfAwayFromZero(total.units, total.count));
  },
};
