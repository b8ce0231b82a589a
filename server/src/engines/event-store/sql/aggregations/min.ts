/** MIN: the smallest numeric value. */

import { numericValue } from "../extract.ts";
import type { AggregationSql } from "./aggregation.ts";
import { decimalOf } from "./fixed-point.ts";

export const min: AggregationSql = {
  columns: (tagged) => [`toString(min(${numericValue(tagged)}))`],
  states: {
    value_count: (tagged) => `count(${numericValue(tagged)})`,
    value_min: (tagged) => `min(${numericValue(tagged)})`,
  },
  ownStates: {
    value_count: (tagged) => `isNotNull(${numericValue(tagged)})`,
    value_min: (tagged) => numericValue(tagged),
  },
  merged: (column) => [`toString(min(${column("value_min")}))`],
  value: ([value]) => decimalOf(value),
};
