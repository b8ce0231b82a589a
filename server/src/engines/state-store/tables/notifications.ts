/** Row types of notifications. See `database.ts` for the rules that hold for every table. */

import type { ColumnType, Generated } from "kysely";
import type { Instant } from "../../../kernel/instant.ts";
import type { JsonColumn, JsonValue, NullableJsonColumn, StringMap } from "../database.ts";

/** A `jsonb` column with a default: read as a value, written as JSON text or left out. */
type DefaultedJsonColumn<T> = ColumnType<T, string | undefined, string>;

export type StoredNotificationType =
  | "entitlements.balance.threshold"
  | "entitlements.reset"
  | "invoice.created"
  | "invoice.updated";

export interface NotificationChannelTable {
  readonly id: string;
  readonly namespace: string;
  readonly type: "WEBHOOK";
  readonly name: string;
  readonly is_disabled: boolean;
  readonly url: string;
  readonly custom_headers: JsonColumn<StringMap>;
  readonly signing_secret: string;
  readonly former_secrets: DefaultedJsonColumn<readonly { readonly secret: string; readonly until: number }[]>;
  readonly metadata: NullableJsonColumn<StringMap>;
  readonly created_at: Instant;
  readonly updated_at: Instant;
  readonly deleted_at: Instant | null;
}

export interface NotificationRuleTable {
  readonly id: string;
  readonly namespace: string;
  readonly type: StoredNotificationType;
  readonly name: string;
  readonly is_disabled: boolean;
  readonly features: DefaultedJsonColumn<
    readonly { readonly ref: string; readonly id: string; readonly key: string }[]
  >;
  readonly thresholds: DefaultedJsonColumn<
    readonly {
      readonly type: "PERCENT" | "NUMBER" | "balance_value" | "usage_percentage" | "usage_value";
      readonly value: string;
    }[]
  >;
  readonly metadata: NullableJsonColumn<StringMap>;
  readonly created_at: Instant;
  readonly updated_at: Instant;
  readonly deleted_at: Instant | null;
}

export interface NotificationRuleChannelTable {
  readonly rule_id: string;
  readonly position: number;
  readonly channel_id: string;
}

export interface NotificationEventTable {
  readonly id: string;
  readonly namespace: string;
  readonly type: StoredNotificationType;
  readonly rule_id: string;
  /** JSON text. */
  readonly rule: string;
  /** JSON text, the body as it is sent. */
  readonly payload: string;
  readonly annotations: JsonColumn<{ readonly [key: string]: JsonValue }>;
  readonly feature_id: string | null;
  readonly feature_key: string | null;
  readonly subject_id: string | null;
  readonly subject_key: string | null;
  readonly dedupe_key: string | null;
  readonly created_at: Instant;
}

/** One attempt to deliver, as stored. */
export interface StoredAttempt {
  /** Microseconds. */
  readonly at: number;
  readonly isSuccess: boolean;
  /** Null when no answer arrived. */
  readonly statusCode: number | null;
  readonly body: string;
  readonly durationMs: number;
  readonly url: string;
}

export interface NotificationDeliveryTable {
  readonly event_id: string;
  readonly channel_id: string;
  readonly state: "PENDING" | "SENDING" | "RESENDING" | "SUCCESS" | "FAILED";
  readonly reason: Generated<string>;
  readonly attempts: DefaultedJsonColumn<readonly StoredAttempt[]>;
  readonly annotations: DefaultedJsonColumn<{ readonly [key: string]: JsonValue }>;
  readonly tries: Generated<number>;
  readonly claim: Generated<number>;
  readonly due_at: Instant | null;
  readonly started_at: Instant;
  readonly updated_at: Instant;
}

export interface NotificationThresholdStateTable {
  readonly rule_id: string;
  readonly entitlement_id: string;
  readonly period_start_at: Instant;
  readonly thresholds: JsonColumn<Readonly<Record<string, { readonly isArmed: boolean; readonly epoch: number }>>>;
}

export interface NotificationWatchTable {
  readonly entitlement_id: string;
  readonly namespace: string;
  readonly reset_at: Instant | null;
  readonly reset_cause: "creation" | "time" | "command";
  readonly reset_caused_at: Instant | null;
  readonly evaluate_at: Instant | null;
}

export interface NotificationProgressTable {
  readonly namespace: string;
  readonly partition: number;
  readonly evaluated_upto: number;
}

/** The tables of notifications, for `Database`. */
export interface NotificationTables {
  readonly notification_channel: NotificationChannelTable;
  readonly notification_rule: NotificationRuleTable;
  readonly notification_rule_channel: NotificationRuleChannelTable;
  readonly notification_event: NotificationEventTable;
  readonly notification_delivery: NotificationDeliveryTable;
  readonly notification_threshold_state: NotificationThresholdStateTable;
  readonly notification_watch: NotificationWatchTable;
  readonly notification_progress: NotificationProgressTable;
}
