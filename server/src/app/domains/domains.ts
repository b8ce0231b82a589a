/**
 * Wires the domains to each other, from left to right: a domain is handed what those to its left offer, and functions where
 * one to its left has to ask one to its right.
 */

import type { Operation } from "@tallystick/contract";
import type { Service } from "../../engines/jobs/index.ts";
import type { SinkReport } from "../../events/index.ts";
import type { MeterService, RollUpKeeper } from "../../meters/index.ts";
import type { Core } from "./core.ts";
import { createMetering } from "./metering.ts";

export interface Domains {
  /** Everything that the API answers by the contract, except for ingest. */
  readonly operations: readonly Operation[];
  /** What runs beside requests, in the order of their start; stopped in the opposite order. */
  readonly services: readonly Service[];
  /** Tells the domains that a batch of events is stored, after the positions have moved. */
  stored(report: SinkReport): void;
}

export function createDomains(core: Core, meters: MeterService, rollUps: RollUpKeeper): Domains {
  const metering = createMetering(core, meters, rollUps);
  return {
    operations: [...metering.operations],
    services: [],
    stored: () => undefined,
  };
}
