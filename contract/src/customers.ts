/**
 * Customers: whose usage it is.
 *
 * An event belongs to the customer whose key is its `subject`, else to the one that has it among its subject keys. The rule
 * applies when a question is asked, so moving a subject moves its whole history.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { component } from "./components.ts";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { annotationsSchema, metadataSchema } from "./meters.ts";
import { pageParameters, sortOrderSchema } from "./pagination.ts";
import { problemResponses } from "./problem.ts";
import { booleanParameter, repeatedParameter } from "./query-string.ts";
import { subscriptionSchema } from "./subscriptions.ts";

export const currencyCodeSchema = z
  .string()
  .min(3)
  .max(3)
  .regex(/^[A-Z]{3}$/, { error: "must be an ISO 4217 code of three upper-case letters, such as USD" })
  .openapi("CurrencyCode", { description: "ISO 4217 code of a currency.", example: "USD" });

const countryCodeSchema = component(
  "CountryCode",
  z
    .string()
    .min(2)
    .max(2)
    .regex(/^[A-Z]{2}$/, { error: "must be an ISO 3166-1 code of two upper-case letters, such as US" }),
  { description: "ISO 3166-1 code of a country, two upper-case letters.", example: "US" },
);

export const addressSchema = component(
  "Address",
  z.object({
    country: countryCodeSchema
      .optional()
      .openapi({ description: "ISO 3166-1 code of the country, two upper-case letters." }),
    postalCode: z.string().optional().openapi({ description: "Postal code or ZIP code.", example: "94105" }),
    state: z.string().optional().openapi({ description: "State, province or county.", example: "CA" }),
    city: z.string().optional().openapi({ description: "City or town.", example: "San Francisco" }),
    line1: z.string().optional().openapi({ description: "First line: street and number.", example: "1 Main Street" }),
    line2: z.string().optional().openapi({ description: "Second line.", example: "Floor 2" }),
    phoneNumber: z.string().optional().openapi({ description: "Telephone number.", example: "+1 415 555 0100" }),
  }),
  { description: "A postal address; every part is optional." },
);

export const usageAttributionSchema = component(
  "CustomerUsageAttribution",
  z.object({
    subjectKeys: z
      .array(z.string().min(1))
      .min(0)
      .openapi({
        description:
          "Subjects of events that are this customer's besides its key: at most 1000 of at most 1024 bytes. A subject key " +
          "belongs to at most one customer that is not deleted. Answered sorted by their bytes; repeats are ignored.",
        example: ["acme-production", "acme-staging"],
      }),
  }),
  { description: "Which events are the customer's usage." },
);

const content = {
  name: z
    .string()
    .min(1)
    .max(256)
    .openapi({ description: "Name for people, 1 to 256 characters.", example: "ACME Inc." }),
  description: z
    .string()
    .max(1024)
    .optional()
    .openapi({ description: "What the customer is, at most 1024 characters.", example: "Our first customer." }),
  metadata: metadataSchema.nullable().optional().openapi({
    description:
      "Your own notes, text by key; null is none. At most 100 entries, keys of 256 and texts of 4096 characters.",
  }),
  key: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .openapi({
      description:
        "Your own name for the customer, 1 to 256 characters, unique among customers that are not deleted. Events with this " +
        "`subject` are the customer's, even if another customer has it as a subject key.",
      example: "acme",
    }),
  usageAttribution: usageAttributionSchema.optional(),
  primaryEmail: z.string().optional().openapi({ description: "Where to write to.", example: "billing@acme.test" }),
  currency: currencyCodeSchema.optional().openapi({
    description: "ISO 4217 code of the currency in which the customer is billed, one that `listCurrencies` lists.",
  }),
  billingAddress: addressSchema.optional().openapi({ description: "Where invoices are addressed to." }),
};

export const customerSchema = z
  .object({
    id: ulidSchema("Id of the customer, made by the server.").openapi({ readOnly: true }),
    ...content,
    currentSubscriptionId: ulidSchema("Id of the subscription that is active; absent without one.")
      .optional()
      .openapi({ readOnly: true }),
    subscriptions: z
      .array(subscriptionSchema)
      .optional()
      .openapi({ readOnly: true, description: "The customer's subscriptions; only with `expand=subscriptions`." }),
    annotations: annotationsSchema.optional().openapi({ readOnly: true }),
    createdAt: timestampSchema("When the customer was created.").openapi({ readOnly: true }),
    updatedAt: timestampSchema("When the customer was last changed.").openapi({ readOnly: true }),
    deletedAt: timestampSchema("When the customer was deleted; absent while it exists.", "2026-03-01T00:00:00Z")
      .optional()
      .openapi({ readOnly: true }),
  })
  .openapi("Customer", { description: "Who uses your product, and is billed for it." });

/** A customer as answered. */
export type CustomerBody = z.output<typeof customerSchema>;

export const customerCreateSchema = z.object(content).openapi("CustomerCreate", {
  description: "A customer to create. Unknown and read-only fields are ignored.",
});

export const customerReplaceUpdateSchema = z.object(content).openapi("CustomerReplaceUpdate", {
  description:
    "What a customer becomes. What is left out is cleared, also key and subject keys. Unknown and read-only fields are " +
    "ignored.",
});

/** A customer as a client describes it. */
export type CustomerContentBody = z.output<typeof customerCreateSchema>;

export const customerOrderBySchema = z.enum(["id", "name", "createdAt"]).openapi("CustomerOrderBy", {
  description: "Field by which customers are sorted.",
});

const customerExpandSchema = z.enum(["subscriptions"]).openapi("CustomerExpand", {
  description: "Something to be answered along with a customer.",
});

const expand = repeatedParameter(customerExpandSchema, {
  description: "What to answer along with each customer. Repeat it for several.",
});

/** Path parameters of every operation on one customer. */
export const customerParamsSchema = z.object({
  customerIdOrKey: z
    .string()
    .min(1)
    .max(256)
    .openapi({ description: "Id or key of the customer. A deleted customer is found by id only.", example: "acme" }),
});

function partOf(what: string) {
  return z
    .string()
    .optional()
    .openapi({ description: `Customers whose ${what} contains this text, in whatever case.` });
}

const listQuerySchema = z.object({
  ...pageParameters,
  order: sortOrderSchema.default("ASC").openapi({ description: "Direction of sorting." }),
  orderBy: customerOrderBySchema.optional().openapi({ description: "Field to sort by. Default: `name`." }),
  includeDeleted: booleanParameter("Whether deleted customers are listed too."),
  key: partOf("key"),
  name: partOf("name"),
  primaryEmail: partOf("primary email"),
  subject: partOf("usage attribution has a subject key that"),
  planKey: z.string().optional().openapi({ description: "Customers with a subscription to the plan with this key." }),
  expand,
});

/** One page of a list. */
export function pageOf<Item extends z.ZodType>(items: Item, name: string, what: string) {
  return z
    .object({
      items: z.array(items).openapi({ description: `The ${what} of this page.` }),
      page: z.int().openapi({ description: "Number of this page, counted from 1.", example: 1 }),
      pageSize: z.int().openapi({ description: "Items that a full page has.", example: 100 }),
      totalCount: z.int().openapi({ description: "Items on all pages.", example: 1 }),
    })
    .openapi(name, { description: `One page of ${what}.` });
}

const example = {
  name: "ACME Inc.",
  key: "acme",
  usageAttribution: { subjectKeys: ["acme-production"] },
  currency: "USD",
};

function answer(description: string) {
  return { description, content: { "application/json": { schema: customerSchema } } };
}

const NO_CUSTOMER = "There is no such customer.";
const DELETED = "The customer is deleted.";
const TAKEN =
  "Another customer has the key or one of the subject keys; `detail` names it, and so does `extensions.conflictingEntityId`.";

const listCustomersRoute = createRoute({
  method: "get",
  path: "/api/v1/customers",
  operationId: "listCustomers",
  tags: ["Customers"],
  summary: "List customers",
  description: "Customers, page by page. All conditions that are sent must hold.",
  request: { query: listQuerySchema },
  responses: {
    200: {
      description: "One page of customers.",
      content: { "application/json": { schema: pageOf(customerSchema, "CustomerPaginatedResponse", "customers") } },
    },
    ...problemResponses([400, 500, 503]),
  },
});

const createCustomerRoute = createRoute({
  method: "post",
  path: "/api/v1/customers",
  operationId: "createCustomer",
  tags: ["Customers"],
  summary: "Create a customer",
  description: "Creates a customer. Events with its key or subject keys are its usage from now on, also past ones.",
  request: {
    body: {
      required: true,
      description: "The customer.",
      content: { "application/json": { schema: customerCreateSchema, example } },
    },
  },
  responses: { 201: answer("The customer."), ...problemResponses([400, 409, 413, 500, 503], { 409: TAKEN }) },
});

const getCustomerRoute = createRoute({
  method: "get",
  path: "/api/v1/customers/{customerIdOrKey}",
  operationId: "getCustomer",
  tags: ["Customers"],
  summary: "Get a customer",
  description: "One customer. Asked for by id, a deleted customer is answered too, with `deletedAt`.",
  request: { params: customerParamsSchema, query: z.object({ expand }) },
  responses: { 200: answer("The customer."), ...problemResponses([400, 404, 500, 503], { 404: NO_CUSTOMER }) },
});

const updateCustomerRoute = createRoute({
  method: "put",
  path: "/api/v1/customers/{customerIdOrKey}",
  operationId: "updateCustomer",
  tags: ["Customers"],
  summary: "Replace a customer",
  description:
    "Replaces what you said of a customer; what is left out is cleared. Removing a subject key frees it for others, and with " +
    "it goes the usage of that subject, also the past.",
  request: {
    params: customerParamsSchema,
    body: {
      required: true,
      description: "What the customer becomes.",
      content: { "application/json": { schema: customerReplaceUpdateSchema, example } },
    },
  },
  responses: {
    200: answer("The customer as it is now."),
    ...problemResponses([400, 404, 409, 412, 413, 500, 503], { 404: NO_CUSTOMER, 409: TAKEN, 412: DELETED }),
  },
});

const deleteCustomerRoute = createRoute({
  method: "delete",
  path: "/api/v1/customers/{customerIdOrKey}",
  operationId: "deleteCustomer",
  tags: ["Customers"],
  summary: "Delete a customer",
  description:
    "Deletes a customer; its key and subject keys are free for others. It can still be read by id. Deleting a deleted " +
    "customer has no effect.",
  request: { params: customerParamsSchema },
  responses: {
    204: { description: "The customer is deleted." },
    ...problemResponses([400, 404, 412, 500, 503], {
      404: NO_CUSTOMER,
      412: "Something that needs the customer is still active; `detail` names it.",
    }),
  },
});

export const customerRoutes = {
  listCustomers: listCustomersRoute,
  createCustomer: createCustomerRoute,
  getCustomer: getCustomerRoute,
  updateCustomer: updateCustomerRoute,
  deleteCustomer: deleteCustomerRoute,
};
