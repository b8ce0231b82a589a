/**
 * The ground on which the conformance cases stand: a store shared by the whole suite, and per test a namespace of its
 * own, so that tests neither see nor wait for one another.
 *
 * Every case is a plain object that names only what matters to it; the rest has defaults.
 */

import { assert } from "../../../kernel/assert.ts";
import { type Instant, parseInstant } from "../../../kernel/instant.ts";
import { type JsonPath, parseJsonPath } from "../json-path.ts";
import { encodeEvents } from "../row-block.ts";
import type {
  Aggregation,
  EventListQuery,
  EventStore,
  PositionVector,
  StoredEvent,
  UsageQuery,
  UsageRow,
  ValuesQuery,
} from "../store.ts";

/** An event of a case; `time` and the like are RFC 3339 texts. */
export interface EventCase extends Partial<Omit<StoredEvent, "time" | "ingestedAt" | "storedAt">> {
  readonly time?: string;
  readonly ingestedAt?: string;
  readonly storedAt?: string;
}

/** A query of a case: the meter in a few words, everything else as in `UsageQuery`. */
export interface UsageCase extends Partial<Omit<UsageQuery, "meter" | "from" | "to" | "filters" | "storedBefore">> {
  readonly aggregation?: Aggregation;
  readonly namespace?: string;
  readonly eventType?: string;
  readonly eventFrom?: string;
  /** Defaults to `$.v` unless the aggregation is COUNT. */
  readonly valuePath?: string;
  /** The meter's group-by keys and their paths. */
  readonly dimensions?: Readonly<Record<string, string>>;
  readonly from?: string;
  readonly to?: string;
  readonly filters?: UsageQuery["filters"];
  readonly storedBefore?: string;
}

/** Creates the fixture of one test. */
export type Fixtures = () => Fixture;

/** Log positions are unique in a store, so all tests of a suite draw from one sequence. */
export class PositionSequence {
  #next = 0;

  next(): number {
    return this.#next++;
  }
}

export class Fixture {
  readonly store: EventStore;
  readonly namespace: string;
  readonly #positions: PositionSequence;

  constructor(store: EventStore, positions: PositionSequence) {
    this.store = store;
    this.#positions = positions;
    this.namespace = `conformance-${positions.next()}`;
  }

  /** The event with its defaults; it is not stored yet. */
  event(input: EventCase): StoredEvent {
    const offset = input.offset ?? this.#positions.next();
    const { time = "2025-03-01T12:00:00Z", ingestedAt, storedAt, ...rest } = input;
    return {
      namespace: this.namespace,
      id: `event-${offset}`,
      source: "source",
      type: "type",
      subject: "subject",
      isTimeGiven: true,
      data: null,
      partition: 0,
      ...rest,
      offset,
      time: at(time),
      ingestedAt: ingestedAt === undefined ? later("2025-04-01T00:00:00Z", offset) : at(ingestedAt),
      storedAt: storedAt === undefined ? later("2025-04-01T00:00:01Z", offset) : at(storedAt),
    };
  }

  /** Stores the events as one block and returns them. */
  async insert(inputs: readonly EventCase[]): Promise<readonly StoredEvent[]> {
    const events = inputs.map((input) => this.event(input));
    await this.store.insert(encodeEvents(events), `conformance/${this.namespace}/${this.#positions.next()}`);
    return events;
  }

  usage(input: UsageCase): Promise<readonly UsageRow[]> {
    return this.store.queryUsage(this.usageQuery(input));
  }

  usageQuery(input: UsageCase): UsageQuery {
    const { aggregation = "COUNT", valuePath, dimensions, eventFrom, from, to, storedBefore } = input;
    const { namespace = this.namespace, eventType = "type" } = input;
    const { window, subjects, customers } = input;
    return {
      meter: {
        namespace,
        eventType,
        aggregation,
        groupBy: new Map(Object.entries(dimensions ?? {}).map(([key, text]) => [key, path(text)])),
        ...(eventFrom !== undefined && { eventFrom: at(eventFrom) }),
        ...(aggregation !== "COUNT" && { valuePath: path(valuePath ?? "$.v") }),
      },
      groupBySubject: input.groupBySubject ?? false,
      groupByCustomer: input.groupByCustomer ?? false,
      groupBy: input.groupBy ?? [],
      filters: input.filters ?? new Map(),
      upTo: input.upTo ?? everything,
      ...(from !== undefined && { from: at(from) }),
      ...(to !== undefined && { to: at(to) }),
      ...(storedBefore !== undefined && { storedBefore: at(storedBefore) }),
      ...(window && { window }),
      ...(subjects && { subjects }),
      ...(customers && { customers }),
    };
  }

  list(input: Partial<EventListQuery>): Promise<readonly StoredEvent[]> {
    const sort = { by: "time", direction: "desc" } as const;
    return this.store.listEvents({ namespace: this.namespace, sort, limit: 100, upTo: everything, ...input });
  }

  values(input: UsageCase, property: ValuesQuery["property"]): Promise<readonly string[]> {
    const { meter, from, to, upTo } = this.usageQuery(input);
    return this.store.listValues({
      meter,
      property,
      upTo,
      ...(from !== undefined && { from }),
      ...(to !== undefined && { to }),
    });
  }
}

/** Sees every event of the partitions that the cases use. */
export const everything: PositionVector = new Map([0, 1, 2, 65_535].map((partition) => [partition, 2 ** 50]));

export function at(text: string): Instant {
  const instant = parseInstant(text);
  assert(instant !== null, "cases name instants in RFC 3339");
  return instant;
}

export function later(text: string, micros: number): Instant {
  return (at(text) + micros) as Instant;
}

export function path(text: string): JsonPath {
  const parsed = parseJsonPath(text);
  assert(parsed !== null, "cases use valid paths");
  return parsed;
}

/** Rows in the short form in which the cases state them: `[value, ...groups]`. */
export function valuesAndGroups(rows: readonly UsageRow[]): readonly (readonly string[])[] {
  return rows.map((row) => [
    row.value,
    ...(row.subject === null ? [] : [row.subject]),
    ...(row.customerId === null ? [] : [row.customerId]),
    ...row.groups,
  ]);
}
