/** Entitlements and grants of v1, where a subject owns an entitlement; kept for clients that know nothing of customers. */
import { createRoute, type RouteConfig, z } from "@hono/zod-openapi";
import {
  balanceHistoryQuerySchema,
  balanceHistorySchema,
  entitlementValueSchema,
  valueQuerySchema,
} from "./entitlement-balances.ts";
import {
  grantInputSchema,
  grantOrderParameter,
  grantPageSchema,
  grantSchema,
  includeDeletedParameter,
  sliceParameters,
} from "./entitlement-grants.ts";
import {
  entitlementInputSchema,
  entitlementListParameters,
  entitlementPageSchema,
  entitlementSchema,
  resetInputSchema,
} from "./entitlements.ts";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { problemResponses } from "./problem.ts";
import { repeatedParameter } from "./query-string.ts";

const tags = ["Entitlements"];

const subjectFilter = repeatedParameter(z.string(), {
  description: "Only those of the customers that own these subjects. Repeat it for several.",
  example: ["customer-1"],
});

const subjectParams = z.object({
  subjectIdOrKey: z.string().openapi({ description: "Id or key of the subject.", example: "customer-1" }),
});
const entitlementParams = subjectParams.extend({
  entitlementId: z
    .string()
    .openapi({ description: "Id of the entitlement, or key of its feature.", example: "tokens" }),
});
const keyedParams = subjectParams.extend({
  entitlementIdOrFeatureKey: z.string().openapi({
    description: "Id of the entitlement, or key of its feature.",
    example: "tokens",
  }),
});

const OWNER_PROBLEM = { 412: "The subject is deleted, or no customer owns it." };
const problems = problemResponses([400, 404, 412, 500, 503], OWNER_PROBLEM);
const writeProblems = problemResponses([400, 403, 404, 409, 412, 413, 500, 503], {
  ...OWNER_PROBLEM,
  409: "The subject has an entitlement to the feature already; `extensions.conflictingEntityId` is its id.",
});

function json<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { "application/json": { schema } } };
}

function body<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { required: true, description, content: { "application/json": { schema } } };
}

export const listEntitlementsRoute = createRoute({
  method: "get",
  path: "/api/v1/entitlements",
  operationId: "listEntitlements",
  tags,
  summary: "List all entitlements",
  description: "Entitlements of all subjects: an array, or a page if `page` or `pageSize` is sent.",
  deprecated: true,
  request: { query: z.object({ ...entitlementListParameters, subject: subjectFilter }) },
  responses: {
    200: json(
      "The entitlements.",
      z
        .union([z.array(entitlementSchema), entitlementPageSchema])
        .openapi("ListEntitlementsResult", { description: "An array of entitlements, or a page of them." }),
    ),
    ...problemResponses([400, 500, 503]),
  },
});

export const getEntitlementByIdRoute = createRoute({
  method: "get",
  path: "/api/v1/entitlements/{entitlementId}",
  operationId: "getEntitlementById",
  tags,
  summary: "Get an entitlement by id",
  description: "One entitlement, whoever owns it, deleted or not.",
  deprecated: true,
  request: { params: z.object({ entitlementId: ulidSchema("Id of the entitlement.") }) },
  responses: { 200: json("The entitlement.", entitlementSchema), ...problemResponses([400, 404, 500, 503]) },
});

export const listGrantsRoute = createRoute({
  method: "get",
  path: "/api/v1/grants",
  operationId: "listGrants",
  tags,
  summary: "List all grants",
  description: "Grants of all entitlements: an array, or a page if `page` or `pageSize` is sent.",
  deprecated: true,
  request: {
    query: z.object({
      feature: entitlementListParameters.feature,
      subject: subjectFilter,
      includeDeleted: includeDeletedParameter,
      ...sliceParameters,
      orderBy: grantOrderParameter,
    }),
  },
  responses: {
    200: json("The grants.", z.union([z.array(grantSchema), grantPageSchema])),
    ...problemResponses([400, 500, 503]),
  },
});

export const voidGrantRoute = createRoute({
  method: "delete",
  path: "/api/v1/grants/{grantId}",
  operationId: "voidGrant",
  tags,
  summary: "Void a grant",
  description: "Ends a grant: what is left of it is forfeited, and usage that it covered stays covered.",
  request: {
    params: z.object({ grantId: z.string().openapi({ description: "Id of the grant." }) }),
    query: z.object({
      at: timestampSchema(
        "When the grant ends, floored to the minute. Default: now. Not before the present usage period, not in the future.",
      ).optional(),
    }),
  },
  responses: {
    204: { description: "The grant is void." },
    ...problemResponses([400, 404, 409, 500, 503], { 404: "There is no such grant." }),
  },
});

export const createEntitlementRoute = createRoute({
  method: "post",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements",
  operationId: "createEntitlement",
  tags,
  summary: "Create an entitlement",
  description: "Gives the customer that owns the subject access to a feature. One entitlement to a feature at a time.",
  deprecated: true,
  request: { params: subjectParams, body: body("The entitlement.", entitlementInputSchema) },
  responses: { 201: json("The entitlement.", entitlementSchema), ...writeProblems },
});

export const listSubjectEntitlementsRoute = createRoute({
  method: "get",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements",
  operationId: "listSubjectEntitlements",
  tags,
  summary: "List a subject's entitlements",
  description: "The entitlements that are active now; with `includeDeleted` also those that have ended.",
  deprecated: true,
  request: { params: subjectParams, query: z.object({ includeDeleted: includeDeletedParameter }) },
  responses: { 200: json("The entitlements.", z.array(entitlementSchema)), ...problems },
});

export const listEntitlementGrantsRoute = createRoute({
  method: "get",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
  operationId: "listEntitlementGrants",
  tags,
  summary: "List an entitlement's grants",
  description: "All grants of the entitlement that are not deleted, also expired and voided ones.",
  deprecated: true,
  request: {
    params: keyedParams,
    query: z.object({ includeDeleted: includeDeletedParameter, orderBy: grantOrderParameter }),
  },
  responses: { 200: json("The grants.", z.array(grantSchema)), ...problems },
});

export const createGrantRoute = createRoute({
  method: "post",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
  operationId: "createGrant",
  tags,
  summary: "Create a grant",
  description: "Gives a metered entitlement an amount of usage. It expires, and nothing rolls over unless it says so.",
  deprecated: true,
  request: { params: keyedParams, body: body("The grant.", grantInputSchema) },
  responses: { 201: json("The grant.", grantSchema), ...writeProblems },
});

export const overrideEntitlementRoute = createRoute({
  method: "put",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/override",
  operationId: "overrideEntitlement",
  tags,
  summary: "Replace an entitlement",
  description:
    "Ends the entitlement now and starts a new one to the same feature. Grants, usage and resets are not inherited.",
  deprecated: true,
  request: { params: keyedParams, body: body("The new entitlement.", entitlementInputSchema) },
  responses: { 201: json("The new entitlement.", entitlementSchema), ...writeProblems },
});

export const getEntitlementValueRoute = createRoute({
  method: "get",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/value",
  operationId: "getEntitlementValue",
  tags,
  summary: "Get an entitlement's value",
  description: "Whether there is access at a time, and for metered entitlements balance, usage and overage.",
  deprecated: true,
  request: { params: keyedParams, query: valueQuerySchema },
  responses: { 200: json("The value.", entitlementValueSchema), ...problems },
});

export const getEntitlementRoute = createRoute({
  method: "get",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}",
  operationId: "getEntitlement",
  tags,
  summary: "Get an entitlement",
  description: "One entitlement: by id in any state, by feature key the one that is active now.",
  deprecated: true,
  request: { params: entitlementParams },
  responses: { 200: json("The entitlement.", entitlementSchema), ...problems },
});

export const deleteEntitlementRoute = createRoute({
  method: "delete",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}",
  operationId: "deleteEntitlement",
  tags,
  summary: "Delete an entitlement",
  description: "Ends the entitlement and its grants now. The past stays as it was.",
  deprecated: true,
  request: { params: entitlementParams },
  responses: {
    204: { description: "The entitlement gives no access any more." },
    ...problemResponses([400, 403, 404, 412, 500, 503], OWNER_PROBLEM),
  },
});

export const getEntitlementHistoryRoute = createRoute({
  method: "get",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}/history",
  operationId: "getEntitlementHistory",
  tags,
  summary: "Get an entitlement's history",
  description: "Usage and balance by window, and how the grants were used up. Metered entitlements only.",
  deprecated: true,
  request: { params: entitlementParams, query: balanceHistoryQuerySchema },
  responses: { 200: json("The history.", balanceHistorySchema), ...problems },
});

export const resetEntitlementUsageRoute = createRoute({
  method: "post",
  path: "/api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}/reset",
  operationId: "resetEntitlementUsage",
  tags,
  summary: "Reset an entitlement's usage",
  description: "Starts a new usage period: usage is zero again and grants roll over. Metered entitlements only.",
  deprecated: true,
  request: { params: entitlementParams, body: body("How to reset.", resetInputSchema) },
  responses: {
    204: { description: "The usage is reset." },
    ...problemResponses([400, 403, 404, 412, 413, 500, 503], OWNER_PROBLEM),
  },
});

/** In the order of the reference page. */
export const subjectEntitlementRoutes: readonly RouteConfig[] = [
  createEntitlementRoute,
  listSubjectEntitlementsRoute,
  getEntitlementRoute,
  deleteEntitlementRoute,
  overrideEntitlementRoute,
  resetEntitlementUsageRoute,
  getEntitlementValueRoute,
  getEntitlementHistoryRoute,
  createGrantRoute,
  listEntitlementGrantsRoute,
  listEntitlementsRoute,
  getEntitlementByIdRoute,
  listGrantsRoute,
  voidGrantRoute,
];
