/**
 * Notification channels: where webhooks go.
 *
 * A channel is a URL with the secret that signs what is sent there. Its type is fixed at creation; a secret that is left
 * out is made by the server, or kept on update.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { annotationsSchema, metadataSchema } from "./meters.ts";
import { pageParameters, sortOrderSchema } from "./pagination.ts";
import { problemResponses } from "./problem.ts";
import { booleanParameter } from "./query-string.ts";

const SIGNING_SECRET = /^(whsec_)?[a-zA-Z0-9+/=]{32,100}$/;

/** Times of every resource of notifications. */
export const notificationTimes = {
  createdAt: timestampSchema("When it was created.").openapi({ readOnly: true }),
  updatedAt: timestampSchema("When it was last changed.").openapi({ readOnly: true }),
  deletedAt: timestampSchema("When it was deleted; absent while it exists.", "2026-03-01T00:00:00Z")
    .optional()
    .openapi({ readOnly: true }),
};

/** `metadata` of channels and rules. */
export const notificationMetadata = metadataSchema
  .nullable()
  .optional()
  .openapi({ description: "Your own notes, text by key; null is none." });

/** `annotations` of channels, rules and events. */
export const notificationAnnotations = annotationsSchema
  .optional()
  .openapi({ description: "Notes that the server made.", readOnly: true });

/** `totalCount`, `page` and `pageSize` of a page. */
export const notificationPage = {
  totalCount: z.int().openapi({ description: "How many items all pages have together." }),
  page: z.int().openapi({ description: "Number of this page, counted from 1." }),
  pageSize: z.int().openapi({ description: "Items per page, as asked." }),
};

/** `includeDeleted` and `includeDisabled` of lists. */
export const hiddenParameters = {
  includeDeleted: booleanParameter("Whether deleted ones are listed too."),
  includeDisabled: booleanParameter("Whether disabled ones are listed too."),
};

export const notificationChannelTypeSchema = z
  .enum(["WEBHOOK"])
  .openapi("NotificationChannelType", { description: "Kind of a channel; webhooks are the only one." });

export const notificationChannelMetaSchema = z
  .object({
    id: ulidSchema("Id of the channel.").openapi({ readOnly: true }),
    type: notificationChannelTypeSchema,
  })
  .openapi("NotificationChannelMeta", { description: "Which channel is meant." });

const type = z.enum(["WEBHOOK"]).openapi({ description: "Always `WEBHOOK`. Fixed at creation." });

const settings = {
  type,
  name: z
    .string()
    .min(1)
    .max(256)
    .openapi({ description: "Name for people, 1 to 256 characters.", example: "Billing" }),
  disabled: z.boolean().default(false).openapi({ description: "A disabled channel gets no new deliveries." }),
  metadata: notificationMetadata,
  url: z.string().openapi({
    description:
      "Where webhooks are sent: an absolute `http` or `https` URL. Private and loopback addresses are refused unless the " +
      "server is configured to allow them.",
    example: "https://example.com/webhooks/tallystick",
  }),
  customHeaders: z
    .record(z.string(), z.string())
    .optional()
    .openapi({
      description: "Headers that every webhook carries in addition. Those that Tallystick sets itself cannot be given.",
      example: { "x-team": "billing" },
    }),
};

const signingSecret = z
  .string()
  .regex(SIGNING_SECRET, {
    error: 'must be base64 of 32 to 100 characters, with or without "whsec_" in front; leave it out to have one made',
  })
  .optional();

export const notificationChannelSchema = z
  .object({
    ...notificationTimes,
    id: ulidSchema("Id of the channel, made by the server.").openapi({ readOnly: true }),
    ...settings,
    annotations: notificationAnnotations,
    signingSecret: signingSecret.openapi({
      description: "`whsec_` and the base64 of the key that signs what is sent here (Standard Webhooks).",
      example: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }),
  })
  .openapi("NotificationChannel", { description: "A URL that gets webhooks." });

export const notificationChannelCreateSchema = z
  .object({
    ...settings,
    signingSecret: signingSecret.openapi({
      description:
        "Base64 of the signing key, with or without `whsec_`. Left out: made by the server, or kept on update. After a " +
        "change, the old secret signs too for 24 hours.",
    }),
  })
  .openapi("NotificationChannelCreateRequest", {
    description: "A webhook channel as wanted. Unknown and read-only fields are ignored.",
  });

/** A channel as requested. */
export type NotificationChannelCreate = z.output<typeof notificationChannelCreateSchema>;

export const notificationChannelOrderBySchema = z
  .enum(["id", "type", "createdAt", "updatedAt"])
  .openapi("NotificationChannelOrderBy", { description: "Field by which channels are sorted." });

export const listNotificationChannelsQuerySchema = z.object({
  ...hiddenParameters,
  ...pageParameters,
  order: sortOrderSchema.default("ASC").openapi({ description: "Direction of sorting." }),
  orderBy: notificationChannelOrderBySchema.optional().openapi({ description: "Field to sort by. Default: `id`." }),
});

/** Parameters of `GET /api/v1/notification/channels`. */
export type ListNotificationChannelsQuery = z.output<typeof listNotificationChannelsQuerySchema>;

const channelParamsSchema = z.object({ channelId: ulidSchema("Id of the channel.") });

const channelNotFound = { 404: "There is no such channel, or it is deleted." };

const body = {
  required: true,
  description: "The channel as wanted.",
  content: {
    "application/json": {
      schema: notificationChannelCreateSchema,
      example: { type: "WEBHOOK" as const, name: "Billing", url: "https://example.com/webhooks/tallystick" },
    },
  },
};

export const listNotificationChannelsRoute = createRoute({
  method: "get",
  path: "/api/v1/notification/channels",
  operationId: "listNotificationChannels",
  tags: ["Notifications"],
  summary: "List notification channels",
  description: "The channels, page by page. Deleted and disabled ones are left out unless asked for.",
  request: { query: listNotificationChannelsQuerySchema },
  responses: {
    200: {
      description: "A page of channels.",
      content: {
        "application/json": {
          schema: z
            .object({
              ...notificationPage,
              items: z.array(notificationChannelSchema).openapi({ description: "The channels of the page." }),
            })
            .openapi("NotificationChannelPaginatedResponse", { description: "A page of channels." }),
        },
      },
    },
    ...problemResponses([400, 500, 503]),
  },
});

export const createNotificationChannelRoute = createRoute({
  method: "post",
  path: "/api/v1/notification/channels",
  operationId: "createNotificationChannel",
  tags: ["Notifications"],
  summary: "Create a notification channel",
  description: "Creates a channel and answers with it, the signing secret included.",
  request: { body },
  responses: {
    201: {
      description: "The created channel.",
      content: { "application/json": { schema: notificationChannelSchema } },
    },
    ...problemResponses([400, 500, 503]),
  },
});

export const getNotificationChannelRoute = createRoute({
  method: "get",
  path: "/api/v1/notification/channels/{channelId}",
  operationId: "getNotificationChannel",
  tags: ["Notifications"],
  summary: "Get a notification channel",
  description: "One channel. A deleted channel is answered too, with `deletedAt`.",
  request: { params: channelParamsSchema },
  responses: {
    200: { description: "The channel.", content: { "application/json": { schema: notificationChannelSchema } } },
    ...problemResponses([400, 404, 500, 503], { 404: "There is no such channel." }),
  },
});

export const updateNotificationChannelRoute = createRoute({
  method: "put",
  path: "/api/v1/notification/channels/{channelId}",
  operationId: "updateNotificationChannel",
  tags: ["Notifications"],
  summary: "Replace a notification channel",
  description:
    "Replaces what can change; deliveries under way take the new values from their next attempt on. The signing secret " +
    "stays when it is left out.",
  request: { params: channelParamsSchema, body },
  responses: {
    200: {
      description: "The changed channel.",
      content: { "application/json": { schema: notificationChannelSchema } },
    },
    ...problemResponses([400, 404, 500, 503], channelNotFound),
  },
});

export const deleteNotificationChannelRoute = createRoute({
  method: "delete",
  path: "/api/v1/notification/channels/{channelId}",
  operationId: "deleteNotificationChannel",
  tags: ["Notifications"],
  summary: "Delete a notification channel",
  description: "Deletes a channel that no rule uses; 400 names the rules that do.",
  request: { params: channelParamsSchema },
  responses: {
    204: { description: "The channel is deleted." },
    ...problemResponses([400, 404, 500, 503], channelNotFound),
  },
});
