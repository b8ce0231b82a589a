/**
 * Subscriptions as answered: a customer's own copy of a plan, laid on the time axis.
 *
 * Nothing makes subscriptions yet; lists of them are empty.
 */
import { z } from "@hono/zod-openapi";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { annotationsSchema, metadataSchema } from "./meters.ts";

const code = z
  .string()
  .min(3)
  .max(3)
  .regex(/^[A-Z]{3}$/);

export const subscriptionStatusSchema = z
  .enum(["active", "inactive", "canceled", "scheduled"])
  .openapi("SubscriptionStatus", { description: "Where a subscription stands at this moment.", example: "active" });

const costBasisPinSchema = z
  .object({
    customCurrencyId: ulidSchema("Id of the custom currency.").openapi({ readOnly: true }),
    invoiceCurrency: code.openapi({ readOnly: true, description: "Currency of the invoice.", example: "USD" }),
    costBasisId: ulidSchema("Id of the cost basis that is used.").openapi({ readOnly: true }),
  })
  .openapi("SubscriptionCostBasisPin", {
    description: "The fixed worth of a custom currency in an invoice's currency.",
  });

const settlementModeSchema = z.enum(["credit_then_invoice", "credit_only"]).openapi("BillingSettlementMode", {
  description: "What charges are settled with: credits first and then an invoice, or credits only.",
});

const proRatingSchema = z
  .object({
    enabled: z.boolean().openapi({ default: true, description: "Whether partial periods cost less." }),
    mode: z
      .enum(["prorate_prices"])
      .openapi("ProRatingMode", { description: "How partial periods are charged: `prorate_prices`." })
      .openapi({ default: "prorate_prices", description: "How partial periods are charged." }),
  })
  .openapi("ProRatingConfig", { description: "How partial periods are charged." });

const planReferenceSchema = z
  .object({
    id: ulidSchema("Id of the plan."),
    key: z
      .string()
      .min(1)
      .max(64)
      .regex(/^[a-z0-9]+(?:_[a-z0-9]+)*$/)
      .openapi({ description: "Key of the plan.", example: "pro" }),
    version: z.int().openapi({ description: "Version of the plan.", example: 1 }),
  })
  .openapi("PlanReference", { description: "A version of a plan." });

export const subscriptionSchema = z
  .object({
    id: ulidSchema("Id of the subscription, made by the server.").openapi({ readOnly: true }),
    name: z.string().min(1).max(256).openapi({ description: "Name for people.", example: "Pro" }),
    description: z.string().max(1024).optional().openapi({ description: "What the subscription is." }),
    metadata: metadataSchema
      .nullable()
      .optional()
      .openapi({ description: "Your own notes, text by key; null is none." }),
    annotations: annotationsSchema.optional().openapi({ readOnly: true }),
    createdAt: timestampSchema("When the subscription was created.").openapi({ readOnly: true }),
    updatedAt: timestampSchema("When the subscription was last changed.").openapi({ readOnly: true }),
    deletedAt: timestampSchema("When the subscription was deleted.").optional().openapi({ readOnly: true }),
    activeFrom: timestampSchema("When it begins."),
    activeTo: timestampSchema("When it ends; absent while it has no end.").optional(),
    alignment: z
      .object({
        billablesMustAlign: z
          .boolean()
          .optional()
          .openapi({ deprecated: true, description: "Whether all charges have the same periods." }),
      })
      .openapi("Alignment", { deprecated: true, description: "How the periods of charges relate to each other." })
      .optional(),
    status: subscriptionStatusSchema.openapi({ readOnly: true }),
    customerId: ulidSchema("Id of the customer."),
    plan: planReferenceSchema.optional(),
    currency: code.openapi({ default: "USD", description: "Currency of its charges.", example: "USD" }),
    costBasisMode: z
      .enum(["dynamic", "pinned"])
      .openapi("SubscriptionCostBasisMode", {
        description: "Whether the worth of custom currencies follows their cost basis or is fixed.",
      })
      .openapi({ default: "dynamic", readOnly: true }),
    costBasisPins: z.array(costBasisPinSchema).openapi({
      readOnly: true,
      description: "What custom currencies are worth, while that is fixed.",
    }),
    billingCadence: z
      .string()
      .openapi({ format: "duration", readOnly: true, description: "How often it is billed.", example: "P1M" }),
    proRatingConfig: proRatingSchema.optional().openapi({
      default: { enabled: true, mode: "prorate_prices" },
      readOnly: true,
      description: "How partial periods are charged.",
    }),
    billingAnchor: timestampSchema("The moment from which billing periods are counted.").openapi({ readOnly: true }),
    settlementMode: settlementModeSchema.openapi({
      default: "credit_then_invoice",
      readOnly: true,
      description: "What charges are settled with.",
    }),
  })
  .openapi("Subscription", { description: "A customer's own copy of a plan." });
