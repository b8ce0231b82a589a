/**
 * Compiles the usage of many customers, each in phases of its own, to one statement, and its result back.
 *
 * A row's *place* is one number made of its subject's number and its minute, and so are the bounds of phases: one sorted list,
 * in which a binary search (`roundDown`) finds the interval that the row belongs to. That keeps the statement free of joins,
 * which would copy a list of bounds next to every event. What intervals have is added to the phases that contain them here,
 * in BigInt.
 *
 * Invariants: a subject's intervals are cut at the bounds of every series that it is in, so each lies in one phase of a series
 * or in none. What is before a subject's first bound falls to the last bound of the subject before, where no phase begins.
 */

import { assert } from "../../../kernel/assert.ts";
import { type Instant, instantFromMicros } from "../../../kernel/instant.ts";
import { coverOf } from "../roll-ups/cover.ts";
import type { RollUp } from "../roll-ups/roll-up.ts";
import type { PhaseSeries, PhaseUsage, PhaseUsageQuery, UsageQuery } from "../store.ts";
import { MICROS_PER_MINUTE } from "../windows.ts";
import type { Cell } from "./aggregations/aggregation.ts";
import { textFromUnits, unitsFromText } from "./aggregations/fixed-point.ts";
import { AGGREGATIONS } from "./aggregations/index.ts";
import { Binder, integer, type Statement } from "./fragment.ts";
import { wholeNumber } from "./listing.ts";
import { coveredSources, storedEvents, type StoredSource } from "./sources.ts";

/** More minutes than event times have, which end in 2199. */
const MINUTES_PER_SUBJECT = 2 ** 27;
/** A server takes at most 128 KiB as one parameter. */
const NUMBERS_PER_PARAMETER = 8_000;
/** Stands for what comes before all places; without it, `roundDown` would count that to the first one. */
const NO_PLACE = 0;

type PhaseIndex = Pick<PhaseUsage, "series" | "phase">;

/** Where the intervals of a query begin and end, and which phases they are in. */
export interface Places {
  readonly subjects: readonly string[];
  /** Ascending, `NO_PLACE` first. */
  readonly bounds: readonly number[];
  /** The phases by the place where an interval begins. */
  readonly phases: ReadonlyMap<number, readonly PhaseIndex[]>;
  readonly from: Instant;
  readonly to: Instant;
}

/** The places of the query's phases; null when there is no phase of any subject. */
export function placesOf({ meter, series }: PhaseUsageQuery): Places | null {
  assert(meter.aggregation === "SUM" || meter.aggregation === "COUNT", "only sums and counts add up over subjects");
  const phases = new Map<number, PhaseIndex[]>();
  const bounds = [NO_PLACE];
  const minutesBySubject = cutMinutes(series);
  const firstPlaces = new Map([...minutesBySubject.keys()].map((key, at) => [key, (at + 1) * MINUTES_PER_SUBJECT]));
  for (const [subject, minutes] of minutesBySubject) {
    for (const minute of minutes) bounds.push((firstPlaces.get(subject) ?? NO_PLACE) + minute);
  }
  series.forEach(({ subjects, bounds: own }, index) => {
    for (const subject of new Set(subjects)) {
      const firstPlace = firstPlaces.get(subject) ?? NO_PLACE;
      eachInterval(own, minutesBySubject.get(subject) ?? [], (minute, phase) => {
        const known = phases.get(firstPlace + minute);
        if (known === undefined) phases.set(firstPlace + minute, [{ series: index, phase }]);
        else known.push({ series: index, phase });
      });
    }
  });
  if (phases.size === 0) return null;
  const [from, to] = hullOf([...minutesBySubject.values()]);
  return { subjects: [...minutesBySubject.keys()], bounds, phases, from, to };
}

/** The bounds of all series that a subject is in, ascending, each once. */
function cutMinutes(series: readonly PhaseSeries[]): ReadonlyMap<string, readonly number[]> {
  const bySubject = new Map<string, Set<number>>();
  for (const { subjects, bounds } of series) {
    if (bounds.length < 2) continue;
    const minutes = bounds.map(minuteOf);
    for (const subject of subjects) bySubject.set(subject, new Set([...(bySubject.get(subject) ?? []), ...minutes]));
  }
  return new Map([...bySubject].map(([subject, minutes]) => [subject, [...minutes].toSorted((a, b) => a - b)]));
}

/** The minute of a bound; before and after the times that events can have, the nearest one. */
function minuteOf(bound: Instant): number {
  assert(bound % MICROS_PER_MINUTE === 0, "phases begin and end with a minute");
  return Math.min(Math.max(0, bound / MICROS_PER_MINUTE), MINUTES_PER_SUBJECT - 1);
}

/** Calls `take` with the begin of each interval in a phase of these bounds; every bound is one of `minutes`. */
function eachInterval(
  bounds: readonly Instant[],
  minutes: readonly number[],
  take: (minute: number, phase: number) => void,
): void {
  const own = bounds.map(minuteOf);
  let at = minutes.indexOf(own[0] ?? 0);
  own.slice(1).forEach((end, phase) => {
    assert(end >= (own[phase] ?? 0), "the bounds of phases are ascending");
    for (let minute = minutes[at]; minute !== undefined && minute < end; minute = minutes[at]) {
      take(minute, phase);
      at += 1;
    }
  });
}

function hullOf(ascending: readonly (readonly number[])[]): readonly [Instant, Instant] {
  const first = ascending.reduce((least, minutes) => Math.min(least, minutes[0] ?? least), MINUTES_PER_SUBJECT);
  const last = ascending.reduce((most, minutes) => Math.max(most, minutes.at(-1) ?? most), 0);
  return [instantFromMicros(first * MICROS_PER_MINUTE), instantFromMicros(last * MICROS_PER_MINUTE)];
}

/** The statement that reads what every interval has, from events, or from a roll-up and those events that it does not have. */
export function phaseUsageStatement(query: PhaseUsageQuery, places: Places): Statement {
  const { meter, filters, upTo, rollUp } = query;
  const { subjects, from, to } = places;
  const groups = { groupBySubject: false, groupByCustomer: false, groupBy: [] };
  const usage: UsageQuery = { meter, filters, upTo, subjects, from, to, ...groups };
  const binder = new Binder();
  const aggregation = AGGREGATIONS[meter.aggregation];
  const branches = sourcesOf(binder, usage, rollUp).map((source) => {
    const states = source.states(aggregation).map(([name, state]) => `${state} AS ${name}`);
    return `SELECT ${placeOf(binder, source, places)} AS place, ${states.join(", ")} FROM ${source.from} GROUP BY place`;
  });
  const cells = aggregation.merged((name) => `r.${name}`);
  return binder.statement(
    `SELECT r.place, ${cells.join(", ")} FROM (${branches.join(" UNION ALL ")}) AS r GROUP BY r.place`,
  );
}

/** Only buckets of a minute and shorter lie in one interval each, whatever the bounds. */
function sourcesOf(binder: Binder, usage: UsageQuery, rollUp: RollUp | undefined): readonly StoredSource[] {
  if (rollUp === undefined) return [storedEvents(binder, usage)];
  const fine = {
    ...rollUp,
    levels: rollUp.levels.filter(({ grain }) => grain === "MICROSECOND" || grain === "MINUTE"),
  };
  const cover = coverOf(usage, fine);
  return cover === null ? [storedEvents(binder, usage)] : coveredSources(binder, usage, fine, cover);
}

/** The place where the interval of a row begins. */
function placeOf(binder: Binder, { subject, micros }: StoredSource, { subjects, bounds }: Places): string {
  const numbers = binder.integers(subjects.map((_, at) => at + 1));
  const number = `transform(${subject}, ${binder.texts(subjects)}, ${numbers}, toUInt64(0))`;
  const minute = `toUInt64(intDiv(${micros}, ${integer(MICROS_PER_MINUTE)}))`;
  return `roundDown(${number} * ${integer(MINUTES_PER_SUBJECT)} + ${minute}, ${longList(binder, bounds)})`;
}

function longList(binder: Binder, numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let at = 0; at < numbers.length; at += NUMBERS_PER_PARAMETER) {
    parts.push(binder.integers(numbers.slice(at, at + NUMBERS_PER_PARAMETER)));
  }
  return parts.length === 1 ? parts.join() : `arrayConcat(${parts.join(", ")})`;
}

/** Reads the rows of the statement; by series and phase. Throws the fault `aggregate_overflow`. */
export function phaseUsages(
  query: PhaseUsageQuery,
  { phases }: Places,
  rows: readonly (readonly Cell[])[],
): readonly PhaseUsage[] {
  const { value } = AGGREGATIONS[query.meter.aggregation];
  const units: Map<number, bigint>[] = query.series.map(() => new Map());
  for (const [place, ...cells] of rows) {
    const phasesOfPlace = phases.get(wholeNumber(place));
    const text = phasesOfPlace === undefined ? null : value(cells);
    if (text === null) continue;
    for (const { series, phase } of phasesOfPlace ?? []) {
      const ofSeries = units[series];
      ofSeries?.set(phase, (ofSeries.get(phase) ?? 0n) + unitsFromText(text));
    }
  }
  return units.flatMap((ofSeries, series) =>
    [...ofSeries].toSorted(([a], [b]) => a - b).map(([phase, sum]) => ({ series, phase, value: textFromUnits(sum) })),
  );
}
