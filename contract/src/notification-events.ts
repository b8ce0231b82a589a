/**
 * Notification events: what happened, what was sent about it, and how its deliveries went.
 *
 * The payload of an event is exactly the body that its webhooks carry.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { customerSchema } from "./customers.ts";
import { entitlementValueSchema } from "./entitlement-balances.ts";
import { entitlementSchema } from "./entitlements.ts";
import { featureSchema } from "./features.ts";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { invoiceSchema } from "./invoices/invoice.ts";
import { notificationAnnotations, notificationChannelMetaSchema, notificationPage } from "./notification-channels.ts";
import {
  notificationEventTypeSchema,
  notificationRuleSchema,
  notificationThresholdAnswerSchema,
  ruleParamsSchema,
} from "./notification-rules.ts";
import { pageParameters, sortOrderSchema } from "./pagination.ts";
import { problemResponses } from "./problem.ts";
import { repeatedParameter } from "./query-string.ts";
import { subjectSchema } from "./subjects.ts";

export const notificationDeliveryStateSchema = z
  .enum(["SUCCESS", "FAILED", "SENDING", "PENDING", "RESENDING"])
  .openapi("NotificationEventDeliveryStatusState", {
    description:
      "`PENDING`: not tried yet. `SENDING`: attempts are under way or scheduled. `RESENDING`: to be sent again, not tried " +
      "yet. `SUCCESS` and `FAILED` are final until it is sent again.",
  });

const attemptSchema = z
  .object({
    state: notificationDeliveryStateSchema.openapi({ description: "Whether the attempt succeeded.", readOnly: true }),
    response: z
      .object({
        statusCode: z.int().optional().openapi({
          description: "HTTP status of the answer; absent when none arrived.",
          readOnly: true,
        }),
        body: z.string().openapi({
          description: "The beginning of the answer's body, or why there was no answer.",
          readOnly: true,
        }),
        durationMs: z.int().openapi({ description: "How long the attempt took, in milliseconds.", readOnly: true }),
        url: z.string().optional().openapi({ description: "Where it was sent.", readOnly: true }),
      })
      .openapi("EventDeliveryAttemptResponse", { description: "What came of an attempt." })
      .openapi({ description: "What came of it.", readOnly: true }),
    timestamp: timestampSchema("When the attempt was made.").openapi({ readOnly: true }),
  })
  .openapi("NotificationEventDeliveryAttempt", { description: "One attempt to deliver an event." });

const deliverySchema = z
  .object({
    state: notificationDeliveryStateSchema.openapi({ description: "Where the delivery stands.", readOnly: true }),
    reason: z.string().openapi({ description: "Why it failed; empty otherwise.", readOnly: true }),
    updatedAt: timestampSchema("When this last changed.").openapi({ readOnly: true }),
    channel: notificationChannelMetaSchema.openapi({ description: "The channel that is told.", readOnly: true }),
    annotations: notificationAnnotations,
    nextAttempt: timestampSchema("When it is tried again; only while `SENDING`.")
      .optional()
      .openapi({ readOnly: true }),
    attempts: z.array(attemptSchema).openapi({ description: "The last 25 attempts, newest first.", readOnly: true }),
  })
  .openapi("NotificationEventDeliveryStatus", { description: "How the delivery of an event to one channel goes." });

/** A subject that is no entity has nothing but its key. */
const namedSubjectSchema = subjectSchema
  .partial()
  .required({ key: true })
  .openapi("Subject", { description: "What is known about a subject of events.", deprecated: true });

const readOnly = true;
const entitlementData = {
  entitlement: entitlementSchema.options[0].openapi({
    description: "The entitlement, with its usage period at that time.",
    readOnly,
  }),
  feature: featureSchema.openapi({ description: "The feature.", readOnly }),
  subject: namedSubjectSchema.openapi({
    description: "The customer's smallest subject key, as an entity if there is one, else with nothing but its key.",
    readOnly,
  }),
  value: entitlementValueSchema.openapi({ description: "The value that is told.", readOnly }),
  customer: customerSchema.optional().openapi({ description: "The customer.", readOnly }),
};

const entitlementDataSchema = z
  .object(entitlementData)
  .openapi("NotificationEventEntitlementValuePayloadBase", { description: "The entitlement and its value." });

const thresholdDataSchema = z
  .object({
    ...entitlementData,
    threshold: notificationThresholdAnswerSchema.openapi({
      description: "The threshold that was crossed, as written in the rule.",
      readOnly: true,
    }),
  })
  .openapi("NotificationEventBalanceThresholdPayloadData", { description: "The value, and what it crossed." });

function payloadSchema<const Type extends string, Data extends z.ZodType>(name: string, type: Type, data: Data) {
  return z
    .object({
      id: ulidSchema("Id of the event.").openapi({ readOnly: true }),
      type: z.enum([type]).openapi({ description: "What happened.", readOnly: true }),
      timestamp: timestampSchema("When the event was created.").openapi({ readOnly: true }),
      data,
    })
    .openapi(name, { description: `The body of a webhook of the type \`${type}\`.` });
}

const dataWords = { description: "What happened, in detail.", readOnly: true };

const payloadSchemas = [
  payloadSchema("NotificationEventResetPayload", "entitlements.reset", entitlementDataSchema.openapi(dataWords)),
  payloadSchema(
    "NotificationEventBalanceThresholdPayload",
    "entitlements.balance.threshold",
    thresholdDataSchema.openapi(dataWords),
  ),
  payloadSchema("NotificationEventInvoiceCreatedPayload", "invoice.created", invoiceSchema.openapi(dataWords)),
  payloadSchema("NotificationEventInvoiceUpdatedPayload", "invoice.updated", invoiceSchema.openapi(dataWords)),
] as const;

export const notificationEventSchema = z
  .object({
    id: ulidSchema("Id of the event.").openapi({ readOnly: true }),
    type: notificationEventTypeSchema.openapi({ description: "What happened.", readOnly: true }),
    createdAt: timestampSchema("When the event was created.").openapi({ readOnly: true }),
    rule: notificationRuleSchema.openapi({ description: "The rule as it was then.", readOnly: true }),
    deliveryStatus: z.array(deliverySchema).openapi({ description: "One entry per channel.", readOnly: true }),
    payload: z
      .discriminatedUnion("type", payloadSchemas)
      .openapi("NotificationEventPayload", { description: "The body of the webhooks." })
      .openapi({ description: "The body of the webhooks.", readOnly: true }),
    annotations: notificationAnnotations,
  })
  .openapi("NotificationEvent", { description: "Something that a rule told." });

export const notificationEventOrderBySchema = z
  .enum(["id", "createdAt"])
  .openapi("NotificationEventOrderBy", { description: "Field by which events are sorted." });

export const listNotificationEventsQuerySchema = z.object({
  from: timestampSchema("Events created at this time or later.").optional(),
  to: timestampSchema("Events created before this time.", "2026-01-16T00:00:00Z").optional(),
  feature: repeatedParameter(z.string(), { description: "Only events of one of these features, by id or key." }),
  subject: repeatedParameter(z.string(), { description: "Only events of one of these subjects, by id or key." }),
  rule: repeatedParameter(ulidSchema("Id of a rule."), { description: "Only events of one of these rules." }),
  channel: repeatedParameter(ulidSchema("Id of a channel."), {
    description: "Only events sent to one of these channels.",
  }),
  ...pageParameters,
  order: sortOrderSchema
    .optional()
    .openapi({ description: "Direction of sorting. Default: `DESC`, the newest first." }),
  orderBy: notificationEventOrderBySchema
    .optional()
    .openapi({ description: "Field to sort by. Default: `createdAt`." }),
});

/** Parameters of `GET /api/v1/notification/events`. */
export type ListNotificationEventsQuery = z.output<typeof listNotificationEventsQuerySchema>;

const eventNotFound = { 404: "There is no such event." };

const eventAnswer = { content: { "application/json": { schema: notificationEventSchema } } };

export const listNotificationEventsRoute = createRoute({
  method: "get",
  path: "/api/v1/notification/events",
  operationId: "listNotificationEvents",
  tags: ["Notifications"],
  summary: "List notification events",
  description: "The events with their deliveries, page by page, the newest first.",
  request: { query: listNotificationEventsQuerySchema },
  responses: {
    200: {
      description: "A page of events.",
      content: {
        "application/json": {
          schema: z
            .object({
              ...notificationPage,
              items: z.array(notificationEventSchema).openapi({ description: "The events of the page." }),
            })
            .openapi("NotificationEventPaginatedResponse", { description: "A page of events." }),
        },
      },
    },
    ...problemResponses([400, 500, 503]),
  },
});

export const getNotificationEventRoute = createRoute({
  method: "get",
  path: "/api/v1/notification/events/{eventId}",
  operationId: "getNotificationEvent",
  tags: ["Notifications"],
  summary: "Get a notification event",
  description: "One event with its deliveries.",
  request: { params: z.object({ eventId: z.string().openapi({ description: "Id of the event." }) }) },
  responses: {
    200: { description: "The event.", ...eventAnswer },
    ...problemResponses([400, 404, 500, 503], eventNotFound),
  },
});

export const resendNotificationEventRoute = createRoute({
  method: "post",
  path: "/api/v1/notification/events/{eventId}/resend",
  operationId: "resendNotificationEvent",
  tags: ["Notifications"],
  summary: "Send a notification event again",
  description:
    "Starts the deliveries of an event anew, with the same `webhook-id` and body. Without `channels`: those to all of its " +
    "channels that are neither disabled nor deleted.",
  request: {
    params: z.object({ eventId: ulidSchema("Id of the event.") }),
    body: {
      required: true,
      description: "Which channels are told again.",
      content: {
        "application/json": {
          schema: z
            .object({
              channels: z
                .array(ulidSchema("Id of a channel."))
                .optional()
                .openapi({ description: "Ids of channels that the event was sent to; left out: all of them." }),
            })
            .openapi("NotificationEventResendRequest", { description: "Which channels are told again." }),
        },
      },
    },
  },
  responses: {
    202: { description: "The deliveries start anew." },
    ...problemResponses([400, 404, 500, 503], eventNotFound),
  },
});

export const testNotificationRuleRoute = createRoute({
  method: "post",
  path: "/api/v1/notification/rules/{ruleId}/test",
  operationId: "testNotificationRule",
  tags: ["Notifications"],
  summary: "Try a notification rule",
  description:
    "Sends an event with made-up data to the rule's channels, the way that real ones go. It is annotated with " +
    "`notification.rule.test`.",
  request: { params: ruleParamsSchema },
  responses: {
    201: { description: "The event that is being sent.", ...eventAnswer },
    ...problemResponses([400, 404, 500, 503], { 404: "There is no such rule, or it is deleted." }),
  },
});
