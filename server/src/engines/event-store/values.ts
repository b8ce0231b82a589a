/**
 * `vals`: the queryable form of an event's `data` (`metering.md` section 7).
 *
 * ClickHouse's JSON functions read numbers as doubles and reject whole documents that hold an integer beyond 2^64, so the
 * sink derives from `data` a map that needs no number parsing: **top-level property name -> tagged text**. The first
 * character of a tagged text says what the rest is:
 *
 *     #<text>           number token; <text> is its canonical text and, read as a decimal, exactly its numeric value
 *     =<text>           string that is a plain decimal; <text> is the string and, read as a decimal, its numeric value
 *     ~<value>|<text>   number or numeric string whose numeric value needs another spelling than its canonical text
 *                       (exponents, `+`, more than 24 fractional digits: <value> is rounded half away from zero)
 *     "<text>           any other string, including numbers out of range
 *     ttrue  ffalse     booleans
 *     znull             null
 *     {...}  [...]      object or array: JSON text in which every scalar is a JSON string holding its tagged text
 *
 * A missing property has no entry, which SQL sees as the empty string. <value> always matches
 * `^-?[0-9]{1,38}(\.[0-9]{1,24})?$`, so `toDecimal256(<value>, 24)` is exact. The canonical text of `#`, `=`, `"`, `t`, `f`
 * and `z` is everything after the tag; that of `~` is everything after the first `|`. Duplicate names keep the last value.
 * Lone surrogates (not representable in UTF-8) become U+FFFD.
 *
 * Examples: `12.50` -> `#12.5`, `"12.50"` -> `=12.50`, `1e3` -> `#1000`, `"1e3"` -> `~1000|1e3`, `"+1"` -> `~1|+1`,
 * `"x"` -> `"x`, `{"a":[1,"x",null]}` -> `{"a":["#1","\"x","znull"]}`.
 */

import type { ByteBuffer } from "../../kernel/byte-buffer.ts";
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

/** Fractional digits kept of an event value (`VALUE_SCALE`). */
export const VALUE_SCALE = 24;
/** Integer digits a value may have: |v| < 10^38 (`VALUE_LIMIT`). */
export const VALUE_INTEGER_DIGITS = 38;

/** A numeric string that `toDecimal256(text, 24)` reads exactly. */
const PLAIN_DECIMAL = /^-?[0-9]{1,38}(?:\.[0-9]{1,24})?$/;

/** Above this many members a hash map finds duplicate names faster than comparing all pairs. */
const PAIRWISE_MEMBERS = 16;

const QUOTE = 0x22;

/**
 * Key entries of the object at `index` of the tape, in order, without those whose name comes again later in the object.
 */
export function distinctKeys(tape: JsonTape, index: number): number[] {
  const keys: number[] = [];
  const end = tape.next[index] ?? 0;
  let hasEscapes = false;
  for (let key = index + 1; key < end; key = tape.next[key + 1] ?? end) {
    keys.push(key);
    if (tape.kinds[key] === JSON_ESCAPED_STRING) hasEscapes = true;
  }
  if (keys.length < 2) return keys;
  if (!hasEscapes && keys.length <= PAIRWISE_MEMBERS) return withoutRepeats(tape, keys);
  const last = new Map<string, number>();
  for (const key of keys) last.set(tapeText(tape, key), key);
  return last.size === keys.length ? keys : keys.filter((key) => last.get(tapeText(tape, key)) === key);
}

/** The text of the string or the token of the number or literal at `index`. */
export function tapeText(tape: JsonTape, index: number): string {
  const start = tape.starts[index] ?? 0;
  const end = tape.ends[index] ?? 0;
  const text = utf8Text(tape.bytes, start, end);
  if (tape.kinds[index] !== JSON_ESCAPED_STRING) return text;
  const decoded: unknown = JSON.parse(`"${text}"`);
  return String(decoded).toWellFormed();
}

/**
 * Appends the tagged text of the value at `index` of the tape, without a length. `out` receives UTF-8.
 */
export function writeTaggedText(tape: JsonTape, index: number, out: ByteBuffer): void {
  const start = tape.starts[index] ?? 0;
  const end = tape.ends[index] ?? 0;
  switch (tape.kinds[index]) {
    case JSON_NUMBER:
      if (isPlainNumber(tape.bytes, start, end)) {
        out.byte(0x23);
        out.copy(tape.bytes, start, end);
      } else {
        out.ascii(taggedNumber(utf8Text(tape.bytes, start, end)));
      }
      return;
    case JSON_STRING:
      if (mayBeNumeric(tape.bytes[start] ?? 0)) {
        writeText(taggedString(utf8Text(tape.bytes, start, end)), out);
      } else {
        out.byte(QUOTE);
        out.copy(tape.bytes, start, end);
      }
      return;
    case JSON_ESCAPED_STRING:
      return writeText(taggedString(tapeText(tape, index)), out);
    case JSON_TRUE:
      return out.ascii("ttrue");
    case JSON_FALSE:
      return out.ascii("ffalse");
    case JSON_NULL:
      return out.ascii("znull");
    default:
      return writeNested(tape, index, out);
  }
}

/** Appends an array or object as JSON text whose scalars are strings holding their tagged text. */
function writeNested(tape: JsonTape, index: number, out: ByteBuffer): void {
  const isObject = tape.kinds[index] === JSON_OBJECT;
  out.byte(isObject ? 0x7b : 0x5b);
  if (isObject) {
    distinctKeys(tape, index).forEach((key, position) => {
      if (position > 0) out.byte(0x2c);
      writeJsonString("", tape, key, out);
      out.byte(0x3a);
      writeNestedValue(tape, key + 1, out);
    });
  } else {
    const end = tape.next[index] ?? 0;
    for (let element = index + 1; element < end; element = tape.next[element] ?? end) {
      if (element > index + 1) out.byte(0x2c);
      writeNestedValue(tape, element, out);
    }
  }
  out.byte(isObject ? 0x7d : 0x5d);
}

function writeNestedValue(tape: JsonTape, index: number, out: ByteBuffer): void {
  const kind = tape.kinds[index];
  if (kind === JSON_OBJECT || kind === JSON_ARRAY) return writeNested(tape, index, out);
  if (kind === JSON_STRING && !mayBeNumeric(tape.bytes[tape.starts[index] ?? 0] ?? 0)) {
    return writeJsonString('\\"', tape, index, out);
  }
  if (kind === JSON_STRING || kind === JSON_ESCAPED_STRING) {
    return writeText(JSON.stringify(taggedString(tapeText(tape, index))), out);
  }
  if (kind === JSON_NUMBER && !isPlainNumber(tape.bytes, tape.starts[index] ?? 0, tape.ends[index] ?? 0)) {
    return out.ascii(JSON.stringify(taggedNumber(tapeText(tape, index))));
  }
  out.byte(QUOTE);
  writeTaggedText(tape, index, out);
  out.byte(QUOTE);
}

/** Appends a JSON string: the escaped prefix, then the string entry's text. */
function writeJsonString(prefix: string, tape: JsonTape, index: number, out: ByteBuffer): void {
  // Escapes are rewritten because a lone surrogate's escape would make the reader reject the whole document.
  if (tape.kinds[index] === JSON_ESCAPED_STRING) return writeText(JSON.stringify(tapeText(tape, index)), out);
  out.byte(QUOTE);
  out.ascii(prefix);
  out.copy(tape.bytes, tape.starts[index] ?? 0, tape.ends[index] ?? 0);
  out.byte(QUOTE);
}

/** Whether the number token is its own canonical text and within the range that needs no rewriting. */
function isPlainNumber(bytes: Uint8Array, start: number, end: number): boolean {
  if (!isCanonicalNumber(bytes, start, end)) return false;
  // Any token that short has few enough digits on both sides of its point.
  if (end - start <= VALUE_SCALE) return true;
  const first = bytes[start] === 0x2d ? start + 1 : start;
  const found = bytes.subarray(first, end).indexOf(0x2e);
  const integerDigits = found < 0 ? end - first : found;
  return integerDigits <= VALUE_INTEGER_DIGITS && end - first - integerDigits - 1 <= VALUE_SCALE;
}

function taggedNumber(token: string): string {
  const text = canonicalNumberText(token) ?? token;
  const value = fixedPointText(token, VALUE_SCALE, VALUE_INTEGER_DIGITS);
  if (value === null) return `"${text}`;
  return value === text ? `#${text}` : `~${value}|${text}`;
}

function taggedString(text: string): string {
  if (PLAIN_DECIMAL.test(text)) return `=${text}`;
  const value = fixedPointText(text, VALUE_SCALE, VALUE_INTEGER_DIGITS);
  return value === null ? `"${text}` : `~${value}|${text}`;
}

/** Whether a string with this first byte can be a number: a digit, a sign or a point. */
function mayBeNumeric(first: number): boolean {
  return (first >= 0x30 && first <= 0x39) || first === 0x2b || first === 0x2d || first === 0x2e;
}

function withoutRepeats(tape: JsonTape, keys: number[]): number[] {
  const isRepeated = (key: number, later: number): boolean => {
    const start = tape.starts[key] ?? 0;
    const other = tape.starts[later] ?? 0;
    const length = (tape.ends[key] ?? 0) - start;
    if ((tape.ends[later] ?? 0) - other !== length) return false;
    for (let at = 0; at < length; at++) {
      if (tape.bytes[start + at] !== tape.bytes[other + at]) return false;
    }
    return true;
  };
  for (let i = 0; i < keys.length; i++) {
    for (let j = i + 1; j < keys.length; j++) {
      if (isRepeated(keys[i] ?? 0, keys[j] ?? 0)) {
        return keys.filter((key, at) => !keys.slice(at + 1).some((later) => isRepeated(key, later)));
      }
    }
  }
  return keys;
}

function utf8Text(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
}

function writeText(text: string, out: ByteBuffer): void {
  const bytes = Buffer.from(text, "utf8");
  out.copy(bytes, 0, bytes.length);
}
