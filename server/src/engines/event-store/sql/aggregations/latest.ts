/** LATEST: the numeric value of the event that is greatest by (time, order of arrival) among those that have one. */

import { numericValue } from "../extract.ts";
import type { AggregationSql } from "./aggregation.ts";
import { decimalOf } from "./fixed-point.ts";

export const latest: AggregationSql = {
  columns: (tagged) => {
    const value = numericValue(tagged);
    const arrival = "tuple(time, ingested_at, log_partition, log_offset)";
    // Over no values argMaxIf yields zero rather than null.
    return [
      `if(count(${value}) = 0, NULL, toString(argMaxIf(assumeNotNull(${value}), ${arrival}, isNotNull(${value}))))`,
    ];
  },
  value: ([value]) => decimalOf(value),
};
