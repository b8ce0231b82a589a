/**
 * Civil dates: the proleptic Gregorian calendar as arithmetic on day numbers.
 *
 * A day number counts days since 1970-01-01. Both conversions are exact for every date whose day number is a safe integer
 * and are inverses of each other; they use no Date, Temporal or text, because parsing an event's time and cutting usage
 * into windows run them once per event. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */

/** A date of the Gregorian calendar; `month` and `day` count from 1. */
export interface CivilDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

export const microsPerSecond = 1_000_000;
export const microsPerMinute = 60 * microsPerSecond;
export const microsPerHour = 60 * microsPerMinute;
/** The length of a civil day without a change of offset. */
export const microsPerDay = 24 * microsPerHour;

/** Days since 1970-01-01 of a valid date. */
export function daysFromCivil(year: number, month: number, day: number): number {
  // Years begin in March here, so that the leap day is the last day of a year and months have a linear length.
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** The date of a day number: the inverse of `daysFromCivil`. */
export function civilFromDays(days: number): CivilDate {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const leapDays = Math.floor(dayOfEra / 1_460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

/** The number of days of a month, 28 to 31. */
export function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** The date `months` later, with the day of the month kept or, where the target month is shorter, its last day. */
export function addMonths(date: CivilDate, months: number): CivilDate {
  const monthIndex = date.year * 12 + date.month - 1 + months;
  const year = Math.floor(monthIndex / 12);
  const month = monthIndex - year * 12 + 1;
  return { year, month, day: Math.min(date.day, daysInMonth(year, month)) };
}
