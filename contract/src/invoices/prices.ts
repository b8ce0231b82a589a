/**
 * Prices: how a quantity becomes an amount.
 *
 * Amounts are decimal text in the currency of whatever has the price; they are not rounded before they are multiplied.
 */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { numericSchema } from "../features.ts";

export const paymentTermSchema = component("PricePaymentTerm", z.enum(["in_advance", "in_arrears"]), {
  description: "Whether a fee is billed at the start of its period or at the end.",
  example: "in_advance",
});

const flatAmount = numericSchema.openapi({ description: "The fee.", example: "20" });
const unitAmount = numericSchema.openapi({ description: "The price of one unit.", example: "0.002" });

function typeOf<const Type extends string>(type: Type) {
  return z.enum([type]).openapi({ description: `What kind of price it is: \`${type}\`.` });
}

const flatPriceSchema = component("FlatPrice", z.object({ type: typeOf("flat"), amount: flatAmount }), {
  description: "A fee, whatever the quantity is.",
});

const unitPriceSchema = component("UnitPrice", z.object({ type: typeOf("unit"), amount: unitAmount }), {
  description: "The same price for every unit.",
});

const commitments = {
  minimumAmount: numericSchema.optional().openapi({
    description: "Minimum spend: what is missing at the end of the period is charged.",
    example: "10",
  }),
  maximumAmount: numericSchema.optional().openapi({
    description: "Maximum spend: what is beyond it is discounted.",
    example: "1000",
  }),
};

export const flatPriceWithTermSchema = component(
  "FlatPriceWithPaymentTerm",
  z.object({
    type: typeOf("flat"),
    amount: flatAmount,
    paymentTerm: paymentTermSchema.optional().openapi({
      default: "in_advance",
      description: "Whether the fee is billed at the start of its period or at the end.",
    }),
  }),
  { description: "A fee, whatever the usage is, once per period." },
);

const unitPriceWithCommitmentsSchema = component(
  "UnitPriceWithCommitments",
  z.object({ type: typeOf("unit"), amount: unitAmount, ...commitments }),
  { description: "The same price for every unit." },
);

const tieredModeSchema = component("TieredPriceMode", z.enum(["volume", "graduated"]), {
  description:
    "`volume`: the tier that the whole quantity reaches prices all of it. `graduated`: each tier prices the units that " +
    "fall into it.",
  example: "graduated",
});

const priceTierSchema = component(
  "PriceTier",
  z.object({
    upToAmount: numericSchema
      .optional()
      .openapi({ description: "The last quantity of the tier; absent: it has no end.", example: "1000" }),
    flatPrice: flatPriceSchema.nullable().openapi({ description: "A fee for the tier; null is none." }),
    unitPrice: unitPriceSchema.nullable().openapi({ description: "The price of each unit; null is none." }),
  }),
  { description: "A range of quantities with prices of its own. It begins after the tier before it." },
);

const tieredPriceSchema = component(
  "TieredPriceWithCommitments",
  z.object({
    type: typeOf("tiered"),
    mode: tieredModeSchema.openapi({ description: "Whether a tier prices the whole quantity or the units in it." }),
    tiers: z.array(priceTierSchema).min(1).openapi({ description: "The tiers; exactly one has no end." }),
    ...commitments,
  }),
  { description: "Prices that depend on the quantity." },
);

const dynamicPriceSchema = component(
  "DynamicPriceWithCommitments",
  z.object({
    type: typeOf("dynamic"),
    multiplier: numericSchema
      .optional()
      .openapi({ default: "1", description: "What the metered amount is multiplied by.", example: "1.2" }),
    ...commitments,
  }),
  { description: "The meter counts money: its value times a multiplier is the amount." },
);

const packagePriceSchema = component(
  "PackagePriceWithCommitments",
  z.object({
    type: typeOf("package"),
    amount: numericSchema.openapi({ description: "The price of one package.", example: "15" }),
    quantityPerPackage: numericSchema.openapi({
      description: "Units in a package. A package that is begun costs as much as a full one.",
      example: "10",
    }),
    ...commitments,
  }),
  { description: "Units are sold in packages." },
);

/** What something is sold for: a fee, or a price of usage. */
export const rateCardPriceSchema = component(
  "RateCardUsageBasedPrice",
  z.discriminatedUnion("type", [
    flatPriceWithTermSchema,
    unitPriceWithCommitmentsSchema,
    tieredPriceSchema,
    dynamicPriceSchema,
    packagePriceSchema,
  ]),
  { description: "How a quantity becomes an amount; `type` tells the kinds apart." },
);
