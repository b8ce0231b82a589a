/** LATEST: the numeric value of the event that is greatest by (time, order of arrival) among those that have one. */

import { numericValue } from "../extract.ts";
import { type AggregationSql, STATE_TYPES } from "./aggregation.ts";
import { decimalOf } from "./fixed-point.ts";

const ARRIVAL = "time, ingested_at, log_partition, log_offset";

export const latest: AggregationSql = {
  columns: (tagged) => {
    const value = numericValue(tagged);
    // Over no values argMaxIf yields zero rather than null.
    return [
      `if(count(${value}) = 0, NULL, toString(argMaxIf(assumeNotNull(${value}), tuple(${ARRIVAL}), isNotNull(${value}))))`,
    ];
  },
  states: {
    value_count: (tagged) => `count(${numericValue(tagged)})`,
    // Over no values maxIf yields a tuple of zeros, which is less than that of any event.
    latest: (tagged) => {
      const value = numericValue(tagged);
      return `maxIf(tuple(${ARRIVAL}, assumeNotNull(${value})), isNotNull(${value}))`;
    },
  },
  ownStates: {
    value_count: (tagged) => `isNotNull(${numericValue(tagged)})`,
    latest: (tagged) => {
      const value = numericValue(tagged);
      const none = `defaultValueOfTypeName('${STATE_TYPES.latest.replaceAll("'", "\\'")}')`;
      return `if(isNull(${value}), ${none}, tuple(${ARRIVAL}, assumeNotNull(${value})))`;
    },
  },
  merged: (column) => [
    `if(sum(${column("value_count")}) = 0, NULL, toString(tupleElement(max(${column("latest")}), 5)))`,
  ],
  value: ([value]) => decimalOf(value),
};
