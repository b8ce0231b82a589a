/** Row types of entitlements, their resets and grants. See `database.ts` for the rules that hold for every table. */

import type { ColumnType, Generated } from "kysely";
import type { Instant } from "../../../kernel/instant.ts";
import type { JsonValue, NullableJsonColumn, StringMap } from "../database.ts";

type Annotations = { readonly [key: string]: JsonValue };
type OptionalInstant = ColumnType<Instant | null, Instant | null | undefined, Instant | null>;

export interface EntitlementTable {
  readonly id: string;
  readonly namespace: string;
  readonly customer_id: string;
  readonly feature_id: string;
  readonly feature_key: string;
  readonly type: "metered" | "static" | "boolean";
  readonly metadata: NullableJsonColumn<StringMap>;
  readonly annotations: NullableJsonColumn<Annotations>;
  readonly managed_by: "subscription" | null;
  readonly active_from: Instant;
  readonly active_to: Instant | null;
  /** DAY, WEEK, MONTH, YEAR or an ISO 8601 duration. */
  readonly usage_interval: string | null;
  readonly usage_anchor_at: Instant | null;
  /** JSON text. */
  readonly config: string | null;
  readonly measure_usage_from: Instant | null;
  /** Decimal text. */
  readonly issue_amount: string | null;
  readonly issue_priority: number | null;
  readonly is_soft_limit: boolean;
  readonly preserve_overage_at_reset: boolean;
  readonly conversion: NullableJsonColumn<{
    readonly operation: "multiply" | "divide";
    /** Decimal text. */
    readonly factor: string;
  }>;
  readonly revision: Generated<number>;
  readonly created_at: Instant;
  readonly updated_at: Instant;
  readonly deleted_at: OptionalInstant;
}

export interface EntitlementResetTable {
  readonly entitlement_id: string;
  readonly reset_at: Instant;
  readonly anchor_at: Instant;
  readonly preserve_overage: boolean;
  readonly created_at: Instant;
}

export interface EntitlementGrantTable {
  readonly id: string;
  readonly namespace: string;
  readonly entitlement_id: string;
  /** Decimal text. */
  readonly amount: string;
  readonly priority: number;
  readonly effective_at: Instant;
  readonly expiration_unit: "HOUR" | "DAY" | "WEEK" | "MONTH" | "YEAR" | null;
  readonly expiration_count: number | null;
  readonly expires_at: Instant | null;
  readonly recurrence_interval: string | null;
  readonly recurrence_anchor_at: Instant | null;
  /** Decimal text. */
  readonly min_rollover: string;
  /** Decimal text. */
  readonly max_rollover: string;
  readonly metadata: NullableJsonColumn<StringMap>;
  readonly annotations: NullableJsonColumn<Annotations>;
  readonly voided_at: OptionalInstant;
  readonly created_at: Instant;
  readonly updated_at: Instant;
  readonly deleted_at: OptionalInstant;
}

export interface EntitlementTables {
  readonly entitlement: EntitlementTable;
  readonly entitlement_reset: EntitlementResetTable;
  readonly entitlement_grant: EntitlementGrantTable;
}
