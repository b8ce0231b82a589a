/**
 * Instants: points on the UTC time line with microsecond resolution.
 *
 * An `Instant` is a number of microseconds since 1970-01-01T00:00:00Z. Every instant that Tallystick handles lies before
 * the year 2255, where a microsecond count stops being a safe integer, so arithmetic on instants is exact. The brand keeps
 * milliseconds and plain counts from being mistaken for instants.
 */

declare const instantBrand: unique symbol;

/** Microseconds since the Unix epoch, a safe integer. */
export type Instant = number & { readonly [instantBrand]: "Instant" };

/** Takes a count of microseconds since the epoch as an instant. */
export function instantFromMicros(micros: number): Instant {
  return micros as Instant;
}
