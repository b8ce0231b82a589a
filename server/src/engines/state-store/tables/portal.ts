/** Row types of the portal. See `database.ts` for the rules that hold for every table. */

import type { Instant } from "../../../kernel/instant.ts";
import type { NullableJsonColumn } from "../database.ts";

export interface PortalTokenTable {
  readonly id: string;
  readonly namespace: string;
  readonly subject: string;
  /** Slugs; null is all meters. */
  readonly allowed_meter_slugs: NullableJsonColumn<readonly string[]>;
  readonly created_at: Instant;
  readonly expires_at: Instant;
  readonly revoked_at: Instant | null;
  readonly last_used_at: Instant | null;
}

/** One row at most. */
interface PortalSecretTable {
  readonly only_one: boolean;
  readonly secret: string;
  readonly created_at: Instant;
}

export interface PortalTables {
  readonly portal_token: PortalTokenTable;
  readonly portal_secret: PortalSecretTable;
}
