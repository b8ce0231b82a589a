/** Binding: placeholders become quoted literals, whatever the values hold. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bindParameters, quoted, UnboundParameter } from "./binding.ts";

const bound = (sql: string, params: Record<string, string>): string =>
  bindParameters(sql, new Map(Object.entries(params)));

describe("bindParameters", () => {
  test.each([
    ["a text", "SELECT {p:String}", { p: "x" }, "SELECT 'x'"],
    ["a quote", "SELECT {p:String}", { p: "it's" }, "SELECT 'it\\'s'"],
    ["an escaped backslash", "SELECT {p:String}", { p: "a\\\\' OR 1 --" }, "SELECT 'a\\\\\\' OR 1 --'"],
    ["an escaped tab", "SELECT {p:String}", { p: "a\\tb" }, "SELECT 'a\tb'"],
    [
      "another type",
      "SELECT {p:Array(String)}",
      { p: "['a','b\\'']" },
      "SELECT _CAST('[\\'a\\',\\'b\\\\\\'\\']', 'Array(String)')",
    ],
    ["the same parameter twice", "{p:String}{p:String}", { p: "x" }, "'x''x'"],
    ["a placeholder in quotes", "SELECT '{p:String}', '\\'{p:String}'", {}, "SELECT '{p:String}', '\\'{p:String}'"],
    ["a placeholder in a comment", "SELECT 1 -- {p:String}", {}, "SELECT 1 -- {p:String}"],
    ["a placeholder in a value", "SELECT {p:String}", { p: "{q:String}" }, "SELECT '{q:String}'"],
    ["replacement patterns", "SELECT {p:String}", { p: "$&$1" }, "SELECT '$&$1'"],
  ])("%s", (_, sql, params, want) => {
    expect(bound(sql, params)).toBe(want);
  });

  test("a placeholder without a value is an error", () => {
    expect(() => bound("SELECT {p:String}", {})).toThrow(UnboundParameter);
  });

  test("no text leaves its quotes", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("'", "\\", "\0", "\n", "\r", "n", "0", "é", "😀", "{", "}") }),
        (text) => {
          const literal = quoted(text);
          expect(literal.startsWith("'") && literal.endsWith("'")).toBe(true);
          // Without escape pairs nothing is left that could end the literal or start an escape.
          expect(literal.slice(1, -1).replaceAll(/\\[\s\S]/g, "")).not.toMatch(/['\\]/);
        },
      ),
    );
  });
});
