/**
 * Instants on the wire: RFC 3339 text with a mandatory offset.
 *
 * The schemas only require text. The server's own parser decides about the text itself, because it must keep
 * microseconds, which a `Date` cannot hold, and must say in one voice what is wrong with a time.
 */
import { z } from "@hono/zod-openapi";

/** RFC 3339 text such as `2026-01-15T10:00:00Z` or `2026-01-15T11:00:00.250+01:00`; not yet parsed. */
export function timestampSchema(description: string, example = "2026-01-15T10:00:00Z"): z.ZodString {
  return z.string().openapi({ format: "date-time", description, example });
}
