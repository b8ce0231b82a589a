/**
 * A meter's paths over an event that was just parsed, without building its objects: the rules of `resolvePath`, on the tape.
 */

import { type JsonPath, type PathStep, tapeText } from "../../engines/event-store/index.ts";
import {
  JSON_ARRAY,
  JSON_ESCAPED_STRING,
  JSON_FALSE,
  JSON_NULL,
  JSON_NUMBER,
  JSON_OBJECT,
  JSON_STRING,
  JSON_TRUE,
  type JsonTape,
} from "../../kernel/json.ts";
import { canonicalNumberText, fixedPointText, isCanonicalNumber } from "../../kernel/number-text.ts";
import { VALUE_INTEGER_DIGITS, VALUE_SCALE } from "../../engines/event-store/index.ts";

/** What a path without a value yields. */
const MISSING = -1;

/** A path with its names as bytes, as the tape compares them. */
export class TapePath {
  readonly #steps: readonly (PathStep & { readonly bytes: Uint8Array })[];

  constructor(path: JsonPath) {
    this.#steps = path.steps.map((step) => ({ ...step, bytes: Buffer.from(step.kind === "name" ? step.name : "") }));
  }

  /** The canonical text of a string, number or boolean, which group-by, filters and UNIQUE_COUNT see; null for others. */
  text(tape: JsonTape): string | null {
    const index = this.#resolve(tape, 0, 0);
    switch (index === MISSING ? JSON_NULL : tape.kinds[index]) {
      case JSON_STRING:
      case JSON_ESCAPED_STRING:
      case JSON_TRUE:
      case JSON_FALSE:
        return tapeText(tape, index);
      case JSON_NUMBER: {
        const token = tapeText(tape, index);
        return isCanonicalNumber(tape.bytes, tape.starts[index] ?? 0, tape.ends[index] ?? 0)
          ? token
          : (canonicalNumberText(token) ?? token);
      }
      default:
        return null;
    }
  }

  /** Whether the value is a JSON null, whose text in filters is `null` although it does not exist. */
  isNull(tape: JsonTape): boolean {
    const index = this.#resolve(tape, 0, 0);
    return index !== MISSING && tape.kinds[index] === JSON_NULL;
  }

  /** The numeric value as canonical text, rounded to what the event store keeps; null for what is no number or too large. */
  number(tape: JsonTape): string | null {
    const index = this.#resolve(tape, 0, 0);
    if (index === MISSING) return null;
    const start = tape.starts[index] ?? 0;
    const end = tape.ends[index] ?? 0;
    switch (tape.kinds[index]) {
      case JSON_NUMBER:
        // Any token that short has few enough digits on both sides of its point.
        if (end - start <= VALUE_SCALE && isCanonicalNumber(tape.bytes, start, end)) return tapeText(tape, index);
        return fixedPointText(tapeText(tape, index), VALUE_SCALE, VALUE_INTEGER_DIGITS);
      case JSON_STRING:
      case JSON_ESCAPED_STRING:
        return fixedPointText(tapeText(tape, index), VALUE_SCALE, VALUE_INTEGER_DIGITS);
      default:
        return null;
    }
  }

  /** Whether `text` finds one, without making it. */
  hasText(tape: JsonTape): boolean {
    const index = this.#resolve(tape, 0, 0);
    switch (index === MISSING ? JSON_NULL : tape.kinds[index]) {
      case JSON_STRING:
      case JSON_ESCAPED_STRING:
      case JSON_TRUE:
      case JSON_FALSE:
      case JSON_NUMBER:
        return true;
      default:
        return false;
    }
  }

  /** Whether `number` finds one, which for nearly all of them is told without making it. */
  hasNumber(tape: JsonTape): boolean {
    const index = this.#resolve(tape, 0, 0);
    if (index === MISSING) return false;
    const start = tape.starts[index] ?? 0;
    const end = tape.ends[index] ?? 0;
    switch (tape.kinds[index]) {
      case JSON_NUMBER:
      case JSON_STRING:
      case JSON_ESCAPED_STRING:
        if (isShortDecimal(tape.bytes, start, end)) return true;
        // A meter over a property that is a text fails for every event.
        if (tape.kinds[index] === JSON_STRING && !mayBeginNumber(tape.bytes[start] ?? 0)) return false;
        return fixedPointText(tapeText(tape, index), VALUE_SCALE, VALUE_INTEGER_DIGITS) !== null;
      default:
        return false;
    }
  }

  /** The first scalar that the steps from `depth` on reach, else the first object or array. */
  #resolve(tape: JsonTape, depth: number, index: number): number {
    const step = this.#steps[depth];
    if (step === undefined) return index;
    if (step.kind === "name") {
      const member = memberNamed(tape, index, step.bytes);
      return member === MISSING ? MISSING : this.#resolve(tape, depth + 1, member);
    }
    let complex = MISSING;
    for (const element of elementsOf(tape, index, step)) {
      const found = this.#resolve(tape, depth + 1, element);
      if (found === MISSING) continue;
      if (tape.kinds[found] !== JSON_ARRAY && tape.kinds[found] !== JSON_OBJECT) return found;
      if (complex === MISSING) complex = found;
    }
    return complex;
  }
}

/** Whether a text that begins with this byte can be a number: a digit, a sign or a point. */
function mayBeginNumber(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2b || byte === 0x2d || byte === 0x2e;
}

/** Whether the bytes are digits, with perhaps a sign before and a point among them, and too few to be out of range. */
function isShortDecimal(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > VALUE_SCALE) return false;
  const sign = bytes[start];
  let points = 0;
  const first = sign === 0x2d || sign === 0x2b ? start + 1 : start;
  for (let at = first; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0x2e) points += 1;
    else if (byte < 0x30 || byte > 0x39) return false;
  }
  return points <= 1 && end - first > points;
}

/** The value of the last member of that name. */
function memberNamed(tape: JsonTape, object: number, name: Uint8Array): number {
  if (tape.kinds[object] !== JSON_OBJECT) return MISSING;
  const end = tape.next[object] ?? 0;
  let found = MISSING;
  for (let key = object + 1; key < end; key = tape.next[key + 1] ?? end) {
    if (tape.equals(key, name)) found = key + 1;
  }
  return found;
}

/** The elements of the array that a step lists, in the order in which they are tried. */
function elementsOf(tape: JsonTape, array: number, step: PathStep): readonly number[] {
  if (tape.kinds[array] !== JSON_ARRAY) return [];
  const elements: number[] = [];
  const end = tape.next[array] ?? 0;
  for (let element = array + 1; element < end; element = tape.next[element] ?? end) elements.push(element);
  switch (step.kind) {
    case "indexes":
      return step.indexes.flatMap((index) => elements.slice(index, index + 1));
    case "range":
      return elements.slice(step.from, step.to + 1);
    default:
      return elements;
  }
}
