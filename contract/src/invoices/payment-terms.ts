/** Payment terms: when an invoice is to be paid. */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { currencyCodeSchema } from "../customers.ts";
import { numericSchema } from "../features.ts";
import { timestampSchema } from "../instants.ts";
import { percentageSchema } from "./tax.ts";

const readOnly = true;

const words = {
  detail: z.string().optional().openapi({ readOnly, description: "The terms in words, as on the document." }),
  notes: z.string().optional().openapi({ readOnly, description: "Anything else that is to be known of them." }),
};

const instantTermSchema = component(
  "PaymentTermInstant",
  z.object({ type: z.enum(["instant"]).openapi({ description: "Due at once." }), ...words }),
  { description: "Due on receipt of the invoice." },
);

const dueDateSchema = component(
  "PaymentDueDate",
  z.object({
    dueAt: timestampSchema("When the amount is due.").openapi({ readOnly }),
    notes: z.string().optional().openapi({ readOnly, description: "Anything else that is to be known of it." }),
    amount: numericSchema.openapi({ readOnly, description: "What is due then.", example: "12.50" }),
    percent: percentageSchema.optional().openapi({ readOnly, description: "The share of the total that is due then." }),
    currency: currencyCodeSchema
      .optional()
      .openapi({ readOnly, description: "Currency of the amount, if it is not that of the invoice." }),
  }),
  { description: "An amount and when it is due." },
);

const dueDateTermSchema = component(
  "PaymentTermDueDate",
  z.object({
    type: z.enum(["due_date"]).openapi({ description: "Due at one or more dates." }),
    ...words,
    dueAt: z.array(dueDateSchema).min(1).openapi({ readOnly, description: "The dates with their amounts." }),
  }),
  { description: "Due at given dates." },
);

const paymentTermsSchema = component("PaymentTerms", z.union([instantTermSchema, dueDateTermSchema]), {
  description: "When an invoice is to be paid.",
});

export const invoicePaymentSchema = component(
  "InvoicePaymentTerms",
  z.object({ terms: paymentTermsSchema.optional().openapi({ description: "When it is to be paid." }) }),
  { description: "How an invoice is to be paid." },
);
