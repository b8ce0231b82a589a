/**
 * What belongs to a customer elsewhere: what apps know about it, and its subscriptions.
 *
 * No app can be installed and nothing makes subscriptions yet: the lists are empty, and whoever names an app learns that it
 * does not exist.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { component } from "./components.ts";
import { customerParamsSchema, pageOf } from "./customers.ts";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { metadataSchema } from "./meters.ts";
import { pageParameters, sortOrderSchema } from "./pagination.ts";
import { problemResponses } from "./problem.ts";
import { repeatedParameter } from "./query-string.ts";
import { subscriptionSchema, subscriptionStatusSchema } from "./subscriptions.ts";

const appTypeSchema = component("AppType", z.enum(["stripe", "sandbox", "custom_invoicing"]), {
  description: "Kind of an app.",
  example: "stripe",
});

const appCapabilitySchema = z
  .object({
    type: z
      .enum(["reportUsage", "reportEvents", "calculateTax", "invoiceCustomers", "collectPayments"])
      .openapi("AppCapabilityType", { description: "What an app can do." }),
    key: z
      .string()
      .min(1)
      .max(64)
      .regex(/^[a-z0-9]+(?:_[a-z0-9]+)*$/)
      .openapi({ description: "Name of the capability for programs.", example: "collect_payment" }),
    name: z.string().openapi({ description: "Name of the capability for people." }),
    description: z.string().openapi({ description: "What the capability is." }),
  })
  .openapi("AppCapability", { description: "Something that an app can do." });

const listingSchema = component(
  "MarketplaceListing",
  z.object({
    type: appTypeSchema,
    name: z.string().openapi({ description: "Name of the kind of app." }),
    description: z.string().openapi({ description: "What the kind of app is for." }),
    capabilities: z.array(appCapabilitySchema).openapi({ description: "What apps of this kind can do." }),
    installMethods: z
      .array(
        z
          .enum(["with_oauth2", "with_api_key", "no_credentials_required"])
          .openapi("InstallMethod", { description: "How an app is installed." }),
      )
      .openapi({ description: "How apps of this kind can be installed." }),
  }),
  { description: "A kind of app that can be installed." },
);

const appStatusSchema = component("AppStatus", z.enum(["ready", "unauthorized"]), {
  description: "Whether the app works.",
});

function appOf<const Type extends string>(type: Type) {
  return {
    id: ulidSchema("Id of the app, made by the server.").openapi({ readOnly: true }),
    name: z.string().min(1).max(256).openapi({ description: "Name for people." }),
    description: z.string().max(1024).optional().openapi({ description: "What the app is for." }),
    metadata: metadataSchema
      .nullable()
      .optional()
      .openapi({ description: "Your own notes, text by key; null is none." }),
    createdAt: timestampSchema("When the app was installed.").openapi({ readOnly: true }),
    updatedAt: timestampSchema("When the app was last changed.").openapi({ readOnly: true }),
    deletedAt: timestampSchema("When the app was removed.").optional().openapi({ readOnly: true }),
    listing: listingSchema.openapi({ readOnly: true }),
    status: appStatusSchema.openapi({ readOnly: true }),
    type: z.enum([type]).openapi({ description: "Kind of the app." }),
  };
}

export const stripeAppSchema = component(
  "StripeApp",
  z.object({
    ...appOf("stripe"),
    stripeAccountId: z.string().openapi({ readOnly: true, description: "Id of the Stripe account." }),
    livemode: z.boolean().openapi({ readOnly: true, description: "Whether real money moves." }),
    maskedAPIKey: z.string().openapi({ readOnly: true, description: "The API key, most of it hidden." }),
  }),
  { description: "An installed Stripe app." },
);

export const sandboxAppSchema = component("SandboxApp", z.object(appOf("sandbox")), {
  description: "An installed app that only pretends.",
});

export const customInvoicingAppSchema = component(
  "CustomInvoicingApp",
  z.object({
    ...appOf("custom_invoicing"),
    enableDraftSyncHook: z.boolean().openapi({ description: "Whether drafts wait for your answer." }),
    enableIssuingSyncHook: z.boolean().openapi({ description: "Whether issuing waits for your answer." }),
  }),
  { description: "An installed app for your own invoicing." },
);

const appId = ulidSchema("Id of the app; absent: the default app of this kind.").optional();
const stripeContent = {
  id: appId,
  type: z.enum(["stripe"]).openapi({ description: "Kind of the app." }),
  stripeCustomerId: z.string().openapi({ description: "Id of the customer in Stripe.", example: "cus_JMOlctsKV8" }),
  stripeDefaultPaymentMethodId: z
    .string()
    .optional()
    .openapi({ description: "Id of the customer's default payment method in Stripe." }),
};

const sandboxDataSchema = z
  .object({
    app: sandboxAppSchema.optional().openapi({ readOnly: true }),
    id: appId,
    type: z.enum(["sandbox"]).openapi({ description: "Kind of the app." }),
  })
  .openapi("SandboxCustomerAppData", { description: "What an app that only pretends knows about a customer." });

const customInvoicingDataSchema = z
  .object({
    app: customInvoicingAppSchema.optional().openapi({ readOnly: true }),
    id: appId,
    type: z.enum(["custom_invoicing"]).openapi({ description: "Kind of the app." }),
    metadata: metadataSchema.optional().openapi({ description: "Your own notes for your invoicing, text by key." }),
  })
  .openapi("CustomInvoicingCustomerAppData", { description: "What your own invoicing knows about a customer." });

const appDataSchema = z
  .discriminatedUnion("type", [
    z
      .object({ ...stripeContent, app: stripeAppSchema.optional().openapi({ readOnly: true }) })
      .openapi("StripeCustomerAppData", { description: "What Stripe knows about a customer." }),
    sandboxDataSchema,
    customInvoicingDataSchema,
  ])
  .openapi("CustomerAppData", { description: "What an app knows about a customer." });

const appDataItemSchema = z
  .discriminatedUnion("type", [
    z
      .object(stripeContent)
      .openapi("StripeCustomerAppDataCreateOrUpdateItem", { description: "What Stripe shall know about a customer." }),
    sandboxDataSchema,
    customInvoicingDataSchema,
  ])
  .openapi("CustomerAppDataCreateOrUpdateItem", { description: "What an app shall know about a customer." });

const NO_CUSTOMER = "There is no such customer.";
const NO_APP = "There is no such customer, or no such app.";

const listCustomerAppDataRoute = createRoute({
  method: "get",
  path: "/api/v1/customers/{customerIdOrKey}/apps",
  operationId: "listCustomerAppData",
  tags: ["Customers"],
  summary: "List what apps know about a customer",
  description: "What installed apps know about a customer, page by page. No app can be installed yet, so it is empty.",
  request: {
    params: customerParamsSchema,
    query: z.object({
      ...pageParameters,
      type: appTypeSchema.optional().openapi({ description: "Only apps of this kind." }),
    }),
  },
  responses: {
    200: {
      description: "One page of what apps know.",
      content: {
        "application/json": { schema: pageOf(appDataSchema, "CustomerAppDataPaginatedResponse", "data of apps") },
      },
    },
    ...problemResponses([400, 404, 500, 503], { 404: NO_CUSTOMER }),
  },
});

const upsertCustomerAppDataRoute = createRoute({
  method: "put",
  path: "/api/v1/customers/{customerIdOrKey}/apps",
  operationId: "upsertCustomerAppData",
  tags: ["Customers"],
  summary: "Tell apps about a customer",
  description:
    "Sets what apps know about a customer. No app can be installed yet, so every app that is named is unknown.",
  request: {
    params: customerParamsSchema,
    body: {
      required: true,
      description: "What each app shall know.",
      content: { "application/json": { schema: z.array(appDataItemSchema), example: [{ type: "sandbox" }] } },
    },
  },
  responses: {
    200: {
      description: "What the apps know now.",
      content: { "application/json": { schema: z.array(appDataSchema) } },
    },
    ...problemResponses([400, 404, 412, 413, 500, 503], { 404: NO_APP, 412: "The customer is deleted." }),
  },
});

const deleteCustomerAppDataRoute = createRoute({
  method: "delete",
  path: "/api/v1/customers/{customerIdOrKey}/apps/{appId}",
  operationId: "deleteCustomerAppData",
  tags: ["Customers"],
  summary: "Make an app forget a customer",
  description: "Deletes what an app knows about a customer. No app can be installed yet, so every app is unknown.",
  request: { params: customerParamsSchema.extend({ appId: ulidSchema("Id of the app.") }) },
  responses: {
    204: { description: "The app knows nothing about the customer." },
    ...problemResponses([400, 404, 412, 500, 503], { 404: NO_APP, 412: "The customer is deleted." }),
  },
});

export const customerSubscriptionOrderBySchema = z
  .enum(["activeFrom", "activeTo"])
  .openapi("CustomerSubscriptionOrderBy", { description: "Field by which a customer's subscriptions are sorted." });

const listCustomerSubscriptionsRoute = createRoute({
  method: "get",
  path: "/api/v1/customers/{customerIdOrKey}/subscriptions",
  operationId: "listCustomerSubscriptions",
  tags: ["Customers"],
  summary: "List a customer's subscriptions",
  description: "The subscriptions of a customer, page by page. Nothing makes subscriptions yet, so it is empty.",
  request: {
    params: customerParamsSchema,
    query: z.object({
      status: repeatedParameter(subscriptionStatusSchema, {
        description: "Subscriptions with one of these states. Repeat it for several.",
      }),
      order: sortOrderSchema.default("ASC").openapi({ description: "Direction of sorting." }),
      orderBy: customerSubscriptionOrderBySchema.optional().openapi({ description: "Field to sort by." }),
      ...pageParameters,
    }),
  },
  responses: {
    200: {
      description: "One page of subscriptions.",
      content: {
        "application/json": { schema: pageOf(subscriptionSchema, "SubscriptionPaginatedResponse", "subscriptions") },
      },
    },
    ...problemResponses([400, 404, 500, 503], { 404: NO_CUSTOMER }),
  },
});

export const customerListRoutes = {
  listCustomerAppData: listCustomerAppDataRoute,
  upsertCustomerAppData: upsertCustomerAppDataRoute,
  deleteCustomerAppData: deleteCustomerAppDataRoute,
  listCustomerSubscriptions: listCustomerSubscriptionsRoute,
};
