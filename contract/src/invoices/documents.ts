/** Documents: kinds of invoices, their numbers, and how one document refers to another. */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { ulidSchema } from "../identifiers.ts";
import { timestampSchema } from "../instants.ts";

const readOnly = true;

export const invoiceTypeSchema = component("InvoiceType", z.enum(["standard", "credit_note"]), {
  description: "`standard`: asks for money. `credit_note`: gives money back; its amounts are positive too.",
  example: "standard",
});

export const invoiceNumberSchema = component("InvoiceNumber", z.string().min(1).max(256), {
  description: "Number of an invoice for people.",
  example: "INV-ACME-42",
});

const number = invoiceNumberSchema.optional();

const documentRefTypeSchema = component("InvoiceDocumentRefType", z.enum(["credit_note_original_invoice"]), {
  description: "What a document is to another: the invoice that a credit note corrects.",
});

const genericRefSchema = component(
  "InvoiceGenericDocumentRef",
  z.object({
    type: documentRefTypeSchema.openapi({ readOnly, description: "What the document is to this one." }),
    reason: z.string().optional().openapi({ readOnly, description: "Why the document is referred to." }),
    description: z.string().optional().openapi({ readOnly, description: "More about it." }),
  }),
  { description: "What all references to documents have." },
);

const originalInvoiceSchema = component(
  "CreditNoteOriginalInvoiceRef",
  genericRefSchema.extend({
    type: z
      .enum(["credit_note_original_invoice"])
      .openapi({ description: "It is the invoice that the credit note corrects." }),
    issuedAt: timestampSchema("When the invoice was issued.").optional().openapi({ readOnly }),
    number: number.openapi({ readOnly, description: "Number of the invoice." }),
    url: z.string().openapi({
      format: "uri",
      readOnly,
      description: "Where the invoice can be read.",
      example: "https://billing.example/invoices/1",
    }),
  }),
  { description: "The invoice that a credit note corrects." },
);

export const documentRefSchema = component(
  "InvoiceDocumentRef",
  z.discriminatedUnion("type", [originalInvoiceSchema]),
  { description: "A document that another one refers to; `type` says what it is to it." },
);

export const invoiceReferenceSchema = component(
  "InvoiceReference",
  z.object({
    id: ulidSchema("Id of the invoice.").openapi({ readOnly }),
    number: number.openapi({ readOnly, description: "Number of the invoice." }),
  }),
  { description: "An invoice, named by its id." },
);
