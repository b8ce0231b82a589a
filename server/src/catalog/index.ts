/** The product catalog: what a customer can use. */

export type { Feature, UnitCost } from "./feature.ts";
export { FeatureService, featureUses } from "./feature-service.ts";
export { featureBody, featureOperations } from "./http.ts";
