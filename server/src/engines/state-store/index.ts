/** The state store's public face: opening a store, its row types, and what its errors mean. */

import { openEmbedded, openShared } from "./pglite.ts";
import { openPostgres } from "./postgres.ts";
import type { StateStore, StateStoreConfig } from "./store.ts";

export { isStorableText } from "./column-values.ts";
export type * from "./database.ts";
export type * from "./tables/entitlements.ts";
export type * from "./tables/holds.ts";
export type * from "./tables/notifications.ts";
export type { PortalTokenTable } from "./tables/portal.ts";
export { isExclusionViolation, isUniqueViolation } from "./store.ts";
export type { EmbeddedConfig, PostgresConfig, SharedConfig, StateStore, StateStoreConfig } from "./store.ts";

/**
 * Opens a state store; an embedded or PostgreSQL one is migrated first. Rejects when it cannot be reached, is open in
 * another process, or was migrated by other code; the message says which, and never contains a secret.
 */
export async function openStateStore(config: StateStoreConfig): Promise<StateStore> {
  switch (config.kind) {
    case "embedded":
      return await openEmbedded(config);
    case "postgres":
      return await openPostgres(config);
    case "shared":
      return openShared(config);
  }
}
