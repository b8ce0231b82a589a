/** Creating, changing, reading and deleting rules. */

import type { Kysely, Transaction } from "kysely";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import { Fault, type FieldError } from "../../kernel/fault.ts";
import { parseUlid } from "../../kernel/id.ts";
import { lockLiveChannels } from "../channels/channel-store.ts";
import type { RuleBook } from "./rule-book.ts";
import { findRule, insertRule, listRules, type RuleListQuery, updateRule } from "./rule-store.ts";
import { type Rule, type RuleDraft, ruleErrors, type RuleFeature } from "./rule.ts";

/** Id and key of a feature. */
export interface FeatureName {
  readonly id: string;
  readonly key: string;
}

/** Looks features up: by id in any state, by key only live ones. Names that mean nothing are missing from the answer. */
export type FeatureLookup = (idsOrKeys: readonly string[]) => Promise<ReadonlyMap<string, FeatureName>>;

export interface RuleServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly book: RuleBook;
  readonly features: FeatureLookup;
  /** Called after every change, when the book knows it. */
  readonly onChange: () => void;
}

export class RuleService {
  readonly #options: RuleServiceOptions;

  constructor(options: RuleServiceOptions) {
    this.#options = options;
  }

  /** Creates a rule. Fault: `invalid_notification_rule` with every offending field. */
  async create(given: RuleDraft): Promise<Rule> {
    const { namespace, clock, newId } = this.#options;
    const draft = normalized(given);
    const features = await this.#check(draft);
    return await this.#change(async (tx) => {
      await this.#requireChannels(tx, draft.channels);
      // Read under the locks, so that no change that was committed before lies after the rule's creation.
      const now = clock.now();
      const created: Rule = { ...draft, features, id: newId(), createdAt: now, updatedAt: now, deletedAt: null };
      await insertRule(tx, namespace, created);
      return created;
    });
  }

  /** The rule with this id, deleted or not. Fault: `notification_rule_not_found`. */
  async get(id: string): Promise<Rule> {
    const rule = await findRule(this.#options.db, this.#options.namespace, id);
    if (rule === null) throw ruleNotFound(id);
    const [current] = await this.#withPresentFeatures([rule]);
    return current ?? rule;
  }

  async list(query: RuleListQuery): Promise<{ readonly items: readonly Rule[]; readonly totalCount: number }> {
    const { items, totalCount } = await listRules(this.#options.db, this.#options.namespace, query);
    return { items: await this.#withPresentFeatures(items), totalCount };
  }

  /** Replaces everything but the type. Faults: as `create` and `get`. */
  async update(id: string, given: RuleDraft): Promise<Rule> {
    const { namespace, clock } = this.#options;
    const draft = normalized(given);
    const features = await this.#check(draft);
    return await this.#change(async (tx) => {
      const found = await findRule(tx, namespace, id, { lock: "update" });
      if (found === null || found.deletedAt !== null) throw ruleNotFound(id);
      if (found.type !== draft.type) {
        const message = `the type of a rule is fixed: this one is ${found.type}, not ${draft.type}; create a new rule`;
        throw invalid([{ code: "rule_type_fixed", message, field: "$.type" }]);
      }
      await this.#requireChannels(tx, draft.channels);
      const changed: Rule = { ...found, ...draft, features, updatedAt: clock.now() };
      await updateRule(tx, changed);
      return changed;
    });
  }

  /** Deletes a rule; what it told stays. Fault: `notification_rule_not_found`. */
  async delete(id: string): Promise<void> {
    const { namespace, clock } = this.#options;
    await this.#change(async (tx) => {
      const rule = await findRule(tx, namespace, id, { lock: "update" });
      if (rule === null || rule.deletedAt !== null) throw ruleNotFound(id);
      const now = clock.now();
      await updateRule(tx, { ...rule, updatedAt: now, deletedAt: now });
    });
  }

  /** Changes a rule in a transaction, and lets the book know before it is answered. */
  async #change<Result>(write: (tx: Transaction<Database>) => Promise<Result>): Promise<Result> {
    const { db, book, onChange } = this.#options;
    try {
      const result = await db.transaction().execute(write);
      await book.refresh();
      onChange();
      return result;
    } catch (error) {
      // Unless it was refused, nobody knows whether the change was committed.
      if (!(error instanceof Fault)) book.forget();
      throw error;
    }
  }

  async #check(draft: RuleDraft): Promise<readonly RuleFeature[]> {
    const errors = [...ruleErrors(draft)];
    const found: ReadonlyMap<string, FeatureName> =
      draft.features.length === 0 ? new Map() : await this.#options.features(draft.features);
    draft.features.forEach((ref, index) => {
      if (found.has(ref)) return;
      const message = `there is no feature ${ref}; name existing features by id or key`;
      errors.push({ code: "feature_not_found", message, field: `$.features[${index}]` });
    });
    if (errors.length > 0) throw invalid(errors);
    return draft.features.flatMap((ref) => {
      const name = found.get(ref);
      return name === undefined ? [] : [{ ref, id: name.id, key: name.key }];
    });
  }

  async #requireChannels(tx: Transaction<Database>, ids: readonly string[]): Promise<void> {
    const live = await lockLiveChannels(tx, this.#options.namespace, ids);
    const errors = ids.flatMap((id, index) => {
      if (live.has(id)) return [];
      const message = `there is no notification channel ${id}; create it first`;
      return [{ code: "notification_channel_not_found", message, field: `$.channels[${index}]` }];
    });
    if (errors.length > 0) throw invalid(errors);
  }

  /** A key means whatever feature has it now; what cannot be found any more keeps its last meaning. */
  async #withPresentFeatures(rules: readonly Rule[]): Promise<readonly Rule[]> {
    const refs = [...new Set(rules.flatMap((rule) => rule.features.map(({ ref }) => ref)))];
    if (refs.length === 0) return rules;
    const found = await this.#options.features(refs);
    const present = (feature: RuleFeature): RuleFeature => {
      const name = found.get(feature.ref);
      return name === undefined ? feature : { ...feature, id: name.id, key: name.key };
    };
    return rules.map((rule) => ({ ...rule, features: rule.features.map(present) }));
  }
}

/** Ids are accepted in either case and kept in upper case, so that equal ones are equal texts. */
function normalized(draft: RuleDraft): RuleDraft {
  return {
    ...draft,
    channels: draft.channels.map((id) => id.toUpperCase()),
    features: draft.features.map((ref) => (/[A-Z]/u.test(ref) ? (parseUlid(ref) ?? ref) : ref)),
  };
}

function ruleNotFound(id: string): Fault {
  return new Fault("not_found", "notification_rule_not_found", `notification rule not found: ${id}`);
}

function invalid(errors: readonly FieldError[]): Fault {
  const message = errors.map((error) => error.message).join("; ");
  return new Fault("validation", "invalid_notification_rule", message, { fields: errors });
}
