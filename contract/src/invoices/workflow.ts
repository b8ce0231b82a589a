/**
 * Workflow: how an invoice comes about and is collected.
 *
 * An invoice keeps the settings that applied to its customer when it was created: the billing profile's, overlaid with the
 * customer's own.
 */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { recurringPeriodSchema } from "../entitlement-grants.ts";
import { ulidSchema } from "../identifiers.ts";
import { profileAppsSchema } from "./apps.ts";
import { taxConfigSchema } from "./tax.ts";

function duration(fallback: string, description: string) {
  return z.string().optional().openapi({ format: "ISO8601", default: fallback, description, example: fallback });
}

const alignmentSchema = component(
  "BillingWorkflowCollectionAlignment",
  z.discriminatedUnion("type", [
    component(
      "BillingWorkflowCollectionAlignmentSubscription",
      z.object({ type: z.enum(["subscription"]).openapi({ description: "When lines are due." }) }),
      { description: "Lines are collected when they are due." },
    ),
    component(
      "BillingWorkflowCollectionAlignmentAnchored",
      z.object({
        type: z.enum(["anchored"]).openapi({ description: "At regular times." }),
        recurringPeriod: component(
          "RecurringPeriodV2",
          z.object({ interval: recurringPeriodSchema.shape.interval, anchor: recurringPeriodSchema.shape.anchor }),
          { description: "Periods of equal length that follow each other." },
        ).openapi({ description: "The periods at whose starts lines are collected." }),
      }),
      { description: "Lines wait for the next of regular times and are collected together." },
    ),
  ]),
  { description: "When lines are collected onto an invoice; `type` tells the ways apart." },
);

const collectionSchema = component(
  "BillingWorkflowCollectionSettings",
  z.object({
    alignment: alignmentSchema
      .optional()
      .openapi({ default: { type: "subscription" }, description: "When lines are collected onto an invoice." }),
    interval: duration("PT1H", "How long to wait for late events after a line of usage is due: an ISO 8601 duration."),
  }),
  { description: "When lines are collected onto an invoice." },
);

const endProrationSchema = component(
  "BillingWorkflowInvoicingSubscriptionEndProrationMode",
  z.enum(["bill_full_period", "bill_actual_period"]),
  {
    description:
      "What fees cost in a period that the end of the subscription cuts short: all of it, or the share that was used.",
    example: "bill_actual_period",
  },
);

const invoicingSchema = component(
  "BillingWorkflowInvoicingSettings",
  z.object({
    autoAdvance: z
      .boolean()
      .optional()
      .openapi({ default: true, description: "Whether drafts are issued by themselves; otherwise you approve each." }),
    draftPeriod: duration("P0D", "How long a draft can be reviewed before it is issued: an ISO 8601 duration."),
    dueAfter: duration("P30D", "How long customers have to pay: an ISO 8601 duration."),
    progressiveBilling: z
      .boolean()
      .optional()
      .openapi({ default: true, description: "Whether usage may be billed before the end of its period." }),
    subscriptionEndProrationMode: endProrationSchema.optional().openapi({
      default: "bill_actual_period",
      description: "What fees cost in a period that the end of the subscription cuts short.",
    }),
    defaultTaxConfig: taxConfigSchema
      .optional()
      .openapi({ description: "How lines are taxed that do not say it themselves." }),
  }),
  { description: "How invoices are drafted and issued." },
);

const collectionMethodSchema = component("CollectionMethod", z.enum(["charge_automatically", "send_invoice"]), {
  description: "Whether the customer's payment method is charged, or an invoice is sent for the customer to pay.",
  example: "charge_automatically",
});

const paymentSchema = component(
  "BillingWorkflowPaymentSettings",
  z.object({
    collectionMethod: collectionMethodSchema
      .optional()
      .openapi({ default: "charge_automatically", description: "How the money is collected." }),
  }),
  { description: "How the money is collected." },
);

const taxSettingsSchema = component(
  "BillingWorkflowTaxSettings",
  z.object({
    enabled: z.boolean().optional().openapi({ default: true, description: "Whether tax is calculated." }),
    enforced: z.boolean().optional().openapi({
      default: false,
      description: "Whether an invoice cannot be issued while its tax cannot be calculated; needs `enabled`.",
    }),
  }),
  { description: "Whether and how strictly tax is calculated." },
);

const workflowSchema = component(
  "BillingWorkflow",
  z.object({
    collection: collectionSchema.optional().openapi({ description: "When lines are collected onto an invoice." }),
    invoicing: invoicingSchema.optional().openapi({ description: "How invoices are drafted and issued." }),
    payment: paymentSchema.optional().openapi({ description: "How the money is collected." }),
    tax: taxSettingsSchema.optional().openapi({ description: "Whether and how strictly tax is calculated." }),
  }),
  { description: "How invoices come about and are collected." },
);

export const invoiceWorkflowSchema = component(
  "InvoiceWorkflowSettings",
  z.object({
    apps: profileAppsSchema
      .optional()
      .openapi({ readOnly: true, description: "The apps that process the invoice, in full or by id." }),
    sourceBillingProfileId: ulidSchema("Id of the billing profile that the settings come from.").openapi({
      readOnly: true,
    }),
    workflow: workflowSchema.openapi({ description: "The settings that applied when the invoice was created." }),
  }),
  { description: "How an invoice is processed." },
);
