/**
 * Instants: points on the UTC time line with microsecond resolution.
 *
 * An `Instant` is a number of microseconds since 1970-01-01T00:00:00Z. Every instant that Tallystick handles lies before
 * the year 2255, where a microsecond count stops being a safe integer, so arithmetic on instants is exact. The brand keeps
 * milliseconds and plain counts from being mistaken for instants.
 *
 * Text is RFC 3339 in both directions, read and written here without Temporal or regular expressions: every ingested event
 * passes through `parseInstant`. `parseInstant(formatInstant(i)) === i` for every instant.
 */

import { assert } from "./assert.ts";
import { civilFromDays, daysFromCivil, daysInMonth, microsPerDay, microsPerMinute, microsPerSecond } from "./civil.ts";
import { Fault } from "./fault.ts";

declare const instantBrand: unique symbol;

/** Microseconds since the Unix epoch, a safe integer. */
export type Instant = number & { readonly [instantBrand]: "Instant" };

/** The first instant, in the year 1684. */
export const minInstant = instantFromMicros(Number.MIN_SAFE_INTEGER);
/** The last instant, in the year 2255. */
export const maxInstant = instantFromMicros(Number.MAX_SAFE_INTEGER);

/** Takes a count of microseconds since the epoch as an instant. */
export function instantFromMicros(micros: number): Instant {
  return micros as Instant;
}

/**
 * The instant of a computed count of microseconds. Throws the `Fault` `instant_out_of_range` outside the years 1684 to
 * 2255, because a request can ask for such an instant (a duration of a thousand years) without being malformed.
 */
export function instantInRange(micros: number): Instant {
  if (!Number.isSafeInteger(micros)) {
    throw new Fault("validation", "instant_out_of_range", "The time must lie between the years 1684 and 2255.");
  }
  return instantFromMicros(micros);
}

/** The instant of a whole number of milliseconds since the epoch, such as `Date.now()`. */
export function instantFromMillis(millis: number): Instant {
  const micros = millis * 1_000;
  assert(Number.isSafeInteger(micros), "milliseconds since the epoch are whole and lie before the year 2255");
  return instantFromMicros(micros);
}

/** The instant of a Temporal value, floored to the microsecond. */
export function instantFromTemporal(value: Temporal.Instant): Instant {
  const nanos = value.epochNanoseconds;
  const remainder = ((nanos % 1_000n) + 1_000n) % 1_000n;
  return instantInRange(Number((nanos - remainder) / 1_000n));
}

export function instantToTemporal(instant: Instant): Temporal.Instant {
  return Temporal.Instant.fromEpochNanoseconds(BigInt(instant) * 1_000n);
}

/** The instant `micros` microseconds later; the `Fault` `instant_out_of_range` beyond the range of instants. */
export function plusMicros(instant: Instant, micros: number): Instant {
  return instantInRange(instant + micros);
}

/** Orders instants by time, for `sort`. */
export function compareInstants(a: Instant, b: Instant): number {
  return a - b;
}

export function earlierInstant(a: Instant, b: Instant): Instant {
  return a <= b ? a : b;
}

export function laterInstant(a: Instant, b: Instant): Instant {
  return a >= b ? a : b;
}

const DOT = 0x2e;
const MINUS = 0x2d;
const PLUS = 0x2b;
const COLON = 0x3a;
const LETTER_T = 0x54;
const LETTER_Z = 0x5a;

/** A fraction finer than a nanosecond is refused. */
const maxFractionDigits = 9;

/**
 * The instant of an RFC 3339 text `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`, the fraction of one to nine digits floored to
 * microseconds; null for any other text, for a date or time that does not exist (second 60 included), for lower-case `t`
 * and `z`, and outside the range of instants.
 */
export function parseInstant(text: string): Instant | null {
  const micros = parseMicros(text);
  return micros !== null && Number.isSafeInteger(micros) ? instantFromMicros(micros) : null;
}

/** What is wrong with a text that `parseInstant` refuses, as the end of a sentence that begins with the field's name. */
export function instantTextError(text: string): string {
  if (parseMicros(text) === null) {
    return `must be an RFC 3339 date-time with offset, such as 2026-01-31T00:00:00Z, not ${JSON.stringify(text)}`;
  }
  return `is out of range: it must lie in the years 1685 to 2254, not ${text}; leave a bound out for no limit`;
}

/** Microseconds since the epoch, exact only within the range of instants. */
function parseMicros(text: string): number | null {
  const century = twoDigits(text, 0);
  const yearOfCentury = twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const hour = twoDigits(text, 11);
  const minute = twoDigits(text, 14);
  const second = twoDigits(text, 17);
  if (
    text.charCodeAt(4) !== MINUS ||
    text.charCodeAt(7) !== MINUS ||
    text.charCodeAt(10) !== LETTER_T ||
    text.charCodeAt(13) !== COLON ||
    text.charCodeAt(16) !== COLON
  ) {
    return null;
  }
  if (century < 0 || yearOfCentury < 0 || month < 1 || month > 12) return null;
  const year = century * 100 + yearOfCentury;
  if (day < 1 || day > daysInMonth(year, month)) return null;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return null;

  let at = 19;
  let fractionMicros = 0;
  if (text.charCodeAt(at) === DOT) {
    const end = endOfDigits(text, at + 1);
    const digits = end - at - 1;
    if (digits === 0 || digits > maxFractionDigits) return null;
    fractionMicros = microsOfFraction(text, at + 1, end);
    at = end;
  }
  const offsetMinutes = parseOffset(text, at);
  if (offsetMinutes === null) return null;

  const minutes = hour * 60 + minute - offsetMinutes;
  return (
    daysFromCivil(year, month, day) * microsPerDay +
    minutes * microsPerMinute +
    second * microsPerSecond +
    fractionMicros
  );
}

/** RFC 3339 in UTC with `Z`; a fraction only when it is not zero, without trailing zeros: `2024-01-01T00:00:00.5Z`. */
export function formatInstant(instant: Instant): string {
  const days = Math.floor(instant / microsPerDay);
  const ofDay = instant - days * microsPerDay;
  const { year, month, day } = civilFromDays(days);
  const seconds = Math.floor(ofDay / microsPerSecond);
  const micros = ofDay - seconds * microsPerSecond;
  const minutes = Math.floor(seconds / 60);
  const date = `${year}-${pad(month)}-${pad(day)}`;
  const time = `${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}:${pad(seconds % 60)}`;
  return `${date}T${time}${micros === 0 ? "" : formatFraction(micros)}Z`;
}

/** The value of two decimal digits at `at`, or -1. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48;
  const ones = text.charCodeAt(at + 1) - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

function endOfDigits(text: string, start: number): number {
  let at = start;
  while (text.charCodeAt(at) >= 48 && text.charCodeAt(at) <= 57) at++;
  return at;
}

function microsOfFraction(text: string, start: number, end: number): number {
  let micros = 0;
  for (let i = 0; i < 6; i++) {
    micros = micros * 10 + (start + i < end ? text.charCodeAt(start + i) - 48 : 0);
  }
  return micros;
}

/** Minutes east of UTC of the `Z` or `±HH:MM` that takes up the rest of the text, or null. */
function parseOffset(text: string, at: number): number | null {
  const sign = text.charCodeAt(at);
  if (sign === LETTER_Z) return text.length === at + 1 ? 0 : null;
  if ((sign !== PLUS && sign !== MINUS) || text.length !== at + 6 || text.charCodeAt(at + 3) !== COLON) return null;
  const hours = twoDigits(text, at + 1);
  const minutes = twoDigits(text, at + 4);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return null;
  return sign === MINUS ? -(hours * 60 + minutes) : hours * 60 + minutes;
}

function pad(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}

/** The dot and the digits of a count of microseconds between 1 and 999999. */
function formatFraction(micros: number): string {
  const digits = String(micros).padStart(6, "0");
  let end = 6;
  while (digits.charCodeAt(end - 1) === 48) end--;
  return `.${digits.slice(0, end)}`;
}
