/** MIN: the smallest numeric value. */

import { numericValue } from "../extract.ts";
import type { AggregationSql } from "./aggregation.ts";
import { decimalOf } from "./fixed-point.ts";

export const min: AggregationSql = {
  columns: (tagged) => [`toString(min(${numericValue(tagged)}))`],
  value: ([value]) => decimalOf(value),
};
