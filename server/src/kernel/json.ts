/**
 * JSON read from bytes without building objects: a tape of the values' kinds and byte ranges.
 *
 * Usage events must keep the exact text of their numbers, which `JSON.parse` destroys, and ingest is the hottest path of
 * the product. `JsonTape.parse` validates one JSON value strictly (RFC 8259) and records where each part of it lies;
 * readers then copy the byte ranges they need. The tape's arrays are reused from one value to the next.
 *
 * The bytes must be valid UTF-8: check them once per request, the tape does not.
 */

import { assert } from "./assert.ts";

export const JSON_NULL = 0;
export const JSON_TRUE = 1;
export const JSON_FALSE = 2;
export const JSON_NUMBER = 3;
/** A string without escapes: its byte range is its text. */
export const JSON_STRING = 4;
/** A string with at least one escape: see `unescapeInto`. */
export const JSON_ESCAPED_STRING = 5;
export const JSON_ARRAY = 6;
export const JSON_OBJECT = 7;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** The bytes are not JSON. `position` is the offset of the offending byte. */
export class JsonSyntaxError extends Error {
  override readonly name = "JsonSyntaxError";
  readonly position: number;

  constructor(reason: string, position: number) {
    super(`${reason} at byte ${position}`);
    this.position = position;
  }
}

/** The value is nested deeper than allowed. */
export class JsonDepthError extends Error {
  override readonly name = "JsonDepthError";

  constructor(maxDepth: number) {
    super(`nested deeper than ${maxDepth} levels`);
  }
}

/**
 * Where the parts of one JSON value lie. Entry 0 is the value itself; an array's elements follow it in order; an object's
 * members follow it as key entry, value entry. `next[i]` is the index after entry `i` and everything inside it.
 */
export class JsonTape {
  bytes: Uint8Array = new Uint8Array(0);
  /** Number of entries. */
  length = 0;
  kinds: Uint8Array;
  /** First byte; for strings the one after the quote. */
  starts: Int32Array;
  /** One past the last byte; for strings the closing quote. */
  ends: Int32Array;
  next: Int32Array;
  readonly #maxDepth: number;
  readonly #open: Int32Array;

  /** `maxDepth` counts nested arrays and objects; a scalar has depth 0, `{}` depth 1. */
  constructor(maxDepth: number) {
    assert(maxDepth >= 1, "a JSON tape allows at least one level");
    this.#maxDepth = maxDepth;
    this.#open = new Int32Array(maxDepth);
    this.kinds = new Uint8Array(256);
    this.starts = new Int32Array(256);
    this.ends = new Int32Array(256);
    this.next = new Int32Array(256);
  }

  /**
   * Parses the value that starts at or after `from` (blanks are skipped) and returns the position after it. Throws
   * `JsonSyntaxError` or `JsonDepthError`. Reads no byte at or after `to`.
   */
  parse(bytes: Uint8Array, from: number, to: number): number {
    this.bytes = bytes;
    this.length = 0;
    let depth = 0;
    let pos = from;
    for (;;) {
      pos = skipBlanks(bytes, pos, to);
      const first = pos < to ? bytes[pos] : -1;
      if (first === OPEN_BRACE || first === OPEN_BRACKET) {
        if (depth === this.#maxDepth) throw new JsonDepthError(this.#maxDepth);
        this.#open[depth] = this.#push(first === OPEN_BRACE ? JSON_OBJECT : JSON_ARRAY, pos, 0);
        pos = skipBlanks(bytes, pos + 1, to);
        if (pos < to && bytes[pos] === (first === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET)) {
          pos += 1;
          this.#close(this.#open[depth] ?? 0, pos);
        } else {
          depth += 1;
          if (first === OPEN_BRACE) pos = this.#key(pos, to);
          continue;
        }
      } else if (first === QUOTE) {
        pos = this.#string(pos + 1, to) + 1;
      } else if (first === MINUS || (first !== undefined && first >= ZERO && first <= NINE)) {
        pos = this.#number(pos, to);
      } else {
        pos = this.#literal(pos, to);
      }
      // A value has ended: close what ends with it, or go on to the next element or member.
      for (;;) {
        if (depth === 0) return pos;
        pos = skipBlanks(bytes, pos, to);
        const container = this.#open[depth - 1] ?? 0;
        const isObject = this.kinds[container] === JSON_OBJECT;
        const byte = pos < to ? bytes[pos] : -1;
        if (byte === COMMA) {
          pos = skipBlanks(bytes, pos + 1, to);
          if (isObject) pos = this.#key(pos, to);
          break;
        }
        if (byte !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
          throw unexpected(bytes, pos, to, isObject ? `"," or "}"` : `"," or "]"`);
        }
        pos += 1;
        depth -= 1;
        this.#close(container, pos);
      }
    }
  }

  /** Whether the string entry `index` has exactly these bytes, escapes undone. */
  equals(index: number, text: Uint8Array): boolean {
    const start = this.starts[index] ?? 0;
    const end = this.ends[index] ?? 0;
    if (this.kinds[index] === JSON_ESCAPED_STRING) {
      const decoded = new Uint8Array(end - start);
      const length = unescapeInto(this.bytes, start, end, decoded, 0);
      return length === text.length && text.every((byte, at) => byte === decoded[at]);
    }
    if (end - start !== text.length) return false;
    for (let at = 0; at < text.length; at++) {
      if (this.bytes[start + at] !== text[at]) return false;
    }
    return true;
  }

  #push(kind: number, start: number, end: number): number {
    const index = this.length;
    if (index === this.kinds.length) this.#grow();
    this.kinds[index] = kind;
    this.starts[index] = start;
    this.ends[index] = end;
    this.next[index] = index + 1;
    this.length = index + 1;
    return index;
  }

  #grow(): void {
    const capacity = this.kinds.length * 2;
    const kinds = new Uint8Array(capacity);
    kinds.set(this.kinds);
    this.kinds = kinds;
    const grown = (old: Int32Array): Int32Array => {
      const array = new Int32Array(capacity);
      array.set(old);
      return array;
    };
    this.starts = grown(this.starts);
    this.ends = grown(this.ends);
    this.next = grown(this.next);
  }

  #close(container: number, end: number): void {
    this.ends[container] = end;
    this.next[container] = this.length;
  }

  /** Reads `"key" :` and returns the position after the colon. */
  #key(pos: number, to: number): number {
    if (pos >= to || this.bytes[pos] !== QUOTE)
      throw unexpected(this.bytes, pos, to, "a property name in double quotes");
    const after = skipBlanks(this.bytes, this.#string(pos + 1, to) + 1, to);
    if (after >= to || this.bytes[after] !== COLON) throw unexpected(this.bytes, after, to, `":"`);
    return after + 1;
  }

  /** Reads a string whose first byte after the quote is at `start`; returns the position of the closing quote. */
  #string(start: number, to: number): number {
    const bytes = this.bytes;
    let pos = start;
    let kind = JSON_STRING;
    while (pos < to) {
      const byte = bytes[pos] ?? 0;
      if (byte === QUOTE) {
        this.#push(kind, start, pos);
        return pos;
      }
      if (byte === BACKSLASH) {
        kind = JSON_ESCAPED_STRING;
        pos = skipEscape(bytes, pos, to);
      } else if (byte < 0x20) {
        throw new JsonSyntaxError("control characters in strings must be escaped", pos);
      } else {
        pos += 1;
      }
    }
    throw new JsonSyntaxError("the string is not closed", start - 1);
  }

  #number(start: number, to: number): number {
    const bytes = this.bytes;
    let pos = start;
    if (bytes[pos] === MINUS) pos += 1;
    const integer = pos;
    pos = skipDigits(bytes, pos, to);
    if (pos === integer) throw unexpected(bytes, pos, to, "a digit");
    if (bytes[integer] === ZERO && pos > integer + 1) {
      throw new JsonSyntaxError("numbers must not have leading zeros", integer);
    }
    if (pos < to && bytes[pos] === DOT) {
      const fraction = pos + 1;
      pos = skipDigits(bytes, fraction, to);
      if (pos === fraction) throw unexpected(bytes, pos, to, "a digit");
    }
    // 0x20 turns `E` into `e`.
    if (pos < to && ((bytes[pos] ?? 0) | 0x20) === 0x65) {
      pos += 1;
      if (pos < to && (bytes[pos] === PLUS || bytes[pos] === MINUS)) pos += 1;
      const exponent = pos;
      pos = skipDigits(bytes, exponent, to);
      if (pos === exponent) throw unexpected(bytes, pos, to, "a digit");
    }
    this.#push(JSON_NUMBER, start, pos);
    return pos;
  }

  #literal(pos: number, to: number): number {
    for (const [text, kind] of LITERALS) {
      if (pos + text.length <= to && text.every((byte, at) => this.bytes[pos + at] === byte)) {
        this.#push(kind, pos, pos + text.length);
        return pos + text.length;
      }
    }
    throw unexpected(this.bytes, pos, to, "a JSON value");
  }
}

const LITERALS: readonly (readonly [readonly number[], number])[] = [
  [[0x6e, 0x75, 0x6c, 0x6c], JSON_NULL],
  [[0x74, 0x72, 0x75, 0x65], JSON_TRUE],
  [[0x66, 0x61, 0x6c, 0x73, 0x65], JSON_FALSE],
];

/** Position of the first byte at or after `pos` that is not a blank. */
export function skipBlanks(bytes: Uint8Array, pos: number, to: number): number {
  let at = pos;
  while (at < to) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    at += 1;
  }
  return at;
}

/**
 * Writes the text of an escaped string as UTF-8 and returns the position after it. `out` needs `end - start` bytes of
 * room: unescaping never lengthens. Lone surrogates have no UTF-8 form and become U+FFFD.
 */
export function unescapeInto(bytes: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
  let pos = start;
  let to = at;
  while (pos < end) {
    const byte = bytes[pos] ?? 0;
    if (byte !== BACKSLASH) {
      out[to++] = byte;
      pos += 1;
      continue;
    }
    const escape = bytes[pos + 1] ?? 0;
    if (escape !== 0x75) {
      out[to++] = SIMPLE_ESCAPES.get(escape) ?? escape;
      pos += 2;
      continue;
    }
    let code = hex4(bytes, pos + 2);
    pos += 6;
    if (code >= 0xd800 && code <= 0xdfff) {
      const low = bytes[pos] === BACKSLASH && bytes[pos + 1] === 0x75 && pos + 6 <= end ? hex4(bytes, pos + 2) : 0;
      if (code <= 0xdbff && low >= 0xdc00 && low <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        pos += 6;
      } else {
        code = 0xfffd;
      }
    }
    to = writeCodePoint(code, out, to);
  }
  return to;
}

const SIMPLE_ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

function writeCodePoint(code: number, out: Uint8Array, at: number): number {
  let to = at;
  if (code < 0x80) {
    out[to++] = code;
  } else if (code < 0x800) {
    out[to++] = 0xc0 | (code >> 6);
    out[to++] = 0x80 | (code & 0x3f);
  } else if (code < 0x10000) {
    out[to++] = 0xe0 | (code >> 12);
    out[to++] = 0x80 | ((code >> 6) & 0x3f);
    out[to++] = 0x80 | (code & 0x3f);
  } else {
    out[to++] = 0xf0 | (code >> 18);
    out[to++] = 0x80 | ((code >> 12) & 0x3f);
    out[to++] = 0x80 | ((code >> 6) & 0x3f);
    out[to++] = 0x80 | (code & 0x3f);
  }
  return to;
}

/** Validates the escape whose backslash is at `pos` and returns the position after it. */
function skipEscape(bytes: Uint8Array, pos: number, to: number): number {
  const escape = pos + 1 < to ? (bytes[pos + 1] ?? 0) : 0;
  if (escape === 0x75) {
    for (let at = pos + 2; at < pos + 6; at++) {
      if (at >= to || hexDigit(bytes[at] ?? 0) < 0) throw new JsonSyntaxError("\\u needs four hexadecimal digits", pos);
    }
    return pos + 6;
  }
  if (escape === QUOTE || escape === BACKSLASH || escape === 0x2f || SIMPLE_ESCAPES.has(escape)) return pos + 2;
  throw new JsonSyntaxError("unknown escape in a string", pos);
}

function hexDigit(byte: number): number {
  if (byte >= ZERO && byte <= NINE) return byte - ZERO;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function hex4(bytes: Uint8Array, at: number): number {
  let code = 0;
  for (let i = at; i < at + 4; i++) code = code * 16 + hexDigit(bytes[i] ?? 0);
  return code;
}

function skipDigits(bytes: Uint8Array, pos: number, to: number): number {
  let at = pos;
  while (at < to) {
    const byte = bytes[at] ?? 0;
    if (byte < ZERO || byte > NINE) break;
    at += 1;
  }
  return at;
}

function unexpected(bytes: Uint8Array, pos: number, to: number, expected: string): JsonSyntaxError {
  if (pos >= to) return new JsonSyntaxError(`expected ${expected}, but the text ends`, pos);
  const byte = bytes[pos] ?? 0;
  const found = byte > 0x20 && byte < 0x7f ? JSON.stringify(String.fromCharCode(byte)) : `byte 0x${byte.toString(16)}`;
  return new JsonSyntaxError(`expected ${expected}, found ${found}`, pos);
}
