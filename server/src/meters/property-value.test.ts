/** The sentences for events without a value, by aggregation. */

import { describe, expect, test } from "vitest";
import { type Aggregation, type JsonPath, parseJsonPath } from "../engines/event-store/index.ts";
import { explainValue } from "./property-value.ts";

function path(text: string): JsonPath {
  const parsed = parseJsonPath(text);
  if (parsed === null) throw new Error(`${text} is not a path`);
  return parsed;
}

const numeric: readonly Aggregation[] = ["SUM", "AVG", "MIN", "MAX", "LATEST"];
const missing = 'missing value property: "$.v"';
const unparsable = (text: string) => `value cannot be parsed as float64: ${text}`;

/** Data, the reason for numeric aggregations, the reason for UNIQUE_COUNT. */
const cases: readonly (readonly [string | null, string | null, string | null])[] = [
  [null, "null and missing value property", "null and missing value property"],
  ["{}", missing, missing],
  ['{"V":1}', missing, missing],
  ['{"v":null}', "value cannot be null", "value cannot be null"],
  ['{"v":{}}', "unsupported value property type: object", "unsupported value property type: object"],
  ['{"v":[1]}', "unsupported value property type: array", "unsupported value property type: array"],
  ['{"v":true}', "unsupported value property type: boolean", null],
  ['{"v":false}', "unsupported value property type: boolean", null],
  ['{"v":0}', null, null],
  ['{"v":-1.5e3}', null, null],
  ['{"v":18446744073709551616}', null, null],
  ['{"v":1e-400}', null, null],
  ['{"v":1e38}', "value out of range", null],
  ['{"v":-1e400}', "value out of range", null],
  [`{"v":${"9".repeat(38)}.${"9".repeat(24)}5}`, "value out of range", null],
  [`{"v":${"9".repeat(38)}.${"9".repeat(24)}4}`, null, null],
  ['{"v":"1e38"}', "value out of range", null],
  ['{"v":"10"}', null, null],
  ['{"v":"+.5E1"}', null, null],
  ['{"v":"5."}', null, null],
  ['{"v":"NaN"}', "value cannot be NaN", null],
  ['{"v":"nAn"}', "value cannot be NaN", null],
  ['{"v":"+NaN"}', unparsable("+NaN"), null],
  ['{"v":"Inf"}', "value cannot be infinity", null],
  ['{"v":"-INFINITY"}', "value cannot be infinity", null],
  ['{"v":"+inf"}', "value cannot be infinity", null],
  ['{"v":"infinite"}', unparsable("infinite"), null],
  ['{"v":""}', unparsable(""), null],
  ['{"v":" 7 "}', unparsable(" 7 "), null],
  ['{"v":"1,000"}', unparsable("1,000"), null],
  ['{"v":"0x10"}', unparsable("0x10"), null],
  ['{"v":"1\\n"}', unparsable("1\n"), null],
  [`{"v":"${"x".repeat(101)}"}`, unparsable("x".repeat(100)), null],
  [`{"v":"a${"😀".repeat(150)}"}`, unparsable(`a${"😀".repeat(99)}`), null],
  [`{"v":"${"9".repeat(200)}"}`, "value out of range", null],
];

describe("explainValue", () => {
  test.each(numeric)("says why an event has no value for %s", (aggregation) => {
    expect(cases.map(([data]) => explainValue(aggregation, path("$.v"), data))).toEqual(
      cases.map(([, reason]) => reason),
    );
  });

  test("asks of UNIQUE_COUNT only for a string, number or boolean", () => {
    expect(cases.map(([data]) => explainValue("UNIQUE_COUNT", path("$.v"), data))).toEqual(
      cases.map(([, , reason]) => reason),
    );
  });

  test("never complains for COUNT", () => {
    expect(cases.map(([data]) => explainValue("COUNT", undefined, data))).toEqual(cases.map(() => null));
  });

  test("names the path as it is written", () => {
    expect(explainValue("SUM", path(" $['a b'].c[0] "), '{"a b":{"c":[]}}')).toBe(
      "missing value property: \"$['a b'].c[0]\"",
    );
    expect(explainValue("SUM", path("$.a[*]"), '{"a":[{},[],"x"]}')).toBe(unparsable("x"));
    expect(explainValue("SUM", path("$.a[*]"), '{"a":[{},[]]}')).toBe("unsupported value property type: object");
  });
});
