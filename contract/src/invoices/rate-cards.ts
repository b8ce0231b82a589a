/** Rate cards of lines: what a line is billed by, as it was when the line was created. */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { numericSchema } from "../features.ts";
import { slugSchema } from "../identifiers.ts";
import { discountsSchema } from "./discounts.ts";
import { flatPriceWithTermSchema, rateCardPriceSchema } from "./prices.ts";
import { taxConfigSchema } from "./tax.ts";

const taxConfig = taxConfigSchema.optional().openapi({ description: "How the line is to be taxed." });

export const usageRateCardSchema = component(
  "InvoiceUsageBasedRateCard",
  z.object({
    featureKey: slugSchema("Key of the feature whose usage is billed; absent for a mere fee.").optional(),
    taxConfig,
    price: rateCardPriceSchema.nullable().openapi({ description: "The price; null: it is free." }),
    discounts: discountsSchema.optional().openapi({ deprecated: true, description: "Discounts that apply." }),
  }),
  { description: "What a line is billed by." },
);

export const detailedRateCardSchema = component(
  "InvoiceDetailedLineRateCard",
  z.object({
    taxConfig,
    price: flatPriceWithTermSchema.nullable().openapi({ description: "The price of one unit; null: it is free." }),
    quantity: numericSchema.optional().openapi({ description: "How many units.", example: "1000" }),
    discounts: discountsSchema.optional().openapi({ description: "Discounts that apply." }),
  }),
  { description: "What a detailed line is billed by." },
);
