/**
 * Durations: ISO 8601 amounts of calendar and clock time, and what adding one to an instant means.
 *
 * A duration keeps the components it was written with, because a month has no fixed length and `P1Y` is shown as `P1Y`.
 * Adding takes three steps, in a time zone: years and months move the calendar date and keep the day of the month, clamped
 * to the last day of the target month; weeks and days move the calendar date; hours, minutes and seconds are elapsed time.
 * The local clock time is kept by the first two steps: one that does not exist on the target date moves forward by the gap,
 * one that exists twice is the earlier instant.
 */

import {
  addMonths,
  civilFromDays,
  daysFromCivil,
  microsPerDay,
  microsPerHour,
  microsPerMinute,
  microsPerSecond,
} from "./civil.ts";
import type { Instant } from "./instant.ts";
import { plusMicros } from "./instant.ts";
import { instantOfLocal, zoneOffsetAt } from "./time-zone.ts";

/** Whole numbers, each of either sign. */
export interface Duration {
  readonly years: number;
  readonly months: number;
  readonly weeks: number;
  readonly days: number;
  readonly hours: number;
  readonly minutes: number;
  readonly seconds: number;
  /** The fraction of `seconds`, with its sign: between -999999 and 999999. */
  readonly micros: number;
}

/** Nothing: `PT0S`. Spread it to write a duration in code: `{ ...zeroDuration, months: 1 }`. */
export const zeroDuration: Duration = {
  years: 0,
  months: 0,
  weeks: 0,
  days: 0,
  hours: 0,
  minutes: 0,
  seconds: 0,
  micros: 0,
};

const count = "(-?[0-9]{1,9})";
const durationText = new RegExp(
  `^(-?)P(?:${count}Y)?(?:${count}M)?(?:${count}W)?(?:${count}D)?` +
    `(?:T(?:${count}H)?(?:${count}M)?(?:${count}(?:\\.([0-9]{1,6}))?S)?)?$`,
);

/**
 * The duration of an ISO 8601 text such as `P1Y2M10DT5H30M45S`. Components may be negative (`P-3M`), a leading minus negates
 * all of them (`-P1D`), and seconds may have up to six fractional digits. Null for any other text: no component, a `T` with
 * nothing behind it, fractions elsewhere, more than nine digits.
 */
export function parseDuration(text: string): Duration | null {
  const match = durationText.exec(text);
  if (match === null || text.endsWith("P") || text.endsWith("T")) return null;
  const [, minus, years, months, weeks, days, hours, minutes, seconds, fraction] = match;
  const sign = minus === "-" ? -1 : 1;
  // The trailing `+ 0` turns -0 into 0.
  const component = (digits: string | undefined) => sign * Number(digits ?? 0) + 0;
  const fractionSign = seconds?.startsWith("-") ? -sign : sign;
  return {
    years: component(years),
    months: component(months),
    weeks: component(weeks),
    days: component(days),
    hours: component(hours),
    minutes: component(minutes),
    seconds: component(seconds),
    micros: fractionSign * Number((fraction ?? "").padEnd(6, "0")) + 0,
  };
}

/** ISO 8601 with the components that are not zero; nothing is `PT0S`. */
export function formatDuration(duration: Duration): string {
  const { years, months, weeks, days, hours, minutes } = duration;
  const part = (value: number, unit: string) => (value === 0 ? "" : `${value}${unit}`);
  const date = part(years, "Y") + part(months, "M") + part(weeks, "W") + part(days, "D");
  const time = part(hours, "H") + part(minutes, "M") + formatSeconds(duration);
  if (date === "" && time === "") return "PT0S";
  return `P${date}${time === "" ? "" : `T${time}`}`;
}

/** Every component `factor` times. */
export function multiplyDuration(duration: Duration, factor: number): Duration {
  // The trailing `+ 0` turns -0 into 0.
  const times = (value: number) => value * factor + 0;
  const micros = times(duration.seconds * microsPerSecond + duration.micros);
  return {
    years: times(duration.years),
    months: times(duration.months),
    weeks: times(duration.weeks),
    days: times(duration.days),
    hours: times(duration.hours),
    minutes: times(duration.minutes),
    seconds: Math.trunc(micros / microsPerSecond) + 0,
    micros: (micros % microsPerSecond) + 0,
  };
}

/**
 * `instant + duration` by the calendar and clock of `zone`, an IANA name. Throws the `Fault` `instant_out_of_range` when the
 * result, or the date on the way to it, lies outside the years 1684 to 2255.
 */
export function addDuration(instant: Instant, duration: Duration, zone = "UTC"): Instant {
  const months = duration.years * 12 + duration.months;
  const days = duration.weeks * 7 + duration.days;
  // Without a date part the local time plays no role: an instant in a repeated hour must not jump to its first pass.
  const date = months === 0 && days === 0 ? instant : addDate(instant, months, days, zone);
  return plusMicros(date, elapsedMicros(duration));
}

/**
 * Whether `larger` is made of whole `smaller`s wherever in the calendar they lie: the quotient of their lengths is a
 * positive integer for every length of a month from 28 to 31 days and of a day from 23 to 25 hours.
 */
export function isDivisible(larger: Duration, smaller: Duration): boolean {
  for (const monthDays of [28n, 29n, 30n, 31n]) {
    for (const dayHours of [23n, 24n, 25n]) {
      const dividend = nominalMicros(larger, monthDays, dayHours);
      const divisor = nominalMicros(smaller, monthDays, dayHours);
      if (divisor === 0n || dividend % divisor !== 0n || dividend / divisor <= 0n) return false;
    }
  }
  return true;
}

function addDate(instant: Instant, months: number, days: number, zone: string): Instant {
  const local = instant + zoneOffsetAt(zone, instant);
  const dayNumber = Math.floor(local / microsPerDay);
  const clock = local - dayNumber * microsPerDay;
  const target = addMonths(civilFromDays(dayNumber), months);
  const targetDay = daysFromCivil(target.year, target.month, target.day) + days;
  return instantOfLocal(zone, targetDay * microsPerDay + clock);
}

function elapsedMicros({ hours, minutes, seconds, micros }: Duration): number {
  return hours * microsPerHour + minutes * microsPerMinute + seconds * microsPerSecond + micros;
}

function nominalMicros(duration: Duration, monthDays: bigint, dayHours: bigint): bigint {
  const months = BigInt(duration.years) * 12n + BigInt(duration.months);
  const days = BigInt(duration.weeks) * 7n + BigInt(duration.days) + months * monthDays;
  const minutes = (days * dayHours + BigInt(duration.hours)) * 60n + BigInt(duration.minutes);
  const seconds = minutes * 60n + BigInt(duration.seconds);
  return seconds * BigInt(microsPerSecond) + BigInt(duration.micros);
}

function formatSeconds({ seconds, micros }: Duration): string {
  if (micros === 0) return seconds === 0 ? "" : `${seconds}S`;
  const sign = seconds < 0 || micros < 0 ? "-" : "";
  const fraction = String(Math.abs(micros)).padStart(6, "0").replace(/0+$/, "");
  return `${sign}${Math.abs(seconds)}.${fraction}S`;
}
