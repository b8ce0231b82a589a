/**
 * Grants: amounts of usage that an entitlement gives, each with its own life, priority, roll-over and recurrence.
 *
 * v1 and v2 differ in their defaults only: in v1 a grant has to expire and nothing rolls over unless it says so; in v2 it
 * may last for ever and all of it rolls over.
 */
import { z } from "@hono/zod-openapi";
import { exactNumberSchema } from "./exact-number.ts";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { annotationsSchema } from "./meters.ts";
import { arrayOrPageParameters, sortOrderSchema } from "./pagination.ts";
import { booleanParameter } from "./query-string.ts";

const AMOUNT = "How much usage the grant covers. Every digit counts.";
const PRIORITY =
  "Grants of a lower number are used first, 1 to 255. Left out, the grant is used before all that have a number.";
const EFFECTIVE_AT =
  "From when on the grant counts, floored to the minute; not before the start of the present usage period.";
const MIN_ROLLOVER = "What is left at a reset is raised to at least this.";
const NOTES = "Your own notes: text by key. Tallystick stores and returns them and nothing else.";

export const expirationPeriodSchema = z
  .object({
    duration: z.enum(["HOUR", "DAY", "WEEK", "MONTH", "YEAR"]).openapi("ExpirationDuration", {
      description: "Unit of the time after which a grant expires.",
    }),
    count: z
      .int()
      .min(1)
      .max(1000)
      .openapi({ format: "uint32", description: "How many units, 1 to 1000.", example: 1 }),
  })
  .openapi("ExpirationPeriod", { description: "How long after it becomes effective a grant expires." });

const interval = z
  .union([
    z.enum(["DAY", "WEEK", "MONTH", "YEAR"]).openapi("RecurringPeriodIntervalEnum", {
      description: "A calendar unit.",
    }),
    z.string().openapi({ description: "An ISO 8601 duration.", example: "P2W" }),
  ])
  .openapi("RecurringPeriodInterval", {
    description: "`DAY`, `WEEK`, `MONTH`, `YEAR` or an ISO 8601 duration such as `P2W` or `PT12H`.",
    example: "MONTH",
  });

export const recurringPeriodInputSchema = z
  .object({
    interval,
    anchor: timestampSchema(
      "A time at which a period starts, floored to the minute; others follow from it.",
    ).optional(),
  })
  .openapi("RecurringPeriodCreateInput", { description: "Periods of equal length that follow each other." });

export const recurringPeriodSchema = z
  .object({
    interval,
    anchor: timestampSchema("A time at which a period starts; others follow from it."),
    intervalISO: z.string().openapi({
      format: "duration",
      description: "The interval as an ISO 8601 duration.",
      example: "P1M",
    }),
  })
  .openapi("RecurringPeriod", { description: "Periods of equal length that follow each other." });

export const entitlementMetadataSchema = z
  .record(z.string(), z.string())
  .openapi("Metadata", { description: NOTES, example: { hubspotId: "123456" } });

const priority = z.int().min(1).max(255).openapi({ format: "uint8", description: PRIORITY, example: 1 });

const recurrenceInput = recurringPeriodInputSchema
  .optional()
  .openapi({ description: "At each of these times, an hour or more apart, the balance is set to `amount` again." });

const inputFields = {
  // Whoever makes grants checks that it is positive, because zero is refused as well.
  amount: exactNumberSchema({ description: AMOUNT, example: 100 }).openapi({ minimum: 0 }),
  priority: priority.optional(),
  effectiveAt: timestampSchema(EFFECTIVE_AT),
  minRolloverAmount: exactNumberSchema({ description: `${MIN_ROLLOVER} Default 0.`, default: 0 }).optional(),
  metadata: entitlementMetadataSchema.optional(),
  recurrence: recurrenceInput,
};

/** A grant of v1: it has to expire, and nothing rolls over unless it says so. */
export const grantInputSchema = z
  .object({
    ...inputFields,
    expiration: expirationPeriodSchema,
    maxRolloverAmount: exactNumberSchema({
      description: "What is left at a reset is cut to at most this. Default 0: nothing is carried over.",
      default: 0,
    }).optional(),
  })
  .openapi("EntitlementGrantCreateInput", { description: "A new grant.", deprecated: true });

/** A grant of v1 as requested; amounts are decimal text. */
export type GrantInput = z.output<typeof grantInputSchema>;

/** A grant of v2: it may last for ever, and all of it rolls over unless it says otherwise. */
export const grantInputSchemaV2 = z
  .object({
    ...inputFields,
    expiration: expirationPeriodSchema.optional(),
    maxRolloverAmount: exactNumberSchema({
      description: "What is left at a reset is cut to at most this. Default: `amount`.",
    }).optional(),
    annotations: annotationsSchema.optional().openapi("Annotations", { description: "Notes for programs." }),
  })
  .openapi("EntitlementGrantCreateInputV2", { description: "A new grant." });

/** A grant of v2 as requested; amounts are decimal text. */
export type GrantInputV2 = z.output<typeof grantInputSchemaV2>;

const amountOf = (description: string) => z.number().openapi({ format: "double", description, example: 100 });

const bodyFields = {
  id: ulidSchema("Id of the grant, made by the server.").openapi({ readOnly: true }),
  entitlementId: z.string().openapi({ description: "Id of the entitlement.", readOnly: true }),
  amount: amountOf(AMOUNT).min(0),
  priority: z
    .int()
    .min(0)
    .max(255)
    .optional()
    .openapi({ format: "uint8", description: `${PRIORITY} It is answered as 0 then.`, example: 1 }),
  effectiveAt: timestampSchema("From when on the grant counts."),
  minRolloverAmount: amountOf(MIN_ROLLOVER).optional(),
  maxRolloverAmount: amountOf("What is left at a reset is cut to at most this.").optional(),
  metadata: entitlementMetadataSchema.optional(),
  annotations: annotationsSchema.optional().openapi({ description: "Notes for programs." }),
  nextRecurrence: timestampSchema("When the balance is set to `amount` next; absent if never.").optional(),
  expiresAt: timestampSchema("When the grant expires.", "2027-01-15T10:00:00Z").optional().openapi({ readOnly: true }),
  voidedAt: timestampSchema("When the grant was voided; absent if it was not.").optional(),
  recurrence: recurringPeriodSchema
    .optional()
    .openapi({ description: "At each of these times the balance is set to `amount` again." }),
  createdAt: timestampSchema("When the grant was created.").openapi({ readOnly: true }),
  updatedAt: timestampSchema("When the grant was last changed.").openapi({ readOnly: true }),
  deletedAt: timestampSchema("When its entitlement was deleted; absent if it was not.")
    .optional()
    .openapi({ readOnly: true }),
};

export const grantSchema = z
  .object({
    ...bodyFields,
    expiration: expirationPeriodSchema.openapi({ description: "A grant that never expires shows 100 years." }),
  })
  .openapi("EntitlementGrant", { description: "An amount of usage that an entitlement gives.", deprecated: true });

/** A grant as v1 answers it. */
export type GrantBody = z.output<typeof grantSchema>;

export const grantSchemaV2 = z
  .object({ ...bodyFields, expiration: expirationPeriodSchema.optional() })
  .openapi("EntitlementGrantV2", { description: "An amount of usage that an entitlement gives." });

/** A grant as v2 answers it. */
export type GrantBodyV2 = z.output<typeof grantSchemaV2>;

/** A page of things: what every paged list of entitlements and grants answers. */
export function pageSchema<Item extends z.ZodType>(name: string, item: Item, what: string) {
  return z
    .object({
      totalCount: z.int().openapi({ description: `How many ${what} there are on all pages.`, example: 1 }),
      page: z.int().openapi({ description: "Number of this page, counted from 1.", example: 1 }),
      pageSize: z.int().openapi({ description: "Items per page, as asked for.", example: 100 }),
      items: z.array(item).openapi({ description: `The ${what} of this page.` }),
    })
    .openapi(name, { description: `A page of ${what}.` });
}

export const grantPageSchema = pageSchema("GrantPaginatedResponse", grantSchema, "grants");
export const grantPageSchemaV2 = pageSchema("GrantV2PaginatedResponse", grantSchemaV2, "grants");

const grantOrderBySchema = z
  .enum(["id", "createdAt", "updatedAt"])
  .openapi("GrantOrderBy", { description: "Field by which grants are sorted." });

export const includeDeletedParameter = booleanParameter("Whether what is deleted is listed too.");

/** Slices and pages of lists, sorted. */
export const sliceParameters = {
  ...arrayOrPageParameters,
  order: sortOrderSchema.default("ASC").openapi({ description: "Direction of sorting." }),
};

export const grantOrderParameter = grantOrderBySchema
  .optional()
  .openapi({ description: "Field to sort by. Default: when the grants become effective." });
