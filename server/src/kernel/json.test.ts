/** The tape against `JSON.parse`: the same texts are accepted, and the tape's parts are the parsed value. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  JSON_ARRAY,
  JSON_ESCAPED_STRING,
  JSON_FALSE,
  JSON_NULL,
  JSON_NUMBER,
  JSON_OBJECT,
  JSON_STRING,
  JSON_TRUE,
  JsonDepthError,
  JsonSyntaxError,
  JsonTape,
  skipBlanks,
  unescapeInto,
} from "./json.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function textOf(tape: JsonTape, index: number): string {
  const [start, end] = [tape.starts[index] ?? 0, tape.ends[index] ?? 0];
  if (tape.kinds[index] === JSON_STRING) return decoder.decode(tape.bytes.subarray(start, end));
  const out = new Uint8Array(end - start);
  return decoder.decode(out.subarray(0, unescapeInto(tape.bytes, start, end, out, 0)));
}

/** Rebuilds the value from the tape. */
function valueOf(tape: JsonTape, index: number): unknown {
  switch (tape.kinds[index]) {
    case JSON_NULL:
      return null;
    case JSON_TRUE:
      return true;
    case JSON_FALSE:
      return false;
    case JSON_NUMBER:
      return Number(decoder.decode(tape.bytes.subarray(tape.starts[index], tape.ends[index])));
    case JSON_STRING:
    case JSON_ESCAPED_STRING:
      return textOf(tape, index);
    case JSON_ARRAY: {
      const items: unknown[] = [];
      for (let i = index + 1; i < (tape.next[index] ?? 0); i = tape.next[i] ?? 0) items.push(valueOf(tape, i));
      return items;
    }
    case JSON_OBJECT: {
      const members: [string, unknown][] = [];
      for (let i = index + 1; i < (tape.next[index] ?? 0); i = tape.next[i + 1] ?? 0) {
        members.push([textOf(tape, i), valueOf(tape, i + 1)]);
      }
      return Object.fromEntries(members);
    }
    default:
      throw new Error("unknown kind");
  }
}

function parse(text: string, maxDepth = 64): unknown {
  const bytes = encoder.encode(text);
  const tape = new JsonTape(maxDepth);
  const end = skipBlanks(bytes, tape.parse(bytes, 0, bytes.length), bytes.length);
  if (end !== bytes.length) throw new JsonSyntaxError("trailing text", end);
  return valueOf(tape, 0);
}

describe("the tape", () => {
  test("rebuilds any JSON value, however it is spaced", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), fc.constantFrom(undefined, 1, "\t"), (value, space) => {
        const text = JSON.stringify(value, null, space);
        const expected: unknown = JSON.parse(text, (_key, part: unknown) => (Object.is(part, -0) ? 0 : part));
        expect(JSON.stringify(parse(text))).toBe(
          JSON.stringify(expected, (_k, v: unknown) => (typeof v === "string" ? v.toWellFormed() : v)),
        );
      }),
    );
  });

  test("accepts exactly what JSON.parse accepts", () => {
    const pieces = [
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      '"a"',
      "1",
      "-",
      "0",
      ".5",
      "e3",
      "E+1",
      "true",
      "nul",
      "null",
      " ",
      "\\u00",
      "\\n",
      "\\",
      "\n",
      "01",
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 8 }), (parts) => {
        const text = parts.join("");
        let isValid = true;
        try {
          JSON.parse(text);
        } catch {
          isValid = false;
        }
        if (isValid) parse(text);
        else expect(() => parse(text)).toThrow(JsonSyntaxError);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    ['{"a":1', 'expected "," or "}", but the text ends at byte 6'],
    ['{"a" 1}', 'expected ":", found "1" at byte 5'],
    ["[1,]", 'expected a JSON value, found "]" at byte 3'],
    ["{a:1}", 'expected a property name in double quotes, found "a" at byte 1'],
    ['"abc', "the string is not closed at byte 0"],
    ['"\\x"', "unknown escape in a string at byte 1"],
    ["01", "numbers must not have leading zeros at byte 0"],
    ["-", "expected a digit, but the text ends at byte 1"],
    ["", "expected a JSON value, but the text ends at byte 0"],
  ])("%s: %s", (text, message) => expect(() => parse(text)).toThrow(message));

  test("undoes escapes, pairs surrogates and replaces lone ones", () => {
    expect(parse('"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00"')).toBe('"\\/\b\f\n\r\tAé€😀');
    expect(parse('"\\ud800x\\udc00\\ud800\\u0041"')).toBe("\ufffdx\ufffd\ufffdA");
  });

  test("limits the depth", () => {
    expect(parse("[".repeat(64) + "]".repeat(64))).toBeDefined();
    expect(() => parse("[".repeat(65) + "]".repeat(65))).toThrow(JsonDepthError);
  });

  test("compares keys with their escapes undone", () => {
    const tape = new JsonTape(4);
    const bytes = encoder.encode('{"id":1,"\\u0069d":2}');
    tape.parse(bytes, 0, bytes.length);
    const id = encoder.encode("id");
    expect([tape.equals(1, id), tape.equals(3, id), tape.equals(1, encoder.encode("ie"))]).toEqual([true, true, false]);
  });
});
