/**
 * Discounts: what a rate card grants, and what a line got.
 *
 * A rate card's discount and what it took from each line are tied by `correlationId`, which stays the same when the line is
 * split or rated again.
 */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { numericSchema } from "../features.ts";
import { ulidSchema } from "../identifiers.ts";
import { lineExternalIdsSchema } from "./external-ids.ts";
import { lifeOf } from "./resource.ts";
import { percentageSchema } from "./tax.ts";

const readOnly = true;

const correlationId = ulidSchema("Ties the discount of a rate card to what it took from lines.").optional();

const percentage = percentageSchema.openapi({
  minimum: 0,
  maximum: 100,
  description: "Share of the amount that is taken off, 0 to 100 percent.",
  example: 10,
});

const freeQuantity = numericSchema.openapi({ description: "Units that cost nothing.", example: "100" });

const percentageDiscountSchema = component("BillingDiscountPercentage", z.object({ percentage, correlationId }), {
  description: "A share of the amount is taken off.",
});

const usageDiscountSchema = component("BillingDiscountUsage", z.object({ quantity: freeQuantity, correlationId }), {
  description: "The first units of a period cost nothing.",
});

export const discountsSchema = component(
  "BillingDiscounts",
  z.object({
    percentage: percentageDiscountSchema.optional().openapi({ description: "A share of the amount is taken off." }),
    usage: usageDiscountSchema.optional().openapi({ description: "The first units of a period cost nothing." }),
  }),
  { description: "Discounts that a rate card grants." },
);

function reasonType<const Type extends string>(type: Type) {
  return z.enum([type]).openapi({ description: `Why there is a discount: \`${type}\`.` });
}

const discountReasonSchema = component(
  "BillingDiscountReason",
  z.discriminatedUnion("type", [
    component("DiscountReasonMaximumSpend", z.object({ type: reasonType("maximum_spend") }), {
      description: "The maximum spend of the price was reached.",
    }),
    component(
      "DiscountReasonRatecardPercentage",
      z.object({ type: reasonType("ratecard_percentage"), percentage, correlationId }),
      { description: "The rate card takes off a share of the amount." },
    ),
    component(
      "DiscountReasonRatecardUsage",
      z.object({ type: reasonType("ratecard_usage"), quantity: freeQuantity, correlationId }),
      { description: "The rate card has units that cost nothing." },
    ),
  ]),
  { description: "Why there is a discount; `type` tells the reasons apart." },
);

const lineDiscount = {
  ...lifeOf("the discount"),
  id: ulidSchema("Id of the discount, made by the server.").openapi({ readOnly }),
  reason: discountReasonSchema.openapi({ readOnly, description: "Why there is a discount." }),
  description: z.string().optional().openapi({ readOnly, description: "What the discount is, for people." }),
  externalIds: lineExternalIdsSchema.optional().openapi({ readOnly, description: "What apps call the discount." }),
};

const lineAmountDiscountSchema = component(
  "InvoiceLineAmountDiscount",
  z.object({
    ...lineDiscount,
    amount: numericSchema.openapi({
      readOnly,
      description: "What is taken off, in the line's currency.",
      example: "5",
    }),
  }),
  { description: "Money that is taken off a line." },
);

const lineUsageDiscountSchema = component(
  "InvoiceLineUsageDiscount",
  z.object({
    ...lineDiscount,
    quantity: numericSchema.openapi({ readOnly, description: "Units of this line that cost nothing.", example: "60" }),
    preLinePeriodQuantity: numericSchema.optional().openapi({
      readOnly,
      description: "Units that cost nothing already before the line's period; absent when there were none.",
    }),
  }),
  { description: "Units of a line that cost nothing." },
);

export const lineDiscountsSchema = component(
  "InvoiceLineDiscounts",
  z.object({
    amount: z.array(lineAmountDiscountSchema).optional().openapi({ description: "Money that is taken off." }),
    usage: z.array(lineUsageDiscountSchema).optional().openapi({ description: "Units that cost nothing." }),
  }),
  { description: "Discounts that a line got." },
);
