/** Row types of reservations and leases. See `database.ts` for the rules that hold for every table. */

import type { Instant } from "../../../kernel/instant.ts";
import type { NullableJsonColumn, StringMap } from "../database.ts";

export interface HoldTable {
  readonly id: string;
  readonly namespace: string;
  readonly entitlement_id: string;
  readonly customer_id: string;
  readonly feature_key: string;
  readonly kind: "reservation" | "lease";
  /** Unique per entitlement. */
  readonly key: string | null;
  /** Decimal text. */
  readonly amount: string;
  /** Decimal text. */
  readonly used: string;
  readonly status: "held" | "confirmed" | "released" | "returned" | "expired";
  readonly expires_at: Instant;
  readonly counts_until_at: Instant;
  readonly lasts_micros: number;
  /** Decimal text; null together with its place in the log. */
  readonly settling_amount: string | null;
  readonly settling_partition: number | null;
  /** Inclusive. */
  readonly settling_offset: number | null;
  readonly metadata: NullableJsonColumn<StringMap>;
  readonly created_at: Instant;
  readonly ended_at: Instant | null;
}
