/**
 * Time zones: the local calendar and clock of an IANA zone, and the instants at which its offset from UTC changes.
 *
 * The time zone data is the runtime's own (Temporal). A zone is read once into a sorted table of offset changes over the
 * whole range of instants (at most about 700 entries, under a millisecond), and every question is then a binary search:
 * about 20 ns against 1 µs for a zoned Temporal value. The tables stay for the life of the process; there is one per IANA
 * name at most, because a name counts only in its exact spelling.
 *
 * Invariants: `local = instant + offset`; a table holds only true changes of the offset; `startOfDay` is defined by
 * instants, so a date that a zone skipped starts with the first instant after the gap.
 */

import { assert } from "./assert.ts";
import type { CivilDate } from "./civil.ts";
import {
  civilFromDays,
  daysFromCivil,
  microsPerDay,
  microsPerHour,
  microsPerMinute,
  microsPerSecond,
} from "./civil.ts";
import type { Instant } from "./instant.ts";
import {
  instantFromMicros,
  instantFromTemporal,
  instantInRange,
  instantToTemporal,
  maxInstant,
  minInstant,
} from "./instant.ts";

/** What a clock and a calendar in the zone show; fractions of the second are dropped. */
export interface LocalTime extends CivilDate {
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** Local time minus UTC, in microseconds; positive east of Greenwich. */
  readonly offsetMicros: number;
}

/** A change of a zone's offset: `offsetMicros` holds from `at` on. */
export interface OffsetTransition {
  readonly at: Instant;
  readonly offsetMicros: number;
}

/** Offsets of a zone in order of time: `offsets[i]` holds from `starts[i]` until `starts[i + 1]`; `starts[0]` is -∞. */
interface OffsetTable {
  readonly starts: readonly number[];
  readonly offsets: readonly number[];
}

/** No zone has ever been further than this from UTC, in either direction. */
const maxOffsetMicros = 26 * microsPerHour;

const tables = new Map<string, OffsetTable>();

/**
 * Whether `name` is an IANA time zone name in its exact spelling, such as `Europe/Budapest` or `UTC`. Offsets (`+02:00`),
 * `Local`, the empty string and other spellings (`europe/budapest`) are not.
 */
export function isTimeZone(name: string): boolean {
  if (tables.has(name)) return true;
  if (name === "" || name.startsWith("+") || name.startsWith("-")) return false;
  try {
    return new Temporal.ZonedDateTime(0n, name).timeZoneId === name;
  } catch {
    return false;
  }
}

/** What calendar and clock show in `zone` at `instant`. */
export function localTime(zone: string, instant: Instant): LocalTime {
  const offsetMicros = zoneOffsetAt(zone, instant);
  const local = instant + offsetMicros;
  const days = Math.floor(local / microsPerDay);
  const ofDay = local - days * microsPerDay;
  const { year, month, day } = civilFromDays(days);
  return {
    year,
    month,
    day,
    hour: Math.floor(ofDay / microsPerHour),
    minute: Math.floor((ofDay % microsPerHour) / microsPerMinute),
    second: Math.floor((ofDay % microsPerMinute) / microsPerSecond),
    offsetMicros,
  };
}

/**
 * The first existing instant whose local calendar date in `zone` is `date` or later; the `Fault` `instant_out_of_range`
 * for a date beyond the range of instants.
 */
export function startOfDay(zone: string, date: CivilDate): Instant {
  const { starts, offsets } = offsetTable(zone);
  const midnight = daysFromCivil(date.year, date.month, date.day) * microsPerDay;
  // No earlier instant can show that date, so the first match from here on is the first of all.
  let i = indexAt(starts, midnight - maxOffsetMicros);
  while (midnight - entry(offsets, i) >= endOf(starts, i)) i++;
  return instantInRange(Math.max(midnight - entry(offsets, i), entry(starts, i)));
}

/**
 * The instant at which clocks in `zone` show the local time `localMicros` (microseconds since 1970-01-01T00:00:00 of the
 * local calendar). A local time that does not exist moves forward by the gap; one that exists twice is the earlier instant.
 */
export function instantOfLocal(zone: string, localMicros: number): Instant {
  const { starts, offsets } = offsetTable(zone);
  let i = indexAt(starts, localMicros - maxOffsetMicros);
  // Entries before the first one that reaches the local time end before clocks show it.
  while (localMicros - entry(offsets, i) >= endOf(starts, i)) i++;
  const instant = localMicros - entry(offsets, i);
  const isInGap = instant < entry(starts, i);
  // Clocks jumped over the local time: read it with the offset before the jump, which lands as far behind the gap.
  return instantInRange(isInGap ? localMicros - entry(offsets, i - 1) : instant);
}

/** Changes of the offset of `zone` after `from` and before `to`, both exclusive, in order of time. */
export function offsetTransitions(zone: string, from: Instant, to: Instant): readonly OffsetTransition[] {
  const { starts, offsets } = offsetTable(zone);
  const transitions: OffsetTransition[] = [];
  for (let i = indexAt(starts, from) + 1; i < starts.length && entry(starts, i) < to; i++) {
    transitions.push({ at: instantFromMicros(entry(starts, i)), offsetMicros: entry(offsets, i) });
  }
  return transitions;
}

/** Local time in `zone` minus UTC at `instant`, in microseconds. */
export function zoneOffsetAt(zone: string, instant: Instant): number {
  const { starts, offsets } = offsetTable(zone);
  return entry(offsets, indexAt(starts, instant));
}

/** The index of the entry that holds at `instant`. */
function indexAt(starts: readonly number[], instant: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (entry(starts, middle) <= instant) low = middle;
    else high = middle - 1;
  }
  return low;
}

function endOf(starts: readonly number[], index: number): number {
  return starts[index + 1] ?? Number.POSITIVE_INFINITY;
}

function entry(values: readonly number[], index: number): number {
  const value = values[index];
  assert(value !== undefined, "an index into an offset table is within it");
  return value;
}

function offsetTable(zone: string): OffsetTable {
  const known = tables.get(zone);
  if (known !== undefined) return known;
  assert(isTimeZone(zone), "a zone is validated with isTimeZone before it is used");
  const table = readOffsets(zone);
  tables.set(zone, table);
  return table;
}

function readOffsets(zone: string): OffsetTable {
  const starts: number[] = [Number.NEGATIVE_INFINITY];
  let at: Temporal.ZonedDateTime | null = instantToTemporal(minInstant).toZonedDateTimeISO(zone);
  let offset = at.offsetNanoseconds / 1_000;
  const offsets: number[] = [offset];
  const end = instantToTemporal(maxInstant).epochNanoseconds;
  for (;;) {
    at = at.getTimeZoneTransition("next");
    if (at === null || at.epochNanoseconds > end) return { starts, offsets };
    const next = at.offsetNanoseconds / 1_000;
    // Some time zone databases also list changes of the name or of the daylight-saving flag alone.
    if (next === offset) continue;
    offset = next;
    starts.push(instantFromTemporal(at.toInstant()));
    offsets.push(next);
  }
}
