/**
 * Features: what a customer can use, the catalog's smallest piece.
 *
 * A feature is metered, linked to a meter and perhaps narrowed by filters, or a mere switch. Apart from what a unit costs
 * nothing about it can change: make a new one and archive the old one, which keeps working where it is used.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { component } from "./components.ts";
import {
  FILTER_DEPTH_LIMIT,
  type FilterString,
  filterStringSchema,
  limitFilterDepth,
  withNestingLimit,
} from "./filters.ts";
import { slugSchema, ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { metadataSchema } from "./meters.ts";
import { arrayOrPageParameters, sortOrderSchema } from "./pagination.ts";
import { problemResponses } from "./problem.ts";
import { booleanParameter, repeatedParameter } from "./query-string.ts";

const NUMERIC = /^-?[0-9]+(\.[0-9]+)?$/;

export const numericSchema = component(
  "Numeric",
  z.string().regex(NUMERIC, {
    error: (issue) => `${JSON.stringify(issue.input)} is not a decimal number in text, such as "12.50"`,
  }),
  { description: "A decimal number in text, exact to the last digit.", example: "0.0025" },
);

const manualUnitCostSchema = z
  .object({
    type: z.literal("manual").openapi({ description: "The same amount for every unit." }),
    amount: numericSchema.openapi({ description: "Cost of one unit in USD, 0 or more." }),
  })
  .openapi("FeatureManualUnitCost", { description: "A fixed cost per unit." });

const llmPricingSchema = z
  .object({
    inputPerToken: numericSchema.openapi({ description: "Cost of one token of input in USD." }),
    outputPerToken: numericSchema.openapi({ description: "Cost of one token of output in USD." }),
    cacheReadPerToken: numericSchema.optional().openapi({ description: "Cost of one token read from a cache in USD." }),
    reasoningPerToken: numericSchema.optional().openapi({ description: "Cost of one token of reasoning in USD." }),
    cacheWritePerToken: numericSchema
      .optional()
      .openapi({ description: "Cost of one token written to a cache in USD." }),
  })
  .openapi("FeatureLLMUnitCostPricing", { description: "What a language model's provider asks." });

const llmUnitCostSchema = z
  .object({
    type: z.literal("llm").openapi({ description: "What the provider of a language model asks." }),
    provider: z.string().optional().openapi({ description: "The provider of all usage.", example: "openai" }),
    providerProperty: z
      .string()
      .optional()
      .openapi({ description: "The group-by key that names the provider; not together with `provider`." }),
    model: z.string().optional().openapi({ description: "The model of all usage.", example: "gpt-5" }),
    modelProperty: z
      .string()
      .optional()
      .openapi({ description: "The group-by key that names the model; not together with `model`.", example: "model" }),
    tokenType: z.string().optional().openapi({ description: "The kind of tokens of all usage.", example: "input" }),
    tokenTypeProperty: z
      .string()
      .optional()
      .openapi({ description: "The group-by key that names the kind of tokens; not together with `tokenType`." }),
    pricing: llmPricingSchema.optional().openapi({ description: "The prices found, if any.", readOnly: true }),
  })
  .openapi("FeatureLLMUnitCost", {
    description:
      "The price of a language model's tokens. Each of provider, model and kind of token is fixed or read from a key.",
  });

export const featureUnitCostSchema = z
  .discriminatedUnion("type", [manualUnitCostSchema, llmUnitCostSchema])
  .openapi("FeatureUnitCost", { description: "What one unit costs you." });

const advancedFilters = withNestingLimit(z.record(z.string(), filterStringSchema));

const definition = {
  key: slugSchema(
    "Name for programs: 1 to 64 lower-case letters and digits, words joined by single underscores, but not of the form of " +
      "an id. Unique among features that are not archived. Fixed at creation.",
  ).openapi({ example: "api_calls" }),
  name: z.string().openapi({ description: "Name for people, 1 to 256 characters.", example: "API calls" }),
  metadata: metadataSchema.optional(),
  meterSlug: slugSchema(
    "The meter that counts usage of the feature, by slug or by id in lower case; it needs the aggregation SUM, COUNT, " +
      "UNIQUE_COUNT or LATEST. Absent: the feature is a mere switch. Fixed at creation.",
  ).optional(),
  meterGroupByFilters: z
    .record(z.string(), z.string())
    .optional()
    .openapi({
      description:
        "Only usage where a group-by key of the meter has exactly this value. Use `advancedMeterGroupByFilters` for " +
        "anything more; sent together, both must say the same.",
      deprecated: true,
      example: { model: "gpt-5" },
    }),
  advancedMeterGroupByFilters: advancedFilters.optional().openapi({
    description:
      "Conditions on group-by keys of the meter, one filter for each key; all must match. Fixed at creation.",
    example: { model: { $like: "gpt-%" } },
  }),
  unitCost: featureUnitCostSchema.optional(),
};

export const featureSchema = z
  .object({
    id: ulidSchema("Id of the feature, made by the server.").openapi({ readOnly: true }),
    ...definition,
    createdAt: timestampSchema("When the feature was created.").openapi({ readOnly: true }),
    updatedAt: timestampSchema("When the feature was last changed.").openapi({ readOnly: true }),
    archivedAt: timestampSchema("When the feature was archived; absent while it is not.", "2026-03-01T00:00:00Z")
      .optional()
      .openapi({ readOnly: true }),
    deletedAt: timestampSchema("Never sent: features are archived.", "2026-03-01T00:00:00Z")
      .optional()
      .openapi({ readOnly: true }),
  })
  .openapi("Feature", { description: "What a customer can use." });

/** A feature as answered. */
export type FeatureBody = z.output<typeof featureSchema>;

function checkFilterDepth(
  { advancedMeterGroupByFilters }: { advancedMeterGroupByFilters?: Record<string, FilterString> | undefined },
  context: z.RefinementCtx,
): void {
  for (const [key, filter] of Object.entries(advancedMeterGroupByFilters ?? {})) {
    limitFilterDepth(filter, FILTER_DEPTH_LIMIT, ["advancedMeterGroupByFilters", key], context);
  }
}

export const featureCreateSchema = z
  .object(definition)
  .superRefine(checkFilterDepth)
  .openapi("FeatureCreateInputs", { description: "A new feature. Unknown and read-only fields are ignored." });

const featurePageSchema = z
  .object({
    items: z.array(featureSchema).openapi({ description: "The features of the page." }),
    page: z.int().openapi({ description: "Number of the page, counted from 1.", example: 1 }),
    pageSize: z.int().openapi({ description: "Items per page.", example: 100 }),
    totalCount: z.int().openapi({ description: "How many features there are on all pages.", example: 1 }),
  })
  .openapi("FeaturePaginatedResponse", { description: "A page of features." });

const listFeaturesResultSchema = z
  .union([z.array(featureSchema), featurePageSchema])
  .openapi("ListFeaturesResult", { description: "A plain array, or a page if the request named one." });

export const featureOrderBySchema = z
  .enum(["id", "key", "name", "createdAt", "updatedAt"])
  .openapi("FeatureOrderBy", { description: "Field by which features are sorted." });

export const listFeaturesQuerySchema = z.object({
  meterSlug: repeatedParameter(z.string(), {
    description: "Only features of this meter, by slug or id. Repeat it for several.",
    example: ["tokens_total"],
  }),
  includeArchived: booleanParameter("Whether archived features are listed too."),
  ...arrayOrPageParameters,
  order: sortOrderSchema.default("ASC").openapi({ description: "Direction of sorting." }),
  orderBy: featureOrderBySchema.optional().openapi({ description: "Field to sort by. Default: `key`." }),
});

const featureParamsSchema = z.object({
  featureId: z.string().openapi({
    description: "Id or key of the feature. An archived feature is found by id only.",
    example: "api_calls",
  }),
});

const featureNotFound = { 404: "There is no such feature." };

const listFeaturesRoute = createRoute({
  method: "get",
  path: "/api/v1/features",
  operationId: "listFeatures",
  tags: ["Product Catalog"],
  summary: "List features",
  description:
    "The features that are not archived. A plain array of at most `limit` features; a page of them if `page` or `pageSize` " +
    "is sent.",
  request: { query: listFeaturesQuerySchema },
  responses: {
    200: { description: "The features.", content: { "application/json": { schema: listFeaturesResultSchema } } },
    ...problemResponses([400, 500, 503]),
  },
});

const createFeatureRoute = createRoute({
  method: "post",
  path: "/api/v1/features",
  operationId: "createFeature",
  tags: ["Product Catalog"],
  summary: "Create a feature",
  description:
    "Creates a feature. Its meter can be deleted, or lose a group-by key that a filter uses, only after the feature is archived.",
  request: {
    body: {
      required: true,
      description: "The new feature.",
      content: {
        "application/json": {
          schema: featureCreateSchema,
          example: {
            key: "gpt_tokens",
            name: "GPT tokens",
            meterSlug: "tokens_total",
            advancedMeterGroupByFilters: { model: { $like: "gpt-%" } },
          },
        },
      },
    },
  },
  responses: {
    201: { description: "The created feature.", content: { "application/json": { schema: featureSchema } } },
    ...problemResponses([400, 404, 409, 500, 503], {
      404: "There is no such meter.",
      409: "A feature with this key exists.",
    }),
  },
});

const getFeatureRoute = createRoute({
  method: "get",
  path: "/api/v1/features/{featureId}",
  operationId: "getFeature",
  tags: ["Product Catalog"],
  summary: "Get a feature",
  description: "One feature. Asked for by id, an archived feature is answered too, with `archivedAt`.",
  request: { params: featureParamsSchema },
  responses: {
    200: { description: "The feature.", content: { "application/json": { schema: featureSchema } } },
    ...problemResponses([400, 404, 500, 503], featureNotFound),
  },
});

const deleteFeatureRoute = createRoute({
  method: "delete",
  path: "/api/v1/features/{featureId}",
  operationId: "deleteFeature",
  tags: ["Product Catalog"],
  summary: "Archive a feature",
  description:
    "Archives a feature: it keeps working where it is used, and cannot be used anew. The key is free again. Archiving it a " +
    "second time is answered with 400.",
  request: { params: featureParamsSchema },
  responses: {
    204: { description: "The feature is archived." },
    ...problemResponses([400, 404, 500, 503], featureNotFound),
  },
});

/** Every operation on features, by what it does. */
export const featureRoutes = {
  list: listFeaturesRoute,
  create: createFeatureRoute,
  get: getFeatureRoute,
  archive: deleteFeatureRoute,
} as const;
