/** The tagged texts of `vals`: one table, and the laws that SQL relies on. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteBuffer } from "../../kernel/byte-buffer.ts";
import { JsonTape } from "../../kernel/json.ts";
import { distinctKeys, tapeText, writeTaggedText } from "./values.ts";

function tagged(json: string): string {
  const bytes = Buffer.from(json);
  const tape = new JsonTape(64);
  tape.parse(bytes, 0, bytes.length);
  const out = new ByteBuffer(8);
  writeTaggedText(tape, 0, out);
  return Buffer.from(out.view()).toString();
}

describe("tagged text", () => {
  test.each([
    ["12.50", "#12.5"],
    ["12.5", "#12.5"],
    ["-3", "#-3"],
    ["-0", "#0"],
    ["-0.5", "#-0.5"],
    ["0", "#0"],
    ["1e3", "#1000"],
    ["9007199254740993", "#9007199254740993"],
    ["0.1234567890123456789", "#0.1234567890123456789"],
    ["0.1234567890123456789012345", "~0.123456789012345678901235|0.1234567890123456789012345"],
    ["1e38", `"1${"0".repeat(38)}`],
    ["1e500", '"1e500'],
    ["1e-500", "~0|1e-500"],
    ["9".repeat(38), `#${"9".repeat(38)}`],
    ["9".repeat(39), `"${"9".repeat(39)}`],
    ['"12.50"', "=12.50"],
    ['"-7"', "=-7"],
    ['"1e3"', "~1000|1e3"],
    ['"+1"', "~1|+1"],
    ['".5"', "~0.5|.5"],
    ['"5."', "~5|5."],
    ['"1e400"', '"1e400'],
    ['"x"', '"x'],
    ['""', '"'],
    ['"1,000"', '"1,000'],
    ['"12:30"', '"12:30'],
    ['"a\\"b\\u0041"', '"a"bA'],
    ['"\\u0031"', "=1"],
    ['"\\ud800"', '"\ufffd'],
    ["true", "ttrue"],
    ["false", "ffalse"],
    ["null", "znull"],
    ['{"a":[1,"x",null,"2"],"b":{"c":1.50}}', '{"a":["#1","\\"x","znull","=2"],"b":{"c":"#1.5"}}'],
    ['[ "q\\"q" , "\\ud800" , {} , [] ]', '["\\"q\\"q","\\"\ufffd",{},[]]'],
    ['{"a":1,"b":2,"a":3}', '{"b":"#2","a":"#3"}'],
    ['{"\\u0061":1,"a":2}', '{"a":"#2"}'],
  ])("%s is %s", (json, expected) => expect(tagged(json)).toBe(expected));

  test("every value before a bar is a decimal that fits Decimal(76, 24)", () => {
    const number = fc.stringMatching(/^-?(0|[1-9][0-9]{0,45})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?$/);
    fc.assert(
      fc.property(number, fc.boolean(), (token, isString) => {
        const text = tagged(isString ? `"${token}"` : token);
        const value = text.startsWith("~") ? text.slice(1, text.indexOf("|")) : text.slice(1);
        if (!text.startsWith('"')) expect(value).toMatch(/^-?[0-9]{1,38}(\.[0-9]{1,24})?$/);
      }),
    );
  });

  test("nested text is JSON whose scalars are the tagged texts of the scalars", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string({ unit: "grapheme" }),
            fc.double({ noNaN: true, noDefaultInfinity: true }),
            fc.boolean(),
            fc.constant(null),
          ),
        ),
        (items) => {
          const nested: unknown = JSON.parse(tagged(JSON.stringify(items)));
          expect(nested).toEqual(items.map((item) => tagged(JSON.stringify(item))));
        },
      ),
    );
  });
});

test("of members with the same name the last one counts, in small and in large objects", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom("a", "b", "ab", "é", "A", "\\u0061", "c\\n"), fc.integer()), { maxLength: 40 }),
      (members) => {
        const bytes = Buffer.from(`{${members.map(([name, value]) => `"${name}":${value}`).join(",")}}`);
        const tape = new JsonTape(4);
        tape.parse(bytes, 0, bytes.length);
        const found = distinctKeys(tape, 0).map((key) => [tapeText(tape, key), Number(tapeText(tape, key + 1))]);
        expect(Object.fromEntries(found)).toEqual(JSON.parse(bytes.toString()));
        expect(found.length).toBe(new Set(found.map(([name]) => name)).size);
      },
    ),
  );
});
