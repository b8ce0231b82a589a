/**
 * The event store port: every accepted event, stored once, and the queries over them.
 *
 * Invariants every implementation keeps (see `conformance.ts`):
 * 1. Inserting the same block again with the same token adds nothing.
 * 2. A query answers for one vector of log positions (`upTo`): it sees exactly the events at or before it.
 * 3. Results are exact and equal those of `reference.ts`, to the last digit and in the same order.
 */

import type { Instant } from "../../kernel/instant.ts";
import type { JsonPath } from "./json-path.ts";
import type { RollUp } from "./roll-ups/roll-up.ts";

/** An event as it is stored. */
export interface StoredEvent {
  readonly namespace: string;
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: Instant;
  /** False when the event came without a time and `time` is its ingestion instant. */
  readonly isTimeGiven: boolean;
  /** The JSON text of `data`, byte for byte as received; null when it was absent or null. */
  readonly data: string | null;
  readonly ingestedAt: Instant;
  readonly storedAt: Instant;
  readonly partition: number;
  readonly offset: number;
}

/** A block of rows ready to insert, as `row-block.ts` encodes it. */
export interface RowBlock {
  readonly rows: number;
  readonly bytes: Uint8Array;
}

/** Last log offset (inclusive) that counts, per partition; a partition that is not listed has nothing stored. */
export type PositionVector = ReadonlyMap<number, number>;

export type Aggregation = "SUM" | "COUNT" | "AVG" | "MIN" | "MAX" | "UNIQUE_COUNT" | "LATEST";
export type WindowSize = "MINUTE" | "HOUR" | "DAY" | "MONTH";

/** What a meter is to the store: a function over the raw events. */
export interface MeterView {
  readonly namespace: string;
  readonly eventType: string;
  readonly eventFrom?: Instant;
  readonly aggregation: Aggregation;
  /** Absent for COUNT only. */
  readonly valuePath?: JsonPath;
  /** Group-by key to path; the order of keys is not significant. */
  readonly groupBy: ReadonlyMap<string, JsonPath>;
}

/** A condition on the canonical text of a property (`metering.md` section 9.6). */
export type TextFilter =
  | { readonly op: "eq" | "ne" | "gt" | "gte" | "lt" | "lte"; readonly value: string }
  | { readonly op: "in" | "nin"; readonly values: readonly string[] }
  /** SQL LIKE with `%`, `_` and the escape `\`; `ilike` lower-cases both sides. */
  | { readonly op: "like" | "nlike" | "ilike" | "nilike"; readonly pattern: string }
  /** Case-insensitive substring. */
  | { readonly op: "contains" | "ncontains"; readonly value: string }
  /** Whether the path resolves to a string, number or boolean; on an attribute of the event always true. */
  | { readonly op: "exists"; readonly value: boolean }
  | { readonly op: "and" | "or"; readonly filters: readonly TextFilter[] };

/** A condition on an instant. */
export type TimeFilter =
  | { readonly op: "gt" | "gte" | "lt" | "lte" | "eq"; readonly value: Instant }
  | { readonly op: "and" | "or"; readonly filters: readonly TimeFilter[] };

/** A customer as far as a query is concerned: which subjects are its own. No subjects match no events. */
export interface CustomerSubjects {
  readonly id: string;
  readonly subjects: readonly string[];
}

/** A meter query after planning: validated, defaults applied, everything explicit. */
export interface UsageQuery {
  readonly meter: MeterView;
  /** Inclusive. */
  readonly from?: Instant;
  /** Exclusive. */
  readonly to?: Instant;
  readonly window?: { readonly size: WindowSize; readonly timeZone: string };
  /** Only events of these subjects; adds the subject to each row's group only if `groupBySubject`. */
  readonly subjects?: readonly string[];
  /** Only events of these customers' subjects. A subject listed by two customers belongs to the first. */
  readonly customers?: readonly CustomerSubjects[];
  readonly groupBySubject: boolean;
  readonly groupByCustomer: boolean;
  /** Keys of `meter.groupBy`, each once, in the order in which rows carry them. */
  readonly groupBy: readonly string[];
  /** Conditions by key of `meter.groupBy`; all of them must hold. */
  readonly filters: ReadonlyMap<string, TextFilter>;
  readonly upTo: PositionVector;
  /** Only events stored before this instant count (billing cut-offs). */
  readonly storedBefore?: Instant;
  /** What of the meter is rolled up; changes how long the answer takes, never the answer. */
  readonly rollUp?: RollUp;
  /** The name under which `progress` tells how far the query has got. */
  readonly watchAs?: string;
  /** A result with more rows is the fault `result_too_large`. Default, and most: what the store allows. */
  readonly maxRows?: number;
}

/** One row of a meter query's result. */
export interface UsageRow {
  /** Canonical text of the exact decimal. */
  readonly value: string;
  readonly windowStart: Instant;
  readonly windowEnd: Instant;
  /** Null unless the query groups by subject. */
  readonly subject: string | null;
  /** Null unless the query groups by customer. */
  readonly customerId: string | null;
  /** Values in the order of the query's `groupBy`. */
  readonly groups: readonly string[];
}

/** Whose usage to add up, over which phases. */
export interface PhaseSeries {
  readonly subjects: readonly string[];
  /** Whole minutes, ascending: phase `i` is `[bounds[i], bounds[i + 1])`. Equal bounds have a phase without usage between them. */
  readonly bounds: readonly Instant[];
}

/** What a meter says of many customers at once, of each in phases of its own. */
export interface PhaseUsageQuery {
  /** A SUM or COUNT meter: what adds up over subjects. */
  readonly meter: MeterView;
  /** A subject may be in several series and counts in each of them. */
  readonly series: readonly PhaseSeries[];
  /** Conditions by key of `meter.groupBy`; all of them must hold. */
  readonly filters: ReadonlyMap<string, TextFilter>;
  readonly upTo: PositionVector;
  /** What of the meter is rolled up; changes how long the answer takes, never the answer. */
  readonly rollUp?: RollUp;
}

/** The usage of one phase. */
export interface PhaseUsage {
  /** Index of the query's series, and that of the phase in it. */
  readonly series: number;
  readonly phase: number;
  /** Canonical text of the exact decimal. */
  readonly value: string;
}

/** Where a page of a listing starts: strictly after this row in the listing's order. */
export interface ListPosition {
  readonly sortValue: Instant;
  readonly partition: number;
  readonly offset: number;
}

export interface EventListQuery {
  readonly namespace: string;
  readonly id?: TextFilter;
  readonly source?: TextFilter;
  readonly subject?: TextFilter;
  readonly type?: TextFilter;
  readonly time?: TimeFilter;
  readonly ingestedAt?: TimeFilter;
  readonly storedAt?: TimeFilter;
  /** Only events of these subjects (a customer filter); an empty list matches nothing. */
  readonly subjects?: readonly string[];
  readonly sort: { readonly by: "time" | "ingestedAt" | "storedAt"; readonly direction: "asc" | "desc" };
  readonly after?: ListPosition;
  readonly limit: number;
  readonly upTo: PositionVector;
  /** The name under which `progress` tells how far the listing has got. */
  readonly watchAs?: string;
}

/** The events that a meter covers, for the distinct values of one of their properties. */
export interface ValuesQuery {
  readonly meter: MeterView;
  readonly from?: Instant;
  readonly to?: Instant;
  /** The subject, or a key of `meter.groupBy`. */
  readonly property: { readonly kind: "subject" } | { readonly kind: "groupBy"; readonly key: string };
  readonly upTo: PositionVector;
}

/** The events of a period, to be counted by subject. */
export interface SubjectCountQuery {
  readonly namespace: string;
  /** Inclusive. */
  readonly from: Instant;
  /** Exclusive. */
  readonly to: Instant;
  readonly upTo: PositionVector;
}

export interface SubjectCount {
  readonly subject: string;
  readonly events: number;
}

/** How far a watched query has got, in rows; it has ended when `read` and `failed` add up to `total`. */
export interface QueryProgress {
  readonly read: number;
  /** What a failed query will not read, at least 1; 0 for any other. */
  readonly failed: number;
  /** The engine's estimate while the query runs, 1 before it began, what was read after its end. */
  readonly total: number;
  readonly updatedAt: Instant;
}

export interface EventStore {
  /** Creates or upgrades the schema; safe to run again. */
  migrate(): Promise<void>;
  /** Inserts a block in one piece. `token` identifies it: a block with a token seen before is ignored. */
  insert(block: RowBlock, token: string): Promise<void>;
  /**
   * Resolves when no insert is running any more, also none whose client is gone: only then a look at what is stored tells
   * what an interrupted insert has done.
   */
  settle(): Promise<void>;
  /** How many events of the log partition are stored. */
  countEvents(partition: number): Promise<number>;
  /** The highest offset of the log partition that is stored; -1 when there is none. */
  lastOffset(partition: number): Promise<number>;
  /** Offsets of the partition in `[from, to]` that are stored, ascending; for recovery. */
  storedOffsets(partition: number, from: number, to: number): Promise<readonly number[]>;
  /** The stored events at these positions, in no particular order; positions that are not stored are left out. */
  eventsAt(partition: number, offsets: readonly number[]): Promise<readonly StoredEvent[]>;
  /** Rejects with the fault `aggregate_overflow` rather than return a wrong number. */
  queryUsage(query: UsageQuery): Promise<readonly UsageRow[]>;
  /**
   * The usage of all phases in one reading, by series and phase; phases without usage are left out. Rejects with the fault
   * `aggregate_overflow` rather than return a wrong number.
   */
  queryPhaseUsage(query: PhaseUsageQuery): Promise<readonly PhaseUsage[]>;
  listEvents(query: EventListQuery): Promise<readonly StoredEvent[]>;
  /** Distinct values, ascending in byte order. */
  listValues(query: ValuesQuery): Promise<readonly string[]>;
  /** Events of all types by subject, ascending in byte order; subjects without events are left out. */
  countBySubject(query: SubjectCountQuery): Promise<readonly SubjectCount[]>;
  /**
   * How far the newest query of this store object that is watched under this name has got; null when there was none in
   * the last five minutes.
   */
  progress(watchedAs: string): Promise<QueryProgress | null>;
  /** Rejects when the store does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
