/** Wires balances in memory: what feeds them, what makes them void, and what answers from them. */

import { randomBytes } from "node:crypto";
import type { Service } from "../../engines/jobs/index.ts";
import { Loop } from "../../engines/jobs/index.ts";
import {
  AccessMemory,
  activeMeteredIds,
  BalanceChecker,
  Calculation,
  entitlementsWithIds,
  isMetered,
  LiveBalances,
  loadLiveTerms,
} from "../../entitlements/index.ts";
import type { MeterService, RollUpKeeper } from "../../meters/index.ts";
import { BalanceMetrics } from "../balance-metrics.ts";
import type { Catalog } from "./catalog.ts";
import type { Core } from "./core.ts";
import type { Customers } from "./customers.ts";
import type { Entitlements } from "./entitlements.ts";

/** So many balances are brought into memory after a start, before anybody asks for them. */
const WARM_BALANCES = 50_000;

export interface LiveParts {
  readonly meters: MeterService;
  readonly rollUps: RollUpKeeper;
  readonly customers: Customers;
  readonly catalog: Catalog;
  readonly entitlements: Entitlements;
}

export interface Live {
  readonly live: LiveBalances;
  readonly access: AccessMemory;
  readonly checker: BalanceChecker;
  readonly services: readonly Service[];
}

export function createLive(core: Core, parts: LiveParts): Live {
  const { db, namespace, clock, store, positions, feed, logger, metrics } = core;
  const { meters, rollUps, customers: owners, catalog, entitlements: domain } = parts;
  const { customers } = owners;
  const { calculation, entitlements, balances, changes } = domain;
  const loading = {
    db,
    namespace,
    clock,
    calculation,
    rollUp: (meter: Parameters<RollUpKeeper["of"]>[0]) => rollUps.of(meter),
  };
  const live = new LiveBalances({
    clock,
    store,
    load: (ids) => loadLiveTerms(loading, ids),
    feed,
    positions,
    onError: (error) => logger.warn({ err: error }, "balances could not be brought into memory; they are recomputed"),
  });
  const access = new AccessMemory({
    clock,
    customer: (idOrKey) => customers.recent(idOrKey),
    entitlementsOf: (customerId) => entitlements.undeletedOf(customerId),
    balances,
    onError: (error) =>
      logger.warn({ err: error }, "entitlements could not be brought into memory; they are looked up"),
  });
  changes.onChange((change) => {
    access.changed(change);
    for (const id of change.entitlementIds) live.changed(id);
  });
  customers.onChange((change) => live.attributionChanged(change.customerIds, change.subjects));
  meters.onChange((meterId, how) => {
    if (how !== "created") live.meterChanged(meterId);
  });
  const counts = new BalanceMetrics(metrics.registry, live);
  const { features } = catalog;
  const fromEvents = new Calculation({ db, customers, features, meters, store, positions, rollUp: () => null });
  const checker = new BalanceChecker({
    balances: live,
    clock,
    positions,
    random: () => randomBytes(4).readUInt32LE() / 2 ** 32,
    recompute: async (id, at, upTo) => {
      const [entitlement] = await entitlementsWithIds(db, namespace, [id]);
      return entitlement !== undefined && isMetered(entitlement) ? await fromEvents.value(entitlement, at, upTo) : null;
    },
    onDifference: (difference) => {
      counts.differed();
      logger.error(difference, "a balance in memory differed from its events; it is read anew");
    },
    onError: (error) => logger.warn({ err: error }, "a balance could not be checked; another one is"),
  });
  return { live, access, checker, services: [live, checker.loop, warmUp(core, live)] };
}

/** Brings balances into memory after the start. */
function warmUp({ db, namespace, clock, logger }: Core, live: LiveBalances): Service {
  return new Loop({
    intervalMs: 3_600_000,
    step: async () => {
      live.warm(await activeMeteredIds({ db, namespace, clock }, WARM_BALANCES));
      return false;
    },
    onError: (error) => logger.warn({ err: error }, "balances are brought into memory when somebody asks for them"),
  });
}
