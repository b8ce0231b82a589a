/** Rules: what is told to which channels. Pure types and rules; see README.md for the meaning. */

import { exactNumber } from "@tallystick/contract";
import type { StringMap } from "../../engines/state-store/index.ts";
import type { FieldError } from "../../kernel/fault.ts";
import { formatInstant, type Instant } from "../../kernel/instant.ts";
import { textErrors } from "../channels/channel.ts";
import type { Threshold } from "../thresholds/selection.ts";

export type RuleType = "entitlements.balance.threshold" | "entitlements.reset" | "invoice.created" | "invoice.updated";

/** A feature as a rule names it. */
export interface RuleFeature {
  /** Id or key as given: an id follows the id, a key the key. */
  readonly ref: string;
  /** What it meant when it was last looked up. */
  readonly id: string;
  readonly key: string;
}

export interface Rule {
  readonly id: string;
  readonly type: RuleType;
  readonly name: string;
  readonly isDisabled: boolean;
  /** Ids, 1 to 5. */
  readonly channels: readonly string[];
  /** Empty: every feature. */
  readonly features: readonly RuleFeature[];
  /** 1 to 10 for a threshold rule, else empty. */
  readonly thresholds: readonly Threshold[];
  readonly metadata: StringMap | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly deletedAt: Instant | null;
}

/** A rule as a client wants it. */
export interface RuleDraft {
  readonly type: RuleType;
  readonly name: string;
  readonly isDisabled: boolean;
  readonly channels: readonly string[];
  readonly features: readonly string[];
  readonly thresholds: readonly Threshold[];
  readonly metadata: StringMap | null;
}

const MAX_CHANNELS = 5;

/** What is wrong with a draft beyond the shape of its fields, and beyond what has to be looked up. */
export function ruleErrors(draft: RuleDraft): readonly FieldError[] {
  return [
    ...textErrors("$.name", draft.name),
    ...channelListErrors(draft.channels),
    ...repeats(draft.features, "$.features", "feature"),
    ...draft.thresholds.flatMap((threshold, index) => thresholdErrors(threshold, `$.thresholds[${index}].value`)),
    ...Object.entries(draft.metadata ?? {}).flatMap((entry) => textErrors(`$.metadata.${entry[0]}`, ...entry)),
  ];
}

function channelListErrors(channels: readonly string[]): readonly FieldError[] {
  const field = "$.channels";
  if (channels.length < 1 || channels.length > MAX_CHANNELS) {
    const message = `a rule has 1 to ${MAX_CHANNELS} channels, not ${channels.length}`;
    return [{ code: "invalid_channels", message, field }];
  }
  return repeats(channels, field, "channel");
}

function repeats(names: readonly string[], field: string, what: string): readonly FieldError[] {
  return names.flatMap((name, index) => {
    if (names.indexOf(name) === index) return [];
    const message = `the ${what} ${name} is named twice; name it once`;
    return [{ code: `repeated_${what}`, message, field: `${field}[${index}]` }];
  });
}

function thresholdErrors({ type, value }: Threshold, field: string): readonly FieldError[] {
  const isFine = type === "balance_value" ? !value.isNegative() : value.isPositive();
  if (isFine) return [];
  const message =
    type === "balance_value"
      ? `the value of a balance_value threshold must be 0 or more, not ${value.toText()}`
      : `the value of a ${type} threshold must be more than 0, not ${value.toText()}`;
  return [{ code: "invalid_threshold", message, field }];
}

/** Whether a rule watches a feature. */
export function watchesFeature(rule: Rule, feature: { readonly id: string; readonly key: string }): boolean {
  return rule.features.length === 0 || rule.features.some(({ ref }) => ref === feature.key || ref === feature.id);
}

/** A rule as the API answers it; thresholds are numbers with all of their digits. */
export function ruleBody(rule: Rule) {
  return {
    id: rule.id,
    type: rule.type,
    name: rule.name,
    disabled: rule.isDisabled,
    channels: rule.channels.map((id) => ({ id, type: "WEBHOOK" as const })),
    ...(rule.type === "entitlements.balance.threshold" ? { thresholds: rule.thresholds.map(thresholdBody) } : {}),
    ...(rule.features.length === 0 ? {} : { features: rule.features.map(({ id, key }) => ({ id, key })) }),
    ...(rule.metadata === null ? {} : { metadata: rule.metadata }),
    createdAt: formatInstant(rule.createdAt),
    updatedAt: formatInstant(rule.updatedAt),
    ...(rule.deletedAt === null ? {} : { deletedAt: formatInstant(rule.deletedAt) }),
  };
}

/** A threshold as the API answers it. */
export function thresholdBody({ type, value }: Threshold) {
  return { type, value: exactNumber(value.toText()) };
}
