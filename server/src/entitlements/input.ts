/**
 * What clients send, checked beyond the shape of its fields: every rule adds to one list of errors, so that a refused request
 * names all of them. And intervals, of usage periods and of grants' recurrences, as clients write them: a calendar unit or an
 * ISO 8601 duration, whose text is kept, because it is answered as it was sent.
 */

import { isStorableText } from "../engines/state-store/index.ts";
import { type Duration, formatDuration, parseDuration, zeroDuration } from "../kernel/duration.ts";
import { Fault, type FieldError } from "../kernel/fault.ts";
import { type Instant, instantTextError, parseInstant } from "../kernel/instant.ts";
import { isEngineInterval } from "./engine/index.ts";

export interface Interval {
  /** As it was sent: `MONTH`, `P1M`. */
  readonly text: string;
  readonly duration: Duration;
}

const UNITS: ReadonlyMap<string, Duration> = new Map([
  ["DAY", { ...zeroDuration, days: 1 }],
  ["WEEK", { ...zeroDuration, weeks: 1 }],
  ["MONTH", { ...zeroDuration, months: 1 }],
  ["YEAR", { ...zeroDuration, years: 1 }],
]);

/** What an interval must be, as the end of a sentence that begins with the field's name. */
const INTERVAL_RULE =
  "must be DAY, WEEK, MONTH, YEAR or an ISO 8601 duration of whole minutes without fractions, such as P2W or PT12H";

/** The interval of a text; null when it is none, or not a positive number of whole minutes. */
export function parseInterval(text: string): Interval | null {
  const duration = UNITS.get(text) ?? parseDuration(text);
  return duration !== null && isEngineInterval(duration) ? { text, duration } : null;
}

/** Whether the interval, which is positive, is an hour or longer. */
export function isAtLeastAnHour({ duration }: Interval): boolean {
  const { years, months, weeks, days, hours, minutes, seconds } = duration;
  return years + months + weeks + days > 0 || hours * 60 + minutes + seconds / 60 >= 60;
}

/** The interval as an ISO 8601 duration. */
export function isoText({ duration }: Interval): string {
  return formatDuration(duration);
}

/** Levels of objects and arrays in annotations; the state store refuses JSON that nests without bounds. */
const MAX_DEPTH = 32;

/** Collects what is wrong with an input. */
export class InputErrors {
  readonly #errors: FieldError[] = [];

  add(code: string, message: string, field: string): void {
    this.#errors.push({ code, message, field });
  }

  /** The instant of a text; null, and an error, when it is none. `field` is a JSONPath, such as `$.effectiveAt`. */
  instant(text: string, field: string): Instant | null {
    const instant = parseInstant(text);
    if (instant === null) this.add("invalid_time", `${nameOf(field)} ${instantTextError(text)}`, field);
    return instant;
  }

  /** The interval of a text; null, and an error, when it is none. */
  interval(text: string, field: string): Interval | null {
    const interval = parseInterval(text);
    if (interval === null) {
      this.add("invalid_interval", `${nameOf(field)} ${INTERVAL_RULE}, not ${JSON.stringify(text)}`, field);
    }
    return interval;
  }

  /** Refuses JSON that the state store cannot hold. Walks level by level, so that deep nesting does not exhaust the stack. */
  storable(value: unknown, field: string): void {
    let level: readonly unknown[] = [value];
    for (let depth = 0; depth <= MAX_DEPTH; depth += 1) {
      if (!level.flatMap(textsOf).every(isStorableText)) {
        this.add("invalid_text", `${nameOf(field)} must not contain the NUL character or half a surrogate pair`, field);
        return;
      }
      level = level.flatMap((each) => (isContainer(each) ? Object.values(each) : []));
      if (level.length === 0) return;
    }
    this.add("too_deep", `${nameOf(field)} must not nest more than ${MAX_DEPTH} levels deep`, field);
  }

  /** Throws the fault that names all errors, if there are any. */
  throwIfAny(code: string): void {
    const [first] = this.#errors;
    if (first === undefined) return;
    const message = this.#errors.map((error) => error.message).join("; ");
    throw new Fault("validation", this.#errors.length === 1 ? first.code : code, message, { fields: this.#errors });
  }
}

/** A fault of one field. */
export function fieldFault(code: string, message: string, field: string): Fault {
  return new Fault("validation", code, message, { fields: [{ code, message, field }] });
}

function nameOf(field: string): string {
  return `"${field.replace(/^\$\.?/, "")}"`;
}

function textsOf(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return isContainer(value) && !Array.isArray(value) ? Object.keys(value) : [];
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
