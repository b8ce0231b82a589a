/**
 * Entitlements: what a customer may use. Bodies and inputs of v1, where subjects own them, and of v2, where customers do.
 *
 * Three types share a few fields: `boolean` gives access, `static` gives access and a configuration, `metered` gives access
 * while grants cover the usage of the feature's meter.
 */
import { z } from "@hono/zod-openapi";
import { periodSchema } from "./entitlement-balances.ts";
import {
  entitlementMetadataSchema,
  grantInputSchemaV2,
  includeDeletedParameter,
  pageSchema,
  recurringPeriodInputSchema,
  recurringPeriodSchema,
  sliceParameters,
} from "./entitlement-grants.ts";
import { exactNumberSchema } from "./exact-number.ts";
import { slugSchema, ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";
import { annotationsSchema } from "./meters.ts";
import { booleanParameter, repeatedParameter } from "./query-string.ts";

const TYPES = ["metered", "boolean", "static"] as const;

export const entitlementTypeSchema = z
  .enum(TYPES)
  .openapi("EntitlementType", { description: "What kind of access an entitlement gives.", deprecated: true });

const ISSUE = "A balance that the entitlement has at its start and after every reset.";
const SOFT = "Whether access is given also when nothing is left. Default false.";
const PRESERVE = "Whether usage that no grant covered is carried over a reset. Default false.";
const ISSUE_PRIORITY = "Priority of the grant that `issueAfterReset` makes, 1 to 255. Default 1.";

const featureFields = {
  featureKey: slugSchema("Key of the feature. This or `featureId` is needed.").optional(),
  featureId: ulidSchema("Id of the feature; wins over `featureKey`.").optional(),
  metadata: entitlementMetadataSchema.optional(),
};

const usagePeriodInput = recurringPeriodInputSchema.openapi({
  description: "The periods after which usage starts from zero. The anchor is now by default.",
});

const measureUsageFromSchema = z
  .union([
    z.enum(["CURRENT_PERIOD_START", "NOW"]).openapi("MeasureUsageFromPreset", {
      description: "The start of the usage period that contains now, or now.",
    }),
    timestampSchema("The time itself, past or future.").openapi("MeasureUsageFromTime"),
  ])
  .openapi("MeasureUsageFrom", { description: "From when on usage counts, floored to the minute. Default: now." });

const issuePriority = z.int().min(1).max(255);

const meteredInput = {
  ...featureFields,
  type: z.literal("metered").openapi({ description: "Access while grants cover the usage." }),
  isSoftLimit: z.boolean().default(false).openapi({ description: SOFT }),
  usagePeriod: usagePeriodInput,
  measureUsageFrom: measureUsageFromSchema.optional(),
  preserveOverageAtReset: z.boolean().default(false).openapi({ description: PRESERVE }),
};

const staticInput = z
  .object({
    ...featureFields,
    usagePeriod: usagePeriodInput.optional(),
    type: z.literal("static").openapi({ description: "Access, and a configuration." }),
    config: z.string().openapi({
      format: "json",
      description: "The configuration: a string that holds valid JSON. It is returned unchanged.",
      example: '{"models": ["gpt-5"]}',
    }),
  })
  .openapi("EntitlementStaticCreateInputs", { description: "A new static entitlement.", deprecated: true });

const booleanInput = z
  .object({
    ...featureFields,
    usagePeriod: usagePeriodInput.optional(),
    type: z.literal("boolean").openapi({ description: "Access, no more." }),
  })
  .openapi("EntitlementBooleanCreateInputs", { description: "A new boolean entitlement.", deprecated: true });

const meteredInputV1 = z
  .object({
    ...meteredInput,
    isUnlimited: z.boolean().default(false).openapi({ description: "Has no effect.", deprecated: true }),
    issueAfterReset: exactNumberSchema({ description: ISSUE, minimum: 0, example: 100 }).optional(),
    issueAfterResetPriority: issuePriority
      .optional()
      .openapi({ format: "uint8", description: ISSUE_PRIORITY, default: 1 }),
  })
  .openapi("EntitlementMeteredCreateInputs", { description: "A new metered entitlement.", deprecated: true });

const issueSchema = z
  .object({
    amount: exactNumberSchema({ description: ISSUE, minimum: 0, example: 100 }),
    priority: issuePriority
      .optional()
      .openapi({ format: "uint8", description: "Priority of its grant, 1 to 255. Default 1.", default: 1 }),
  })
  .openapi("IssueAfterReset", { description: ISSUE });

const meteredInputV2 = z
  .object({
    ...meteredInput,
    issueAfterReset: exactNumberSchema({
      description: `${ISSUE} Use \`issue\`, which wins.`,
      minimum: 0,
      example: 100,
      deprecated: true,
    }).optional(),
    issueAfterResetPriority: issuePriority
      .optional()
      .openapi({ format: "uint8", description: ISSUE_PRIORITY, deprecated: true, default: 1 }),
    issue: issueSchema.optional(),
    grants: z
      .array(grantInputSchemaV2)
      .max(1000)
      .optional()
      .openapi({ description: "Grants to create with the entitlement. Cannot be used together with `issue`." }),
  })
  .openapi("EntitlementMeteredV2CreateInputs", { description: "A new metered entitlement." });

const METERED_ONLY = ["measureUsageFrom", "isSoftLimit", "issueAfterReset", "issueAfterResetPriority", "issue"];

/** Refuses fields of another type, which would otherwise be ignored like any unknown field and surprise later. */
function checkTypeInputs(input: unknown, context: z.RefinementCtx): unknown {
  if (typeof input !== "object" || input === null) return input;
  const fields = new Map<string, unknown>(Object.entries(input).filter(([, value]) => value !== undefined));
  const type = fields.get("type");
  if (!TYPES.some((known) => known === type)) {
    context.addIssue({ code: "custom", path: ["type"], message: `must be one of ${TYPES.join(", ")}` });
    return input;
  }
  const grants = fields.get("grants");
  if (type !== "metered" && Array.isArray(grants) && grants.length > 0) {
    context.addIssue({
      code: "custom",
      path: ["grants"],
      params: { code: "entitlement_grants_only_supported_for_metered_entitlements" },
      message: `grants are only supported for metered entitlements, not for a ${String(type)} one; leave them out`,
    });
  }
  const foreign = type === "metered" ? ["config"] : [...METERED_ONLY, ...(type === "boolean" ? ["config"] : [])];
  // What switches nothing on is harmless, and clients send it for every type.
  for (const name of foreign.filter(
    (one) => fields.has(one) && fields.get(one) !== false && fields.get(one) !== null,
  )) {
    context.addIssue({
      code: "custom",
      path: [name],
      params: { code: "entitlement_create_property_mismatch" },
      message: `Invalid inputs for type: ${name} is not for a ${String(type)} entitlement; leave it out`,
    });
  }
  return input;
}

export const entitlementInputSchema = z.preprocess(
  checkTypeInputs,
  z
    .discriminatedUnion("type", [meteredInputV1, staticInput, booleanInput])
    .openapi("EntitlementCreateInputs", { description: "A new entitlement of one of three types." }),
);

/** An entitlement of v1 as requested; amounts are decimal text. */
export type EntitlementInput = z.output<typeof entitlementInputSchema>;

export const entitlementInputSchemaV2 = z.preprocess(
  checkTypeInputs,
  z
    .discriminatedUnion("type", [meteredInputV2, staticInput, booleanInput])
    .openapi("EntitlementV2CreateInputs", { description: "A new entitlement of one of three types." }),
);

/** An entitlement of v2 as requested; amounts are decimal text. */
export type EntitlementInputV2 = z.output<typeof entitlementInputSchemaV2>;

export const resetInputSchema = z
  .object({
    effectiveAt: timestampSchema(
      "When usage starts from zero, floored to the minute. Default: now. Not in the future.",
    ).optional(),
    retainAnchor: z.boolean().optional().openapi({
      description: "Whether the present usage period keeps its end. Default false: a whole new period starts.",
    }),
    preserveOverage: z.boolean().optional().openapi({
      description: "Whether usage that no grant covered is carried over. Default: `preserveOverageAtReset`.",
    }),
  })
  .openapi("ResetEntitlementUsageInput", { description: "How to reset the usage of a metered entitlement." });

const bodyFields = {
  id: ulidSchema("Id of the entitlement, made by the server.").openapi({ readOnly: true }),
  featureKey: slugSchema("Key of the feature."),
  featureId: ulidSchema("Id of the feature."),
  metadata: entitlementMetadataSchema.optional(),
  annotations: annotationsSchema.optional().openapi({ description: "Notes that the server made.", readOnly: true }),
  activeFrom: timestampSchema("From when on it gives access."),
  activeTo: timestampSchema("Until when it gives access; absent if it has no end.").optional(),
  createdAt: timestampSchema("When the entitlement was created.").openapi({ readOnly: true }),
  updatedAt: timestampSchema("When the entitlement was last changed.").openapi({ readOnly: true }),
  deletedAt: timestampSchema("When the entitlement was deleted; absent while it exists.").optional().openapi({
    readOnly: true,
  }),
};

const shownPeriod = {
  currentUsagePeriod: periodSchema.optional().openapi({ description: "The usage period that contains now." }),
  usagePeriod: recurringPeriodSchema.optional().openapi({ description: "The usage periods, as created." }),
};

const meteredBody = {
  type: z.literal("metered").openapi({ description: "Access while grants cover the usage." }),
  isSoftLimit: z.boolean().optional().openapi({ description: SOFT }),
  issueAfterReset: z.number().min(0).optional().openapi({ format: "double", description: ISSUE }),
  issueAfterResetPriority: issuePriority.optional().openapi({ format: "uint8", description: ISSUE_PRIORITY }),
  preserveOverageAtReset: z.boolean().optional().openapi({ description: PRESERVE }),
  lastReset: timestampSchema("The last manual reset, or when measuring began.").openapi({ readOnly: true }),
  currentUsagePeriod: periodSchema.openapi({ description: "The usage period that contains now.", readOnly: true }),
  measureUsageFrom: timestampSchema("From when on usage counts.").openapi({ readOnly: true }),
  usagePeriod: recurringPeriodSchema.openapi({ description: "The usage periods, as created.", readOnly: true }),
};

const staticBody = {
  type: z.literal("static").openapi({ description: "Access, and a configuration." }),
  config: z.string().openapi({ format: "json", description: "The configuration, JSON text as it was sent." }),
  ...shownPeriod,
};

const booleanBody = { type: z.literal("boolean").openapi({ description: "Access, no more." }), ...shownPeriod };

const subjectOwner = {
  subjectKey: z.string().openapi({
    description: "The customer's smallest subject key, or else its key, or else empty.",
    example: "customer-1",
  }),
};

const customerOwner = {
  customerId: ulidSchema("Id of the customer."),
  customerKey: z.string().optional().openapi({ description: "Key of the customer.", example: "acme" }),
};

export const entitlementSchema = z
  .discriminatedUnion("type", [
    z
      .object({
        ...bodyFields,
        ...subjectOwner,
        ...meteredBody,
        isUnlimited: z.boolean().optional().openapi({ description: "Always false.", deprecated: true }),
      })
      .openapi("EntitlementMetered", { description: "A metered entitlement.", deprecated: true }),
    z
      .object({ ...bodyFields, ...subjectOwner, ...staticBody })
      .openapi("EntitlementStatic", { description: "A static entitlement.", deprecated: true }),
    z
      .object({ ...bodyFields, ...subjectOwner, ...booleanBody })
      .openapi("EntitlementBoolean", { description: "A boolean entitlement.", deprecated: true }),
  ])
  .openapi("Entitlement", { description: "What a subject may use.", deprecated: true });

/** An entitlement as v1 answers it. */
export type EntitlementBody = z.output<typeof entitlementSchema>;

export const entitlementSchemaV2 = z
  .discriminatedUnion("type", [
    z
      .object({ ...bodyFields, ...customerOwner, ...meteredBody, issue: issueBody() })
      .openapi("EntitlementMeteredV2", { description: "A metered entitlement." }),
    z
      .object({ ...bodyFields, ...customerOwner, ...staticBody })
      .openapi("EntitlementStaticV2", { description: "A static entitlement." }),
    z
      .object({ ...bodyFields, ...customerOwner, ...booleanBody })
      .openapi("EntitlementBooleanV2", { description: "A boolean entitlement." }),
  ])
  .openapi("EntitlementV2", { description: "What a customer may use." });

/** An entitlement as v2 answers it. */
export type EntitlementBodyV2 = z.output<typeof entitlementSchemaV2>;

function issueBody() {
  return z
    .object({
      amount: z.number().min(0).openapi({ format: "double", description: ISSUE, example: 100 }),
      priority: issuePriority.optional().openapi({ format: "uint8", description: "Priority of its grant, 1 to 255." }),
    })
    .optional()
    .openapi({ description: ISSUE });
}

export const entitlementPageSchema = pageSchema("EntitlementPaginatedResponse", entitlementSchema, "entitlements");
export const entitlementPageSchemaV2 = pageSchema(
  "EntitlementV2PaginatedResponse",
  entitlementSchemaV2,
  "entitlements",
);

const orderBy = z
  .enum(["createdAt", "updatedAt"])
  .openapi("EntitlementOrderBy", { description: "Field by which entitlements are sorted." })
  .optional()
  .openapi({ description: "Field to sort by. Default: `createdAt`." });

/** What the lists of all entitlements have in common. */
export const entitlementListParameters = {
  feature: repeatedParameter(z.string(), {
    description: "Only entitlements to these features, by id or key. Repeat it for several.",
    example: ["tokens"],
  }),
  entitlementType: repeatedParameter(entitlementTypeSchema, {
    description: "Only entitlements of these types. Repeat it for several.",
  }),
  excludeInactive: booleanParameter("Whether only entitlements that are active now are listed."),
  ...sliceParameters,
  orderBy,
};

/** Parameters of a customer's list of entitlements. */
export const customerEntitlementListQuerySchema = z.object({
  includeDeleted: includeDeletedParameter,
  page: sliceParameters.page,
  pageSize: sliceParameters.pageSize,
  order: sliceParameters.order,
  orderBy,
});
