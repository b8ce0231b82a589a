/**
 * Identifiers: ULIDs for what Tallystick names, keys for what its users name.
 *
 * A ULID is 48 bits of milliseconds since the epoch and 80 random bits, in 26 characters of Crockford's base 32, so that ids
 * sort by the time of their creation. One source of ids never repeats itself and never goes back: within a millisecond, or
 * when the clock steps backwards, the next id is the last one plus one. Tallystick writes upper case. The v1 API reads either
 * case, which `parseUlid` brings to upper case; the v3 API reads upper case only.
 */

import type { Clock } from "./clock.ts";

/** That many uniformly distributed bytes from a cryptographic source. */
export type RandomBytes = (count: number) => Uint8Array;

/** Makes a new ULID at every call. */
export type UlidSource = () => string;

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const timeDigits = 10;
const randomDigits = 16;

const ulidPattern = /^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$/;
const upperCaseUlidPattern = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const keyPattern = /^[a-z0-9]+(?:_[a-z0-9]+)*$/;
const maxKeyLength = 64;

/** A source of strictly increasing ULIDs. */
export function createUlidSource(clock: Clock, randomBytes: RandomBytes): UlidSource {
  let lastMillis = -1;
  let digits: number[] = [];
  return () => {
    const millis = Math.floor(clock.now() / 1_000);
    if (millis > lastMillis) {
      lastMillis = millis;
      digits = randomDigitsOf(randomBytes);
    } else if (!increment(digits)) {
      // The random part cannot count further: borrow the next millisecond.
      lastMillis++;
      digits = randomDigitsOf(randomBytes);
    }
    return timeText(lastMillis) + digits.map(digitText).join("");
  };
}

/** Whether the text is a ULID in upper case, the only form that Tallystick writes. */
export function isUlid(text: string): boolean {
  return upperCaseUlidPattern.test(text);
}

/** The upper-case form of a ULID in either case, or null when the text is none. */
export function parseUlid(text: string): string | null {
  return ulidPattern.test(text) ? text.toUpperCase() : null;
}

/** Whether the text is a key or slug: lower-case words of letters and digits joined by single underscores, 1 to 64 long. */
export function isKey(text: string): boolean {
  return text.length <= maxKeyLength && keyPattern.test(text);
}

function timeText(millis: number): string {
  let text = "";
  for (let rest = millis, i = 0; i < timeDigits; i++, rest = Math.floor(rest / 32)) text = digitText(rest % 32) + text;
  return text;
}

function randomDigitsOf(randomBytes: RandomBytes): number[] {
  return Array.from(randomBytes(randomDigits), (byte) => byte & 31);
}

/** Adds one to a number in base 32; false, with the number back at zero, when it was the largest of its length. */
function increment(digits: number[]): boolean {
  for (let i = digits.length - 1; i >= 0; i--) {
    const digit = (digits[i] ?? 0) + 1;
    digits[i] = digit % 32;
    if (digit < 32) return true;
  }
  return false;
}

function digitText(digit: number): string {
  return alphabet.charAt(digit);
}
