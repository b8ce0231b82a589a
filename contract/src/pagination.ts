/**
 * Pagination: page numbers for short lists, cursors for streams of events.
 *
 * A cursor is opaque. It stands for a position in the order of the list, so that pages neither skip nor repeat items while
 * new ones arrive.
 */
import { z } from "@hono/zod-openapi";
import { integerParameter } from "./query-string.ts";

export const pageParameters = {
  page: integerParameter({ min: 1, fallback: 1 }, "Number of the page, counted from 1."),
  pageSize: integerParameter({ min: 1, max: 1000, fallback: 100 }, "Items per page, 1 to 1000."),
};

/** `limit` of event lists. */
export function limitParameter(what: string) {
  return integerParameter({ min: 1, max: 100, fallback: 100 }, `At most this many ${what} are returned, 1 to 100.`);
}

export const cursorParameter = z.string().optional().openapi({
  description:
    "`nextCursor` of the previous page, unchanged. Leave it out for the first page; keep the other parameters the same.",
});

export const nextCursorSchema = z.string().optional().openapi({
  description: "Send it as `cursor` to get the next page. Absent on the last page.",
});

export const sortOrderSchema = z.enum(["ASC", "DESC"]).openapi("SortOrder", {
  description: "Direction of sorting: `ASC` from small to large, `DESC` from large to small.",
});
