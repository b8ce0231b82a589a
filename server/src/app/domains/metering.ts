/** Wires meters, their usage, events and the information about the server. */

import type { Operation } from "@tallystick/contract";
import { featureUses } from "../../catalog/index.ts";
import type { CustomerService } from "../../customers/index.ts";
import { EventListing, eventOperations } from "../../events/index.ts";
import type { CustomerSubjects } from "../../engines/event-store/index.ts";
import { infoOperations } from "../../http/index.ts";
import { featuresWithUnended } from "../../entitlements/index.ts";
import { Fault } from "../../kernel/fault.ts";
import { MeterService, meterOperations, type RollUpKeeper } from "../../meters/index.ts";
import { explainEvents, usageOperations, UsageService } from "../../usage/index.ts";
import { SinkMeters } from "../sink/sink-meters.ts";
import type { Core } from "./core.ts";
import type { Customers } from "./customers.ts";

export function createMeters({ config, db, namespace, clock, newId }: Core): MeterService {
  const reservedEventTypes = config.reservedEventTypes.map((source) => new RegExp(source, "u"));
  const uses = featureUses(async (tx, ids) => await featuresWithUnended(tx, ids, clock.now()));
  return new MeterService({ db, namespace, clock, newId, reservedEventTypes, users: [uses] });
}

export interface Metering {
  readonly usage: UsageService;
  readonly sinkMeters: SinkMeters;
  readonly operations: readonly Operation[];
}

export function createMetering(
  core: Core,
  meters: MeterService,
  rollUps: RollUpKeeper,
  { customers, subjects }: Customers,
): Metering {
  const { store, namespace, clock, db, positions, feed, logger } = core;
  const explain = (events: Parameters<typeof explainEvents>[1]) =>
    explainEvents(meters, events, (keys) => customers.ownersOf(keys));
  const listing = new EventListing({ store, namespace, clock, positions, explain });
  const usage = new UsageService({
    meters,
    store,
    clock,
    positions,
    rollUp: (meter) => rollUps.of(meter),
    customers: (ids) => customersOfQuery(customers, ids),
    subjectNames: (keys) => subjects.names(keys),
  });
  const sinkMeters = new SinkMeters({
    db,
    check: (checked) => feed.check(checked),
    onError: (error) =>
      logger.warn({ err: error }, "meters could not be read; invalid values are counted for those known before"),
  });
  meters.onChange((_meterId, how) => {
    if (how !== "updated") sinkMeters.changed();
  });
  const operations = [
    ...meterOperations(meters),
    ...usageOperations(usage),
    ...eventOperations({ listing, db, namespace, subjectsOfCustomers: (ids) => subjectsOfCustomers(customers, ids) }),
    ...infoOperations({
      clock,
      countBySubject: (period) => store.countBySubject({ namespace, ...period, upTo: positions() }),
      progress: (clientId) => store.progress(clientId),
    }),
  ];
  return { usage, sinkMeters, operations };
}

/** A query about a customer whose usage nothing can be is a mistake, and not an empty answer. */
async function customersOfQuery(
  customers: CustomerService,
  ids: readonly string[],
): Promise<readonly CustomerSubjects[]> {
  const found = await customers.liveSubjectsOf(ids);
  for (const { id } of found.filter(({ subjects }) => subjects.length === 0)) {
    const { key, subjectKeys } = await customers.get(id);
    if (key !== null || subjectKeys.length > 0) continue;
    const message = `usage attribution must have a key or subject keys: customer ${id} has none`;
    const fields = [{ code: "customer_without_subjects", message, field: "$.filterCustomerId" }];
    throw new Fault("validation", "customer_without_subjects", message, { fields });
  }
  return found;
}

/** In a listing an unknown customer is a wrong value of a filter, 400, and not a missing resource. */
async function subjectsOfCustomers(customers: CustomerService, ids: readonly string[]): Promise<readonly string[]> {
  try {
    return (await customers.liveSubjectsOf(ids)).flatMap(({ subjects }) => subjects);
  } catch (error) {
    if (error instanceof Fault && error.kind === "not_found") throw new Fault("validation", error.code, error.message);
    throw error;
  }
}
