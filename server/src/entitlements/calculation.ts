/**
 * Recomputation: what a metered entitlement says, from its terms and from stored events, at a position vector.
 *
 * This is the definition of a balance; whatever is faster (balances in memory, stored states) gives the same. Nothing here is
 * remembered.
 */

import type { Kysely } from "kysely";
import type { Feature, FeatureService } from "../catalog/index.ts";
import type { CustomerService } from "../customers/index.ts";
import type { CustomerSubjects, EventStore, PositionVector, RollUp } from "../engines/event-store/index.ts";
import type { Database } from "../engines/state-store/index.ts";
import { assert } from "../kernel/assert.ts";
import { Fault } from "../kernel/fault.ts";
import type { Instant } from "../kernel/instant.ts";
import { type Meter, type MeterService, meterView } from "../meters/index.ts";
import {
  advance,
  type EngineState,
  history,
  type History,
  historyPieces,
  type HistoryRequest,
  initialState,
  type MeteredValue,
  phases,
  type Terms,
  valueBeforeMeasuring,
  valueOf,
} from "./engine/index.ts";
import { type MeteredEntitlement, termsOf } from "./entitlement.ts";
import { grantsOf } from "./grants/store.ts";
import { inParallel, UsageReader } from "./usage-reader.ts";

export interface CalculationOptions {
  readonly db: Kysely<Database>;
  readonly customers: Pick<CustomerService, "subjectsOf">;
  readonly features: Pick<FeatureService, "getMany">;
  readonly meters: Pick<MeterService, "get">;
  readonly store: Pick<EventStore, "queryUsage">;
  /** How far events are stored, at this moment. */
  readonly positions: () => PositionVector;
  /** What is rolled up of the meter, if anything. */
  readonly rollUp: (meter: Meter) => RollUp | null;
}

/** Everything that decides a balance but usage, as it is at the moment. */
export interface Basis {
  readonly entitlement: MeteredEntitlement;
  readonly terms: Terms;
  readonly feature: Feature;
  readonly meter: Meter;
  /** The customer with the subjects that are its own. */
  readonly customer: CustomerSubjects;
}

/** A balance far ahead has more phases than anybody waits for: twenty years of hourly recurrences. */
const MAX_PHASES = 200_000;

export class Calculation {
  readonly #options: CalculationOptions;

  constructor(options: CalculationOptions) {
    this.#options = options;
  }

  /** What the entitlement says at any instant, past or future. Faults: `too_many_periods`, `aggregate_overflow`. */
  async value(entitlement: MeteredEntitlement, at: Instant, upTo?: PositionVector): Promise<MeteredValue> {
    const basis = await this.basis(entitlement);
    if (at < basis.terms.measureUsageFrom) return valueBeforeMeasuring(basis.terms);
    return valueOf(basis.terms, await this.state(basis, at, upTo));
  }

  /**
   * The engine's state at an instant that is not before measuring began, with the usage of its whole minute up to the vector,
   * by default all that is stored. `start` is an earlier state of the same terms, by default the initial one.
   */
  async state(basis: Basis, at: Instant, upTo?: PositionVector, start?: EngineState): Promise<EngineState> {
    const { terms } = basis;
    const from = start ?? initialState(terms);
    const needed = phases(terms, from, at, MAX_PHASES + 1);
    refuseTooMany(needed.length);
    const reader = this.#reader(basis, upTo);
    const usages = terms.gauge ? await reader.ofLastPhase(needed) : await reader.ofPhases(needed);
    return advance(terms, from, at, (index) => usageAt(usages, index));
  }

  /** Windows and burn-down over a range that does not begin before measuring. Faults: those of `value`. */
  async history(entitlement: MeteredEntitlement, request: HistoryRequest, upTo?: PositionVector): Promise<History> {
    const basis = await this.basis(entitlement);
    const { terms } = basis;
    const start = initialState(terms);
    const pieces = historyPieces(terms, start, request, MAX_PHASES + 1);
    refuseTooMany(pieces.length);
    const usages = await this.#reader(basis, upTo).ofPhases(pieces);
    return history(terms, start, request, (index) => usageAt(usages, index));
  }

  async basis(entitlement: MeteredEntitlement): Promise<Basis> {
    const [basis] = await this.bases([entitlement]);
    assert(basis !== undefined, "a metered entitlement has a feature with a meter");
    return basis;
  }

  /** The bases of several entitlements, in their order, with a few statements for all of them. */
  async bases(entitlements: readonly MeteredEntitlement[]): Promise<readonly Basis[]> {
    const { db, customers, features, meters } = this.#options;
    const grants = Map.groupBy(
      await grantsOf(
        db,
        entitlements.map(({ id }) => id),
      ),
      ({ entitlementId }) => entitlementId,
    );
    const subjects = await customers.subjectsOf(entitlements.map(({ customerId }) => customerId));
    const owners = new Map(subjects.map((customer) => [customer.id, customer]));
    const byId = await features.getMany(entitlements.map(({ featureId }) => featureId));
    const meterIds = [...new Set([...byId.values()].flatMap(({ meterId }) => meterId ?? []))];
    const metersById = new Map((await inParallel(meterIds, (id) => meters.get(id))).map((meter) => [meter.id, meter]));
    return entitlements.map((entitlement) => {
      const feature = byId.get(entitlement.featureId);
      const meter = metersById.get(feature?.meterId ?? "");
      const customer = owners.get(entitlement.customerId);
      assert(feature !== undefined && meter !== undefined, "a metered entitlement has a feature with a meter");
      assert(customer !== undefined, "an entitlement has a customer");
      const isGauge = meter.aggregation === "LATEST";
      const terms = termsOf(entitlement, grants.get(entitlement.id) ?? [], isGauge);
      return { entitlement, terms, feature, meter, customer };
    });
  }

  #reader({ feature, meter, customer }: Basis, upTo: PositionVector | undefined): UsageReader {
    const { store, positions, rollUp } = this.#options;
    // A roll-up of this moment covers no more than positions taken after it; one that covers more is not used.
    const offered = rollUp(meter);
    const vector = upTo ?? positions();
    return new UsageReader({
      store,
      meter: meterView(meter),
      filters: feature.filters,
      customer,
      upTo: vector,
      rollUp: offered,
    });
  }
}

function usageAt<Usage>(usages: readonly Usage[], index: number): Usage {
  const usage = usages[index];
  assert(usage !== undefined, "the engine asks for the usage of known phases");
  return usage;
}

function refuseTooMany(count: number): void {
  if (count <= MAX_PHASES) return;
  const message = `the time lies more than ${MAX_PHASES} usage periods and recurrences after the start; ask for an earlier one`;
  throw new Fault("validation", "too_many_periods", message);
}
