/**
 * Meters: how events become a number.
 *
 * A meter stores no usage. It is a function over the events of one type, so a new meter also counts the events that
 * arrived before it. What would change the meaning of past numbers (slug, aggregation, event type, value property, start)
 * is fixed at creation.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { idOrSlugSchema, slugSchema, ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { pageParameters, sortOrderSchema } from "./pagination.ts";
import { problemResponses } from "./problem.ts";
import { booleanParameter } from "./query-string.ts";

const GROUP_BY_KEY = /^[a-zA-Z_][0-9a-zA-Z_]*$/;

export const meterAggregationSchema = z
  .enum(["SUM", "COUNT", "UNIQUE_COUNT", "AVG", "MIN", "MAX", "LATEST"])
  .openapi("MeterAggregation", {
    description:
      "How the values of a window become one: `SUM`, `AVG`, `MIN`, `MAX` of the values, `LATEST` value by event time, " +
      "`COUNT` of events, `UNIQUE_COUNT` of distinct values. All are exact decimals, none is an estimate.",
    example: "SUM",
  });

/** How values become one. */
export type MeterAggregation = z.output<typeof meterAggregationSchema>;

export const metadataSchema = z.record(z.string(), z.string()).openapi({
  description: "Your own notes on the resource, text by key. Tallystick stores and returns them and nothing else.",
  example: { team: "inference" },
});

export const annotationsSchema = z.record(z.string(), z.unknown()).openapi({
  additionalProperties: true,
  description: "Notes that the server made on the resource.",
});

const name = z.string().min(1).max(256).openapi({
  description: "Name for people, 1 to 256 characters. Default: the slug.",
  example: "Tokens",
});

const description = z.string().min(1).max(1024).openapi({
  description: "What the meter measures, 1 to 1024 characters.",
  example: "Tokens of all prompts, input and output together.",
});

const metadata = metadataSchema
  .nullable()
  .optional()
  .openapi({ description: "Your own notes, text by key; null is none." });

const groupBy = z
  .record(
    z.string().regex(GROUP_BY_KEY, {
      error: (issue) =>
        `${JSON.stringify(issue.input)} must start with a letter or underscore and hold only letters, digits and underscores`,
    }),
    z.string().min(1),
  )
  .openapi({
    description:
      "Properties by which queries can group and filter: a key (letters, digits and underscores, not starting with a digit) " +
      "and the JSONPath of its value in the event's `data`. `subject` and `customer_id` are always available and reserved.",
    example: { model: "$.model" },
  });

const definition = {
  slug: slugSchema(
    "Name for programs: 1 to 64 lower-case letters and digits, words joined by single underscores. Unique among meters " +
      "that are not deleted. Fixed at creation.",
  ),
  aggregation: meterAggregationSchema.openapi({ description: "How values become one. Fixed at creation." }),
  eventType: z.string().min(1).openapi({
    description: "The meter covers the events of exactly this `type`. Fixed at creation.",
    example: "prompt",
  }),
  eventFrom: timestampSchema(
    "Events before this time never count. Absent: all events count, also those before the meter's creation. Fixed at creation.",
    "2026-01-01T00:00:00Z",
  ).optional(),
  valueProperty: z
    .string()
    .min(1)
    .optional()
    .openapi({
      description:
        "JSONPath of the value in the event's `data`, starting with `$`: a number, or text that holds one. Required, except " +
        "with `COUNT`, where it is not allowed. Fixed at creation.",
      example: "$.tokens",
    }),
};

export const meterSchema = z
  .object({
    id: ulidSchema("Id of the meter, made by the server.").openapi({ readOnly: true }),
    ...definition,
    name: name.optional(),
    description: description.optional(),
    groupBy: groupBy.optional(),
    metadata,
    annotations: annotationsSchema
      .nullable()
      .optional()
      .openapi({ description: "Notes that the server made.", readOnly: true }),
    createdAt: timestampSchema("When the meter was created.").openapi({ readOnly: true }),
    updatedAt: timestampSchema("When the meter was last changed.").openapi({ readOnly: true }),
    deletedAt: timestampSchema("When the meter was deleted; absent while it exists.", "2026-03-01T00:00:00Z")
      .optional()
      .openapi({ readOnly: true }),
  })
  .openapi("Meter", { description: "How the events of one type become a number." });

/** A meter as answered. */
export type Meter = z.output<typeof meterSchema>;

export const meterCreateSchema = z
  .object({
    ...definition,
    name: name.optional(),
    description: description.optional(),
    groupBy: groupBy.optional(),
    metadata,
  })
  .openapi("MeterCreate", { description: "A new meter. Unknown and read-only fields are ignored." });

/** A new meter as requested. */
export type MeterCreate = z.output<typeof meterCreateSchema>;

export const meterUpdateSchema = z
  .object({
    name: name.optional().openapi({ description: "New name for people; when left out, the name becomes the slug." }),
    description: description
      .optional()
      .openapi({ description: "New description, 1 to 1024 characters; when left out, the old one stays." }),
    groupBy: groupBy.optional().openapi({
      description:
        "The new properties to group and filter by, all of them: when left out, there are none. Past events show up under " +
        "the new properties at once.",
    }),
    metadata: metadata.openapi({ description: "The new notes, all of them; when left out or null, there are none." }),
  })
  .openapi("MeterUpdate", {
    description: "The changeable part of a meter, as a whole. Unknown and read-only fields are ignored.",
  });

/** A change of a meter as requested. */
export type MeterUpdate = z.output<typeof meterUpdateSchema>;

export const meterOrderBySchema = z
  .enum(["key", "name", "aggregation", "createdAt", "updatedAt"])
  .openapi("MeterOrderBy", {
    description: "Field by which meters are sorted; `key` is the slug.",
  });

export const listMetersQuerySchema = z.object({
  ...pageParameters,
  order: sortOrderSchema.default("ASC").openapi({ description: "Direction of sorting." }),
  orderBy: meterOrderBySchema.optional().openapi({ description: "Field to sort by. Default: `key`, the slug." }),
  includeDeleted: booleanParameter("Whether deleted meters are listed too."),
});

/** Parameters of `GET /api/v1/meters`. */
export type ListMetersQuery = z.output<typeof listMetersQuerySchema>;

/** Path parameters of every operation on one meter. */
export const meterParamsSchema = z.object({
  meterIdOrSlug: idOrSlugSchema("Id or slug of the meter. A deleted meter is found by id only."),
});

const listValuesQuery = {
  from: timestampSchema("Events that happened at this time or later.").optional(),
  to: timestampSchema("Events that happened before this time.", "2026-01-16T00:00:00Z").optional(),
};

export const listMeterSubjectsQuerySchema = z.object(listValuesQuery);

export const listMeterGroupByValuesQuerySchema = z.object({
  from: listValuesQuery.from.openapi({
    description:
      "Events that happened at this time or later, less than 90 days ago. Without `from` and `to`: the last 24 hours.",
  }),
  to: listValuesQuery.to.openapi({
    description: "Events that happened before this time, at most 30 days after `from`.",
  }),
});

export const meterGroupByParamsSchema = meterParamsSchema.extend({
  groupByKey: z.string().openapi({ description: "A key of the meter's `groupBy`.", example: "model" }),
});

const meterNotFound = { 404: "There is no such meter." };

export const listMetersRoute = createRoute({
  method: "get",
  path: "/api/v1/meters",
  operationId: "listMeters",
  tags: ["Meters"],
  summary: "List meters",
  description: "All meters as a plain array, at most 1000. `page` and `pageSize` are accepted and have no effect.",
  request: { query: listMetersQuerySchema },
  responses: {
    200: { description: "The meters.", content: { "application/json": { schema: z.array(meterSchema) } } },
    ...problemResponses([400, 500, 503]),
  },
});

export const createMeterRoute = createRoute({
  method: "post",
  path: "/api/v1/meters",
  operationId: "createMeter",
  tags: ["Meters"],
  summary: "Create a meter",
  description:
    "Creates a meter and answers 200 with it. The meter counts all events of its type at once, also those that arrived " +
    "before it.",
  request: {
    body: {
      required: true,
      description: "The new meter.",
      content: {
        "application/json": {
          schema: meterCreateSchema,
          example: {
            slug: "tokens_total",
            name: "Tokens",
            eventType: "prompt",
            aggregation: "SUM",
            valueProperty: "$.tokens",
            groupBy: { model: "$.model" },
          },
        },
      },
    },
  },
  responses: {
    200: { description: "The created meter.", content: { "application/json": { schema: meterSchema } } },
    ...problemResponses([400, 409, 500, 503], { 409: "A meter with this slug exists." }),
  },
});

export const getMeterRoute = createRoute({
  method: "get",
  path: "/api/v1/meters/{meterIdOrSlug}",
  operationId: "getMeter",
  tags: ["Meters"],
  summary: "Get a meter",
  description: "One meter. Asked for by id, a deleted meter is answered too, with `deletedAt`.",
  request: { params: meterParamsSchema },
  responses: {
    200: { description: "The meter.", content: { "application/json": { schema: meterSchema } } },
    ...problemResponses([400, 404, 500, 503], meterNotFound),
  },
});

export const updateMeterRoute = createRoute({
  method: "put",
  path: "/api/v1/meters/{meterIdOrSlug}",
  operationId: "updateMeter",
  tags: ["Meters"],
  summary: "Replace a meter's changeable part",
  description:
    "Replaces name, `groupBy` and metadata as a whole; a description left out stays. What decides the meaning of past " +
    "numbers (slug, aggregation, event type, value property, start) cannot change.",
  request: {
    params: meterParamsSchema,
    body: {
      required: true,
      description: "The new values.",
      content: {
        "application/json": {
          schema: meterUpdateSchema,
          example: { name: "Tokens", groupBy: { model: "$.model", region: "$.region" } },
        },
      },
    },
  },
  responses: {
    200: { description: "The changed meter.", content: { "application/json": { schema: meterSchema } } },
    ...problemResponses([400, 404, 409, 500, 503], {
      ...meterNotFound,
      409: "A feature filters by a `groupBy` key that would be removed.",
    }),
  },
});

export const deleteMeterRoute = createRoute({
  method: "delete",
  path: "/api/v1/meters/{meterIdOrSlug}",
  operationId: "deleteMeter",
  tags: ["Meters"],
  summary: "Delete a meter",
  description:
    "Deletes a meter; its events stay. The slug is free again, and the deleted meter is still found and queried by id. " +
    "Deleting it again by id has no effect and is answered with 204.",
  request: { params: meterParamsSchema },
  responses: {
    204: { description: "The meter is deleted." },
    ...problemResponses([400, 404, 409, 500, 503], {
      ...meterNotFound,
      409: "Active features or entitlements use the meter.",
    }),
  },
});

export const listMeterSubjectsRoute = createRoute({
  method: "get",
  path: "/api/v1/meters/{meterIdOrSlug}/subjects",
  operationId: "listMeterSubjects",
  tags: ["Meters"],
  summary: "List a meter's subjects",
  description: "The distinct subjects of the events that the meter covers, sorted.",
  request: { params: meterParamsSchema, query: listMeterSubjectsQuerySchema },
  responses: {
    200: {
      description: "Subjects, sorted.",
      content: {
        "application/json": { schema: z.array(z.string()).openapi({ example: ["customer-1", "customer-2"] }) },
      },
    },
    ...problemResponses([400, 404, 500, 503], meterNotFound),
  },
});

export const listMeterGroupByValuesRoute = createRoute({
  method: "get",
  path: "/api/v1/meters/{meterIdOrSlug}/group-by/{groupByKey}/values",
  operationId: "listMeterGroupByValues",
  tags: ["Meters"],
  summary: "List the values of a group-by key",
  description:
    "The distinct values of one of the meter's group-by keys, sorted. A missing value shows as the empty text.",
  request: { params: meterGroupByParamsSchema, query: listMeterGroupByValuesQuerySchema },
  responses: {
    200: {
      description: "Values, sorted.",
      content: { "application/json": { schema: z.array(z.string()).openapi({ example: ["gpt-5", "gpt-5-mini"] }) } },
    },
    ...problemResponses([400, 404, 500, 503], meterNotFound),
  },
});
