/** SQL that numbers the windows of a query; `windows.ts` turns the numbers back into instants. */

import type { UsageQuery } from "../store.ts";
import type { OffsetSegments } from "../windows.ts";
import { MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, offsetSegments } from "../windows.ts";
import { integer } from "./fragment.ts";

/** A bare number in GROUP BY would be the position of a column. */
export const NO_OFFSET = "toInt64(0)";

/**
 * Number and UTC offset of the window; a constant pair for a query without windows. `micros` is the expression of the time
 * in microseconds, of an event or of the start of a bucket that lies in one window.
 */
export function windowColumns({ window, from, to }: UsageQuery, micros: string): readonly [string, string] {
  if (window === undefined) return [NO_OFFSET, NO_OFFSET];
  const segments = offsetSegments(window.timeZone, from, to);
  const offset = offsetColumn(segments, micros);
  switch (window.size) {
    case "MINUTE":
      return [localNumber(micros, segments, MICROS_PER_MINUTE), offset];
    case "HOUR":
      return [localNumber(micros, segments, MICROS_PER_HOUR), offset];
    case "DAY":
      return [localNumber(micros, segments, MICROS_PER_DAY), NO_OFFSET];
    case "MONTH": {
      const day = localNumber(micros, segments, MICROS_PER_DAY);
      return [`toYYYYMM(addDays(toDate32('1970-01-01'), ${day}))`, NO_OFFSET];
    }
  }
}

/** `roundDown` finds the segment of an instant by binary search, however many changes the zone has seen. */
function offsetColumn({ starts, offsets }: OffsetSegments, micros: string): string {
  if (starts.length === 1) return `toInt64(${integer(offsets[0])})`;
  const list = (values: readonly number[]): string => `CAST([${values.map(integer).join(", ")}], 'Array(Int64)')`;
  return `transform(roundDown(${micros}, ${list(starts)}), ${list(starts)}, ${list(offsets)})`;
}

/**
 * Number of the local minute, hour or day. `intDiv` truncates; local times of the first hours of 1970 west of Greenwich are
 * negative, by at most two days. Every function costs some 50 µs before a statement begins to run, so there are few of them.
 */
function localNumber(micros: string, segments: OffsetSegments, divisor: number): string {
  const [only] = segments.offsets;
  if (segments.offsets.length > 1 || only < 0) {
    const shift = 2 * MICROS_PER_DAY;
    const local = `${micros} + ${offsetColumn(segments, micros)} + ${integer(shift)}`;
    return `intDiv(${local}, ${integer(divisor)}) - ${integer(shift / divisor)}`;
  }
  return `intDiv(${only === 0 ? micros : `${micros} + ${integer(only)}`}, ${integer(divisor)})`;
}
