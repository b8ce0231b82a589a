/**
 * Lines: what an invoice bills.
 *
 * A line is one thing to bill; rating turns its price and quantity into detailed lines, its `children`, whose totals add up
 * to the line's. What is deprecated on a line can be read from its `rateCard`.
 */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { currencyCodeSchema } from "../customers.ts";
import { periodSchema } from "../entitlement-balances.ts";
import { numericSchema } from "../features.ts";
import { slugSchema, ulidSchema } from "../identifiers.ts";
import { timestampSchema } from "../instants.ts";
import { lineDiscountsSchema } from "./discounts.ts";
import { invoiceReferenceSchema } from "./documents.ts";
import { lineExternalIdsSchema } from "./external-ids.ts";
import { paymentTermSchema, rateCardPriceSchema } from "./prices.ts";
import { detailedRateCardSchema, usageRateCardSchema } from "./rate-cards.ts";
import { idResourceSchema, lifeOf, notesOn } from "./resource.ts";
import { lineTaxItemSchema, taxConfigSchema } from "./tax.ts";
import { totalsSchema } from "./totals.ts";

const readOnly = true;
const deprecated = true;

const managedBySchema = component("InvoiceLineManagedBy", z.enum(["subscription", "system", "manual"]), {
  description:
    "`subscription`: the line follows a subscription. `system`: Tallystick made it, such as a correction. `manual`: you " +
    "made or edited it.",
  example: "subscription",
});

const lineStatusSchema = component("InvoiceLineStatus", z.enum(["valid", "detailed", "split"]), {
  description:
    "`valid`: waits to be billed. `detailed`: has detailed lines. `split`: was replaced by its parts and is not billed.",
  example: "detailed",
});

const creditAllocationSchema = component(
  "InvoiceLineCreditAllocation",
  z.object({
    amount: numericSchema.openapi({ readOnly, description: "Credits used, in the line's currency.", example: "5" }),
    description: z.string().optional().openapi({ readOnly, description: "Which credits, for people." }),
  }),
  { description: "Credits that pay for a part of a line." },
);

const lineSubscriptionSchema = component(
  "InvoiceLineSubscriptionReference",
  z.object({
    subscription: idResourceSchema.openapi({ readOnly, description: "The subscription." }),
    phase: idResourceSchema.openapi({ readOnly, description: "The phase of the subscription." }),
    item: idResourceSchema.openapi({ readOnly, description: "The item of the phase." }),
    billingPeriod: periodSchema.openapi({ readOnly, description: "The subscription's billing period." }),
  }),
  { description: "What of a subscription a line bills." },
);

function quantity(description: string) {
  return numericSchema.optional().openapi({ description, example: "1000" });
}

const lineFields = {
  name: z.string().min(1).max(256).openapi({ description: "What is billed, for people.", example: "Tokens" }),
  ...notesOn("the line"),
  ...lifeOf("the line"),
  id: ulidSchema("Id of the line, made by the server."),
  managedBy: managedBySchema.openapi({ readOnly, description: "Who decides about the line." }),
  status: lineStatusSchema.openapi({ readOnly, description: "Where the line stands." }),
  discounts: lineDiscountsSchema.optional().openapi({ readOnly, description: "Discounts that the line got." }),
  creditAllocations: z
    .array(creditAllocationSchema)
    .optional()
    .openapi({ readOnly, description: "Credits that pay for a part of the line." }),
  invoice: invoiceReferenceSchema.optional().openapi({ description: "The invoice that the line is on." }),
  currency: currencyCodeSchema.openapi({ description: "Currency of all amounts of the line." }),
  taxes: z.array(lineTaxItemSchema).optional().openapi({ readOnly, description: "Taxes on the line." }),
  taxConfig: taxConfigSchema
    .optional()
    .openapi({ deprecated, description: "How the line is to be taxed: see `rateCard`." }),
  totals: totalsSchema.openapi({ readOnly, description: "What the line comes to." }),
  period: periodSchema.openapi({ description: "The time that is billed." }),
  externalIds: lineExternalIdsSchema.optional().openapi({ readOnly, description: "What apps call the line." }),
  subscription: lineSubscriptionSchema
    .optional()
    .openapi({ readOnly, description: "What of a subscription it bills; absent for other lines." }),
};

const costCategorySchema = component("InvoiceDetailedLineCostCategory", z.enum(["regular", "commitment"]), {
  description: "`regular`: usage or a fee. `commitment`: what is missing to a minimum spend.",
  example: "regular",
});

const detailedLineSchema = component(
  "InvoiceDetailedLine",
  z.object({
    ...lineFields,
    invoiceAt: timestampSchema("When the line is due to be billed: that of its parent.").openapi({ deprecated }),
    type: z.enum(["flat_fee"]).openapi({ readOnly, deprecated, description: "Always `flat_fee`." }),
    perUnitAmount: numericSchema
      .optional()
      .openapi({ deprecated, description: "Price of one unit: see `rateCard`.", example: "0.002" }),
    paymentTerm: paymentTermSchema.optional().openapi({
      deprecated,
      default: "in_advance",
      description: "Whether it is billed before or after its period: see `rateCard`.",
    }),
    quantity: quantity("How many units: see `rateCard`.").openapi({ deprecated }),
    rateCard: detailedRateCardSchema.optional().openapi({ description: "Price and quantity." }),
    category: costCategorySchema
      .optional()
      .openapi({ readOnly, default: "regular", description: "What kind of cost it is." }),
  }),
  { description: "A part of a line with one price and one quantity." },
);

export const invoiceLineSchema = component(
  "InvoiceLine",
  z.object({
    ...lineFields,
    invoiceAt: timestampSchema("When the line is due to be billed."),
    type: z.enum(["usage_based"]).openapi({ readOnly, deprecated, description: "Always `usage_based`." }),
    price: rateCardPriceSchema.optional().openapi({ deprecated, description: "The price: see `rateCard`." }),
    featureKey: slugSchema("Key of the feature whose usage is billed: see `rateCard`.")
      .optional()
      .openapi({ deprecated }),
    children: z
      .array(detailedLineSchema)
      .optional()
      .openapi({ readOnly, description: "The detailed lines that it consists of." }),
    rateCard: usageRateCardSchema.optional().openapi({ description: "What the line is billed by." }),
    quantity: quantity("Units that are billed: after conversion and without those that cost nothing.").openapi({
      readOnly,
    }),
    meteredQuantity: quantity("Usage in the period, as metered.").openapi({ readOnly }),
    preLinePeriodQuantity: quantity(
      "Units before the period when usage is billed in parts: after conversion and without those that cost nothing.",
    ).openapi({ readOnly }),
    meteredPreLinePeriodQuantity: quantity(
      "Usage before the period when usage is billed in parts, as metered.",
    ).openapi({ readOnly }),
  }),
  { description: "One thing that an invoice bills." },
);
