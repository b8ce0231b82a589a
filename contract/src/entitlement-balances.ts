/** What an entitlement says at a time and how it came to that: values, access and history. Numbers are exact decimals. */
import { z } from "@hono/zod-openapi";
import { component } from "./components.ts";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { windowSizeSchema } from "./meter-query.ts";

const quantity = (description: string) =>
  z.number().openapi({ format: "double", description, example: 100, readOnly: true });

const byGrant = (description: string) =>
  z
    .record(z.string(), z.number().openapi({ format: "double", description: "The balance of one grant." }))
    .openapi({ description, example: { "01G65Z755AFWAKHE12NY0CQ9FH": 100 }, readOnly: true });

const valueFields = {
  hasAccess: z.boolean().openapi({
    description: "Whether the feature may be used. A metered one may while there is a balance or the limit is soft.",
    readOnly: true,
  }),
  balance: quantity("What is left of all grants. Metered entitlements only.").optional(),
  usage: quantity("Usage since the start of the usage period. Metered entitlements only.").optional(),
  overage: quantity("Usage that no grant covers. Metered entitlements only.").optional(),
  totalAvailableGrantAmount: quantity(
    "What is left and what grants have covered in the usage period, together. Metered entitlements only.",
  ).optional(),
  held: quantity(
    "What reservations and leases hold of the balance. Metered entitlements at this moment only.",
  ).optional(),
  available: quantity(
    "The balance less what is held, never below 0; a hard limit gives access while it is above. Metered entitlements at this " +
      "moment only.",
  ).optional(),
  config: z.string().optional().openapi({
    description: "The configuration of a static entitlement, JSON text.",
    example: '{"models": ["gpt-5"]}',
    readOnly: true,
  }),
};

export const entitlementValueSchema = z
  .object(valueFields)
  .openapi("EntitlementValue", { description: "What an entitlement says at a time." });

/** The value of an entitlement as v1 answers it. */
export type EntitlementValue = z.output<typeof entitlementValueSchema>;

export const entitlementValueSchemaV2 = z
  .object({ ...valueFields, grantBalances: byGrant("What is left of each active grant, by grant id.").optional() })
  .openapi("EntitlementValueV2", { description: "What an entitlement says at a time." });

/** The value of an entitlement as v2 answers it. */
export type EntitlementValueV2 = z.output<typeof entitlementValueSchemaV2>;

export const customerAccessSchema = z
  .object({
    entitlements: z
      .record(z.string(), entitlementValueSchema)
      .openapi({ description: "The values of all active entitlements, by feature key.", readOnly: true }),
  })
  .openapi("CustomerAccess", { description: "What a customer may use at this moment." });

/** What a customer may use. */
export type CustomerAccess = z.output<typeof customerAccessSchema>;

export const periodSchema = component(
  "Period",
  z.object({
    from: timestampSchema("Start of the period, inclusive.", "2026-01-01T00:00:00Z"),
    to: timestampSchema("End of the period, exclusive.", "2026-02-01T00:00:00Z"),
  }),
  { description: "A period of time; its start belongs to it, its end does not." },
);

const balanceHistoryWindowSchema = z
  .object({
    period: periodSchema,
    usage: quantity("Usage in the window."),
    balanceAtStart: quantity("The balance at the start of the window, with the grants that start there."),
  })
  .openapi("BalanceHistoryWindow", { description: "One window of the history." });

const grantUsageSchema = z
  .object({
    grantId: ulidSchema("Id of the grant."),
    usage: z.number().openapi({ format: "double", description: "What the grant covered.", example: 10 }),
  })
  .openapi("GrantUsageRecord", { description: "What one grant covered." });

const burnDownSegmentSchema = z
  .object({
    period: periodSchema,
    usage: quantity("Usage in the segment."),
    overage: quantity("Usage that no grant covered, at the end of the segment."),
    balanceAtStart: quantity("The balance before the usage of the segment is taken from it."),
    grantBalancesAtStart: byGrant("The balance of each active grant before the usage of the segment."),
    balanceAtEnd: quantity("The balance after the usage of the segment."),
    grantBalancesAtEnd: byGrant("The balance of each active grant after the usage of the segment."),
    grantUsages: z
      .array(grantUsageSchema)
      .openapi({ description: "What each grant covered, in the order in which they are used.", readOnly: true }),
  })
  .openapi("GrantBurnDownHistorySegment", {
    description: "A time in which no grant starts, ends or recurs and no reset happens.",
  });

export const balanceHistorySchema = z
  .object({
    windowedHistory: z.array(balanceHistoryWindowSchema).openapi({
      description: "All windows of the period, also those without usage.",
    }),
    burndownHistory: z.array(burnDownSegmentSchema).openapi({
      description: "How the grants were used up, oldest segment first.",
    }),
  })
  .openapi("WindowedBalanceHistory", { description: "Usage and balance over time." });

/** Usage and balance over time. */
export type BalanceHistoryBody = z.output<typeof balanceHistorySchema>;

export const balanceHistoryQuerySchema = z.object({
  from: timestampSchema("Start of the history, floored to the minute. Default: the last reset.").optional(),
  to: timestampSchema("End of the history, rounded up to the minute. Default: now.").optional(),
  windowSize: windowSizeSchema.openapi({ description: "Length of a window." }),
  windowTimeZone: z.string().default("UTC").openapi({
    description: "IANA name of the time zone in which windows are cut, such as `Europe/Budapest`.",
    example: "Europe/Budapest",
  }),
});

/** Parameters of the history. */
export type BalanceHistoryQuery = z.output<typeof balanceHistoryQuerySchema>;

export const valueQuerySchema = z.object({
  time: timestampSchema("The time asked about, past or future. Default: now.").optional(),
});
