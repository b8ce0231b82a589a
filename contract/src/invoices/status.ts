/**
 * Status: where an invoice stands, what can be done about it, and what is wrong with it.
 *
 * `status` is the first word of `statusDetails.extendedStatus`; the detailed states may grow, the statuses do not.
 */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { ulidSchema } from "../identifiers.ts";
import { metadataSchema } from "../meters.ts";
import { lifeOf } from "./resource.ts";

const readOnly = true;

export const invoiceStatusSchema = component(
  "InvoiceStatus",
  z.enum([
    "gathering",
    "draft",
    "issuing",
    "issued",
    "payment_processing",
    "overdue",
    "paid",
    "uncollectible",
    "voided",
  ]),
  {
    description:
      "`gathering`: lines wait to be billed. `draft`: can still be changed. `issuing`: is being finished and sent. `issued`: " +
      "is final. `payment_processing`: the money is being collected. `overdue`: was to be paid by now. `paid`, " +
      "`uncollectible` and `voided`: nothing more is expected.",
    example: "draft",
  },
);

const actionDetailsSchema = component(
  "InvoiceAvailableActionDetails",
  z.object({
    resultingState: z
      .string()
      .openapi({ readOnly, description: "The extended status that it leads to.", example: "issued" }),
  }),
  { description: "What an action leads to." },
);

const invoiceActionSchema = component("InvoiceAvailableActionInvoiceDetails", z.object({}), {
  description: "Something can be billed now. There is nothing to say about it.",
});

function action(what: string) {
  return actionDetailsSchema.optional().openapi({ readOnly, description: `${what}; absent when it is not possible.` });
}

const availableActionsSchema = component(
  "InvoiceAvailableActions",
  z.object({
    advance: action("Go on to the next state"),
    approve: action("Approve the draft, so that it is issued"),
    delete: action("Delete the invoice"),
    retry: action("Try again what failed"),
    snapshotQuantities: action("Take the quantities as they are, without waiting for late events"),
    void: action("Declare the invoice void"),
    invoice: invoiceActionSchema.optional().openapi({
      readOnly,
      description: "Bill what is gathered; absent when nothing can be billed now.",
    }),
  }),
  { description: "What can be done about an invoice now, and what it leads to." },
);

export const invoiceStatusDetailsSchema = component(
  "InvoiceStatusDetails",
  z.object({
    immutable: z.boolean().openapi({ readOnly, description: "Whether the invoice can no longer be changed." }),
    failed: z.boolean().openapi({ readOnly, description: "Whether a step failed and waits to be tried again." }),
    extendedStatus: z.string().openapi({
      readOnly,
      description: "The status in detail. Expect values that you do not know.",
      example: "draft.waiting_auto_approval",
    }),
    availableActions: availableActionsSchema.openapi({ description: "What can be done about it now." }),
  }),
  { description: "Where an invoice stands, in detail." },
);

const severitySchema = component("ValidationIssueSeverity", z.enum(["critical", "warning"]), {
  description: "`critical`: the invoice cannot go on. `warning`: it can.",
  example: "warning",
});

export const validationIssueSchema = component(
  "ValidationIssue",
  z.object({
    ...lifeOf("the issue"),
    id: ulidSchema("Id of the issue, made by the server.").openapi({ readOnly }),
    severity: severitySchema.openapi({ readOnly, description: "Whether it keeps the invoice from going on." }),
    field: z.string().optional().openapi({ readOnly, description: "What it is about, as a path in the invoice." }),
    code: z
      .string()
      .optional()
      .openapi({ readOnly, description: "What is wrong, for programs.", example: "tax_location_missing" }),
    component: z.string().openapi({
      readOnly,
      description: "Who found it: the billing itself, or a step of an app.",
      example: "app.stripe.invoiceCustomers.validate",
    }),
    message: z.string().openapi({ readOnly, description: "What is wrong, for people." }),
    metadata: metadataSchema.optional().openapi({ readOnly, description: "More about it, text by key." }),
  }),
  { description: "Something that is wrong with an invoice." },
);
