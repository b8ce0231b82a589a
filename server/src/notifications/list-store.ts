/**
 * One page of a list of channels, rules or events.
 *
 * Invariant: the order is total, because what is equal is ordered by id, so pages neither skip nor repeat what does not
 * change meanwhile.
 */

import { type SelectQueryBuilder, sql } from "kysely";
import type { Database } from "../engines/state-store/index.ts";
import { type PageRequest, sliceOfPage } from "../kernel/page.ts";

type ListTable = "notification_channel" | "notification_rule" | "notification_event";

/** Which page, of a list in which order. */
export interface ListPageQuery extends PageRequest {
  readonly orderBy: keyof typeof ORDER_COLUMNS;
  readonly order: "ASC" | "DESC";
}

const ORDER_COLUMNS = { id: "id", type: "type", createdAt: "created_at", updatedAt: "updated_at" } as const;

/** The rows of a page of what the statement selects, and how many there are on all pages. */
export async function listPage<Row>(
  selected: SelectQueryBuilder<Database, ListTable, Row>,
  query: ListPageQuery,
): Promise<{ readonly rows: readonly Row[]; readonly totalCount: number }> {
  const direction = query.order === "ASC" ? "asc" : "desc";
  const { limit, offset } = sliceOfPage(query);
  // Why: what a client shows at once, and how much more there is.
  const rows = await selected
    .orderBy(sql.ref(ORDER_COLUMNS[query.orderBy]), direction)
    .orderBy(sql.ref("id"), direction)
    .limit(limit)
    .offset(offset)
    .execute();
  const counted = selected.clearSelect().select(({ fn }) => fn.countAll<number>().as("count"));
  const { count } = await counted.executeTakeFirstOrThrow();
  return { rows, totalCount: count };
}
