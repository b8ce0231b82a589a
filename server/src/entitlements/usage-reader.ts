/**
 * The usage of phases, from the event store: what a meter says of a customer between boundaries, at one position vector.
 *
 * A few phases are a query each; many of them are one query in windows of UTC days, hours or minutes, the longest on which
 * all bounds lie, because a year of daily recurrences must not be hundreds of queries. Both give the same numbers.
 *
 * Phases tile: each begins where the one before ends. SUM and COUNT ask for `[from, to)`; UNIQUE_COUNT for the values that
 * are new since the start of the usage period; LATEST for the last value since the start of the usage period, or zero.
 */

import type {
  CustomerSubjects,
  EventStore,
  MeterView,
  PositionVector,
  RollUp,
  TextFilter,
  UsageQuery,
  UsageRow,
  WindowSize,
} from "../engines/event-store/index.ts";
import { assert } from "../kernel/assert.ts";
import { microsPerDay, microsPerHour, microsPerMinute } from "../kernel/civil.ts";
import { Decimal } from "../kernel/decimal.ts";
import { type Instant, laterInstant } from "../kernel/instant.ts";
import type { Phase } from "./engine/index.ts";

export interface UsageReaderOptions {
  readonly store: Pick<EventStore, "queryUsage">;
  readonly meter: MeterView;
  /** The feature's conditions. */
  readonly filters: ReadonlyMap<string, TextFilter>;
  readonly customer: CustomerSubjects;
  readonly upTo: PositionVector;
  readonly rollUp: RollUp | null;
}

/** So many phases are queries of their own, which find more in roll-ups. */
const FEW_PHASES = 4;
/** More windows than this are asked for only where the alternative is more queries than `MANY_PHASES`. */
const MANY_WINDOWS = 200_000;
const MANY_PHASES = 64;
/** Queries of one reading at the same time. */
const PARALLEL_QUERIES = 4;
/** The key under which the values of a UNIQUE_COUNT are grouped; group-by keys of meters are identifiers. */
const VALUE_KEY = " value";

const WINDOWS: readonly (readonly [WindowSize, number])[] = [
  ["DAY", microsPerDay],
  ["HOUR", microsPerHour],
  ["MINUTE", microsPerMinute],
];

export class UsageReader {
  readonly #options: UsageReaderOptions;

  constructor(options: UsageReaderOptions) {
    this.#options = options;
  }

  /** The usage of each of the phases, which follow each other. Fault: `aggregate_overflow`. */
  async ofPhases(phases: readonly Phase[]): Promise<readonly Decimal[]> {
    const last = phases.at(-1);
    if (last === undefined || this.#options.customer.subjects.length === 0) return phases.map(() => Decimal.zero);
    const size = windowFor(phases);
    return size === null ? await this.#oneByOne(phases) : await this.#windowed(phases, size);
  }

  /** The usage of the last phase alone; zero for all others. What a gauge says needs no more. */
  async ofLastPhase(phases: readonly Phase[]): Promise<readonly Decimal[]> {
    const [usage = Decimal.zero] = await this.ofPhases(phases.slice(-1));
    return phases.map((_, index) => (index === phases.length - 1 ? usage : Decimal.zero));
  }

  async #oneByOne(phases: readonly Phase[]): Promise<readonly Decimal[]> {
    switch (this.#options.meter.aggregation) {
      case "UNIQUE_COUNT": {
        const seen = await inParallel(phases, ({ periodStart, to }) => this.#total(periodStart, to));
        return await inParallel(phases, async ({ periodStart, from }, index) => {
          const before = phases[index - 1];
          const isSamePeriod = before !== undefined && before.periodStart === periodStart;
          const known = isSamePeriod ? seen[index - 1] : await this.#total(periodStart, from);
          return (seen[index] ?? Decimal.zero).minus(known ?? Decimal.zero);
        });
      }
      case "LATEST":
        return await inParallel(phases, ({ periodStart, to }) => this.#total(periodStart, to));
      default:
        return await inParallel(phases, ({ from, to }) => this.#total(from, to));
    }
  }

  async #total(from: Instant, to: Instant): Promise<Decimal> {
    if (from >= to) return Decimal.zero;
    const [row] = await this.#query({ from, to });
    return row === undefined ? Decimal.zero : Decimal.of(row.value);
  }

  async #windowed(phases: readonly Phase[], size: WindowSize): Promise<readonly Decimal[]> {
    const [first, last] = [phases[0], phases.at(-1)];
    assert(first !== undefined && last !== undefined, "there are phases");
    const isSum = this.#options.meter.aggregation === "SUM" || this.#options.meter.aggregation === "COUNT";
    const from = isSum ? first.from : first.periodStart;
    const part = { from, to: last.to, window: { size, timeZone: "UTC" } };
    const isUnique = this.#options.meter.aggregation === "UNIQUE_COUNT";
    const rows = await this.#query(isUnique ? { ...part, ...this.#byValue() } : part);
    // The first window may begin before the range; usage in it does not.
    const timed = rows.map((row) => ({ row, at: laterInstant(row.windowStart, from) })).toSorted((a, b) => a.at - b.at);
    if (isSum) return sums(phases, timed);
    return isUnique ? newValues(phases, timed) : latestValues(phases, timed);
  }

  /** Counts the events of each value instead of the values. What is rolled up knows no values. */
  #byValue(): Partial<UsageQuery> {
    const { valuePath, ...meter } = this.#options.meter;
    assert(valuePath !== undefined, "a UNIQUE_COUNT meter has a value");
    return {
      meter: { ...meter, aggregation: "COUNT", groupBy: new Map([...meter.groupBy, [VALUE_KEY, valuePath]]) },
      groupBy: [VALUE_KEY],
      filters: new Map([...this.#options.filters, [VALUE_KEY, { op: "exists", value: true }]]),
    };
  }

  async #query(part: Partial<UsageQuery>): Promise<readonly UsageRow[]> {
    const { store, meter, filters, customer, upTo, rollUp } = this.#options;
    return await store.queryUsage({
      meter,
      subjects: customer.subjects,
      groupBySubject: false,
      groupByCustomer: false,
      groupBy: [],
      filters,
      upTo,
      ...(rollUp === null || part.meter !== undefined ? {} : { rollUp }),
      ...part,
    });
  }
}

/** In which windows all phases are asked for at once; null: one by one. */
function windowFor(phases: readonly Phase[]): WindowSize | null {
  const [first, last] = [phases[0], phases.at(-1)];
  if (first === undefined || last === undefined || phases.length <= FEW_PHASES) return null;
  // Both ends of the range cut windows by themselves.
  const bounds = [...phases.slice(1).map(({ from }) => from), ...phases.slice(1).map(({ periodStart }) => periodStart)];
  const inner = first.periodStart === first.from ? bounds : [first.from, ...bounds];
  const found = WINDOWS.find(([, micros]) => inner.every((bound) => bound % micros === 0));
  if (found === undefined) return null;
  const [size, micros] = found;
  const isTooFine = (last.to - first.periodStart) / micros > MANY_WINDOWS;
  return isTooFine && phases.length <= MANY_PHASES ? null : size;
}

interface TimedRow {
  readonly row: UsageRow;
  readonly at: Instant;
}

function sums(phases: readonly Phase[], rows: readonly TimedRow[]): readonly Decimal[] {
  return eachPhase(phases, rows, (_, own) =>
    own.reduce((sum, { row }) => sum.plus(Decimal.of(row.value)), Decimal.zero),
  );
}

function newValues(phases: readonly Phase[], rows: readonly TimedRow[]): readonly Decimal[] {
  const seen = new Set<string>();
  return eachPhase(phases, rows, (isNewPeriod, own, before) => {
    if (isNewPeriod) seen.clear();
    for (const { row } of before) seen.add(row.groups[0] ?? "");
    const known = seen.size;
    for (const { row } of own) seen.add(row.groups[0] ?? "");
    return Decimal.fromInteger(seen.size - known);
  });
}

function latestValues(phases: readonly Phase[], rows: readonly TimedRow[]): readonly Decimal[] {
  let latest = "0";
  return eachPhase(phases, rows, (isNewPeriod, own, before) => {
    latest = own.at(-1)?.row.value ?? before.at(-1)?.row.value ?? (isNewPeriod ? "0" : latest);
    return Decimal.of(latest);
  });
}

/** Hands out the rows phase by phase; those before the first phase, of the period in which it lies, come as `before`. */
function eachPhase(
  phases: readonly Phase[],
  rows: readonly TimedRow[],
  usageOf: (isNewPeriod: boolean, own: readonly TimedRow[], before: readonly TimedRow[]) => Decimal,
): readonly Decimal[] {
  let next = 0;
  const takeUntil = (end: Instant): readonly TimedRow[] => {
    const start = next;
    while (next < rows.length && (rows[next]?.at ?? end) < end) next += 1;
    return rows.slice(start, next);
  };
  return phases.map(({ from, to, periodStart }, index) => {
    const before = takeUntil(from);
    return usageOf(index === 0 || phases[index - 1]?.periodStart !== periodStart, takeUntil(to), before);
  });
}

/** Runs `work` for all items, a few at a time; the results are in the order of the items. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const entries = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_QUERIES, items.length) }, worker));
  return results;
}
