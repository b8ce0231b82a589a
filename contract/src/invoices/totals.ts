/**
 * Totals: what a line or an invoice comes to.
 *
 * Law: `total` = `amount` + `chargesTotal` + `taxesExclusiveTotal` - `discountsTotal` - `creditsTotal`. An invoice's totals
 * are the sums of its lines' totals, and a line's those of its detailed lines; nothing is rounded again on the way.
 */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { numericSchema } from "../features.ts";

function money(description: string) {
  return numericSchema.openapi({ description, readOnly: true, example: "12.50" });
}

export const totalsSchema = component(
  "InvoiceTotals",
  z.object({
    amount: money("Quantities times prices, before anything below."),
    chargesTotal: money("What is added to reach a minimum spend."),
    discountsTotal: money("Discounts, as a positive number that is subtracted."),
    creditsTotal: money("Credits that were used, as a positive number that is subtracted before tax."),
    taxesInclusiveTotal: money("Tax that the prices contain already; it does not change `total`."),
    taxesExclusiveTotal: money("Tax that comes on top of the prices."),
    taxesTotal: money("All tax: the inclusive and the exclusive."),
    total: money(
      "What is to be paid: `amount` + `chargesTotal` + `taxesExclusiveTotal` - `discountsTotal` - `creditsTotal`.",
    ),
  }),
  { description: "What it comes to, in its currency. Decimal text, rounded to the currency's minor unit." },
);
