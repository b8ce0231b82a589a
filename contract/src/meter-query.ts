/**
 * Meter queries: usage over time, by window and by group.
 *
 * The GET and POST forms ask the same question; both parse to the same shape, `MeterQueryRequest`, so the server has one
 * path for both. Periods are half-open: `from` counts, `to` does not.
 */
import { createRoute, z } from "@hono/zod-openapi";
import {
  FILTER_DEPTH_LIMIT,
  type FilterString,
  filterStringSchema,
  limitFilterDepth,
  withNestingLimit,
} from "./filters.ts";
import { clientIdSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { meterParamsSchema } from "./meters.ts";
import { problemResponses } from "./problem.ts";
import { gatherDeepObject, jsonParameter, repeatedParameter } from "./query-string.ts";

export const windowSizeSchema = z.enum(["MINUTE", "HOUR", "DAY", "MONTH"]).openapi("WindowSize", {
  description:
    "Length of a window. Days and months are those of `windowTimeZone`, so a day has 23 or 25 hours when clocks change.",
});

/** Length of a window. */
export type WindowSize = z.output<typeof windowSizeSchema>;

const FILTER_CONFLICT = {
  message:
    "advanced meter group by filters and filter group by cannot be used together; move the conditions of filterGroupBy " +
    "into advancedMeterGroupByFilters",
  path: ["advancedMeterGroupByFilters"],
};

interface GroupFilters {
  filterGroupBy?: Record<string, string[]> | undefined;
  advancedMeterGroupByFilters?: Record<string, FilterString> | undefined;
}

function checkGroupFilters(query: GroupFilters, context: z.RefinementCtx): void {
  const { filterGroupBy, advancedMeterGroupByFilters } = query;
  if (filterGroupBy !== undefined && advancedMeterGroupByFilters !== undefined) {
    context.addIssue({ code: "custom", ...FILTER_CONFLICT });
  }
  for (const [key, filter] of Object.entries(advancedMeterGroupByFilters ?? {})) {
    limitFilterDepth(filter, FILTER_DEPTH_LIMIT, ["advancedMeterGroupByFilters", key], context);
  }
}

const from = timestampSchema(
  "Events that happened at this time or later count, to the microsecond. Default: from the first event on.",
  "2026-01-01T00:00:00Z",
).optional();

const to = timestampSchema(
  "Events that happened before this time count. Default: no end, also events dated in the future. Must be after `from`.",
  "2026-02-01T00:00:00Z",
).optional();

const windowSize = windowSizeSchema.optional().openapi({
  description: "Answer one row for each window that has events. Absent: one row for the whole period.",
});

const windowTimeZone = z.string().optional().openapi({
  description: "IANA name of the time zone in which windows are cut, such as `Europe/Budapest`.",
  default: "UTC",
  example: "Europe/Budapest",
});

const subjectItem = z.string().openapi({ description: "A subject, exactly." });
const customerIdItem = z.string().openapi({ description: "Id of a customer." });
const groupByItem = z.string().openapi({ description: "A group-by key of the meter, `subject` or `customer_id`." });

const advancedFilters = withNestingLimit(z.record(z.string(), filterStringSchema));

const SUBJECT = "Only usage of these subjects; rows are grouped by subject.";
const CUSTOMER =
  "Only usage of these customers, by their key and subject keys, at most 100; rows are grouped by customer. An unknown id " +
  "is answered with 404.";
const GROUP_BY =
  "Answer one row for each combination of these: group-by keys of the meter, `subject`, `customer_id` (only together with " +
  "`filterCustomerId`).";
const ADVANCED =
  "Conditions on group-by keys, one filter for each key; all must match. Cannot be used together with `filterGroupBy`.";

const listLimits = { maxItems: 100 };

export const meterQueryRequestSchema = z
  .object({
    clientId: clientIdSchema.optional(),
    from,
    to,
    windowSize,
    windowTimeZone,
    subject: z
      .array(subjectItem)
      .max(100)
      .optional()
      .openapi({ description: `${SUBJECT} At most 100.`, example: ["customer-1"] }),
    filterCustomerId: z.array(customerIdItem).max(100).optional().openapi({ description: CUSTOMER }),
    filterGroupBy: z
      .record(z.string(), z.array(z.string()))
      .optional()
      .openapi({
        description: "For each group-by key, the values that count. An empty array filters nothing.",
        example: { model: ["gpt-5", "gpt-5-mini"] },
      }),
    advancedMeterGroupByFilters: advancedFilters
      .optional()
      .openapi({ description: ADVANCED, example: { model: { $like: "gpt-%" } } }),
    groupBy: z
      .array(groupByItem)
      .max(100)
      .optional()
      .openapi({ description: `${GROUP_BY} At most 100.`, example: ["model"] }),
  })
  .superRefine(checkGroupFilters)
  .openapi("MeterQueryRequest", { description: "A question to a meter. Unknown fields are ignored." });

/** A question to a meter, from either form. */
export type MeterQueryRequest = z.output<typeof meterQueryRequestSchema>;

const filterGroupByParameter = z
  .record(
    z.string(),
    z.preprocess((input) => (typeof input === "string" ? [input] : input), z.array(z.string())),
  )
  .optional()
  .openapi({
    type: "object",
    additionalProperties: { type: "string" },
    deprecated: true,
    description:
      "Only usage where a group-by key has exactly this value, as `filterGroupBy[model]=gpt-5`. Use " +
      "`advancedMeterGroupByFilters` for anything more.",
    param: { style: "deepObject", explode: true, deprecated: true },
  });

const getParameters = {
  clientId: clientIdSchema.optional(),
  from,
  to,
  windowSize,
  windowTimeZone,
  filterCustomerId: repeatedParameter(
    customerIdItem,
    { description: `${CUSTOMER} Repeat it for several.` },
    listLimits,
  ),
  filterGroupBy: filterGroupByParameter,
  advancedMeterGroupByFilters: jsonParameter(advancedFilters, `${ADVANCED} Percent-encoded JSON.`, {
    model: { $like: "gpt-%" },
  }),
  groupBy: repeatedParameter(groupByItem, {
    description: `${GROUP_BY} Repeat it for several.`,
    example: ["model"],
  }),
};

// The explicit type states that the input is a raw query string, and that both forms parse to the same shape.
const gatheredQuerySchema: z.ZodType<MeterQueryRequest> = z
  .object({
    ...getParameters,
    subject: repeatedParameter(subjectItem, {
      description: `${SUBJECT} Repeat it for several.`,
      example: ["customer-1"],
    }),
  })
  .superRefine(checkGroupFilters);

const IGNORED = "Accepted and ignored: a portal token says whose usage is asked for.";

const gatheredPortalSchema: z.ZodType<Omit<MeterQueryRequest, "clientId" | "subject" | "filterCustomerId">> = z
  .object({
    ...getParameters,
    clientId: getParameters.clientId.openapi({ description: "Accepted and ignored." }),
    filterCustomerId: repeatedParameter(customerIdItem, { description: IGNORED }, listLimits),
  })
  .superRefine(checkGroupFilters);

/** Parameters of a query with a portal token. */
export const portalQueryParameters = z.preprocess(
  (query) => gatherDeepObject(query, "filterGroupBy"),
  gatheredPortalSchema,
);

/** Parameters of the GET form; parses to the same shape as the body of the POST form. */
export const queryMeterQuerySchema = z.preprocess(
  (query) => gatherDeepObject(query, "filterGroupBy"),
  gatheredQuerySchema,
);

export const meterQueryRowSchema = z
  .object({
    value: z.number().openapi({
      description:
        "The aggregated value, written with every digit of the exact decimal. Read it with a decimal parser if you need more " +
        "than the 15 to 17 digits of a double.",
      format: "double",
      example: 12500.25,
    }),
    windowStart: timestampSchema(
      "Start of the window, inclusive; without windows `from`, or else the minute of the first event.",
    ),
    windowEnd: timestampSchema(
      "End of the window, exclusive; without windows `to`, or else the minute after the last event.",
      "2026-01-16T10:00:00Z",
    ),
    subject: z.string().nullable().openapi({
      description: "The subject, if grouped by subject; otherwise null.",
      example: "customer-1",
    }),
    customerId: z.string().optional().openapi({
      description: "Id of the customer; only if grouped by customer.",
      example: "01G65Z755AFWAKHE12NY0CQ9FH",
    }),
    groupBy: z.record(z.string(), z.string().nullable()).openapi({
      description: "Values of the group-by keys asked for; empty text where an event has none. `{}` if ungrouped.",
      example: { model: "gpt-5" },
    }),
  })
  .openapi("MeterQueryRow", { description: "One window of one group." });

/** One window of one group. */
export type MeterQueryRow = z.output<typeof meterQueryRowSchema>;

export const meterQueryResultSchema = z
  .object({
    from: timestampSchema("`from` of the request; absent if it had none.", "2026-01-01T00:00:00Z").optional(),
    to: timestampSchema("`to` of the request; absent if it had none.", "2026-02-01T00:00:00Z").optional(),
    windowSize: windowSizeSchema
      .optional()
      .openapi({ description: "`windowSize` of the request; absent if it had none." }),
    data: z.array(meterQueryRowSchema).openapi({
      description: "Rows by ascending `windowStart`. Windows and groups without events have no row.",
    }),
  })
  .openapi("MeterQueryResult", { description: "The usage that a query found." });

/** The usage that a query found. */
export type MeterQueryResult = z.output<typeof meterQueryResultSchema>;

const meterQueryCsvSchema = z.string().openapi({
  description:
    "A header line and one line for each row: `window_start,window_end`, `subject` and `subject_display_name` if grouped " +
    "by subject, the group-by keys, `value` with at least six decimals. Lines end in a line feed.",
  example: "window_start,window_end,model,value\n2026-01-15T00:00:00Z,2026-01-16T00:00:00Z,gpt-5,12500.250000\n",
});

/** What a query answers when it succeeds. */
export const meterQueryResponses = {
  200: {
    description:
      "The usage. CSV if the request says `Accept: text/csv`, with the file name `<slug>.csv`; JSON in every other case.",
    content: {
      "application/json": { schema: meterQueryResultSchema },
      "text/csv": { schema: meterQueryCsvSchema },
    },
  },
};

const queryResponses = {
  ...meterQueryResponses,
  ...problemResponses([400, 404, 500, 503], { 404: "There is no such meter, or no such customer." }),
};

const queryDescription =
  "Usage that the meter counts in a period, exact to the last digit at every moment: events appear within about a second " +
  "of being accepted, in whichever window their time belongs to.\n\n" +
  "Without `windowSize` and `groupBy` the answer is one row. Without events it is empty, except that `COUNT` and " +
  "`UNIQUE_COUNT` answer one row of 0 when neither windowed nor grouped.";

export const queryMeterRoute = createRoute({
  method: "get",
  path: "/api/v1/meters/{meterIdOrSlug}/query",
  operationId: "queryMeter",
  tags: ["Usage"],
  summary: "Query usage",
  description: queryDescription,
  request: { params: meterParamsSchema, query: queryMeterQuerySchema },
  responses: queryResponses,
});

export const queryMeterPostRoute = createRoute({
  method: "post",
  path: "/api/v1/meters/{meterIdOrSlug}/query",
  operationId: "queryMeterPost",
  tags: ["Usage"],
  summary: "Query usage (question in the body)",
  description: `${queryDescription}\n\nThe same as the GET form, for questions too long for a URL.`,
  request: {
    params: meterParamsSchema,
    body: {
      required: true,
      description: "The question.",
      content: {
        "application/json": {
          schema: meterQueryRequestSchema,
          example: {
            from: "2026-01-01T00:00:00Z",
            to: "2026-02-01T00:00:00Z",
            windowSize: "DAY",
            groupBy: ["model"],
          },
        },
      },
    },
  },
  responses: queryResponses,
});
