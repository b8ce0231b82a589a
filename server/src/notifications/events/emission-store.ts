/**
 * Creating events: the event and its deliveries in the transaction of whatever caused it.
 *
 * Invariants: a rule that is deleted or disabled creates no events; of two events with one dedupe key only the first
 * exists; an event has one delivery per channel of its rule that is enabled then.
 */

import { createHash } from "node:crypto";
import { sql, type Transaction } from "kysely";
import type { Database, JsonValue } from "../../engines/state-store/index.ts";
import type { Instant } from "../../kernel/instant.ts";
import { findRule } from "../rules/rule-store.ts";
import { type Rule, ruleBody } from "../rules/rule.ts";
import { payloadText } from "./facts.ts";

/** An event that is to be created, without its rule. */
export interface EventDraft {
  readonly id: string;
  readonly at: Instant;
  /** `data` of the payload, JSON text. */
  readonly data: string;
  readonly annotations: Readonly<Record<string, JsonValue>>;
  readonly feature: { readonly id: string; readonly key: string } | null;
  readonly subject: { readonly id: string | null; readonly key: string } | null;
  /** What must not be told twice; null for what may be repeated. */
  readonly dedupeKey: string | null;
}

/** A dedupe key: a hash that differs whenever one of the parts does. */
export function dedupeKey(parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** The rule as it stands, locked against change until the transaction ends; null when it does not act any more. */
export async function lockActingRule(
  tx: Transaction<Database>,
  namespace: string,
  ruleId: string,
): Promise<Rule | null> {
  const rule = await findRule(tx, namespace, ruleId, { lock: "share" });
  return rule === null || rule.deletedAt !== null || rule.isDisabled ? null : rule;
}

/** Creates an event of a rule that the caller has locked; false when it exists already. */
export async function insertEvent(
  tx: Transaction<Database>,
  namespace: string,
  rule: Rule,
  draft: EventDraft,
): Promise<boolean> {
  const { id, at, feature, subject } = draft;
  // Why: the event itself; the unique dedupe key decides between repeated and concurrent causes.
  const inserted = await tx
    .insertInto("notification_event")
    .values({
      id,
      namespace,
      type: rule.type,
      rule_id: rule.id,
      rule: JSON.stringify(ruleBody(rule)),
      payload: payloadText({ id, type: rule.type, createdAt: at }, draft.data),
      annotations: JSON.stringify(draft.annotations),
      feature_id: feature?.id ?? null,
      feature_key: feature?.key ?? null,
      subject_id: subject?.id ?? null,
      subject_key: subject?.key ?? null,
      dedupe_key: draft.dedupeKey,
      created_at: at,
    })
    .onConflict((conflict) => conflict.column("dedupe_key").where("dedupe_key", "is not", null).doNothing())
    .returning("id")
    .executeTakeFirst();
  if (inserted === undefined) return false;
  // Why: one delivery per channel that is enabled now, due at once.
  await tx
    .insertInto("notification_delivery")
    .columns(["event_id", "channel_id", "state", "due_at", "started_at", "updated_at"])
    .expression((from) =>
      from
        .selectFrom("notification_rule_channel as tie")
        .innerJoin("notification_channel as channel", "channel.id", "tie.channel_id")
        .select([
          sql<string>`${id}::text`.as("event_id"),
          "channel.id as channel_id",
          sql<"PENDING">`'PENDING'`.as("state"),
          sql<Instant>`${at}::bigint`.as("due_at"),
          sql<Instant>`${at}::bigint`.as("started_at"),
          sql<Instant>`${at}::bigint`.as("updated_at"),
        ])
        .where("tie.rule_id", "=", rule.id)
        .where("channel.deleted_at", "is", null)
        .where("channel.is_disabled", "=", false),
    )
    .execute();
  return true;
}
