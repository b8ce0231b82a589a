/** MAX: the greatest numeric value. */

import { numericValue } from "../extract.ts";
import type { AggregationSql } from "./aggregation.ts";
import { decimalOf } from "./fixed-point.ts";

export const max: AggregationSql = {
  columns: (tagged) => [`toString(max(${numericValue(tagged)}))`],
  value: ([value]) => decimalOf(value),
};
