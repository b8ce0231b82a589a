/**
 * Invoices as answered: what a customer owes, for what, and where its collection stands.
 *
 * Amounts and quantities are decimal text, exact to the last digit.
 */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { currencyCodeSchema } from "../customers.ts";
import { periodSchema } from "../entitlement-balances.ts";
import { ulidSchema } from "../identifiers.ts";
import { timestampSchema } from "../instants.ts";
import { documentRefSchema, invoiceNumberSchema, invoiceTypeSchema } from "./documents.ts";
import { invoiceExternalIdsSchema } from "./external-ids.ts";
import { invoiceLineSchema } from "./lines.ts";
import { invoiceCustomerSchema, partySchema } from "./parties.ts";
import { invoicePaymentSchema } from "./payment-terms.ts";
import { lifeOf, notesOn } from "./resource.ts";
import { invoiceStatusDetailsSchema, invoiceStatusSchema, validationIssueSchema } from "./status.ts";
import { totalsSchema } from "./totals.ts";
import { invoiceWorkflowSchema } from "./workflow.ts";

const readOnly = true;

const times = {
  issuedAt: timestampSchema("When the invoice was issued; absent before.").optional().openapi({ readOnly }),
  draftUntil: timestampSchema("Until when the draft can be reviewed; absent when you approve each.").optional(),
  quantitySnapshotedAt: timestampSchema("When the quantities were taken; until then they follow the usage.")
    .optional()
    .openapi({ readOnly }),
  collectionAt: timestampSchema("Until when late events are waited for; absent when no line bills usage.")
    .optional()
    .openapi({ readOnly }),
  dueAt: timestampSchema("By when the invoice is to be paid.").optional().openapi({ readOnly }),
  period: periodSchema.optional().openapi({ description: "The time that is billed: that of all lines together." }),
  voidedAt: timestampSchema("When the invoice was declared void.").optional().openapi({ readOnly }),
  sentToCustomerAt: timestampSchema("When the invoice was sent to the customer.").optional().openapi({ readOnly }),
};

export const invoiceSchema = component(
  "Invoice",
  z.object({
    id: ulidSchema("Id of the invoice, made by the server.").openapi({ readOnly }),
    ...notesOn("the invoice"),
    ...lifeOf("the invoice"),
    type: invoiceTypeSchema.openapi({ readOnly, description: "What kind of document it is." }),
    supplier: partySchema.openapi({ description: "Who bills, as of when the invoice was created." }),
    customer: invoiceCustomerSchema.openapi({ description: "Who is billed, as of when the invoice was created." }),
    number: invoiceNumberSchema.openapi({
      readOnly,
      description: "Number for people; a provisional one until the invoice is issued.",
    }),
    currency: currencyCodeSchema.openapi({ description: "Currency of all amounts of the invoice." }),
    preceding: z.array(documentRefSchema).optional().openapi({
      readOnly,
      description: "Documents that came before, such as the invoice that a credit note corrects.",
    }),
    totals: totalsSchema.openapi({ readOnly, description: "What the invoice comes to: the sums of its lines." }),
    status: invoiceStatusSchema.openapi({ readOnly, description: "Where the invoice stands." }),
    statusDetails: invoiceStatusDetailsSchema.openapi({
      readOnly,
      description: "Where it stands in detail, and what can be done about it.",
    }),
    ...times,
    workflow: invoiceWorkflowSchema.openapi({ description: "How the invoice is processed." }),
    lines: z.array(invoiceLineSchema).optional().openapi({ description: "What is billed." }),
    payment: invoicePaymentSchema.optional().openapi({ readOnly, description: "How the invoice is to be paid." }),
    validationIssues: z
      .array(validationIssueSchema)
      .optional()
      .openapi({ readOnly, description: "What is wrong with the invoice." }),
    externalIds: invoiceExternalIdsSchema.optional().openapi({ readOnly, description: "What apps call the invoice." }),
  }),
  { description: "What a customer owes, for what, and where its collection stands." },
);

/** An invoice as answered. */
export type InvoiceBody = z.output<typeof invoiceSchema>;
