/**
 * Notification rules: what is told to which channels.
 *
 * The type says what a rule watches and which further fields it has; it is fixed at creation.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { exactNumberSchema } from "./exact-number.ts";
import { idOrSlugSchema, ulidSchema } from "./identifiers.ts";
import {
  hiddenParameters,
  notificationAnnotations,
  notificationChannelMetaSchema,
  notificationMetadata,
  notificationPage,
  notificationTimes,
} from "./notification-channels.ts";
import { pageParameters, sortOrderSchema } from "./pagination.ts";
import { problemResponses } from "./problem.ts";
import { repeatedParameter } from "./query-string.ts";

export const notificationEventTypeSchema = z
  .enum(["entitlements.balance.threshold", "entitlements.reset", "invoice.created", "invoice.updated"])
  .openapi("NotificationEventType", { description: "What happened." });

export const notificationThresholdTypeSchema = z
  .enum(["PERCENT", "NUMBER", "balance_value", "usage_percentage", "usage_value"])
  .openapi("NotificationRuleBalanceThresholdValueType", {
    description:
      "`usage_value`: usage is above the value. `usage_percentage`: usage is above that part of all granted amounts. " +
      "`balance_value`: the balance is below the value, or, for 0, used up. `NUMBER` and `PERCENT` are old names of the " +
      "first two.",
  });

/** A threshold; the value is canonical decimal text after parsing. */
export const notificationThresholdSchema = z
  .object({
    value: exactNumberSchema({
      description: "The exact amount or percentage; above 0, for `balance_value` 0 or more.",
      example: 90,
    }),
    type: notificationThresholdTypeSchema,
  })
  .openapi("NotificationRuleBalanceThresholdValue", { description: "A line that a balance or usage crosses." });

/** As `notificationThresholdSchema`, for answers, where the value is a plain number. */
const thresholdAnswerSchema = z
  .object({
    value: z.number().openapi({ format: "double", description: "The exact amount or percentage.", example: 90 }),
    type: notificationThresholdTypeSchema,
  })
  .openapi("NotificationRuleBalanceThresholdValue", { description: "A line that a balance or usage crosses." });

export { thresholdAnswerSchema as notificationThresholdAnswerSchema };

const name = z
  .string()
  .min(1)
  .max(256)
  .openapi({ description: "Name for people, 1 to 256 characters.", example: "Nearly used up" });
const disabled = z.boolean().default(false).openapi({ description: "A disabled rule creates no events." });

function requestFields<const Type extends string>(type: Type) {
  return {
    type: z.enum([type]).openapi({ description: "What the rule watches. Fixed at creation." }),
    name,
    disabled,
    metadata: notificationMetadata,
    channels: z.array(ulidSchema("Id of a channel.")).openapi({
      description: "Ids of the channels that are told, 1 to 5.",
      minItems: 1,
    }),
  };
}

const features = z
  .array(idOrSlugSchema("Id or key of a feature."))
  .optional()
  .openapi({
    description:
      "Ids or keys of the features that are watched, without repeats. A key follows the key, an id the id. Left out: every " +
      "feature.",
    minItems: 1,
  });

const thresholdCount = { minItems: 1, maxItems: 10 };

const thresholds = z
  .array(notificationThresholdSchema)
  .min(1)
  .max(10)
  .openapi({ description: "1 to 10 thresholds.", ...thresholdCount });

const requests = [
  z
    .object({ ...requestFields("entitlements.balance.threshold"), thresholds, features })
    .openapi("NotificationRuleBalanceThresholdCreateRequest", {
      description: "A rule that tells when a balance or usage crosses a threshold.",
    }),
  z
    .object({ ...requestFields("entitlements.reset"), features })
    .openapi("NotificationRuleEntitlementResetCreateRequest", {
      description: "A rule that tells when a usage period starts anew.",
    }),
  z.object(requestFields("invoice.created")).openapi("NotificationRuleInvoiceCreatedCreateRequest", {
    description: "A rule that tells of new invoices.",
  }),
  z.object(requestFields("invoice.updated")).openapi("NotificationRuleInvoiceUpdatedCreateRequest", {
    description: "A rule that tells of changed invoices.",
  }),
] as const;

export const notificationRuleCreateSchema = z
  .discriminatedUnion("type", requests)
  .openapi("NotificationRuleCreateRequest", {
    description: "A rule as wanted. Unknown and read-only fields are ignored.",
  });

/** A rule as requested. */
export type NotificationRuleCreate = z.output<typeof notificationRuleCreateSchema>;

const featureMetaSchema = z
  .object({
    id: ulidSchema("Id of the feature."),
    key: z.string().openapi({ description: "Key of the feature." }),
  })
  .openapi("FeatureMeta", { description: "Which feature is meant." });

function answerFields<const Type extends string>(type: Type) {
  return {
    ...notificationTimes,
    id: ulidSchema("Id of the rule, made by the server.").openapi({ readOnly: true }),
    type: z.enum([type]).openapi({ description: "What the rule watches." }),
    name,
    disabled,
    channels: z.array(notificationChannelMetaSchema).openapi({ description: "The channels that are told." }),
    annotations: notificationAnnotations,
    metadata: notificationMetadata,
  };
}

const answerFeatures = z
  .array(featureMetaSchema)
  .optional()
  .openapi({ description: "The features that are watched; absent: every feature.", minItems: 1 });

const answers = [
  z
    .object({
      ...answerFields("entitlements.balance.threshold"),
      thresholds: z.array(thresholdAnswerSchema).openapi({ description: "The thresholds.", ...thresholdCount }),
      features: answerFeatures,
    })
    .openapi("NotificationRuleBalanceThreshold", {
      description: "Tells when a balance or usage crosses a threshold, once per crossing.",
    }),
  z
    .object({ ...answerFields("entitlements.reset"), features: answerFeatures })
    .openapi("NotificationRuleEntitlementReset", { description: "Tells when a usage period starts anew." }),
  z
    .object(answerFields("invoice.created"))
    .openapi("NotificationRuleInvoiceCreated", { description: "Tells of new invoices." }),
  z
    .object(answerFields("invoice.updated"))
    .openapi("NotificationRuleInvoiceUpdated", { description: "Tells of changed invoices." }),
] as const;

export const notificationRuleSchema = z
  .discriminatedUnion("type", answers)
  .openapi("NotificationRule", { description: "What is told to which channels." });

export const notificationRuleOrderBySchema = z
  .enum(["id", "type", "createdAt", "updatedAt"])
  .openapi("NotificationRuleOrderBy", { description: "Field by which rules are sorted." });

export const listNotificationRulesQuerySchema = z.object({
  ...hiddenParameters,
  feature: repeatedParameter(idOrSlugSchema("Id or key of a feature."), {
    description: "Only rules that name one of these features, by id or key.",
  }),
  channel: repeatedParameter(z.string(), { description: "Only rules that tell one of these channels." }),
  ...pageParameters,
  order: sortOrderSchema.default("ASC").openapi({ description: "Direction of sorting." }),
  orderBy: notificationRuleOrderBySchema.optional().openapi({ description: "Field to sort by. Default: `id`." }),
});

/** Parameters of `GET /api/v1/notification/rules`. */
export type ListNotificationRulesQuery = z.output<typeof listNotificationRulesQuerySchema>;

/** Path parameters of every operation on one rule. */
export const ruleParamsSchema = z.object({ ruleId: ulidSchema("Id of the rule.") });

const ruleNotFound = { 404: "There is no such rule, or it is deleted." };

const body = {
  required: true,
  description: "The rule as wanted.",
  content: { "application/json": { schema: notificationRuleCreateSchema } },
};

export const listNotificationRulesRoute = createRoute({
  method: "get",
  path: "/api/v1/notification/rules",
  operationId: "listNotificationRules",
  tags: ["Notifications"],
  summary: "List notification rules",
  description: "The rules, page by page. Deleted and disabled ones are left out unless asked for.",
  request: { query: listNotificationRulesQuerySchema },
  responses: {
    200: {
      description: "A page of rules.",
      content: {
        "application/json": {
          schema: z
            .object({
              ...notificationPage,
              items: z.array(notificationRuleSchema).openapi({ description: "The rules of the page." }),
            })
            .openapi("NotificationRulePaginatedResponse", { description: "A page of rules." }),
        },
      },
    },
    ...problemResponses([400, 500, 503]),
  },
});

export const createNotificationRuleRoute = createRoute({
  method: "post",
  path: "/api/v1/notification/rules",
  operationId: "createNotificationRule",
  tags: ["Notifications"],
  summary: "Create a notification rule",
  description: "Creates a rule, which acts from now on: what is exceeded already is told at its next change.",
  request: { body },
  responses: {
    201: { description: "The created rule.", content: { "application/json": { schema: notificationRuleSchema } } },
    ...problemResponses([400, 500, 503]),
  },
});

export const getNotificationRuleRoute = createRoute({
  method: "get",
  path: "/api/v1/notification/rules/{ruleId}",
  operationId: "getNotificationRule",
  tags: ["Notifications"],
  summary: "Get a notification rule",
  description: "One rule. A deleted rule is answered too, with `deletedAt`.",
  request: { params: ruleParamsSchema },
  responses: {
    200: { description: "The rule.", content: { "application/json": { schema: notificationRuleSchema } } },
    ...problemResponses([400, 404, 500, 503], { 404: "There is no such rule." }),
  },
});

export const updateNotificationRuleRoute = createRoute({
  method: "put",
  path: "/api/v1/notification/rules/{ruleId}",
  operationId: "updateNotificationRule",
  tags: ["Notifications"],
  summary: "Replace a notification rule",
  description: "Replaces everything but the type. Thresholds that stay remember that they were crossed.",
  request: { params: ruleParamsSchema, body },
  responses: {
    200: { description: "The changed rule.", content: { "application/json": { schema: notificationRuleSchema } } },
    ...problemResponses([400, 404, 500, 503], ruleNotFound),
  },
});

export const deleteNotificationRuleRoute = createRoute({
  method: "delete",
  path: "/api/v1/notification/rules/{ruleId}",
  operationId: "deleteNotificationRule",
  tags: ["Notifications"],
  summary: "Delete a notification rule",
  description: "Deletes a rule: it creates no more events. Those that it created stay, and are delivered.",
  request: { params: ruleParamsSchema },
  responses: {
    204: { description: "The rule is deleted." },
    ...problemResponses([400, 404, 500, 503], ruleNotFound),
  },
});
