/** Wires the product catalog: features over meters. */

import type { Operation } from "@tallystick/contract";
import { featureOperations, FeatureService } from "../../catalog/index.ts";
import type { MeterService } from "../../meters/index.ts";
import type { Core } from "./core.ts";

export interface Catalog {
  readonly features: FeatureService;
  readonly operations: readonly Operation[];
}

export function createCatalog({ db, namespace, clock, newId }: Core, meters: MeterService): Catalog {
  const features = new FeatureService({ db, namespace, clock, newId, meters });
  return { features, operations: featureOperations(features) };
}
