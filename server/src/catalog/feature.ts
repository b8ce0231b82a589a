/**
 * Features: what a customer can use. A feature is *metered*, linked to a meter and perhaps narrowed by filters on its
 * group-by keys, or a mere switch. Pure types and rules; see README.md for the meaning.
 *
 * Invariant: `filters` says the same as the wire forms, whichever of them was sent.
 */

import type { FilterString } from "@tallystick/contract";
import type { Aggregation, TextFilter } from "../engines/event-store/index.ts";
import { isStorableText } from "../engines/state-store/index.ts";
import { textFilter } from "../events/index.ts";
import { Decimal } from "../kernel/decimal.ts";
import type { FieldError } from "../kernel/fault.ts";
import { parseUlid } from "../kernel/id.ts";
import type { Instant } from "../kernel/instant.ts";
import type { Meter } from "../meters/index.ts";

/** What one unit costs whoever provides the feature, in USD: a fixed amount, or what a language model's provider asks. */
export type UnitCost =
  | { readonly type: "manual"; /** Canonical decimal text. */ readonly amount: string }
  | ({ readonly type: "llm" } & LlmUnitCost);

/** Each of provider, model and token type is fixed, or read from a group-by key (`...Property`), or left open. */
export interface LlmUnitCost {
  readonly provider?: string;
  readonly providerProperty?: string;
  readonly model?: string;
  readonly modelProperty?: string;
  readonly tokenType?: string;
  readonly tokenTypeProperty?: string;
}

export interface Feature {
  readonly id: string;
  readonly namespace: string;
  readonly key: string;
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>> | null;
  /** Null for a feature that is a mere switch. */
  readonly meterId: string | null;
  readonly meterSlug: string | null;
  /** The conditions on the meter's group-by keys; empty when there are none. */
  readonly filters: ReadonlyMap<string, TextFilter>;
  /** The conditions as they were sent, in either form or both. */
  readonly simpleFilters: SimpleFilters | null;
  readonly advancedFilters: AdvancedFilters | null;
  readonly unitCost: UnitCost | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  /** An archived feature keeps working where it is used already, and its key is free again. */
  readonly archivedAt: Instant | null;
}

/** Group-by key to the one text that counts. */
export type SimpleFilters = Readonly<Record<string, string>>;
/** Group-by key to filter. */
export type AdvancedFilters = Readonly<Record<string, FilterString>>;

/** The unit cost as a client writes it. */
export type UnitCostDraft =
  | { readonly type: "manual"; readonly amount: string }
  | ({ readonly type: "llm" } & { readonly [Name in keyof LlmUnitCost]?: string | undefined });

/** What a client may send to create a feature. */
export interface FeatureDraft {
  readonly key: string;
  readonly name: string;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Slug or id. */
  readonly meterSlug?: string | undefined;
  readonly meterGroupByFilters?: SimpleFilters | undefined;
  readonly advancedMeterGroupByFilters?: AdvancedFilters | undefined;
  readonly unitCost?: UnitCostDraft | undefined;
}

const MAX_NAME_CHARACTERS = 256;
/** Balances need values that add up, or the latest one; an average of averages means nothing. */
const METERED: ReadonlySet<Aggregation> = new Set(["SUM", "COUNT", "UNIQUE_COUNT", "LATEST"]);
const LLM_PAIRS = [
  ["provider", "providerProperty"],
  ["model", "modelProperty"],
  ["tokenType", "tokenTypeProperty"],
] as const;

/** What is wrong with a draft by itself, before its meter is known; empty when nothing is. */
export function draftErrors(draft: FeatureDraft): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (parseUlid(draft.key) !== null) {
    const message = `key "${draft.key}" has the form of an id (a ULID); choose one that nobody takes for an id`;
    errors.push({ code: "invalid_key", message, field: "$.key" });
  }
  const characters = Array.from(draft.name).length;
  if (characters < 1 || characters > MAX_NAME_CHARACTERS) {
    const message = `name must have 1 to ${MAX_NAME_CHARACTERS} characters, not ${characters}`;
    errors.push({ code: "invalid_name", message, field: "$.name" });
  }
  if (draft.meterSlug === undefined) {
    for (const name of ["meterGroupByFilters", "advancedMeterGroupByFilters"] as const) {
      if (Object.keys(draft[name] ?? {}).length === 0) continue;
      const message = `${name} narrows the usage of a meter: send meterSlug too, or leave the filters out`;
      errors.push({ code: "filter_without_meter", message, field: `$.${name}` });
    }
  }
  for (const [key, text] of Object.entries(draft.meterGroupByFilters ?? {})) {
    if (text !== "") continue;
    const message = `the value for "${key}" must not be empty; send advancedMeterGroupByFilters with $exists to ask whether there is one`;
    errors.push({ code: "invalid_filter", message, field: `$.meterGroupByFilters.${key}` });
  }
  return [...errors, ...agreementErrors(draft), ...textErrors(draft)];
}

/** What is wrong with a draft for its meter; empty when nothing is. */
export function meterErrors(draft: FeatureDraft, meter: Meter): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (!METERED.has(meter.aggregation)) {
    const message =
      `meter "${meter.slug}" has the aggregation ${meter.aggregation}, which cannot be metered for a feature; use one ` +
      `with ${[...METERED].join(", ")}`;
    errors.push({ code: "invalid_aggregation", message, field: "$.meterSlug" });
  }
  for (const name of ["meterGroupByFilters", "advancedMeterGroupByFilters"] as const) {
    for (const key of Object.keys(draft[name] ?? {})) {
      if (Object.hasOwn(meter.groupBy, key)) continue;
      const message = `"${key}" is no group-by key of meter "${meter.slug}"; ${allowedKeys(meter)}`;
      errors.push({ code: "invalid_group_by_filter", message, field: `$.${name}.${key}` });
    }
  }
  return errors;
}

/** What is wrong with a unit cost for a feature of this meter, null for a feature without one. */
export function unitCostErrors(cost: UnitCostDraft, meter: Meter | null): readonly FieldError[] {
  if (cost.type === "manual") {
    const amount = Decimal.parse(cost.amount);
    if (amount !== null && !amount.isNegative()) return [];
    const message = `amount must be a decimal number of 0 or more in text, such as "0.0025", not "${cost.amount}"`;
    return [{ code: "invalid_unit_cost", message, field: "$.unitCost.amount" }];
  }
  const errors: FieldError[] = [];
  if (meter === null) {
    const message = "a unit cost of type llm needs a meter, whose events say what was used; send meterSlug";
    errors.push({ code: "invalid_unit_cost", message, field: "$.unitCost" });
  }
  for (const [fixed, property] of LLM_PAIRS) {
    if (cost[fixed] !== undefined && cost[property] !== undefined) {
      const message = `send ${fixed}, which is the same for all usage, or ${property}, which names a group-by key; not both`;
      errors.push({ code: "invalid_unit_cost", message, field: `$.unitCost.${property}` });
    }
    if (cost[fixed] === "") {
      const message = `${fixed} must not be empty; leave it out`;
      errors.push({ code: "invalid_unit_cost", message, field: `$.unitCost.${fixed}` });
    }
    const key = cost[property];
    if (meter === null || key === undefined || Object.hasOwn(meter.groupBy, key)) continue;
    const message = `${property} "${key}" is no group-by key of meter "${meter.slug}"; ${allowedKeys(meter)}`;
    errors.push({ code: "invalid_unit_cost", message, field: `$.unitCost.${property}` });
  }
  return [...errors, ...storableErrors(Object.entries(cost).map(([name, text]) => [`$.unitCost.${name}`, text]))];
}

/** A unit cost that has no errors, in the form in which it is kept. */
export function unitCostOf(draft: UnitCostDraft): UnitCost {
  if (draft.type === "manual") return { type: "manual", amount: Decimal.of(draft.amount).toText() };
  const named = LLM_PAIRS.flat().flatMap((name) => (draft[name] === undefined ? [] : [[name, draft[name]] as const]));
  return { type: "llm", ...Object.fromEntries(named) };
}

/**
 * The filters that the two wire forms stand for. Fault: `invalid_filter` when an operator has too many members; a stored
 * feature has none of those.
 */
export function filtersOf(
  simple: SimpleFilters | null,
  advanced: AdvancedFilters | null,
): ReadonlyMap<string, TextFilter> {
  return new Map([
    ...Object.entries(simple ?? {}).map(([key, value]): [string, TextFilter] => [key, { op: "eq", value }]),
    ...Object.entries(advanced ?? {}).map(([key, filter]): [string, TextFilter] => [
      key,
      textFilter(filter, `advancedMeterGroupByFilters.${key}`),
    ]),
  ]);
}

/** The group-by keys of its meter without which the feature would lose its meaning. */
export function usedGroupByKeys(feature: Feature): readonly string[] {
  const cost = feature.unitCost;
  const properties = cost?.type === "llm" ? LLM_PAIRS.flatMap(([, property]) => cost[property] ?? []) : [];
  return [...new Set([...feature.filters.keys(), ...properties])];
}

/** Both forms given: the advanced one must have the same keys, each asking for equality with the simple one's text. */
function agreementErrors(draft: FeatureDraft): readonly FieldError[] {
  const { meterGroupByFilters: simple, advancedMeterGroupByFilters: advanced } = draft;
  if (simple === undefined || advanced === undefined) return [];
  const keys = new Set([...Object.keys(simple), ...Object.keys(advanced)]);
  return [...keys].flatMap((key) => {
    const filter = Object.hasOwn(advanced, key) ? advanced[key] : undefined;
    if (Object.hasOwn(simple, key) && filter !== undefined && onlyText(filter) === simple[key]) return [];
    const message =
      `meterGroupByFilters and advancedMeterGroupByFilters disagree on "${key}"; send only advancedMeterGroupByFilters, ` +
      "or the same conditions in both";
    return [{ code: "conflicting_filters", message, field: `$.advancedMeterGroupByFilters.${key}` }];
  });
}

/** The only text that the filter lets pass, or undefined when there are several or none. */
export function onlyText(filter: FilterString): string | undefined {
  if (typeof filter.$eq === "string") return filter.$eq;
  return filter.$in?.length === 1 ? filter.$in[0] : undefined;
}

function textErrors(draft: FeatureDraft): readonly FieldError[] {
  return storableErrors([
    ["$.name", draft.name],
    ...Object.entries(draft.metadata ?? {}).flatMap((entry) =>
      entry.map((text): [string, string] => [`$.metadata.${entry[0]}`, text]),
    ),
    ...Object.entries(draft.meterGroupByFilters ?? {}).map(([key, text]): [string, string] => [
      `$.meterGroupByFilters.${key}`,
      text,
    ]),
    ...Object.entries(draft.advancedMeterGroupByFilters ?? {}).flatMap(([key, filter]) =>
      operands(filter).map((text): [string, string] => [`$.advancedMeterGroupByFilters.${key}`, text]),
    ),
  ]);
}

/** Every text that a filter compares with. The contract bounds how deep filters nest. */
function operands(filter: FilterString): readonly string[] {
  const inner = [...(filter.$and ?? []), ...(filter.$or ?? [])].flatMap(operands);
  const own = Object.values(filter).flatMap((operand: unknown) => (Array.isArray(operand) ? operand : [operand]));
  return [...inner, ...own.filter((operand): operand is string => typeof operand === "string")];
}

function storableErrors(texts: readonly (readonly [string, string | undefined])[]): readonly FieldError[] {
  return texts
    .filter(([, text]) => text !== undefined && !isStorableText(text))
    .map(([field]) => ({
      code: "invalid_text",
      message: "the text must not contain the NUL character or half a surrogate pair",
      field,
    }));
}

function allowedKeys(meter: Meter): string {
  const keys = Object.keys(meter.groupBy);
  return keys.length === 0 ? "the meter has no group-by keys" : `the meter's group-by keys are ${keys.join(", ")}`;
}
