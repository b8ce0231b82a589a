/**
 * What a balance takes from the event store when it comes into memory: usage up to a position vector, and events of the
 * future that are stored already. The feed goes on from there.
 *
 * Sums and counts of many customers are read at once, because after a start thousands of balances come into memory.
 */

import type {
  CustomerSubjects,
  EventStore,
  PhaseSeries,
  PhaseUsage,
  PositionVector,
  RollUp,
  StoredEvent,
  UsageQuery,
  UsageRow,
} from "../../../engines/event-store/index.ts";
import { usageOfEvents, type WatchedUsage } from "../../../events/index.ts";
import { assert } from "../../../kernel/assert.ts";
import { Fault } from "../../../kernel/fault.ts";
import type { Instant } from "../../../kernel/instant.ts";
import { MAX_DISTINCT_VALUES, type UsageEntry } from "../phase-usage.ts";

/** The key under which a unique count's values are grouped; group-by keys of meters are identifiers. */
const VALUE_KEY = " value";
const LISTED_EVENTS = 200;
/** So many pages are looked through for the latest event that passes the filters. */
const LISTED_PAGES = 5;

export interface UsageReadsOptions {
  readonly store: Pick<EventStore, "queryUsage" | "queryPhaseUsage" | "listEvents">;
  /** The usage to read, and what of its meter is rolled up. */
  readonly usage: WatchedUsage;
  readonly rollUp: RollUp | null;
  readonly upTo: PositionVector;
}

/** Too much to be kept in memory; the event store goes on answering. */
export class TooMuchUsage extends Error {
  override readonly name = "TooMuchUsage";
}

/** Reads one kind of usage at one position vector. */
export class UsageReads {
  readonly #options: UsageReadsOptions;

  constructor(options: UsageReadsOptions) {
    this.#options = options;
  }

  /** SUM and COUNT in `[from, to)`; null when there is no usage. */
  async total(customer: CustomerSubjects, from: Instant, to: Instant): Promise<string | null> {
    if (from >= to) return null;
    const rows = await this.#options.store.queryUsage(this.#query([customer], { from, to }));
    return rows[0]?.value ?? null;
  }

  /** SUM and COUNT of each phase of each series; what is missing has no usage. */
  async phases(series: readonly PhaseSeries[]): Promise<readonly PhaseUsage[]> {
    const { store, usage, rollUp, upTo } = this.#options;
    const { meter, filters } = usage;
    return await store.queryPhaseUsage({ meter, filters, series, upTo, ...(rollUp === null ? {} : { rollUp }) });
  }

  /** SUM and COUNT from `from` on by customer id, minute by minute. */
  async minutes(
    customers: readonly CustomerSubjects[],
    from: Instant,
  ): Promise<ReadonlyMap<string, readonly UsageEntry[]>> {
    const window = { size: "MINUTE", timeZone: "UTC" } as const;
    const rows = await this.#options.store.queryUsage(this.#query(customers, { from, window }));
    const byCustomer = Map.groupBy(rows, (row) => row.customerId ?? "");
    return new Map([...byCustomer].map(([id, own]) => [id, own.map((row) => entryAt(row.windowStart, row.value))]));
  }

  /** The distinct values of a UNIQUE_COUNT in `[from, to)`, each at `from`. */
  async distinctValues(customer: CustomerSubjects, from: Instant, to: Instant): Promise<readonly UsageEntry[]> {
    if (from >= to) return [];
    const rows = await this.#values(customer, { from, to });
    return rows.map((row) => entryAt(from, valueOf(row)));
  }

  /** The values of a UNIQUE_COUNT from `from` on, minute by minute. */
  async distinctMinutes(customer: CustomerSubjects, from: Instant): Promise<readonly UsageEntry[]> {
    const window = { size: "MINUTE", timeZone: "UTC" } as const;
    const rows = await this.#values(customer, { from, window });
    return rows.map((row) => entryAt(row.windowStart, valueOf(row)));
  }

  /** What decides a LATEST value in `[from, to)` and after: the latest event before `to`, and the last of each minute later. */
  async latest(customer: CustomerSubjects, from: Instant, to: Instant): Promise<readonly UsageEntry[]> {
    const later = await this.#listed(customer, to, null);
    if (later.length === LISTED_EVENTS) throw new TooMuchUsage("too many events of the future");
    const entries = this.#entriesOf(later);
    for (let before = to, page = 0; ; page++) {
      const events = await this.#listed(customer, from, before);
      const found = this.#entriesOf(events);
      const oldest = events.at(-1)?.time ?? from;
      // Events of the oldest time may go on on the next page, and their order of arrival decides between them.
      const isComplete = events.length < LISTED_EVENTS;
      const sure = isComplete ? found : found.filter(({ time }) => time > oldest);
      if (sure.length > 0 || isComplete) return [...sure, ...entries];
      if (page === LISTED_PAGES || oldest === before - 1)
        throw new TooMuchUsage("the latest value is not found quickly");
      // Includes the events of the oldest time again.
      before = (oldest + 1) as Instant;
    }
  }

  /** Events of `[from, before)`, the latest first. */
  async #listed(customer: CustomerSubjects, from: Instant, before: Instant | null): Promise<readonly StoredEvent[]> {
    const { store, usage, upTo } = this.#options;
    const bounds = before === null ? [] : [{ op: "lt", value: before } as const];
    return await store.listEvents({
      namespace: usage.meter.namespace,
      type: { op: "eq", value: usage.meter.eventType },
      subjects: customer.subjects,
      time: { op: "and", filters: [{ op: "gte", value: from }, ...bounds] },
      sort: { by: "time", direction: "desc" },
      limit: LISTED_EVENTS,
      upTo,
    });
  }

  #entriesOf(events: readonly StoredEvent[]): readonly UsageEntry[] {
    const { times, arrivals, offsets, values } = usageOfEvents(this.#options.usage, events);
    return values.map((value, at) => ({
      time: times[at] ?? 0,
      arrival: arrivals[at] ?? 0,
      offset: offsets[at] ?? 0,
      value,
    }));
  }

  #query(customers: readonly CustomerSubjects[], part: Partial<UsageQuery>): UsageQuery {
    const { usage, rollUp, upTo } = this.#options;
    return {
      meter: usage.meter,
      customers,
      groupBySubject: false,
      groupByCustomer: true,
      groupBy: [],
      filters: usage.filters,
      upTo,
      ...(rollUp === null ? {} : { rollUp }),
      ...part,
    };
  }

  /** No more values are read than are kept. */
  async #values(customer: CustomerSubjects, part: Partial<UsageQuery>): Promise<readonly UsageRow[]> {
    const query = { ...this.#valueQuery(customer, part), maxRows: MAX_DISTINCT_VALUES };
    try {
      return await this.#options.store.queryUsage(query);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "result_too_large") throw error;
      throw new TooMuchUsage("more values than are kept in memory");
    }
  }

  /** Counts events by the value of a UNIQUE_COUNT meter; its roll-up does not know them. */
  #valueQuery(customer: CustomerSubjects, part: Partial<UsageQuery>): UsageQuery {
    const { usage, upTo } = this.#options;
    const { valuePath, ...meter } = usage.meter;
    assert(valuePath !== undefined, "a UNIQUE_COUNT meter has a value");
    return {
      meter: { ...meter, aggregation: "COUNT", groupBy: new Map([...meter.groupBy, [VALUE_KEY, valuePath]]) },
      subjects: customer.subjects,
      groupBySubject: false,
      groupByCustomer: false,
      groupBy: [VALUE_KEY],
      filters: new Map([...usage.filters, [VALUE_KEY, { op: "exists", value: true }]]),
      upTo,
      ...part,
    };
  }
}

function entryAt(time: Instant, value: string): UsageEntry {
  return { time, arrival: 0, offset: 0, value };
}

function valueOf(row: UsageRow): string {
  return row.groups[0] ?? "";
}
