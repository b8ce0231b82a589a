/**
 * The reference event store: every rule of meter queries written down once more, slowly and plainly, over an array.
 *
 * It is the oracle that real stores are compared with, so it shares nothing with them but the port, the parsing of
 * paths and the kernel's time zones: values are read from `data` instead of the derived `vals`, numbers are digits
 * turned into BigInt counts of 10^-24, and every query looks at every event. It is not meant to be fast, and it keeps
 * nothing on disk.
 */

import { assert } from "../../kernel/assert.ts";
import { Fault } from "../../kernel/fault.ts";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import { localTime, offsetTransitions, startOfDay } from "../../kernel/time-zone.ts";
import {
  compareBytes,
  divideHalfAwayFromZero,
  fixedPointText,
  isInstantMatch,
  isMatch,
  magnitude,
  numericValue,
  ONE,
  type PropertyText,
  propertyText,
} from "./reference-values.ts";
import { type JsonNode, type JsonPath, parseDocument, type Resolution, resolvePath } from "./json-path.ts";
import type {
  EventListQuery,
  EventStore,
  ListPosition,
  MeterView,
  PhaseUsage,
  PhaseUsageQuery,
  PositionVector,
  QueryProgress,
  RowBlock,
  StoredEvent,
  SubjectCount,
  SubjectCountQuery,
  TextFilter,
  TimeFilter,
  UsageQuery,
  UsageRow,
  ValuesQuery,
  WindowSize,
} from "./store.ts";

interface StoredRow {
  readonly event: StoredEvent;
  /** The parsed `data`; null when it was absent. */
  readonly document: JsonNode | null;
}

/** The events of one result row. */
interface Bucket {
  readonly subject: string | null;
  readonly customerId: string | null;
  readonly groups: readonly string[];
  readonly rows: StoredRow[];
}

/** SQL sums hold 52 integer digits. */
const AGGREGATE_LIMIT = 10n ** 52n * ONE;

const MINUTE_MICROS = 60_000_000;
const HOUR_MICROS = 3_600_000_000;

export class ReferenceStore implements EventStore {
  readonly #rows: StoredRow[] = [];
  readonly #tokens = new Set<string>();
  readonly #aggregateLimit: bigint;

  /** `aggregateLimit`: magnitude, in units of 10^-24, from which on an aggregate counts as overflown. */
  constructor(aggregateLimit: bigint = AGGREGATE_LIMIT) {
    this.#aggregateLimit = aggregateLimit;
  }

  async migrate(): Promise<void> {}

  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  async insert(block: RowBlock, token: string): Promise<void> {
    if (this.#tokens.has(token)) return;
    const events = decodeEvents(block.bytes);
    assert(events.length === block.rows, "a row block holds as many rows as it says");
    for (const event of events) {
      this.#rows.push({ event, document: event.data === null ? null : parseDocument(event.data) });
    }
    this.#tokens.add(token);
  }

  async settle(): Promise<void> {
    // An insert is over when it returns.
  }

  async countEvents(partition: number): Promise<number> {
    return this.#rows.filter((row) => row.event.partition === partition).length;
  }

  async lastOffset(partition: number): Promise<number> {
    const offsets = this.#rows.filter((row) => row.event.partition === partition).map((row) => row.event.offset);
    return offsets.reduce((last, offset) => Math.max(last, offset), -1);
  }

  async storedOffsets(partition: number, from: number, to: number): Promise<readonly number[]> {
    const events = this.#rows.map((row) => row.event);
    const inside = events.filter(
      (event) => event.partition === partition && event.offset >= from && event.offset <= to,
    );
    return inside.map((event) => event.offset).toSorted((a, b) => a - b);
  }

  async eventsAt(partition: number, offsets: readonly number[]): Promise<readonly StoredEvent[]> {
    const events = this.#rows.map((row) => row.event);
    return events.filter((event) => event.partition === partition && offsets.includes(event.offset));
  }

  async queryUsage(query: UsageQuery): Promise<readonly UsageRow[]> {
    const rows = this.#rows.filter((row) => isCounted(row, query));
    const { aggregation } = query.meter;
    const isGrouped = query.groupBySubject || query.groupByCustomer || query.groupBy.length > 0;
    if (rows.length === 0 && !isGrouped && query.window === undefined) {
      return aggregation === "COUNT" || aggregation === "UNIQUE_COUNT" ? [zeroRow(query)] : [];
    }
    const result: UsageRow[] = [];
    for (const bucket of bucketsOf(rows, query)) {
      const value = aggregate(bucket.rows, query.meter, this.#aggregateLimit);
      if (value === null) continue;
      const { subject, customerId, groups } = bucket;
      result.push({ value, ...windowBounds(bucket.rows, query), subject, customerId, groups });
    }
    if (result.length > (query.maxRows ?? Number.POSITIVE_INFINITY)) {
      throw new Fault("too_large", "result_too_large", "The result has too many rows.");
    }
    return result.toSorted(compareRows);
  }

  async queryPhaseUsage({ series, meter, filters, upTo }: PhaseUsageQuery): Promise<readonly PhaseUsage[]> {
    const shared = { meter, filters, upTo, groupBySubject: false, groupByCustomer: false, groupBy: [] };
    return series.flatMap(({ subjects, bounds }, index) =>
      bounds.slice(1).flatMap((to, phase) => {
        const from = bounds[phase] ?? to;
        const rows = this.#rows.filter((row) => isCounted(row, { ...shared, subjects, from, to }));
        const value = rows.length === 0 ? null : aggregate(rows, meter, this.#aggregateLimit);
        return value === null ? [] : [{ series: index, phase, value }];
      }),
    );
  }

  async listEvents(query: EventListQuery): Promise<readonly StoredEvent[]> {
    const sign = query.sort.direction === "asc" ? 1 : -1;
    const position = (event: StoredEvent): ListPosition => ({
      sortValue: event[query.sort.by],
      partition: event.partition,
      offset: event.offset,
    });
    return this.#rows
      .map((row) => row.event)
      .filter((event) => isListed(event, query))
      .filter((event) => !query.after || sign * comparePositions(position(event), query.after) > 0)
      .toSorted((a, b) => sign * comparePositions(position(a), position(b)))
      .slice(0, query.limit);
  }

  async listValues(query: ValuesQuery): Promise<readonly string[]> {
    const { property, meter } = query;
    const rows = this.#rows.filter((row) => isCovered(row, query));
    const values = rows.map((row) =>
      property.kind === "subject" ? row.event.subject : textAt(row, pathOf(meter, property.key)).text,
    );
    return [...new Set(values)].toSorted(compareBytes);
  }

  async countBySubject(query: SubjectCountQuery): Promise<readonly SubjectCount[]> {
    const events = this.#rows
      .map((row) => row.event)
      .filter((event) => event.namespace === query.namespace && isVisible(event, query.upTo))
      .filter((event) => event.time >= query.from && event.time < query.to);
    const bySubject = Map.groupBy(events, (event) => event.subject);
    return [...bySubject]
      .map(([subject, counted]) => ({ subject, events: counted.length }))
      .toSorted((a, b) => compareBytes(a.subject, b.subject));
  }

  /** Queries here end before anyone can ask. */
  async progress(): Promise<QueryProgress | null> {
    return null;
  }
}

// Which events a query is about.

function isCovered({ event }: StoredRow, query: UsageQuery | ValuesQuery): boolean {
  const { meter } = query;
  return (
    event.namespace === meter.namespace &&
    event.type === meter.eventType &&
    (meter.eventFrom === undefined || event.time >= meter.eventFrom) &&
    (query.from === undefined || event.time >= query.from) &&
    (query.to === undefined || event.time < query.to) &&
    isVisible(event, query.upTo)
  );
}

function isVisible(event: StoredEvent, upTo: PositionVector): boolean {
  const last = upTo.get(event.partition);
  return last !== undefined && event.offset <= last;
}

function isCounted(row: StoredRow, query: UsageQuery): boolean {
  if (!isCovered(row, query)) return false;
  if (query.storedBefore !== undefined && row.event.storedAt >= query.storedBefore) return false;
  if (query.subjects && !query.subjects.includes(row.event.subject)) return false;
  if (query.customers && customerOf(row.event, query) === null) return false;
  return [...query.filters].every(([key, filter]) => isMatch(filter, textAt(row, pathOf(query.meter, key))));
}

function customerOf(event: StoredEvent, query: UsageQuery): string | null {
  return query.customers?.find((customer) => customer.subjects.includes(event.subject))?.id ?? null;
}

function pathOf(meter: MeterView, key: string): JsonPath {
  const path = meter.groupBy.get(key);
  assert(path !== undefined, "queries name only group-by keys of their meter");
  return path;
}

function isListed(event: StoredEvent, query: EventListQuery): boolean {
  const isTextMatch = (filter: TextFilter | undefined, text: string) =>
    filter === undefined || isMatch(filter, { text, isPresent: true });
  const isTimeMatch = (filter: TimeFilter | undefined, instant: Instant) =>
    filter === undefined || isInstantMatch(filter, instant);
  return (
    event.namespace === query.namespace &&
    isVisible(event, query.upTo) &&
    isTextMatch(query.id, event.id) &&
    isTextMatch(query.source, event.source) &&
    isTextMatch(query.subject, event.subject) &&
    isTextMatch(query.type, event.type) &&
    isTimeMatch(query.time, event.time) &&
    isTimeMatch(query.ingestedAt, event.ingestedAt) &&
    isTimeMatch(query.storedAt, event.storedAt) &&
    (query.subjects === undefined || query.subjects.includes(event.subject))
  );
}

// Rows of the result.

function bucketsOf(rows: readonly StoredRow[], query: UsageQuery): Iterable<Bucket> {
  const buckets = new Map<string, Bucket>();
  for (const row of rows) {
    const subject = query.groupBySubject ? row.event.subject : null;
    const customerId = query.groupByCustomer ? customerOf(row.event, query) : null;
    const groups = query.groupBy.map((key) => textAt(row, pathOf(query.meter, key)).text);
    const identity = JSON.stringify([windowIdentity(row.event.time, query.window), subject, customerId, groups]);
    const bucket = buckets.get(identity) ?? { subject, customerId, groups, rows: [] };
    bucket.rows.push(row);
    buckets.set(identity, bucket);
  }
  return buckets.values();
}

/** `windowStart` ascending, then descending by subject, customer and group values. */
function compareRows(a: UsageRow, b: UsageRow): number {
  if (a.windowStart !== b.windowStart) return a.windowStart - b.windowStart;
  const left = [a.subject ?? "", a.customerId ?? "", ...a.groups];
  const right = [b.subject ?? "", b.customerId ?? "", ...b.groups];
  return left.map((text, index) => compareBytes(right[index] ?? "", text)).find((order) => order !== 0) ?? 0;
}

function zeroRow(query: UsageQuery): UsageRow {
  const windowStart = query.from ?? instantFromMicros(0);
  const windowEnd = query.to ?? instantFromMicros(windowStart + MINUTE_MICROS);
  return { value: "0", windowStart, windowEnd, subject: null, customerId: null, groups: [] };
}

// Windows.

/** The attributes that all instants of a window share. */
function windowIdentity(time: Instant, window: UsageQuery["window"]): readonly number[] {
  if (window === undefined) return [];
  const { year, month, day, hour, minute, offsetMicros } = localTime(window.timeZone, time);
  const identities: Record<WindowSize, readonly number[]> = {
    MONTH: [year, month],
    DAY: [year, month, day],
    HOUR: [year, month, day, hour, offsetMicros],
    MINUTE: [year, month, day, hour, minute, offsetMicros],
  };
  return identities[window.size];
}

function windowBounds(rows: readonly StoredRow[], query: UsageQuery): { windowStart: Instant; windowEnd: Instant } {
  const times = rows.map((row) => row.event.time).toSorted((a, b) => a - b);
  const first = times[0];
  const last = times.at(-1);
  assert(first !== undefined && last !== undefined, "a result row stands for at least one event");
  if (query.window === undefined) {
    const firstMinute = instantFromMicros(first - (first % MINUTE_MICROS));
    const nextMinute = instantFromMicros(last - (last % MINUTE_MICROS) + MINUTE_MICROS);
    return { windowStart: query.from ?? firstMinute, windowEnd: query.to ?? nextMinute };
  }
  const { size, timeZone } = query.window;
  if (size === "HOUR") return clockWindow(timeZone, first, HOUR_MICROS);
  if (size === "MINUTE") return clockWindow(timeZone, first, MINUTE_MICROS);
  const { year, month, day } = localTime(timeZone, first);
  const start = { year, month, day: size === "DAY" ? day : 1 };
  const next = size === "DAY" ? dateAfter(year, month, day) : dateAfter(year, month, daysOfMonth(year, month));
  return { windowStart: startOfDay(timeZone, start), windowEnd: startOfDay(timeZone, next) };
}

/** The local hour or minute around an instant, cut where the zone's offset changes within it. */
function clockWindow(zone: string, instant: Instant, micros: number): { windowStart: Instant; windowEnd: Instant } {
  const localMicros = instant + localTime(zone, instant).offsetMicros;
  const start = instantFromMicros(instant - (((localMicros % micros) + micros) % micros));
  const end = instantFromMicros(start + micros);
  const changes = offsetTransitions(zone, start, end).map((transition) => transition.at);
  return {
    windowStart: changes.findLast((at) => at <= instant) ?? start,
    windowEnd: changes.find((at) => at > instant) ?? end,
  };
}

function dateAfter(year: number, month: number, day: number): { year: number; month: number; day: number } {
  if (day < daysOfMonth(year, month)) return { year, month, day: day + 1 };
  return month < 12 ? { year, month: month + 1, day: 1 } : { year: year + 1, month: 1, day: 1 };
}

function daysOfMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

// Values.

/** The aggregate as canonical text; null where no row is to appear. */
function aggregate(rows: readonly StoredRow[], meter: MeterView, limit: bigint): string | null {
  if (meter.aggregation === "COUNT") return String(rows.length);
  const path = meter.valuePath;
  assert(path !== undefined, "every meter but COUNT has a value path");
  if (meter.aggregation === "UNIQUE_COUNT") {
    const present = rows.map((row) => textAt(row, path)).filter((property) => property.isPresent);
    return String(new Set(present.map((property) => property.text)).size);
  }
  const numeric = rows.flatMap((row) => {
    const value = numericValue(resolve(row, path));
    return value === null ? [] : [{ value, event: row.event }];
  });
  const values = numeric.map((each) => each.value);
  const first = values[0];
  if (first === undefined) return null;
  switch (meter.aggregation) {
    case "SUM":
      return fixedPointText(sum(values, limit));
    case "AVG":
      return fixedPointText(divideHalfAwayFromZero(sum(values, limit), BigInt(values.length)));
    case "MIN":
      return fixedPointText(values.reduce((a, b) => (b < a ? b : a), first));
    case "MAX":
      return fixedPointText(values.reduce((a, b) => (b > a ? b : a), first));
    case "LATEST":
      return fixedPointText(numeric.toSorted((a, b) => compareArrival(a.event, b.event)).at(-1)?.value ?? first);
  }
}

function sum(values: readonly bigint[], limit: bigint): bigint {
  const largest = values.map(magnitude).reduce((a, b) => (b > a ? b : a), 0n);
  if (BigInt(values.length) * largest >= limit) {
    throw new Fault("internal", "aggregate_overflow", "The sum is too large to be computed exactly.");
  }
  return values.reduce((a, b) => a + b, 0n);
}

function resolve(row: StoredRow, path: JsonPath): Resolution {
  return row.document === null ? { kind: "missing" } : resolvePath(path, row.document);
}

function textAt(row: StoredRow, path: JsonPath): PropertyText {
  return propertyText(resolve(row, path));
}

// Orders.

/** `(time, order of arrival)`, ascending. */
function compareArrival(a: StoredEvent, b: StoredEvent): number {
  return a.time - b.time || a.ingestedAt - b.ingestedAt || a.partition - b.partition || a.offset - b.offset;
}

function comparePositions(a: ListPosition, b: ListPosition): number {
  return a.sortValue - b.sortValue || a.partition - b.partition || a.offset - b.offset;
}

// Row blocks.

/** Reads a block column by column, the way `EVENT_COLUMNS` names them. */
function decodeEvents(bytes: Uint8Array): StoredEvent[] {
  const reader = new BlockReader(bytes);
  const columns = reader.varint();
  const rows = reader.varint();
  const values = new Map<string, readonly unknown[]>();
  for (let column = 0; column < columns; column += 1)
    values.set(reader.text(), readColumn(reader, reader.text(), rows));
  assert(reader.isAtEnd(), "a row block ends with its last column");
  const text = (column: string, row: number): string => String(values.get(column)?.[row]);
  const number = (column: string, row: number): number => Number(values.get(column)?.[row]);
  return Array.from({ length: rows }, (_, row) => ({
    namespace: text("namespace", row),
    id: text("id", row),
    source: text("source", row),
    type: text("type", row),
    subject: text("subject", row),
    time: instantFromMicros(number("time", row)),
    isTimeGiven: number("time_given", row) === 1,
    data: text("data", row) || null,
    ingestedAt: instantFromMicros(number("ingested_at", row)),
    storedAt: instantFromMicros(number("stored_at", row)),
    partition: number("log_partition", row),
    offset: number("log_offset", row),
  }));
}

function readColumn(reader: BlockReader, type: string, rows: number): readonly unknown[] {
  const read = (count: number, value: () => unknown): readonly unknown[] => Array.from({ length: count }, value);
  switch (type) {
    case "String":
      return read(rows, () => reader.text());
    case "Bool":
      return read(rows, () => reader.uint8());
    case "UInt16":
      return read(rows, () => reader.uint16());
    case "UInt64":
    case "DateTime64(6, 'UTC')":
      return read(rows, () => reader.int64());
    default: {
      // The derived values are skipped: they are what the reference is there to check.
      const ends = read(rows, () => reader.int64());
      read(2 * Number(ends.at(-1) ?? 0), () => reader.text());
      return [];
    }
  }
}

class BlockReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  isAtEnd(): boolean {
    return this.#position === this.#bytes.byteLength;
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  int64(): number {
    return Number(this.#view.getBigInt64(this.#advance(8), true));
  }

  /** LEB128: seven bits a byte, the lowest first. */
  varint(): number {
    const byte = this.uint8();
    return byte < 128 ? byte : byte - 128 + 128 * this.varint();
  }

  text(): string {
    const length = this.varint();
    const start = this.#advance(length);
    return Buffer.from(this.#bytes.subarray(start, start + length)).toString("utf8");
  }

  #advance(length: number): number {
    const start = this.#position;
    this.#position += length;
    return start;
  }
}
