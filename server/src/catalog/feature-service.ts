/** Creating, reading, changing and archiving features. */

import type { Kysely, Transaction } from "kysely";
import type { Database } from "../engines/state-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Fault, type FieldError } from "../kernel/fault.ts";
import { parseUlid } from "../kernel/id.ts";
import { Recent } from "../kernel/recent.ts";
import type { Meter, MeterService, MeterUse } from "../meters/index.ts";
import {
  draftErrors,
  type Feature,
  type FeatureDraft,
  filtersOf,
  meterErrors,
  type UnitCostDraft,
  unitCostErrors,
  unitCostOf,
  usedGroupByKeys,
} from "./feature.ts";
import {
  countFeatures,
  type FeatureListQuery,
  featuresOfMeter,
  findFeature,
  findFeatures,
  insertFeature,
  listFeatures,
  markArchived,
  setUnitCost,
} from "./feature-store.ts";

/** Every check of access names a feature. */
const MAX_REMEMBERED = 10_000;

export interface FeatureServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly meters: Pick<MeterService, "get" | "lock">;
}

/** A part of the list of features, and how many it has altogether. */
export interface FeaturePage {
  readonly items: readonly Feature[];
  readonly totalCount: number;
}

export class FeatureService {
  readonly #options: FeatureServiceOptions;
  /** By id or key, since the last change of any feature. */
  readonly #recent = new Recent<Feature>(MAX_REMEMBERED);

  constructor(options: FeatureServiceOptions) {
    this.#options = options;
  }

  /** Creates a feature. Faults: `invalid_feature` with every offending field, `meter_not_found`, `feature_key_taken`. */
  async create(draft: FeatureDraft): Promise<Feature> {
    const { db } = this.#options;
    rejectIfAny(draftErrors(draft));
    return await this.#recent.changing(() => db.transaction().execute((tx) => this.#insert(tx, draft)));
  }

  async #insert(tx: Transaction<Database>, draft: FeatureDraft): Promise<Feature> {
    const { namespace, clock, newId, meters } = this.#options;
    const meter = draft.meterSlug === undefined ? null : await lockedMeter(meters, tx, draft.meterSlug);
    const cost = draft.unitCost;
    rejectIfAny([
      ...(meter === null ? [] : meterErrors(draft, meter)),
      ...(cost === undefined ? [] : unitCostErrors(cost, meter)),
    ]);
    const simpleFilters = draft.meterGroupByFilters ?? null;
    const advancedFilters = draft.advancedMeterGroupByFilters ?? null;
    const now = clock.now();
    const feature: Feature = {
      id: newId(),
      namespace,
      key: draft.key,
      name: draft.name,
      metadata: draft.metadata ?? null,
      meterId: meter?.id ?? null,
      meterSlug: meter?.slug ?? null,
      filters: filtersOf(simpleFilters, advancedFilters),
      simpleFilters: meter === null ? null : simpleFilters,
      advancedFilters: meter === null ? null : advancedFilters,
      unitCost: cost === undefined ? null : unitCostOf(cost),
      createdAt: now,
      updatedAt: now,
      archivedAt: null,
    };
    if (!(await insertFeature(tx, feature))) throw keyTaken(feature.key);
    return feature;
  }

  /** The feature with this id, archived or not, or the live feature with this key. Fault: `feature_not_found`. */
  async get(idOrKey: string): Promise<Feature> {
    const feature = await this.#find(idOrKey);
    if (feature === null) throw featureNotFound(idOrKey);
    return feature;
  }

  async #find(idOrKey: string): Promise<Feature | null> {
    const { db, namespace } = this.#options;
    return await this.#recent.getOrRead(idOrKey, () => findFeature(db, namespace, idOrKey));
  }

  /** The live feature with this key, or null. */
  async byKey(key: string): Promise<Feature | null> {
    // No key has the form of an id, so what is found by one that has not is found by its key.
    return parseUlid(key) === null ? await this.#find(key) : null;
  }

  /** The features with these ids, archived or not; an id that no feature has is missing in the map. */
  async getMany(ids: readonly string[]): Promise<ReadonlyMap<string, Feature>> {
    const { db, namespace } = this.#options;
    const found = new Map<string, Feature>();
    const unknown = new Set<string>();
    for (const id of ids) {
      const known = this.#recent.get(id);
      if (known === undefined) unknown.add(id);
      else found.set(id, known);
    }
    const looked = await this.#recent.look(
      () => findFeatures(db, namespace, [...unknown]),
      (features) => features.map((feature) => [feature.id, feature]),
    );
    for (const feature of looked) found.set(feature.id, feature);
    return found;
  }

  /** What `get` would answer, from memory only; undefined: ask `get`. */
  recent(idOrKey: string): Feature | undefined {
    return this.#recent.get(idOrKey);
  }

  async list(query: FeatureListQuery): Promise<readonly Feature[]> {
    return await listFeatures(this.#options.db, this.#options.namespace, query);
  }

  /** As `list`, with the count of all pages. */
  async page(query: FeatureListQuery): Promise<FeaturePage> {
    const { db, namespace } = this.#options;
    const items = await listFeatures(db, namespace, query);
    return { items, totalCount: await countFeatures(db, namespace, query) };
  }

  /**
   * Replaces the unit cost, the only part of a feature that can change; null takes it away. Faults: `feature_not_found`,
   * `feature_archived`, `invalid_feature`.
   */
  async update(idOrKey: string, change: { readonly unitCost: UnitCostDraft | null }): Promise<Feature> {
    const { db, clock, meters } = this.#options;
    const feature = await this.get(idOrKey);
    const { unitCost } = change;
    const meter = feature.meterId === null ? null : await meters.get(feature.meterId);
    if (unitCost !== null) rejectIfAny(unitCostErrors(unitCost, meter));
    const cost = unitCost === null ? null : unitCostOf(unitCost);
    if (!(await this.#recent.changing(() => setUnitCost(db, feature.id, cost, clock.now())))) {
      throw archived(feature, "cannot be changed");
    }
    return await this.get(feature.id);
  }

  /** Archives a feature; its key is free again. Faults: `feature_not_found`, `feature_archived` the second time. */
  async archive(idOrKey: string): Promise<void> {
    const { db, clock } = this.#options;
    const feature = await this.get(idOrKey);
    if (!(await this.#recent.changing(() => markArchived(db, feature.id, clock.now())))) {
      throw archived(feature, "cannot be archived again");
    }
  }
}

/** Which of these features are used by something that outlives their being archived, such as entitlements. */
export type FeaturesInUse = (tx: Transaction<Database>, featureIds: readonly string[]) => Promise<ReadonlySet<string>>;

/**
 * What uses a meter, for whoever wants to delete the meter or to change its group-by keys: live features, and archived ones
 * that are still in use.
 */
export function featureUses(inUse: FeaturesInUse) {
  return async (tx: Transaction<Database>, meterId: string): Promise<readonly MeterUse[]> => {
    const features = await featuresOfMeter(tx, meterId);
    const archivedIds = features.filter(({ archivedAt }) => archivedAt !== null).map(({ id }) => id);
    const used = archivedIds.length === 0 ? new Set() : await inUse(tx, archivedIds);
    return features.flatMap((feature) => {
      const { id, key, archivedAt } = feature;
      if (archivedAt !== null && !used.has(id)) return [];
      const by = archivedAt === null ? `feature "${key}"` : `entitlements of the archived feature "${key}"`;
      return [{ by, groupByKeys: usedGroupByKeys(feature) }];
    });
  };
}

/** Kept from being deleted or changed until the transaction ends. */
async function lockedMeter(
  meters: Pick<MeterService, "lock">,
  tx: Transaction<Database>,
  idOrSlug: string,
): Promise<Meter> {
  const meter = await meters.lock(tx, idOrSlug);
  if (meter !== null) return meter;
  const message = `meter not found: ${idOrSlug}; create it first, or leave meterSlug out`;
  throw new Fault("not_found", "meter_not_found", message, {
    fields: [{ code: "meter_not_found", message, field: "$.meterSlug" }],
  });
}

function featureNotFound(idOrKey: string): Fault {
  return new Fault("not_found", "feature_not_found", `feature not found: ${idOrKey}`);
}

function keyTaken(key: string): Fault {
  const message = `a feature with the key "${key}" exists; archive it first, or choose another key`;
  return new Fault("conflict", "feature_key_taken", message, {
    fields: [{ code: "feature_key_taken", message, field: "$.key" }],
  });
}

function archived(feature: Feature, what: string): Fault {
  return new Fault("validation", "feature_archived", `feature "${feature.key}" is archived and ${what}`);
}

function rejectIfAny(errors: readonly FieldError[]): void {
  if (errors.length === 0) return;
  const message = errors.map((error) => error.message).join("; ");
  throw new Fault("validation", "invalid_feature", message, { fields: errors });
}
