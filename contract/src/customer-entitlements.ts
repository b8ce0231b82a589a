/** Entitlements and grants of v2, where a customer owns an entitlement, and what a customer may use. */
import { createRoute, type RouteConfig, z } from "@hono/zod-openapi";
import {
  balanceHistoryQuerySchema,
  balanceHistorySchema,
  customerAccessSchema,
  entitlementValueSchema,
  entitlementValueSchemaV2,
  valueQuerySchema,
} from "./entitlement-balances.ts";
import {
  grantInputSchemaV2,
  grantOrderParameter,
  grantPageSchemaV2,
  grantSchemaV2,
  includeDeletedParameter,
  sliceParameters,
} from "./entitlement-grants.ts";
import {
  customerEntitlementListQuerySchema,
  entitlementInputSchemaV2,
  entitlementListParameters,
  entitlementPageSchemaV2,
  entitlementSchemaV2,
  resetInputSchema,
} from "./entitlements.ts";
import { idOrSlugSchema, slugSchema, ulidSchema } from "./identifiers.ts";
import { problemResponses } from "./problem.ts";
import { repeatedParameter } from "./query-string.ts";

const tags = ["Entitlements"];

const customerIdOrKey = z.string().min(1).max(256).openapi({
  description: "Id or key of the customer. A deleted customer is found by id only and refused with 412.",
  example: "acme",
});
const customerParams = z.object({ customerIdOrKey });
const entitlementParams = customerParams.extend({
  entitlementIdOrFeatureKey: idOrSlugSchema("Id of the entitlement, or key of its feature."),
});

const OWNER_PROBLEM = { 412: "The customer is deleted." };
const problems = problemResponses([400, 404, 412, 500, 503], OWNER_PROBLEM);
const writeProblems = problemResponses([400, 403, 404, 409, 412, 413, 500, 503], {
  ...OWNER_PROBLEM,
  409: "The customer has an entitlement to the feature already; `extensions.conflictingEntityId` is its id.",
});

function json<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { "application/json": { schema } } };
}

function body<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { required: true, description, content: { "application/json": { schema } } };
}

export const getCustomerAccessRoute = createRoute({
  method: "get",
  path: "/api/v1/customers/{customerIdOrKey}/access",
  operationId: "getCustomerAccess",
  tags,
  summary: "Get what a customer may use",
  description: "The values of all entitlements of the customer that are active now, by feature key.",
  request: { params: customerParams },
  responses: { 200: json("What the customer may use.", customerAccessSchema), ...problems },
});

export const getCustomerEntitlementValueRoute = createRoute({
  method: "get",
  path: "/api/v1/customers/{customerIdOrKey}/entitlements/{featureKey}/value",
  operationId: "getCustomerEntitlementValue",
  tags,
  summary: "Check a customer's access to a feature",
  description: "Whether the customer has access to the feature at a time. No entitlement means no access.",
  request: {
    params: customerParams.extend({ featureKey: slugSchema("Key of the feature.") }),
    query: valueQuerySchema,
  },
  responses: { 200: json("The value.", entitlementValueSchema), ...problems },
});

export const createCustomerEntitlementV2Route = createRoute({
  method: "post",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements",
  operationId: "createCustomerEntitlementV2",
  tags,
  summary: "Create an entitlement",
  description:
    "Gives the customer access to a feature, a metered one with its first grants. One entitlement to a feature at a time.",
  request: { params: customerParams, body: body("The entitlement.", entitlementInputSchemaV2) },
  responses: { 201: json("The entitlement.", entitlementSchemaV2), ...writeProblems },
});

export const listCustomerEntitlementsV2Route = createRoute({
  method: "get",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements",
  operationId: "listCustomerEntitlementsV2",
  tags,
  summary: "List a customer's entitlements",
  description: "The entitlements that are active now; with `includeDeleted` also those that have ended.",
  request: { params: customerParams, query: customerEntitlementListQuerySchema },
  responses: { 200: json("A page of entitlements.", entitlementPageSchemaV2), ...problems },
});

export const getCustomerEntitlementV2Route = createRoute({
  method: "get",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}",
  operationId: "getCustomerEntitlementV2",
  tags,
  summary: "Get an entitlement",
  description: "One entitlement: by id in any state, by feature key the one that is active now.",
  request: { params: entitlementParams },
  responses: { 200: json("The entitlement.", entitlementSchemaV2), ...problems },
});

export const deleteCustomerEntitlementV2Route = createRoute({
  method: "delete",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}",
  operationId: "deleteCustomerEntitlementV2",
  tags,
  summary: "Delete an entitlement",
  description: "Ends the entitlement and its grants now. The past stays as it was.",
  request: { params: entitlementParams },
  responses: {
    204: { description: "The entitlement gives no access any more." },
    ...problemResponses([400, 403, 404, 412, 500, 503], OWNER_PROBLEM),
  },
});

export const createCustomerEntitlementGrantV2Route = createRoute({
  method: "post",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
  operationId: "createCustomerEntitlementGrantV2",
  tags,
  summary: "Create a grant",
  description: "Gives a metered entitlement an amount of usage. It may expire, and all of it rolls over by default.",
  request: { params: entitlementParams, body: body("The grant.", grantInputSchemaV2) },
  responses: { 201: json("The grant.", grantSchemaV2), ...writeProblems },
});

export const listCustomerEntitlementGrantsV2Route = createRoute({
  method: "get",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
  operationId: "listCustomerEntitlementGrantsV2",
  tags,
  summary: "List an entitlement's grants",
  description: "All grants of the entitlement that are not deleted, also expired and voided ones.",
  request: {
    params: entitlementParams,
    query: z.object({ includeDeleted: includeDeletedParameter, ...sliceParameters, orderBy: grantOrderParameter }),
  },
  responses: { 200: json("A page of grants.", grantPageSchemaV2), ...problems },
});

export const getCustomerEntitlementHistoryV2Route = createRoute({
  method: "get",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/history",
  operationId: "getCustomerEntitlementHistoryV2",
  tags,
  summary: "Get an entitlement's history",
  description: "Usage and balance by window, and how the grants were used up. Metered entitlements only.",
  request: { params: entitlementParams, query: balanceHistoryQuerySchema },
  responses: { 200: json("The history.", balanceHistorySchema), ...problems },
});

export const overrideCustomerEntitlementV2Route = createRoute({
  method: "put",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/override",
  operationId: "overrideCustomerEntitlementV2",
  tags,
  summary: "Replace an entitlement",
  description:
    "Ends the entitlement now and starts a new one to the same feature. Grants, usage and resets are not inherited.",
  request: { params: entitlementParams, body: body("The new entitlement.", entitlementInputSchemaV2) },
  responses: { 201: json("The new entitlement.", entitlementSchemaV2), ...writeProblems },
});

export const resetCustomerEntitlementUsageV2Route = createRoute({
  method: "post",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/reset",
  operationId: "resetCustomerEntitlementUsageV2",
  tags,
  summary: "Reset an entitlement's usage",
  description: "Starts a new usage period: usage is zero again and grants roll over. Metered entitlements only.",
  request: { params: entitlementParams, body: body("How to reset.", resetInputSchema) },
  responses: {
    204: { description: "The usage is reset." },
    ...problemResponses([400, 403, 404, 412, 413, 500, 503], OWNER_PROBLEM),
  },
});

export const getCustomerEntitlementValueV2Route = createRoute({
  method: "get",
  path: "/api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/value",
  operationId: "getCustomerEntitlementValueV2",
  tags,
  summary: "Get an entitlement's value",
  description: "Whether there is access at a time, and for metered entitlements balance, usage and overage by grant.",
  request: { params: entitlementParams, query: valueQuerySchema },
  responses: { 200: json("The value.", entitlementValueSchemaV2), ...problems },
});

export const listEntitlementsV2Route = createRoute({
  method: "get",
  path: "/api/v2/entitlements",
  operationId: "listEntitlementsV2",
  tags,
  summary: "List all entitlements",
  description: "Entitlements of all customers, page by page.",
  request: {
    query: z.object({
      ...entitlementListParameters,
      customerKeys: repeatedParameter(z.string(), {
        description: "Only entitlements of the customers with these keys. Repeat it for several.",
        example: ["acme"],
      }),
      customerIds: repeatedParameter(z.string(), {
        description: "Only entitlements of the customers with these ids. Repeat it for several.",
      }),
    }),
  },
  responses: { 200: json("A page of entitlements.", entitlementPageSchemaV2), ...problemResponses([400, 500, 503]) },
});

export const getEntitlementByIdV2Route = createRoute({
  method: "get",
  path: "/api/v2/entitlements/{entitlementId}",
  operationId: "getEntitlementByIdV2",
  tags,
  summary: "Get an entitlement by id",
  description: "One entitlement, whoever owns it, deleted or not.",
  request: { params: z.object({ entitlementId: ulidSchema("Id of the entitlement.") }) },
  responses: { 200: json("The entitlement.", entitlementSchemaV2), ...problemResponses([400, 404, 500, 503]) },
});

export const listGrantsV2Route = createRoute({
  method: "get",
  path: "/api/v2/grants",
  operationId: "listGrantsV2",
  tags,
  summary: "List all grants",
  description: "Grants of all entitlements, page by page.",
  request: {
    query: z.object({
      feature: entitlementListParameters.feature,
      customer: repeatedParameter(z.string(), {
        description: "Only grants of these customers, by id or key. Repeat it for several.",
        example: ["acme"],
      }),
      includeDeleted: includeDeletedParameter,
      ...sliceParameters,
      orderBy: grantOrderParameter,
    }),
  },
  responses: { 200: json("A page of grants.", grantPageSchemaV2), ...problemResponses([400, 500, 503]) },
});

/** In the order of the reference page. */
export const customerEntitlementRoutes: readonly RouteConfig[] = [
  getCustomerAccessRoute,
  getCustomerEntitlementValueRoute,
  createCustomerEntitlementV2Route,
  listCustomerEntitlementsV2Route,
  getCustomerEntitlementV2Route,
  deleteCustomerEntitlementV2Route,
  overrideCustomerEntitlementV2Route,
  resetCustomerEntitlementUsageV2Route,
  getCustomerEntitlementValueV2Route,
  getCustomerEntitlementHistoryV2Route,
  createCustomerEntitlementGrantV2Route,
  listCustomerEntitlementGrantsV2Route,
  listEntitlementsV2Route,
  getEntitlementByIdV2Route,
  listGrantsV2Route,
];
