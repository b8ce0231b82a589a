/**
 * Portal: lets your own customers' browsers read their usage, with a short-lived token bound to one subject.
 *
 * Your backend makes tokens through the management operations; a browser sends one as `Authorization: Bearer <token>` to
 * the query, the only operation that takes it.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { slugSchema, ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { meterQueryResponses, portalQueryParameters } from "./meter-query.ts";
import { problemResponses } from "./problem.ts";
import { integerParameter } from "./query-string.ts";

const readOnly = { readOnly: true } as const;

export const portalTokenSchema = z
  .object({
    id: ulidSchema("Id of the token, made by the server.").optional().openapi(readOnly),
    subject: z.string().openapi({
      description: "The subject whose usage the token lets read; it need not exist yet.",
      example: "customer-1",
    }),
    expiresAt: timestampSchema(
      "When the token stops to work, cut to whole seconds. Honoured in a request; default: `portal.tokenExpiration` from now.",
      "2026-01-15T11:00:00Z",
    )
      .optional()
      .openapi(readOnly),
    expired: z
      .boolean()
      .optional()
      .openapi({ ...readOnly, description: "Whether the token has expired." }),
    createdAt: timestampSchema("When the token was created.").optional().openapi(readOnly),
    token: z
      .string()
      .optional()
      .openapi({ ...readOnly, description: "The token itself; only in the answer to its creation." }),
    allowedMeterSlugs: z
      .array(z.string())
      .optional()
      .openapi({
        description: "The meters that can be queried, by slug; absent: all. Must not be empty.",
        example: ["tokens_total"],
      }),
  })
  .openapi("PortalToken", { description: "A token with which one subject's usage can be read." });

/** A token as answered or requested. */
export type PortalTokenBody = z.output<typeof portalTokenSchema>;

const HONOURED: ReadonlySet<string> = new Set(["subject", "expiresAt", "allowedMeterSlugs"]);

/** What a request may say of a token; everything else, such as what an earlier answer said, is dropped unread. */
const requestedTokenSchema = z.preprocess((input) => {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return input;
  return Object.fromEntries(Object.entries(input).filter(([name]) => HONOURED.has(name)));
}, portalTokenSchema);

const listPortalTokensQuerySchema = z.object({
  limit: integerParameter({ min: 1, max: 100, fallback: 25 }, "At most this many tokens are returned, 1 to 100."),
});

const invalidatePortalTokensSchema = z.object({
  id: z.string().optional().openapi({ description: "Revoke the token with this id." }),
  subject: z.string().optional().openapi({
    description: "Revoke all tokens of this subject issued so far; with `id`, that token if it is the subject's.",
    example: "customer-1",
  }),
});

const createPortalTokenRoute = createRoute({
  method: "post",
  path: "/api/v1/portal/tokens",
  operationId: "createPortalToken",
  tags: ["Portal"],
  summary: "Create a portal token",
  description:
    "Creates a token. Its text is answered only here and is not stored: pass it on to the browser that needs it.",
  request: {
    body: {
      required: true,
      description: "Whose usage, which meters, how long.",
      content: {
        "application/json": {
          schema: requestedTokenSchema,
          example: { subject: "customer-1", allowedMeterSlugs: ["tokens_total"] },
        },
      },
    },
  },
  responses: {
    200: { description: "The token.", content: { "application/json": { schema: portalTokenSchema } } },
    ...problemResponses([400, 404, 500, 501, 503], { 404: "There is no such meter." }),
  },
});

const listPortalTokensRoute = createRoute({
  method: "get",
  path: "/api/v1/portal/tokens",
  operationId: "listPortalTokens",
  tags: ["Portal"],
  summary: "List portal tokens",
  description: "The tokens that are not revoked, newest first; expired ones stay on the list for 30 days.",
  request: { query: listPortalTokensQuerySchema },
  responses: {
    200: { description: "The tokens.", content: { "application/json": { schema: z.array(portalTokenSchema) } } },
    ...problemResponses([400, 500, 501, 503]),
  },
});

const invalidatePortalTokensRoute = createRoute({
  method: "post",
  path: "/api/v1/portal/tokens/invalidate",
  operationId: "invalidatePortalTokens",
  tags: ["Portal"],
  summary: "Revoke portal tokens",
  description:
    "Revokes tokens at once and for ever. An unknown id or a subject without tokens is answered with 204 too.",
  request: {
    body: {
      required: true,
      description: "Which tokens: `id` or `subject`, or both.",
      content: { "application/json": { schema: invalidatePortalTokensSchema, example: { subject: "customer-1" } } },
    },
  },
  responses: {
    204: { description: "The tokens work no more." },
    ...problemResponses([400, 500, 501, 503]),
  },
});

const queryPortalMeterRoute = createRoute({
  method: "get",
  path: "/api/v1/portal/meters/{meterSlug}/query",
  operationId: "queryPortalMeter",
  tags: ["Portal"],
  summary: "Query usage with a portal token",
  description:
    "Usage of the token's subject that the meter counts, as the query of meters answers it; every row has the subject. At " +
    "most 10000 rows. Browsers of any origin may ask.",
  security: [{ PortalTokenAuth: [] }],
  request: {
    params: z.object({ meterSlug: slugSchema("Slug of the meter.") }),
    query: portalQueryParameters,
  },
  responses: {
    ...meterQueryResponses,
    ...problemResponses([400, 401, 404, 429, 500, 501, 503], { 404: "There is no such meter." }),
  },
});

/** Every operation of the portal, by what it does. */
export const portalRoutes = {
  query: queryPortalMeterRoute,
  list: listPortalTokensRoute,
  create: createPortalTokenRoute,
  invalidate: invalidatePortalTokensRoute,
} as const;
