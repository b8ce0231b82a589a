/**
 * Row types of the state store, one interface per table, for Kysely.
 *
 * Rules that hold for every table:
 * - Every `..._at` column is an `Instant` (microseconds, `bigint` in SQL).
 * - `bigint` columns are read as `number`; a value that is no safe integer rejects the query instead of being rounded.
 * - JSON columns are read as values and written as JSON text, so nothing depends on how a driver encodes objects.
 */

import type { ColumnType, Generated } from "kysely";
import type { Instant } from "../../kernel/instant.ts";
import type { EntitlementTables } from "./tables/entitlements.ts";
import type { HoldTable } from "./tables/holds.ts";
import type { NotificationTables } from "./tables/notifications.ts";
import type { PortalTables } from "./tables/portal.ts";

/** A JSON object of strings. */
export type StringMap = Readonly<Record<string, string>>;

/** What JSON text can hold. Decimals belong in strings: a JSON number is read as a float. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** A `jsonb` column that may be null: read as a value, written as JSON text. */
export type NullableJsonColumn<T> = ColumnType<T | null, string | null | undefined, string | null>;

/** A `jsonb` column: read as a value, written as JSON text. */
export type JsonColumn<T> = ColumnType<T, string, string>;

export type StoredAggregation = "SUM" | "COUNT" | "AVG" | "MIN" | "MAX" | "UNIQUE_COUNT" | "LATEST";

export interface MeterTable {
  readonly id: string;
  readonly namespace: string;
  readonly slug: string;
  readonly name: string;
  readonly description: string | null;
  readonly aggregation: StoredAggregation;
  readonly event_type: string;
  /** Events with an earlier time never count. */
  readonly event_from: Instant | null;
  /** JSONPath; null exactly for COUNT. */
  readonly value_property: string | null;
  readonly group_by: ColumnType<StringMap, string | undefined, string>;
  readonly metadata: NullableJsonColumn<StringMap>;
  readonly annotations: NullableJsonColumn<{ readonly [key: string]: JsonValue }>;
  /** Starts at 1; a change of `group_by` makes a new version. */
  readonly version: Generated<number>;
  readonly created_at: Instant;
  readonly updated_at: Instant;
  readonly deleted_at: Instant | null;
}

export interface SubjectTable {
  readonly id: string;
  readonly namespace: string;
  /** The `subject` of events; unique among live subjects. */
  readonly key: string;
  readonly display_name: string | null;
  readonly metadata: NullableJsonColumn<{ readonly [key: string]: JsonValue }>;
  readonly stripe_customer_id: string | null;
  readonly current_period_start_at: Instant | null;
  readonly current_period_end_at: Instant | null;
  readonly created_at: Instant;
  readonly updated_at: Instant;
  readonly deleted_at: Instant | null;
}

/** What one unit costs whoever provides the feature; amounts are decimal texts. */
export type StoredUnitCost =
  | { readonly type: "manual"; readonly amount: string }
  | {
      readonly type: "llm";
      readonly provider?: string;
      readonly providerProperty?: string;
      readonly model?: string;
      readonly modelProperty?: string;
      readonly tokenType?: string;
      readonly tokenTypeProperty?: string;
    };

export interface FeatureTable {
  readonly id: string;
  readonly namespace: string;
  /** Unique among features that are not archived. */
  readonly key: string;
  readonly name: string;
  readonly metadata: NullableJsonColumn<StringMap>;
  readonly meter_id: string | null;
  /** Group-by key to text, as sent. */
  readonly simple_filters: NullableJsonColumn<StringMap>;
  /** Group-by key to filter object, as sent. */
  readonly advanced_filters: NullableJsonColumn<{ readonly [key: string]: JsonValue }>;
  readonly unit_cost: NullableJsonColumn<StoredUnitCost>;
  readonly created_at: Instant;
  readonly updated_at: Instant;
  readonly archived_at: Instant | null;
}

/** A postal address; every part is optional. */
export interface StoredAddress {
  /** ISO 3166-1 alpha-2. */
  readonly country?: string;
  readonly postalCode?: string;
  readonly state?: string;
  readonly city?: string;
  readonly line1?: string;
  readonly line2?: string;
  readonly phoneNumber?: string;
}

export interface CustomerTable {
  readonly id: string;
  readonly namespace: string;
  /** Unique among live customers. */
  readonly key: string | null;
  readonly name: string;
  readonly description: string | null;
  readonly primary_email: string | null;
  /** ISO 4217. */
  readonly currency: string | null;
  readonly billing_address: NullableJsonColumn<StoredAddress>;
  readonly metadata: NullableJsonColumn<StringMap>;
  readonly annotations: NullableJsonColumn<{ readonly [key: string]: JsonValue }>;
  readonly created_at: Instant;
  readonly updated_at: Instant;
  readonly deleted_at: Instant | null;
}

export interface CustomerSubjectTable {
  readonly customer_id: string;
  readonly namespace: string;
  /** Unique among rows that are not released. */
  readonly subject_key: string;
  /** When its customer was deleted. */
  readonly released_at: Instant | null;
}

export interface SinkBatchTable {
  readonly partition: number;
  readonly from_offset: number;
  /** Inclusive. */
  readonly to_offset: number;
  readonly stored_at: Instant;
  readonly status: "recorded" | "inserted";
}

export interface StoredPositionTable {
  readonly partition: number;
  /** Offset of the last stored event, inclusive. */
  readonly stored_upto: number;
  readonly last_stored_at: Instant;
}

export interface EventConflictTable {
  readonly id: ColumnType<number, never, never>;
  readonly namespace: string;
  readonly source: string;
  readonly event_id: string;
  readonly first_seen_at: Instant;
  readonly seen_at: Instant;
  readonly first_payload_hash: Uint8Array;
  readonly payload_hash: Uint8Array;
  /** The rejected event as received, JSON text. */
  readonly event: string;
  readonly partition: number;
  readonly log_offset: number;
}

/** A half-open period as JSON; instants in microseconds are safe integers. */
export interface StoredPeriod {
  readonly from: number;
  readonly to: number;
}

export interface RollUpTable {
  readonly id: Generated<number>;
  readonly meter_id: string;
  readonly meter_version: number;
  readonly group_keys: JsonColumn<readonly string[]>;
  readonly levels: JsonColumn<
    readonly {
      readonly grain: "MICROSECOND" | "MINUTE" | "HOUR" | "DAY" | "MONTH";
      readonly bySubject: boolean;
      readonly byGroups: boolean;
    }[]
  >;
  readonly status: "building" | "ready";
  /** Log partition to offset. */
  readonly coverage: JsonColumn<Readonly<Record<string, number>>>;
  readonly months_left: JsonColumn<readonly StoredPeriod[]>;
  readonly stale: ColumnType<readonly StoredPeriod[], string | undefined, string>;
  readonly rebuilt: ColumnType<
    readonly { readonly period: StoredPeriod; readonly chunk: number; readonly replaces: readonly number[] }[],
    string | undefined,
    string
  >;
  readonly sized_at_events: number;
  readonly created_at: Instant;
}

export interface RollUpChunkTable {
  readonly id: number;
  readonly roll_up: number;
  readonly status: "writing" | "counting" | "retired";
  readonly rows: Generated<number>;
  readonly changed_at: Instant;
}

export interface OutboxTable {
  readonly id: ColumnType<number, never, never>;
  readonly topic: string;
  readonly payload: JsonColumn<JsonValue>;
  readonly status: Generated<"pending" | "dead">;
  readonly attempts: Generated<number>;
  readonly due_at: Instant;
  readonly created_at: Instant;
  readonly last_error: string | null;
}

export interface LeaseTable {
  readonly name: string;
  readonly holder: string;
  readonly fencing_token: number;
  readonly expires_at: Instant;
}

export interface ScheduledJobTable {
  readonly name: string;
  readonly due_at: Instant;
  readonly try_at: Instant;
  readonly failures: Generated<number>;
  readonly last_error: string | null;
  readonly last_due_at: Instant | null;
  readonly last_finished_at: Instant | null;
}

export interface Database extends EntitlementTables, NotificationTables, PortalTables {
  readonly meter: MeterTable;
  readonly subject: SubjectTable;
  readonly customer: CustomerTable;
  readonly customer_subject: CustomerSubjectTable;
  readonly feature: FeatureTable;
  readonly sink_batch: SinkBatchTable;
  readonly stored_position: StoredPositionTable;
  readonly event_conflict: EventConflictTable;
  readonly roll_up: RollUpTable;
  readonly roll_up_chunk: RollUpChunkTable;
  readonly hold: HoldTable;
  readonly outbox: OutboxTable;
  readonly lease: LeaseTable;
  readonly scheduled_job: ScheduledJobTable;
}
