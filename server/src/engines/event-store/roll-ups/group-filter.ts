/** Filters over the marked group texts of rows in memory; the same rules as `sql/filters.ts`, for those without patterns. Pure. */

import { assert } from "../../../kernel/assert.ts";
import { compareUtf8 } from "../sql/byte-order.ts";
import type { TextFilter } from "../store.ts";

/** Whether a marked text (`=` and `-`, see `sql/roll-up-rows.ts`) passes the filter. */
export function filterOf(filter: TextFilter): (marked: string) => boolean {
  switch (filter.op) {
    case "eq":
      return (marked) => marked.slice(1) === filter.value;
    case "ne":
      return (marked) => marked.slice(1) !== filter.value;
    case "gt":
      return (marked) => compareUtf8(marked.slice(1), filter.value) > 0;
    case "gte":
      return (marked) => compareUtf8(marked.slice(1), filter.value) >= 0;
    case "lt":
      return (marked) => compareUtf8(marked.slice(1), filter.value) < 0;
    case "lte":
      return (marked) => compareUtf8(marked.slice(1), filter.value) <= 0;
    case "in":
      return (marked) => filter.values.includes(marked.slice(1));
    case "nin":
      return (marked) => !filter.values.includes(marked.slice(1));
    case "exists":
      return (marked) => marked.startsWith("=") === filter.value;
    case "and": {
      const parts = filter.filters.map(filterOf);
      return (marked) => parts.every((isMatch) => isMatch(marked));
    }
    case "or": {
      const parts = filter.filters.map(filterOf);
      return (marked) => parts.some((isMatch) => isMatch(marked));
    }
    default:
      assert(false, "patterns are matched by the engine");
  }
}
