/** Tax: how a line is to be taxed, and which taxes it got. */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { numericSchema } from "../features.ts";
import { ulidSchema } from "../identifiers.ts";

const readOnly = true;

/** A share in percent; a JSON number. */
export const percentageSchema = component("Percentage", z.number(), {
  format: "double",
  description: "A share in percent.",
  example: 19,
});

const BEHAVIOR =
  "`inclusive`: the prices contain the tax and it is taken out of them. `exclusive`: the tax comes on top of the prices.";

const taxBehaviorSchema = component("TaxBehavior", z.enum(["inclusive", "exclusive"]), {
  description: BEHAVIOR,
  example: "exclusive",
});

const stripeTaxConfigSchema = component(
  "StripeTaxConfig",
  z.object({
    code: z
      .string()
      .regex(/^txcd_\d{8}$/)
      .openapi({ description: "Stripe's code for what is sold.", example: "txcd_10000000" }),
  }),
  { description: "How Stripe is to tax it." },
);

const customInvoicingTaxConfigSchema = component(
  "CustomInvoicingTaxConfig",
  z.object({ code: z.string().openapi({ description: "Your own code for what is sold." }) }),
  { description: "How your own invoicing is to tax it." },
);

export const taxConfigSchema = component(
  "TaxConfig",
  z.object({
    behavior: taxBehaviorSchema.optional().openapi({
      description: "Whether prices contain the tax; left out, as the billing profile says, else `exclusive`.",
    }),
    stripe: stripeTaxConfigSchema.optional().openapi({
      deprecated: true,
      description: "How Stripe is to tax it; a tax code names that for every app.",
    }),
    customInvoicing: customInvoicingTaxConfigSchema.optional().openapi({
      deprecated: true,
      description: "How your own invoicing is to tax it; a tax code names that for every app.",
    }),
    taxCodeId: ulidSchema(
      "Id of the tax code; left out, that of the billing profile, else the default one.",
    ).optional(),
  }),
  { description: "How something is to be taxed." },
);

const lineTaxBehaviorSchema = component("InvoiceLineTaxBehavior", z.enum(["inclusive", "exclusive"]), {
  description: BEHAVIOR,
  example: "exclusive",
});

export const lineTaxItemSchema = component(
  "InvoiceLineTaxItem",
  z.object({
    config: taxConfigSchema.optional().openapi({ readOnly, description: "What the tax was determined from." }),
    percent: percentageSchema.optional().openapi({
      readOnly,
      description: "Rate of the tax in percent; absent when the customer is exempt or owes the tax instead of you.",
    }),
    surcharge: numericSchema.optional().openapi({
      readOnly,
      description: "What is charged on top of the tax where the law knows a surcharge; part of the totals.",
    }),
    behavior: lineTaxBehaviorSchema.optional().openapi({ readOnly, description: "Whether the prices contain it." }),
  }),
  { description: "One tax on a line. Its amount is part of the line's totals." },
);
