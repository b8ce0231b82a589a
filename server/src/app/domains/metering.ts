/** Wires meters, their usage, events and the information about the server. */

import type { Operation } from "@tallystick/contract";
import { SubjectService, subjectOperations } from "../../customers/index.ts";
import { EventListing, eventOperations } from "../../events/index.ts";
import { infoOperations } from "../../http/index.ts";
import { Fault } from "../../kernel/fault.ts";
import { MeterService, meterOperations, type RollUpKeeper } from "../../meters/index.ts";
import { explainEvents, usageOperations, UsageService } from "../../usage/index.ts";
import type { Core } from "./core.ts";

export function createMeters({ config, db, namespace, clock, newId }: Core): MeterService {
  const reservedEventTypes = config.reservedEventTypes.map((source) => new RegExp(source, "u"));
  return new MeterService({ db, namespace, clock, newId, reservedEventTypes });
}

export interface Metering {
  readonly usage: UsageService;
  readonly operations: readonly Operation[];
}

export function createMetering(core: Core, meters: MeterService, rollUps: RollUpKeeper): Metering {
  const { store, namespace, clock, db, positions, newId } = core;
  const explain = (events: Parameters<typeof explainEvents>[1]) => explainEvents(meters, events, () => false);
  const listing = new EventListing({ store, namespace, clock, positions, explain });
  const subjects = new SubjectService({ db, namespace, clock, newId });
  const usage = new UsageService({
    meters,
    store,
    clock,
    positions,
    rollUp: (meter) => rollUps.of(meter),
    customers: unknownCustomers("not_found"),
    subjectNames: (keys) => subjects.names(keys),
  });
  const operations = [
    ...meterOperations(meters),
    ...usageOperations(usage),
    ...eventOperations({ listing, db, namespace, subjectsOfCustomers: unknownCustomers("validation") }),
    ...subjectOperations(subjects),
    ...infoOperations({
      clock,
      countBySubject: (period) => store.countBySubject({ namespace, ...period, upTo: positions() }),
      progress: (clientId) => store.progress(clientId),
    }),
  ];
  return { usage, operations };
}

/** No customers exist yet, so every id that a request names is unknown: 404 in a query, 400 in a listing. */
function unknownCustomers(kind: "not_found" | "validation") {
  return async (ids: readonly string[]): Promise<readonly never[]> => {
    const [id] = ids;
    if (id !== undefined) throw new Fault(kind, "customer_not_found", `customer with id ${id} not found`);
    return [];
  };
}
