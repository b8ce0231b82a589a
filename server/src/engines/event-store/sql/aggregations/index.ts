/** The aggregations by name. */

import type { Aggregation } from "../../store.ts";
import type { AggregationSql } from "./aggregation.ts";
import { avg } from "./avg.ts";
import { count } from "./count.ts";
import { latest } from "./latest.ts";
import { max } from "./max.ts";
import { min } from "./min.ts";
import { sum } from "./sum.ts";
import { uniqueCount } from "./unique-count.ts";

export const AGGREGATIONS: Readonly<Record<Aggregation, AggregationSql>> = {
  SUM: sum,
  COUNT: count,
  AVG: avg,
  MIN: min,
  MAX: max,
  UNIQUE_COUNT: uniqueCount,
  LATEST: latest,
};
