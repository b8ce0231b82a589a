/** Wires reservations and leases: decisions over balances, and the events that come with confirmations. */

import type { Operation } from "@tallystick/contract";
import type { FeatureService } from "../../catalog/index.ts";
import type { CustomerService } from "../../customers/index.ts";
import { Loop, type Service } from "../../engines/jobs/index.ts";
import {
  type Balances,
  type EntitlementService,
  type HeldAmounts,
  holdOperations,
  HoldService,
} from "../../entitlements/index.ts";
import { assert } from "../../kernel/assert.ts";
import { type MeterService, meterView } from "../../meters/index.ts";
import type { Core } from "./core.ts";

/** The log has one partition. */
const PARTITION = 0;
/** What has settled is kept from one sweep to the next, for answers that are under way. */
const SWEEP_MS = 60_000;

export interface HoldParts {
  readonly customers: CustomerService;
  readonly features: FeatureService;
  readonly meters: MeterService;
  readonly entitlements: EntitlementService;
  readonly balances: Balances;
  /** Empty; balances look at it from the start. */
  readonly held: HeldAmounts;
}

export interface Holds {
  readonly operations: readonly Operation[];
  readonly services: readonly Service[];
  /** Reads what is held; before the first request. */
  load(): Promise<void>;
}

export function createHolds(core: Core, parts: HoldParts): Holds {
  const { config, db, namespace, clock, newId, positions, feed, logger } = core;
  const { customers, features, meters, entitlements, balances, held } = parts;
  const holds = new HoldService({
    db,
    namespace,
    clock,
    newId,
    graceMicros: config.leases.grace.ms * 1000,
    customers,
    entitlements,
    balances,
    held,
    stored: positions,
    acknowledged: () => (feed.logEnd() === 0 ? null : { partition: PARTITION, offset: feed.logEnd() - 1 }),
  });
  const sweep = new Loop({
    intervalMs: Math.max(SWEEP_MS, config.query.timeoutMs),
    step: async () => {
      await holds.sweep();
      return false;
    },
    onError: (error) => logger.warn({ err: error }, "the upkeep of reservations failed and is tried again in a minute"),
  });
  const operations = holdOperations({
    holds,
    now: () => clock.now(),
    events: {
      target: async ({ entitlementId }) => {
        const { featureId, smallestSubjectKey, customerKey } = await entitlements.byId(entitlementId);
        const { meterId, filters } = await features.get(featureId);
        assert(meterId !== null, "a metered entitlement is to a feature with a meter");
        const usage = { meter: meterView(await meters.get(meterId)), filters };
        return { usage, subject: smallestSubjectKey ?? customerKey };
      },
      now: () => clock.now(),
      ownerOf: async (subject) => (await customers.ownersOf([subject])).get(subject) ?? null,
      accept: async (event) => {
        const { last } = await core.accept(Buffer.from(JSON.stringify(event)), "application/cloudevents+json");
        assert(last !== null, "one event was sent");
        return last;
      },
    },
  });
  return { operations, services: [sweep], load: () => holds.load() };
}
