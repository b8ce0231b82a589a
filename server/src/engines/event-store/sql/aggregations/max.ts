/** MAX: the greatest numeric value. */

import { numericValue } from "../extract.ts";
import type { AggregationSql } from "./aggregation.ts";
import { decimalOf } from "./fixed-point.ts";

export const max: AggregationSql = {
  columns: (tagged) => [`toString(max(${numericValue(tagged)}))`],
  states: {
    value_count: (tagged) => `count(${numericValue(tagged)})`,
    value_max: (tagged) => `max(${numericValue(tagged)})`,
  },
  ownStates: {
    value_count: (tagged) => `isNotNull(${numericValue(tagged)})`,
    value_max: (tagged) => numericValue(tagged),
  },
  merged: (column) => [`toString(max(${column("value_max")}))`],
  value: ([value]) => decimalOf(value),
};
