/**
 * Wires the domains to each other, from left to right: a domain is handed what those to its left offer, and functions where
 * one to its left has to ask one to its right.
 */

import type { Operation } from "@tallystick/contract";
import type { CustomerParticipant } from "../../customers/index.ts";
import type { Service } from "../../engines/jobs/index.ts";
import {
  type BalanceChecker,
  type EntitlementParticipant,
  HeldAmounts,
  type LiveBalances,
} from "../../entitlements/index.ts";
import type { CheckedMeter, SinkReport, WatchedUsage } from "../../events/index.ts";
import type { MeterService, RollUpKeeper } from "../../meters/index.ts";
import { createNotifications } from "./notifications/notifications.ts";
import { createCatalog } from "./catalog.ts";
import type { Core } from "./core.ts";
import { createCustomers } from "./customers.ts";
import { createEntitlements } from "./entitlements.ts";
import { createHolds } from "./holds.ts";
import { createLive } from "./live.ts";
import { createMetering } from "./metering.ts";
import { createPortal } from "./portal.ts";

export interface Domains {
  /** Everything that the API answers by the contract, except for ingest. */
  readonly operations: readonly Operation[];
  /** What runs beside requests, in the order of their start; stopped in the opposite order. */
  readonly services: readonly Service[];
  /** Reads what the sink has to know when it starts. */
  prepareSink(): Promise<void>;
  /** Reads what has to be in memory before the first request. */
  load(): Promise<void>;
  /** Tells the domains that a batch of events is stored, after the positions have moved. */
  stored(report: SinkReport): void;
  /** Tells the domains that events were stored without a report. */
  skipped(): void;
  /** The usage that reports have to tell about. */
  watched(): readonly WatchedUsage[];
  /** The meters for which reports have to count invalid values. */
  checked(): readonly CheckedMeter[];
  /** The JSON text that answers a GET of this path with 200, from memory; null: ask the operations. */
  answerNow(path: string): string | null;
  /** What keeps balances in memory, and what checks them. */
  readonly balances: { readonly live: LiveBalances; readonly checker: BalanceChecker };
}

export function createDomains(core: Core, meters: MeterService, rollUps: RollUpKeeper): Domains {
  const customerParticipants: CustomerParticipant[] = [];
  const customers = createCustomers(core, {
    inTransaction: customerParticipants,
    isInUse: (tx, customerId) => entitlements.entitlements.hasAny(tx, customerId),
  });
  const metering = createMetering(core, meters, rollUps, customers);
  const catalog = createCatalog(core, meters);
  const participants: EntitlementParticipant[] = [];
  const held = new HeldAmounts();
  const entitlements = createEntitlements(core, {
    meters,
    rollUps,
    customers,
    catalog,
    customerParticipants,
    participants,
    valueNow: ({ id }) => live.valueNow(id),
    heldOf: (entitlementId, at, upTo) => held.heldOf(entitlementId, at, upTo),
  });
  const holds = createHolds(core, { ...customers, ...catalog, ...entitlements, meters, held });
  const { live, access, checker, ...balances } = createLive(core, {
    meters,
    rollUps,
    customers,
    catalog,
    entitlements,
  });
  const notifications = createNotifications(core, {
    catalog,
    customers,
    entitlements,
    customerParticipants,
    participants,
    live,
  });
  live.onTouched((entitlementIds) => notifications.touched(entitlementIds));
  const portal = createPortal(core, meters, metering.usage);
  return {
    operations: [
      ...metering.operations,
      ...customers.operations,
      ...catalog.operations,
      ...entitlements.operations,
      ...holds.operations,
      ...notifications.operations,
      ...portal.operations,
    ],
    prepareSink: () => metering.sinkMeters.load(),
    load: () => holds.load(),
    services: [
      metering.sinkMeters.loop,
      ...balances.services,
      ...holds.services,
      ...notifications.services,
      ...portal.services,
    ],
    stored: (report) => live.stored(report),
    skipped: () => {
      live.skipped();
      notifications.lost();
    },
    watched: () => live.watched(),
    checked: () => metering.sinkMeters.checked(),
    answerNow: (path) => access.answer(path),
    balances: { live, checker },
  };
}
