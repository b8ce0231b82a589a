/** Wires entitlements: what customers may use, over features, customers and stored usage. */

import type { Operation } from "@tallystick/contract";
import type { CustomerParticipant } from "../../customers/index.ts";
import {
  Balances,
  Calculation,
  EntitlementChanges,
  entitlementOperations,
  type EntitlementParticipant,
  EntitlementService,
  GrantService,
  type MeteredEntitlement,
  type MeteredValue,
} from "../../entitlements/index.ts";
import type { PositionVector } from "../../engines/event-store/index.ts";
import type { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { MeterService, RollUpKeeper } from "../../meters/index.ts";
import type { Catalog } from "./catalog.ts";
import type { Core } from "./core.ts";
import type { Customers } from "./customers.ts";

export interface EntitlementNeeds {
  readonly meters: MeterService;
  readonly rollUps: RollUpKeeper;
  readonly customers: Customers;
  readonly catalog: Catalog;
  /** Who takes part in the transactions of customers; entitlements add themselves. */
  readonly customerParticipants: CustomerParticipant[];
  /** Who takes part in the transactions of entitlements; read at every change. */
  readonly participants: readonly EntitlementParticipant[];
  /** The value at this moment if it is in memory. */
  readonly valueNow: (entitlement: MeteredEntitlement) => MeteredValue | null;
  /** What is held of the entitlement beside a balance that includes the events up to a position. */
  readonly heldOf: (entitlementId: string, at: Instant, upTo: PositionVector) => Decimal;
}

export interface Entitlements {
  readonly entitlements: EntitlementService;
  readonly grants: GrantService;
  readonly calculation: Calculation;
  readonly balances: Balances;
  readonly changes: EntitlementChanges;
  readonly operations: readonly Operation[];
}

export function createEntitlements(core: Core, needs: EntitlementNeeds): Entitlements {
  const { db, namespace, clock, newId, store, positions } = core;
  const { meters, rollUps, customers: owners, catalog } = needs;
  const { customers, subjects } = owners;
  const { features } = catalog;
  const changes = new EntitlementChanges(db, needs.participants);
  const entitlements = new EntitlementService({ db, namespace, clock, newId, features, changes });
  const grants = new GrantService({ db, namespace, clock, newId, changes });
  const rollUp = (meter: Parameters<RollUpKeeper["of"]>[0]) => rollUps.of(meter);
  const calculation = new Calculation({ db, customers, features, meters, store, positions, rollUp });
  const { valueNow, heldOf } = needs;
  const balances = new Balances({ calculation, clock, valueNow, positions, heldOf });
  needs.customerParticipants.push((tx, change) => entitlements.withCustomer(tx, change));
  customers.onChange((change) => entitlements.afterCustomer(change));
  const operations = entitlementOperations({ entitlements, grants, balances, customers, subjects, clock });
  return { entitlements, grants, calculation, balances, changes, operations };
}
