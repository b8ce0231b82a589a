/** Meter queries and the distinct values of a meter's properties. */

import type { MeterQueryRequest } from "@tallystick/contract";
import type {
  CustomerSubjects,
  EventStore,
  PositionVector,
  RollUp,
  UsageQuery,
  UsageRow,
  ValuesQuery,
} from "../engines/event-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Fault } from "../kernel/fault.ts";
import { type Instant, instantFromMicros } from "../kernel/instant.ts";
import { type Meter, type MeterService, meterView } from "../meters/index.ts";
import { type Bounds, planBounds, planUsageQuery } from "./plan.ts";

const DAY_MICROS = 24 * 3600 * 1_000_000;
/** Group-by values are listed over the last day, unless the request names a period. */
const DEFAULT_VALUES_MICROS = DAY_MICROS;
const MAX_VALUES_AGE_MICROS = 90 * DAY_MICROS;
const MAX_VALUES_PERIOD_MICROS = 30 * DAY_MICROS;

export interface UsageServiceOptions {
  readonly meters: MeterService;
  readonly store: Pick<EventStore, "queryUsage" | "listValues">;
  readonly clock: Clock;
  /** How far events are stored, at this moment: every query answers for one such vector. */
  readonly positions: () => PositionVector;
  /** What is rolled up of the meter, if anything. */
  readonly rollUp: (meter: Meter) => RollUp | null;
  /** The customers with these ids, in this order; throws a `not_found` fault when one is unknown. */
  readonly customers: (ids: readonly string[]) => Promise<readonly CustomerSubjects[]>;
  /** What to call those of the subjects that exist as entities. */
  readonly subjectNames: (subjects: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

/** A query's result together with what was asked, for encoding. */
export interface UsageAnswer {
  readonly meter: Meter;
  readonly query: UsageQuery;
  readonly rows: readonly UsageRow[];
}

export class UsageService {
  readonly #options: UsageServiceOptions;

  constructor(options: UsageServiceOptions) {
    this.#options = options;
  }

  /**
   * Answers a meter query. Faults: those of planning, `meter_not_found`, unknown customers, `result_too_large` when there
   * are more than `maxRows` rows, or than the event store allows.
   */
  async query(
    idOrSlug: string,
    request: MeterQueryRequest,
    limits: Pick<UsageQuery, "maxRows"> = {},
  ): Promise<UsageAnswer> {
    const meter = await this.#options.meters.get(idOrSlug);
    const customers = await this.#options.customers(request.filterCustomerId ?? []);
    // A roll-up of this moment covers no more than the positions taken after it.
    const rollUp = this.#options.rollUp(meter);
    const planned = { ...planUsageQuery(request, meter, customers, this.#options.positions()), ...limits };
    const query = rollUp === null ? planned : { ...planned, rollUp };
    return { meter, query, rows: await this.#options.store.queryUsage(query) };
  }

  /** What to call the subjects of an answer's rows; empty when none of them exists as an entity. */
  async subjectNames(rows: readonly UsageRow[]): Promise<ReadonlyMap<string, string>> {
    const subjects = new Set(rows.flatMap(({ subject }) => subject ?? []));
    return subjects.size === 0 ? new Map() : await this.#options.subjectNames([...subjects]);
  }

  /** Distinct subjects of the events that the meter covers, sorted. */
  async subjects(idOrSlug: string, from: string | undefined, to: string | undefined): Promise<readonly string[]> {
    const meter = await this.#options.meters.get(idOrSlug);
    return await this.#values(meter, planBounds(from, to), { kind: "subject" });
  }

  /** Distinct values of a group-by key, sorted. Faults: `invalid_group_by`, `invalid_period`. */
  async groupByValues(
    idOrSlug: string,
    key: string,
    from: string | undefined,
    to: string | undefined,
  ): Promise<readonly string[]> {
    const meter = await this.#options.meters.get(idOrSlug);
    if (!Object.hasOwn(meter.groupBy, key)) {
      const message = `invalid group by: ${key}; it is no group-by key of the meter`;
      throw new Fault("validation", "invalid_group_by", message, {
        fields: [{ code: "invalid_group_by", message, field: "$.groupByKey" }],
      });
    }
    const bounds = valuesPeriod(planBounds(from, to), this.#options.clock.now());
    return await this.#values(meter, bounds, { kind: "groupBy", key });
  }

  async #values(meter: Meter, bounds: Bounds, property: ValuesQuery["property"]): Promise<readonly string[]> {
    const { store, positions } = this.#options;
    return await store.listValues({ meter: meterView(meter), ...bounds, property, upTo: positions() });
  }
}

/** The period over which group-by values are listed; long ones are refused because they read all raw events. */
function valuesPeriod(bounds: Bounds, now: Instant): Bounds {
  const { from, to } = bounds;
  if (from === undefined && to === undefined) return { from: instantFromMicros(now - DEFAULT_VALUES_MICROS) };
  if (from !== undefined && from <= now - MAX_VALUES_AGE_MICROS) {
    throw invalidPeriod("from must be less than 90 days ago", "from");
  }
  if (from !== undefined && to !== undefined && to - from > MAX_VALUES_PERIOD_MICROS) {
    throw invalidPeriod("from and to must be at most 30 days apart", "to");
  }
  return bounds;
}

function invalidPeriod(message: string, field: string): Fault {
  return new Fault("validation", "invalid_period", message, {
    fields: [{ code: "invalid_period", message, field: `$.${field}` }],
  });
}
