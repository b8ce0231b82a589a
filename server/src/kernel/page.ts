/**
 * Pages: which part of a list a request asks for.
 *
 * Lists are asked for by page (`page`, `pageSize`; `page[number]`, `page[size]` in v3) or by slice (`limit`, `offset`). The
 * parsers take the raw query parameters and give either the request, with its defaults applied, or every field that is wrong.
 */

import type { FieldError } from "./fault.ts";

/** The raw query parameters by name; a parameter that was not sent is absent. */
export type QueryParameters = Readonly<Record<string, string | undefined>>;

export interface PageRequest {
  /** Counts from 1. */
  readonly page: number;
  readonly pageSize: number;
}

export interface SliceRequest {
  readonly limit: number;
  readonly offset: number;
}

export type Parsed<T> = { readonly value: T } | { readonly errors: readonly FieldError[] };

/** How a style of pagination names its parameters, and the sizes it allows. */
export interface PageStyle {
  readonly pageField: string;
  readonly sizeField: string;
  readonly defaultSize: number;
  readonly maxSize: number;
}

export const pageStyleV1: PageStyle = { pageField: "page", sizeField: "pageSize", defaultSize: 100, maxSize: 1_000 };
export const pageStyleV3: PageStyle = {
  pageField: "page[number]",
  sizeField: "page[size]",
  defaultSize: 20,
  maxSize: 1_000,
};

const defaultLimit = 100;
const maxLimit = 1_000;
/** Keeps `offset` a safe integer. */
const maxNumber = 2_147_483_647;

/** The page that the parameters ask for: by default the first, of the style's default size. */
export function parsePage(query: QueryParameters, style: PageStyle): Parsed<PageRequest> {
  const page = parseCount(query, { field: style.pageField, min: 1, max: maxNumber, fallback: 1 });
  const pageSize = parseCount(query, {
    field: style.sizeField,
    min: 1,
    max: style.maxSize,
    fallback: style.defaultSize,
  });
  if (typeof page === "number" && typeof pageSize === "number") return { value: { page, pageSize } };
  return { errors: [page, pageSize].filter((result) => typeof result !== "number") };
}

/** The slice that `limit` and `offset` ask for: by default the first hundred. */
export function parseSlice(query: QueryParameters): Parsed<SliceRequest> {
  const limit = parseCount(query, { field: "limit", min: 1, max: maxLimit, fallback: defaultLimit });
  const offset = parseCount(query, { field: "offset", min: 0, max: maxNumber, fallback: 0 });
  if (typeof limit === "number" && typeof offset === "number") return { value: { limit, offset } };
  return { errors: [limit, offset].filter((result) => typeof result !== "number") };
}

/** Whether a request names a page rather than a slice; where both are allowed, the page wins. */
export function asksForPage(query: QueryParameters, style: PageStyle): boolean {
  return query[style.pageField] !== undefined || query[style.sizeField] !== undefined;
}

/** The rows of a page. */
export function sliceOfPage({ page, pageSize }: PageRequest): SliceRequest {
  return { limit: pageSize, offset: (page - 1) * pageSize };
}

interface CountRule {
  readonly field: string;
  readonly min: number;
  readonly max: number;
  readonly fallback: number;
}

function parseCount(query: QueryParameters, { field, min, max, fallback }: CountRule): number | FieldError {
  const text = query[field];
  if (text === undefined) return fallback;
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  return { code: "out_of_range", message: `Must be a whole number from ${min} to ${max}.`, field: `$.${field}` };
}
