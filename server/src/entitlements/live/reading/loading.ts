/** What balances in memory take from the rest of the domain: terms by entitlement, and which entitlements there are. */

import type { Kysely } from "kysely";
import type { RollUp } from "../../../engines/event-store/index.ts";
import type { Database } from "../../../engines/state-store/index.ts";
import { isWatchable } from "../../../events/index.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { type Meter, meterView } from "../../../meters/index.ts";
import type { Basis, Calculation } from "../../calculation.ts";
import { isActiveAt, isMetered } from "../../entitlement.ts";
import { entitlementsWithIds } from "../../store.ts";
import type { LiveTerms } from "./live-terms.ts";
import type { UsageKind } from "../phase-usage.ts";

export interface LoadingOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly calculation: Pick<Calculation, "bases" | "state">;
  readonly rollUp: (meter: Meter) => RollUp | null;
}

/** The terms of those metered entitlements that are active now and whose usage the sink can tell about. */
export async function loadLiveTerms(options: LoadingOptions, ids: readonly string[]): Promise<readonly LiveTerms[]> {
  const { db, namespace, clock, calculation } = options;
  const now = clock.now();
  const found = await entitlementsWithIds(db, namespace, ids);
  const active = found.filter(isMetered).filter((entitlement) => isActiveAt(entitlement, now));
  const bases = await calculation.bases(active);
  return bases.filter(isKept).map((basis) => liveTerms(options, basis));
}

/** A meter that was deleted is not watched any more. */
function isKept({ feature, meter }: Basis): boolean {
  return meter.deletedAt === null && [...feature.filters.values()].every(isWatchable);
}

function liveTerms({ calculation, rollUp }: LoadingOptions, basis: Basis): LiveTerms {
  const { entitlement, terms, feature, meter, customer } = basis;
  return {
    entitlementId: entitlement.id,
    customer,
    meterId: meter.id,
    usage: {
      key: JSON.stringify([meter.id, meter.version, [...feature.filters]]),
      meter: meterView(meter),
      filters: feature.filters,
    },
    kind: usageKind(meter),
    terms,
    rollUp: () => rollUp(meter),
    stateAt: (at, upTo) => calculation.state(basis, at, upTo),
  };
}

function usageKind({ aggregation }: Meter): UsageKind {
  return aggregation === "SUM" || aggregation === "UNIQUE_COUNT" || aggregation === "LATEST" ? aggregation : "COUNT";
}

/** Ids of metered entitlements that are active now, those that changed last first. */
export async function activeMeteredIds(
  { db, namespace, clock }: Pick<LoadingOptions, "db" | "namespace" | "clock">,
  limit: number,
): Promise<readonly string[]> {
  const now = clock.now();
  // Why: after a start their balances are brought into memory before anybody asks.
  const rows = await db
    .selectFrom("entitlement")
    .select("id")
    .where("namespace", "=", namespace)
    .where("type", "=", "metered")
    .where("active_from", "<=", now)
    .where((where) => where.or([where("active_to", "is", null), where("active_to", ">", now)]))
    .where("deleted_at", "is", null)
    .orderBy("updated_at", "desc")
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
