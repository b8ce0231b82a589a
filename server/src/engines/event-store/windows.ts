/**
 * Windows: how SQL numbers the windows of a time zone, and which instants a numbered window spans.
 *
 * A window is a set of instants that share, in the zone, the date, hour, minute and UTC offset (MINUTE), the date, hour and
 * UTC offset (HOUR), the calendar date (DAY) or the calendar month (MONTH); it starts at the first instant of the set and
 * ends at the first instant after it.
 *
 * The zone's offsets come from the kernel alone, as a table of segments over the time range of events. SQL adds the offset
 * to the time and divides; everything else happens here. So both sides agree on a window's identity: its number (of local
 * minutes, hours or days since the local epoch, or `year * 100 + month`) and, for MINUTE and HOUR, the offset.
 */

import type { CivilDate } from "../../kernel/civil.ts";
import { civilFromDays } from "../../kernel/civil.ts";
import type { Instant } from "../../kernel/instant.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { offsetTransitions, startOfDay, zoneOffsetAt } from "../../kernel/time-zone.ts";
import type { WindowSize } from "./store.ts";

export interface Window {
  readonly size: WindowSize;
  readonly timeZone: string;
}

/** `offsets[i]` (local time minus UTC, in microseconds) holds from `starts[i]` until `starts[i + 1]`. */
export interface OffsetSegments {
  readonly starts: readonly [number, ...number[]];
  readonly offsets: readonly [number, ...number[]];
}

/** Event times are in `[FIRST_EVENT_TIME, END_OF_EVENT_TIME)`, which is 1970 to 2199. */
export const FIRST_EVENT_TIME = instantFromMicros(0);
export const END_OF_EVENT_TIME = instantFromMicros(7_258_118_400_000_000);

export const MICROS_PER_MINUTE = 60_000_000;
export const MICROS_PER_HOUR = 60 * MICROS_PER_MINUTE;
export const MICROS_PER_DAY = 24 * MICROS_PER_HOUR;

/** The zone's offsets over the event times in `[from, to)`; a bound that is absent is that of all event times. */
export function offsetSegments(timeZone: string, from?: Instant, to?: Instant): OffsetSegments {
  const start = clampToEventTime(from ?? FIRST_EVENT_TIME);
  const end = clampToEventTime(to ?? END_OF_EVENT_TIME);
  const transitions = offsetTransitions(timeZone, start, end);
  return {
    starts: [start, ...transitions.map((transition) => transition.at)],
    offsets: [zoneOffsetAt(timeZone, start), ...transitions.map((transition) => transition.offsetMicros)],
  };
}

function clampToEventTime(bound: Instant): Instant {
  return instantFromMicros(Math.min(Math.max(bound, FIRST_EVENT_TIME), END_OF_EVENT_TIME));
}

/** The span of the window with this number; `offsetMicros` is the UTC offset that MINUTE and HOUR windows are part of. */
export function windowSpan(
  window: Window,
  number: number,
  offsetMicros: number,
): { readonly start: Instant; readonly end: Instant } {
  const { timeZone } = window;
  switch (window.size) {
    case "MINUTE":
      return clockSpan(timeZone, number, MICROS_PER_MINUTE, offsetMicros);
    case "HOUR":
      return clockSpan(timeZone, number, MICROS_PER_HOUR, offsetMicros);
    case "DAY":
      return {
        start: startOfDay(timeZone, civilFromDays(number)),
        end: startOfDay(timeZone, civilFromDays(number + 1)),
      };
    case "MONTH": {
      const first = { year: Math.floor(number / 100), month: number % 100, day: 1 };
      return { start: startOfDay(timeZone, first), end: startOfDay(timeZone, firstOfNextMonth(first)) };
    }
  }
}

function firstOfNextMonth({ year, month }: CivilDate): CivilDate {
  return month < 12 ? { year, month: month + 1, day: 1 } : { year: year + 1, month: 1, day: 1 };
}

/** A change of the offset inside a local minute or hour cuts the window there. */
function clockSpan(
  timeZone: string,
  number: number,
  lengthMicros: number,
  offsetMicros: number,
): { readonly start: Instant; readonly end: Instant } {
  let start = instantFromMicros(number * lengthMicros - offsetMicros);
  let end = instantFromMicros(start + lengthMicros);
  let isInside = zoneOffsetAt(timeZone, start) === offsetMicros;
  for (const transition of offsetTransitions(timeZone, start, end)) {
    const isInsideAfter = transition.offsetMicros === offsetMicros;
    if (!isInside && isInsideAfter) start = transition.at;
    if (isInside && !isInsideAfter) {
      end = transition.at;
      break;
    }
    isInside = isInsideAfter;
  }
  return { start, end };
}
