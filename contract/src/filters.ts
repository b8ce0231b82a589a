/**
 * Filters: conditions on text, time and ids that queries and lists share.
 *
 * A filter object states exactly one operator; `$and` and `$or` combine several objects. An operator with a null operand
 * counts as absent. Two levels of combination are enough for any condition in normal form and keep a hostile filter from
 * growing without bounds.
 */
import { z } from "@hono/zod-openapi";
import { ulidSchema } from "./identifiers.ts";
import { timestampSchema } from "./instants.ts";

/** A condition on text. Comparison is byte-wise and case-sensitive unless the operator says otherwise. */
export interface FilterString {
  $eq?: string | null | undefined;
  $ne?: string | null | undefined;
  $in?: string[] | null | undefined;
  $nin?: string[] | null | undefined;
  $like?: string | null | undefined;
  $nlike?: string | null | undefined;
  $ilike?: string | null | undefined;
  $nilike?: string | null | undefined;
  $contains?: string | null | undefined;
  $ncontains?: string | null | undefined;
  $gt?: string | null | undefined;
  $gte?: string | null | undefined;
  $lt?: string | null | undefined;
  $lte?: string | null | undefined;
  $exists?: boolean | null | undefined;
  $and?: FilterString[] | null | undefined;
  $or?: FilterString[] | null | undefined;
}

/** A condition on an instant; operands are RFC 3339 text, not yet parsed. */
export interface FilterTime {
  $gt?: string | null | undefined;
  $gte?: string | null | undefined;
  $lt?: string | null | undefined;
  $lte?: string | null | undefined;
  $and?: FilterTime[] | null | undefined;
  $or?: FilterTime[] | null | undefined;
}

type CombinedSchema<Filter> = z.ZodOptional<z.ZodNullable<z.ZodArray<z.ZodType<Filter, Filter>>>>;

/** `$and` and `$or` nest at most this deep in a meter query. */
export const FILTER_DEPTH_LIMIT = 2;

function operand(description: string, example: string) {
  return z
    .string()
    .min(1, { error: "an operand must not be empty; use $exists to ask whether a value is there" })
    .nullish()
    .openapi({ description, example });
}

function timeOperand(description: string) {
  return timestampSchema(description).nullish();
}

function requireOneOperator(filter: object, context: z.RefinementCtx, operators: readonly string[]): void {
  const present = Object.entries(filter).filter(([, value]) => value !== null && value !== undefined);
  if (present.length === 1) return;
  const found = present.length === 0 ? "none" : present.map(([name]) => name).join(" and ");
  context.addIssue({
    code: "custom",
    message: `a filter needs exactly one of ${operators.join(", ")}, but has ${found}; combine several with $and or $or`,
  });
}

const stringOperators = {
  $eq: operand("Equal to the operand.", "gpt-5"),
  $ne: operand("Not equal to the operand. A missing value matches.", "gpt-5"),
  $in: z
    .array(z.string())
    .nullish()
    .openapi({ description: "Equal to one of the operands.", example: ["gpt-5", "gpt-5-mini"] }),
  $nin: z
    .array(z.string())
    .nullish()
    .openapi({ description: "Equal to none of the operands. A missing value matches.", example: ["test"] }),
  $like: operand(
    "Matches an SQL `LIKE` pattern: `%` is any text, `_` any one character, a backslash escapes. Case-sensitive.",
    "gpt-%",
  ),
  $nlike: operand("Does not match the `LIKE` pattern. A missing value matches.", "test-%"),
  $ilike: operand("Like `$like`, ignoring case.", "GPT-%"),
  $nilike: operand("Like `$nlike`, ignoring case.", "TEST-%"),
  $contains: operand("Contains the operand, ignoring case.", "mini"),
  $ncontains: operand("Does not contain the operand, ignoring case. A missing value matches.", "mini"),
  $gt: operand("Greater than the operand, compared byte by byte as text (`10` is less than `9`).", "m"),
  $gte: operand("Greater than or equal to the operand, compared as text.", "m"),
  $lt: operand("Less than the operand, compared as text.", "m"),
  $lte: operand("Less than or equal to the operand, compared as text.", "m"),
  $exists: z.boolean().nullish().openapi({
    description:
      "`true`: the value is text (possibly empty), a number or a boolean. `false`: it is anything else, missing or null.",
    example: true,
  }),
};

export const filterStringSchema: z.ZodType<FilterString, FilterString> = z
  .object({
    ...stringOperators,
    get $and(): CombinedSchema<FilterString> {
      return z.array(filterStringSchema).min(1).nullish().openapi({ description: "All of these filters match." });
    },
    get $or(): CombinedSchema<FilterString> {
      return z
        .array(filterStringSchema)
        .min(1)
        .nullish()
        .openapi({ description: "At least one of these filters matches." });
    },
  })
  .superRefine((filter, context) =>
    requireOneOperator(filter, context, [...Object.keys(stringOperators), "$and", "$or"]),
  )
  .openapi("FilterString", {
    description:
      "A condition on text, with exactly one operator. Operands must not be empty. `$and` and `$or` nest at most twice in " +
      "meter queries and once in event lists.",
    example: { $in: ["gpt-5", "gpt-5-mini"] },
  });

const timeOperators = {
  $gt: timeOperand("Later than the operand."),
  $gte: timeOperand("At the operand or later."),
  $lt: timeOperand("Earlier than the operand."),
  $lte: timeOperand("At the operand or earlier."),
};

export const filterTimeSchema: z.ZodType<FilterTime, FilterTime> = z
  .object({
    ...timeOperators,
    get $and(): CombinedSchema<FilterTime> {
      return z.array(filterTimeSchema).min(1).nullish().openapi({ description: "All of these filters match." });
    },
    get $or(): CombinedSchema<FilterTime> {
      return z
        .array(filterTimeSchema)
        .min(1)
        .nullish()
        .openapi({ description: "At least one of these filters matches." });
    },
  })
  .superRefine((filter, context) => requireOneOperator(filter, context, [...Object.keys(timeOperators), "$and", "$or"]))
  .openapi("FilterTime", {
    description:
      "A condition on a time, with exactly one operator. A range is an `$and` of a lower and an upper bound. Times are RFC " +
      "3339 with an offset.",
    example: { $and: [{ $gte: "2026-01-01T00:00:00Z" }, { $lt: "2026-02-01T00:00:00Z" }] },
  });

export const filterIdExactSchema = z
  .object({
    $in: z.array(ulidSchema("Id of the resource.")).nullish().openapi({ description: "One of these ids." }),
  })
  .superRefine((filter, context) => requireOneOperator(filter, context, ["$in"]))
  .openapi("FilterIDExact", { description: "A condition on an id." });

/** A condition on an id. */
export type FilterIdExact = z.output<typeof filterIdExactSchema>;

/** How deep `$and` and `$or` nest in a filter: 0 without any, 1 for `{$and: [{$eq: "a"}]}`. */
export function filterDepth(filter: FilterString | FilterTime): number {
  const branches = [...(filter.$and ?? []), ...(filter.$or ?? [])];
  return branches.length === 0 ? 0 : 1 + Math.max(...branches.map(filterDepth));
}

/** Adds an issue at `path` unless `$and` and `$or` nest at most `limit` deep. */
export function limitFilterDepth(
  filter: FilterString | FilterTime | undefined,
  limit: number,
  path: readonly PropertyKey[],
  context: z.RefinementCtx,
): void {
  if (filter === undefined || filterDepth(filter) <= limit) return;
  context.addIssue({
    code: "custom",
    path: [...path],
    message: `$and and $or may nest at most ${limit} deep in "${path.join(".")}"; rewrite the filter with fewer levels`,
  });
}

/** Deeper nested input is refused before it is looked at; no valid filter comes near. */
const NESTING_LIMIT = 32;

function nestsDeeperThan(value: unknown, limit: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return limit === 0 || Object.values(value).some((inner) => nestsDeeperThan(inner, limit - 1));
}

/**
 * Refuses input that nests so deeply that checking it against the recursive filter schemas could exhaust the stack; the
 * documented schema is `schema`.
 */
export function withNestingLimit<Schema extends z.ZodType>(schema: Schema) {
  return z.preprocess((input, context) => {
    if (!nestsDeeperThan(input, NESTING_LIMIT)) return input;
    context.addIssue({ code: "custom", message: `nests more than ${NESTING_LIMIT} levels deep; flatten the filter` });
    return z.NEVER;
  }, schema);
}
