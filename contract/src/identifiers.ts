/**
 * Identifiers: how resources are named on the wire.
 *
 * A resource has an id that the server makes (a ULID, accepted in either case) and most have a slug that people choose. A
 * text of 26 lower-case letters and digits can be both, so the schema of "id or slug" does not say which one it is.
 */
import { z } from "@hono/zod-openapi";

const ULID = /^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$/;
const SLUG = /^[a-z0-9]+(?:_[a-z0-9]+)*$/;
const ULID_EXAMPLE = "01G65Z755AFWAKHE12NY0CQ9FH";

/** An id: 26 characters of Crockford base 32, either case. */
export function ulidSchema(description: string): z.ZodString {
  return z
    .string()
    .regex(ULID, { error: (issue) => `${String(issue.input)} is not an id; an id is a ULID of 26 characters` })
    .openapi({ description, example: ULID_EXAMPLE });
}

/** A slug: 1 to 64 lower-case letters and digits, words joined by single underscores. */
export function slugSchema(description: string): z.ZodString {
  return z
    .string()
    .min(1)
    .max(64)
    .regex(SLUG, {
      error: (issue) =>
        `${JSON.stringify(issue.input)} is not a slug; use lower-case letters and digits, words joined by single ` +
        `underscores, such as tokens_total`,
    })
    .openapi({ description, example: "tokens_total" });
}

/** An id or a slug, as a path parameter takes it. */
export function idOrSlugSchema(description: string): z.ZodString {
  return z
    .string()
    .min(1)
    .max(64)
    .regex(new RegExp(`${SLUG.source}|${ULID.source}`), {
      error: (issue) => `${JSON.stringify(issue.input)} is neither an id (a ULID) nor a slug such as tokens_total`,
    })
    .openapi({ description, example: "tokens_total" });
}

/** A client's own name for a request, under which its progress can be asked for. */
export const clientIdSchema = z
  .string()
  .min(1)
  .max(36)
  .openapi({
    description:
      "A name of 1 to 36 characters that you choose for this request. While the request runs, its progress can be read " +
      "under this name.",
    example: "nightly-report",
  });
