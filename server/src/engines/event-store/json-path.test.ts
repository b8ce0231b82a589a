/** Paths: what parses to which steps, what is rejected, and what a path yields in a document. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDocument, parseJsonPath, resolvePath } from "./json-path.ts";

/** The result in one word: the scalar's text, or `complex` or `missing`. */
function resolve(document: string, pathText: string): string {
  const path = parseJsonPath(pathText);
  if (path === null) return "invalid path";
  const node = resolvePath(path, parseDocument(document));
  switch (node.kind) {
    case "string":
      return `string ${node.text}`;
    case "number":
      return `number ${node.token}`;
    case "boolean":
      return `boolean ${node.value}`;
    case "array":
    case "object":
      return `complex ${node.kind}`;
    default:
      return node.kind;
  }
}

describe("parseJsonPath", () => {
  const name = (...names: string[]) => names.map((each) => ({ kind: "name", name: each }));

  test.each<[string, readonly object[]]>([
    ["$.a", name("a")],
    ["$.a.b", name("a", "b")],
    ['$["a"]["b"]', name("a", "b")],
    ["$['a'].b", name("a", "b")],
    ["$.x-y", name("x-y")],
    ['$."x-y"', name("x-y")],
    ["$.1", name("1")],
    ["$.-", name("-")],
    ["$._", name("_")],
    ["$.größe.数", name("größe", "数")],
    ["$.😀", name("😀")],
    ["$['.']", name(".")],
    ["$['it\\'s']", name("it's")],
    ['$["say \\"hi\\""]', name('say "hi"')],
    ['$["it\'s"]', name("it's")],
    ["$['\\\\\\'\\\"']", name("\\'\"")],
    ["$[' ']", name(" ")],
    ["$[']']", name("]")],
    ['$."a.b"', name("a.b")],
    ["$['*']", name("*")],
    ["$.__proto__", name("__proto__")],
    ["$[0]", [{ kind: "indexes", indexes: [0] }]],
    ["$[2,0,2]", [{ kind: "indexes", indexes: [2, 0, 2] }]],
    ["$[1 to 3]", [{ kind: "range", from: 1, to: 3 }]],
    ["$[3 to 1]", [{ kind: "range", from: 3, to: 1 }]],
    ["$[*]", [{ kind: "all" }]],
    ["$.a[*].b", [...name("a"), { kind: "all" }, ...name("b")]],
    ["$[99999999999999999999]", [{ kind: "indexes", indexes: [2 ** 31 - 1] }]],
  ])("reads %s", (text, steps) => {
    expect(parseJsonPath(text)).toEqual({ text, steps });
  });

  test("ignores blanks around the path and nothing else", () => {
    expect(parseJsonPath(" \t\n $.a \r\n")).toEqual({ text: "$.a", steps: [{ kind: "name", name: "a" }] });
    expect(parseJsonPath("\u00a0$.a")).toBeNull();
  });

  test.each([
    "",
    " ",
    "$",
    "$ ",
    "a",
    ".a",
    "$a",
    "$.",
    "$..a",
    "$.a.",
    "$.a..b",
    "$.*",
    "$.a.*",
    "$[-1]",
    "$[-0]",
    "$[01]",
    "$[00]",
    "$[1,]",
    "$[,1]",
    "$[1, 2]",
    "$[ 1]",
    "$[1 ]",
    "$[1:2]",
    "$[1  to 2]",
    "$[1to2]",
    "$[1 to]",
    "$[1 TO 2]",
    "$[last]",
    "$[ * ]",
    "$[*,1]",
    "$[]",
    "$['']",
    '$[""]',
    '$.""',
    "$.'a'",
    "$['a']['']",
    "$['a",
    "$['a\"]",
    "$[a]",
    '$["a" ]',
    "$['a','b']",
    "$['a\\n']",
    '$["\\u0041"]',
    "$['a\\']",
    "$.a b",
    "$ .a",
    "$. a",
    "$.a [0]",
    "$.a$",
    "$.a,b",
    "$.a()",
    "$.a?(@.b)",
    "$[?(@.b)]",
    "$.a.size()",
    "lax $.a",
    "strict $.a",
    "$.a/b",
    "$.a:b",
    "$.a\u0000",
    "$.a\u007f",
    "@.a",
    "$.\ud800",
    "$['\ud800']",
    "$.a]",
    "$[0",
    "$[0]]",
    "$.a\\b",
  ])("rejects %j", (text) => {
    expect(parseJsonPath(text)).toBeNull();
  });

  test("bounds length and steps", () => {
    expect(parseJsonPath(`$.${"a".repeat(1022)}`)?.text).toHaveLength(1024);
    expect(parseJsonPath(`$.${"a".repeat(1023)}`)).toBeNull();
    expect(parseJsonPath(`$${".a".repeat(64)}`)?.steps).toHaveLength(64);
    expect(parseJsonPath(`$${".a".repeat(65)}`)).toBeNull();
  });

  test("any name can be written in both quotes, and the path finds it", () => {
    const anyName = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(anyName, fc.constantFrom('"', "'"), (property, quote) => {
        const escaped = property.replace(/["'\\]/g, "\\$&");
        const document = JSON.stringify({ other: 0, [property]: "found" });
        expect(resolve(document, `$[${quote}${escaped}${quote}]`)).toBe("string found");
      }),
    );
  });

  test("reads noise as a path with steps or not at all", () => {
    const noise = fc.string({ unit: fc.constantFrom(..."$.[]'\"\\*,0 1abto-".split("")), maxLength: 12 });
    fc.assert(fc.property(noise, (text) => (parseJsonPath(`$${text}`)?.steps.length ?? 1) > 0));
  });
});

describe("resolvePath", () => {
  test.each([
    ['{"a":{"b":5}}', "$.a.b", "number 5"],
    ['{"a":{"b":5}}', '$["a"]["b"]', "number 5"],
    ['{"a":{"b":5}}', "$['a'].b", "number 5"],
    ['{"x-y":9}', "$.x-y", "number 9"],
    ['{"x-y":9}', '$."x-y"', "number 9"],
    ['{"arr":[{"x":1},5]}', "$.arr[*]", "number 5"],
    ['{"arr":[1,2,{"x":7}]}', "$.arr[*].x", "number 7"],
    ['{"arr":[1,2,3]}', "$.arr[1 to 2]", "number 2"],
    ['{"arr":[1,2,3]}', "$.arr[2,0]", "number 3"],
    ['{"a":{"b":1}}', "$.a", "complex object"],
    ["{}", "$.a", "missing"],
    ['{"A":1}', "$.a", "missing"],
    ['{"a":1,"a":2}', "$.a", "number 2"],
    ['{"a":{"b":1},"a":3}', "$.a.b", "missing"],
    ['{"arr":[[],{"x":[1]},null,5]}', "$.arr[*]", "null"],
    ['{"arr":[[[1]],[2]]}', "$.arr[*][*]", "number 2"],
    ['{"arr":[{"x":{}},{"y":1}]}', "$.arr[*].x", "complex object"],
    ['{"arr":[[],{}]}', "$.arr[0 to 9]", "complex array"],
    ['{"arr":[1]}', "$.arr[3 to 1]", "missing"],
    ['{"arr":[1]}', "$.arr[5,0]", "number 1"],
    ['{"arr":[1]}', "$.arr[1]", "missing"],
    ['{"arr":[1]}', "$.arr", "complex array"],
    ['{"arr":[1]}', "$.arr.x", "missing"],
    ['{"0":1}', "$[0]", "missing"],
    ['{"0":1}', "$.0", "number 1"],
    ['{"a":"text"}', "$.a[0]", "missing"],
    ['{"__proto__":1}', "$.__proto__", "number 1"],
    ["{}", "$.constructor", "missing"],
    ['{"a":1.50}', "$.a", "number 1.50"],
    ['{"a":9007199254740993}', "$.a", "number 9007199254740993"],
    ['{"a":[1E400]}', "$.a[0]", "number 1E400"],
    ['{"a":-0}', "$.a", "number -0"],
    ['{"a":"\\ud800"}', "$.a", "string \ufffd"],
    ['{"a":true,"b":""}', "$.a", "boolean true"],
    ['{"a":true,"b":""}', "$.b", "string "],
  ])("%s at %s is %s", (document, path, result) => {
    expect(resolve(document, path)).toBe(result);
  });
});
