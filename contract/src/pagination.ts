/**
 * Pagination: page numbers for short lists, cursors for streams of events.
 *
 * A cursor is opaque. It stands for a position in the order of the list, so that pages neither skip nor repeat items while
 * new ones arrive.
 */
import { z } from "@hono/zod-openapi";
import { integerParameter, optionalIntegerParameter } from "./query-string.ts";

export const pageParameters = {
  page: integerParameter({ min: 1, fallback: 1 }, "Number of the page, counted from 1."),
  pageSize: integerParameter({ min: 1, max: 1000, fallback: 100 }, "Items per page, 1 to 1000."),
};

/**
 * Parameters of lists that answer a plain array, or a page if the request names `page` or `pageSize`. Those two stay
 * undefined when they are not sent, whatever the document says of their defaults.
 */
export const arrayOrPageParameters = {
  page: optionalIntegerParameter(
    { min: 1, initial: 1 },
    "Number of the page, counted from 1. Sending `page` or `pageSize` makes the answer a page instead of an array.",
  ),
  pageSize: optionalIntegerParameter({ min: 1, max: 1000, initial: 100 }, "Items per page, 1 to 1000."),
  offset: integerParameter({ min: 0, fallback: 0 }, "How many items to skip. Has no effect on pages."),
  limit: integerParameter(
    { min: 1, max: 1000, fallback: 100 },
    "At most this many items are returned, 1 to 1000. Has no effect on pages.",
  ),
};

/** Which part of its list a request asks for, and how it wants it. */
export interface ListPart {
  /** Undefined: a plain array is wanted. */
  readonly page: { readonly page: number; readonly pageSize: number } | undefined;
  readonly limit: number;
  readonly offset: number;
}

/** What the parameters of `arrayOrPageParameters` ask for; a page wins over limit and offset. */
export function listPart(query: {
  readonly page?: number | undefined;
  readonly pageSize?: number | undefined;
  readonly limit: number;
  readonly offset: number;
}): ListPart {
  if (query.page === undefined && query.pageSize === undefined) {
    return { page: undefined, limit: query.limit, offset: query.offset };
  }
  const page = { page: query.page ?? 1, pageSize: query.pageSize ?? 100 };
  return { page, limit: page.pageSize, offset: (page.page - 1) * page.pageSize };
}

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
