/**
 * Parties: who bills and who is billed.
 *
 * An invoice keeps both as they were when it was created; later changes of the billing profile or of the customer do not
 * reach it.
 */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { addressSchema, usageAttributionSchema } from "../customers.ts";

const taxIdentificationCodeSchema = component("BillingTaxIdentificationCode", z.string().min(1).max(32), {
  description: "Number under which tax authorities know a party.",
  example: "DE123456789",
});

const taxIdentitySchema = component(
  "BillingPartyTaxIdentity",
  z.object({
    code: taxIdentificationCodeSchema
      .optional()
      .openapi({ description: "Number under which tax authorities know the party." }),
  }),
  { description: "Who a party is to tax authorities." },
);

const party = {
  id: z.string().optional().openapi({ readOnly: true, description: "Id of the party; absent when it has none." }),
  key: z.string().min(1).max(256).optional().openapi({ description: "Your own name for the party.", example: "acme" }),
  name: z.string().optional().openapi({ description: "Name, as on the document.", example: "ACME Inc." }),
  taxId: taxIdentitySchema.optional().openapi({ description: "Who the party is to tax authorities." }),
  addresses: z.array(addressSchema).max(1).optional().openapi({ description: "Postal address, at most one." }),
};

export const partySchema = component("BillingParty", z.object(party), {
  description: "Who bills, as on the document.",
});

export const invoiceCustomerSchema = component(
  "BillingInvoiceCustomerExtendedDetails",
  z.object({
    ...party,
    usageAttribution: usageAttributionSchema.openapi({
      description: "Which events were the customer's usage when the invoice was created.",
    }),
  }),
  { description: "Who is billed, as on the document." },
);
