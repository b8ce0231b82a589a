/**
 * The windows of a time zone that a history is shown in: minutes, hours, days and months as the zone's clocks and calendar
 * show them. A window is a set of instants that share the date (MONTH: the month), for MINUTE and HOUR also the time and the
 * offset from UTC; it begins with the first of them and ends with the first instant after them. Days have 23, 24 or 25
 * hours, a repeated hour is two windows. Windows follow each other without gap, so empty ones are found as well.
 */

import { addMonths, civilFromDays, daysFromCivil, microsPerHour, microsPerMinute } from "../../kernel/civil.ts";
import type { Instant } from "../../kernel/instant.ts";
import { instantInRange } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";
import { localTime, offsetTransitions, startOfDay } from "../../kernel/time-zone.ts";

export type HistoryWindowSize = "MINUTE" | "HOUR" | "DAY" | "MONTH";

/**
 * The windows from the one that contains `from` to the one that contains the last instant before `to`, in order of time; no
 * more than the first `limit`. `zone` is an IANA name.
 */
export function windowsBetween(
  size: HistoryWindowSize,
  zone: string,
  { from, to }: Period,
  limit: number,
): readonly Period[] {
  const windows: Period[] = [];
  let window = windowAt(size, zone, from);
  // A date that clocks return to, after they had shown the next one for a minute, has ended for good.
  while (window.to <= from) window = windowAt(size, zone, window.to);
  while (window.from < to && windows.length < limit) {
    windows.push(window);
    window = windowAt(size, zone, window.to);
  }
  return windows;
}

function windowAt(size: HistoryWindowSize, zone: string, at: Instant): Period {
  const local = localTime(zone, at);
  switch (size) {
    case "MINUTE":
      return clockWindow(zone, at, local.offsetMicros, microsPerMinute);
    case "HOUR":
      return clockWindow(zone, at, local.offsetMicros, microsPerHour);
    case "DAY": {
      const next = civilFromDays(daysFromCivil(local.year, local.month, local.day) + 1);
      return { from: startOfDay(zone, local), to: startOfDay(zone, next) };
    }
    case "MONTH": {
      const first = { year: local.year, month: local.month, day: 1 };
      return { from: startOfDay(zone, first), to: startOfDay(zone, addMonths(first, 1)) };
    }
  }
}

/** The window of local minutes or hours around `at`, cut where the zone's offset changes. */
function clockWindow(zone: string, at: Instant, offsetMicros: number, lengthMicros: number): Period {
  const start = Math.floor((at + offsetMicros) / lengthMicros) * lengthMicros - offsetMicros;
  const whole = { from: instantInRange(start), to: instantInRange(start + lengthMicros) };
  const changes = offsetTransitions(zone, whole.from, whole.to).map((transition) => transition.at);
  return {
    from: changes.findLast((change) => change <= at) ?? whole.from,
    to: changes.find((change) => change > at) ?? whole.to,
  };
}
