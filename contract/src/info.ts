/**
 * Information about the server's own state and knowledge: events counted today, currencies, the progress of long queries.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { timestampSchema } from "./instants.ts";
import { problemResponses } from "./problem.ts";

export const currencySchema = z
  .object({
    code: z
      .string()
      .min(3)
      .max(3)
      .regex(/^[A-Z]{3}$/)
      .openapi({ description: "ISO 4217 code, three upper-case letters.", example: "USD" }),
    name: z.string().openapi({ description: "English name.", example: "US Dollar" }),
    symbol: z.string().openapi({
      description: "Symbol that is shown beside amounts; the code where a currency has none.",
      example: "$",
    }),
    subunits: z.int().min(0).openapi({
      description: "Fractional digits of an amount: 2 for cents, 0 if there is no smaller unit.",
      format: "uint32",
      example: 2,
    }),
  })
  .openapi("Currency", { description: "A currency that amounts can be in." });

/** A currency that amounts can be in. */
export type Currency = z.output<typeof currencySchema>;

function rows(description: string, example: number) {
  return z.int().min(0).openapi({ description, format: "uint64", example });
}

export const progressSchema = z
  .object({
    success: rows("Rows that the query has read so far.", 120_000),
    failed: rows("Rows that it will not read because it failed; 0 otherwise.", 0),
    total: rows("Rows that it plans to read. It is done when `success` and `failed` add up to it.", 480_000),
    updatedAt: timestampSchema("When these numbers were taken."),
  })
  .openapi("Progress", { description: "How far a query has got." });

/** How far a query has got. */
export type Progress = z.output<typeof progressSchema>;

/** Path parameters of `GET /api/v1/info/progress/{id}`. */
export const progressParamsSchema = z.object({
  id: z.string().openapi({ description: "The `clientId` that was sent with the query.", example: "nightly-report" }),
});

export const debugMetricsRoute = createRoute({
  method: "get",
  path: "/api/v1/debug/metrics",
  operationId: "getDebugMetrics",
  tags: ["Debug"],
  summary: "Events of today by subject",
  description:
    "The number of stored events whose time lies in the current day in UTC, for each subject: one counter family in the " +
    "OpenMetrics text format, without its closing line. To see at a glance whether events arrive.",
  responses: {
    200: {
      description: "Counters, one a line.",
      content: {
        "text/plain": {
          schema: z.string().openapi({
            description: "OpenMetrics text format.",
            example: '# TYPE openmeter_events counter\nopenmeter_events_total{subject="customer-1"} 42\n',
          }),
        },
      },
    },
    ...problemResponses([400, 500, 503]),
  },
});

export const listCurrenciesRoute = createRoute({
  method: "get",
  path: "/api/v1/info/currencies",
  operationId: "listCurrencies",
  tags: ["Lookup Information"],
  summary: "List currencies",
  description: "All currencies of ISO 4217 that amounts can be in, sorted by code.",
  responses: {
    200: { description: "The currencies.", content: { "application/json": { schema: z.array(currencySchema) } } },
    ...problemResponses([400, 500]),
  },
});

export const getProgressRoute = createRoute({
  method: "get",
  path: "/api/v1/info/progress/{id}",
  operationId: "getProgress",
  tags: ["Lookup Information"],
  summary: "Progress of a query",
  description:
    "How far the newest meter query or event list with this `clientId` has got, in rows of the event store. Known to the " +
    "server that runs the query, until five minutes after its end.",
  request: { params: progressParamsSchema },
  responses: {
    200: { description: "The progress.", content: { "application/json": { schema: progressSchema } } },
    ...problemResponses([400, 404, 500, 503], { 404: "No query with this `clientId` ran in the last five minutes." }),
  },
});
