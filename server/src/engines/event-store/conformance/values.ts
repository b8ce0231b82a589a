/**
 * Cases on what a property of an event is worth: the path's result, the canonical text, the numeric value, and what
 * each aggregation makes of them. Every table runs on a top-level property and on a nested one, because a store may
 * keep the two differently.
 */

import { describe, expect, test } from "vitest";
import type { Aggregation } from "../store.ts";
import { type Fixture, type Fixtures, valuesAndGroups } from "./fixture.ts";

const nines = (digits: number) => "9".repeat(digits);
const zeros = (digits: number) => "0".repeat(digits);

/** Document, path, canonical text, whether `exists` holds. */
const pathCases: readonly (readonly [string, string, string, boolean])[] = [
  ['{"a":{"b":5}}', "$.a.b", "5", true],
  ['{"a":{"b":5}}', '$["a"]["b"]', "5", true],
  ['{"a":{"b":5}}', "$['a'].b", "5", true],
  ['{"x-y":9}', "$.x-y", "9", true],
  ['{"x-y":9}', '$."x-y"', "9", true],
  ['{"arr":[{"x":1},5]}', "$.arr[*]", "5", true],
  ['{"arr":[1,2,{"x":7}]}', "$.arr[*].x", "7", true],
  ['{"arr":[1,2,3]}', "$.arr[1 to 2]", "2", true],
  ['{"arr":[1,2,3]}', "$.arr[2,0]", "3", true],
  ['{"a":{"b":1}}', "$.a", "", false],
  ["{}", "$.a", "", false],
  ['{"A":1}', "$.a", "", false],
  ['{"a":1,"a":2}', "$.a", "2", true],
  ['{"a":{"b":1},"a":3}', "$.a.b", "", false],
  ['{"n":{"a":1,"b":2,"a":3}}', "$.n.a", "3", true],
  ['{"a":1,"\\u0061":2}', "$.a", "2", true],
  ['{"n":{"a":1,"\\u0061":2}}', "$.n.a", "2", true],
  ['{"arr":[[],{"x":[1]},null,5]}', "$.arr[*]", "null", false],
  ['{"arr":[[[1]],[2]]}', "$.arr[*][*]", "2", true],
  ['{"arr":[[[1]],[2]]}', "$.arr[*][*][*]", "1", true],
  ['{"arr":[{"x":{}},{"y":1}]}', "$.arr[*].x", "", false],
  ['{"arr":[{"x":[{"y":1}]},{"x":[{"z":2},{"y":3}]}]}', "$.arr[1,0].x[*].y", "3", true],
  ['{"arr":[1]}', "$.arr[3 to 1]", "", false],
  ['{"arr":[1]}', "$.arr[5,0]", "1", true],
  ['{"arr":[1]}', "$.arr[1]", "", false],
  ['{"arr":[1]}', "$.arr[99999999999999999999]", "", false],
  ['{"arr":[1,2]}', "$.arr[1 to 99999999999999999999]", "2", true],
  ['{"arr":[1]}', "$.arr", "", false],
  ['{"arr":[1]}', "$.arr.x", "", false],
  ['{"arr":[]}', "$.arr[*]", "", false],
  ['{"arr":[""]}', "$.arr[*]", "", true],
  ['{"arr":["[1]","{}"]}', "$.arr[*]", "[1]", true],
  ['{"0":1}', "$[0]", "", false],
  ['{"0":1}', "$.0", "1", true],
  ['{"a":"text"}', "$.a[0]", "", false],
  ['{"a":"text"}', "$.a.b", "", false],
  ['{"a":"{\\"b\\":1}"}', "$.a.b", "", false],
  ['{"a":"[1]"}', "$.a[0]", "", false],
  ['{"n":{"a":"{\\"b\\":1}"}}', "$.n.a.b", "", false],
  ['{"n":{"a":"[1]"}}', "$.n.a[*]", "", false],
  ['{"it\'s":{"\\"q\\"":{"b\\\\s":1}}}', "$['it\\'s']['\"q\"'][\"b\\\\s\"]", "1", true],
  ['{"größe":{"数":{"😀":"x"}}}', "$.größe.数.😀", "x", true],
  ['{"a.b":1,"a":{"b":2}}', "$['a.b']", "1", true],
  ['{"n":{"a.b":1,"a":{"b":2}}}', "$.n['a.b']", "1", true],
  ['{"n":{"":0," ":1}}', "$.n[' ']", "1", true],
  ['{ "a" : { "b" : [ 1 , "x" ] } }', "$.a.b[1]", "x", true],
  ['{"a":{"b":null}}', "$.a.b", "null", false],
  ['{"a":{"b":null}}', "$.a.b.c", "", false],
];

/** JSON of a property (null: no such property), its numeric value (null: none). */
const numericCases: readonly (readonly [string | null, string | null])[] = [
  ["5", "5"],
  ["-5", "-5"],
  ["1.50", "1.5"],
  ["0", "0"],
  ["-0", "0"],
  ["-0.0", "0"],
  ["0e999999999", "0"],
  ["1e3", "1000"],
  ["1E-7", "0.0000001"],
  ["12.5e+1", "125"],
  ["-1.5e-3", "-0.0015"],
  ["100", "100"],
  ["1.0", "1"],
  ['"10"', "10"],
  ['"+1"', "1"],
  ['".5"', "0.5"],
  ['"5."', "5"],
  ['"1E3"', "1000"],
  ['"-.5e-1"', "-0.05"],
  ['"+.5E+1"', "5"],
  ['"007"', "7"],
  ['"-0"', "0"],
  ['"1.50"', "1.5"],
  ['"\\u0031"', "1"],
  [`"${zeros(50)}1"`, "1"],
  ['"NaN"', null],
  ['"nan"', null],
  ['"Inf"', null],
  ['"-Infinity"', null],
  ['"+inf"', null],
  ['""', null],
  ['"abc"', null],
  ['" 7 "', null],
  ['"7\\n"', null],
  ['"1,000"', null],
  ['"1_000"', null],
  ['"0x10"', null],
  ['"1e"', null],
  ['"e5"', null],
  ['"."', null],
  ['"+"', null],
  ['"-"', null],
  ['"+-1"', null],
  ['"1e5.5"', null],
  ['"1.2.3"', null],
  ['"１"', null],
  ['"1\\u0000"', null],
  ['"true"', null],
  ['"#5"', null],
  ['"=5"', null],
  ['"~1|1"', null],
  ["null", null],
  ["true", null],
  ["false", null],
  ["{}", null],
  ["[]", null],
  ['{"v":1}', null],
  ["[1]", null],
  [null, null],
  // Integers that doubles and 64-bit integers do not hold.
  ["9007199254740993", "9007199254740993"],
  ["18446744073709551615", "18446744073709551615"],
  ["18446744073709551616", "18446744073709551616"],
  ["100000000000000000000", `1${zeros(20)}`],
  ["-9223372036854775809", "-9223372036854775809"],
  ['"9007199254740993.000000001"', "9007199254740993.000000001"],
  // The limits of magnitude.
  [nines(38), nines(38)],
  [`-${nines(38)}`, `-${nines(38)}`],
  [`${nines(38)}.${nines(24)}`, `${nines(38)}.${nines(24)}`],
  [`"${nines(38)}.${nines(24)}"`, `${nines(38)}.${nines(24)}`],
  [`${nines(38)}.${nines(24)}4`, `${nines(38)}.${nines(24)}`],
  [`${nines(38)}.${nines(24)}5`, null],
  [`"-${nines(38)}.${nines(25)}"`, null],
  [`1${zeros(38)}`, null],
  ["1e38", null],
  ["-1e38", null],
  ['"1e38"', null],
  ['"+1E38"', null],
  ["9.99e37", `999${zeros(35)}`],
  ["0.1e39", null],
  ["0.1e38", `1${zeros(37)}`],
  ["1e400", null],
  ["-1e400", null],
  ['"1e400"', null],
  ["1e99999999999999999999", null],
  ['"1e99999999999999999999"', null],
  // Rounding half away from zero at 24 fractional digits.
  ["1e-24", `0.${zeros(23)}1`],
  ["5e-25", `0.${zeros(23)}1`],
  ["-5e-25", `-0.${zeros(23)}1`],
  ["4.9999e-25", "0"],
  ["-4.9e-25", "0"],
  ["1e-25", "0"],
  ["9e-26", "0"],
  ["1e-400", "0"],
  ["1e-99999999999999999999", "0"],
  ['"1e-400"', "0"],
  [`0.${zeros(23)}15`, `0.${zeros(23)}2`],
  [`0.${zeros(23)}14999999`, `0.${zeros(23)}1`],
  [`-0.${zeros(23)}25`, `-0.${zeros(23)}3`],
  [`0.${nines(25)}`, "1"],
  [`-1.${nines(24)}5`, "-2"],
  [`"0.${nines(25)}"`, "1"],
  [`"1.${zeros(24)}5"`, `1.${zeros(23)}1`],
  [`0.${"3".repeat(400)}`, `0.${"3".repeat(24)}`],
];

/** JSON of a property (null: no such property), its canonical text, whether `exists` holds. */
const textCases: readonly (readonly [string | null, string, boolean])[] = [
  ["1.50", "1.5", true],
  ['"1.50"', "1.50", true],
  ['"1.5"', "1.5", true],
  ["1e3", "1000", true],
  ["1E-7", "0.0000001", true],
  ["-0", "0", true],
  ["0.0", "0", true],
  ["-0.0e5", "0", true],
  ["0e999999", "0", true],
  ["1.10e1", "11", true],
  ["10.0", "10", true],
  ["100", "100", true],
  ["-1.20", "-1.2", true],
  ["123e-5", "0.00123", true],
  ["18446744073709551616", "18446744073709551616", true],
  ["1e38", `1${zeros(38)}`, true],
  [`0.${nines(30)}`, `0.${nines(30)}`, true],
  ["1e399", `1${zeros(399)}`, true],
  ["1e400", "1e400", true],
  ["1E+400", "1E+400", true],
  ["-1e399", "-1e399", true],
  ["1e-398", `0.${zeros(397)}1`, true],
  ["1e-399", "1e-399", true],
  ["1.0e999999999999", "1.0e999999999999", true],
  [`1.5e398`, `15${zeros(397)}`, true],
  ['"1e3"', "1e3", true],
  ['"+1"', "+1", true],
  ['" 7 "', " 7 ", true],
  ['"-0"', "-0", true],
  ['"1e-400"', "1e-400", true],
  ['"~1|x"', "~1|x", true],
  ['"#1"', "#1", true],
  ['"1|2"', "1|2", true],
  ['"znull"', "znull", true],
  ["true", "true", true],
  ['"true"', "true", true],
  ["false", "false", true],
  ["null", "null", false],
  ['"null"', "null", true],
  ["{}", "", false],
  ["[]", "", false],
  ['{"v":1}', "", false],
  ["[1]", "", false],
  [null, "", false],
  ['""', "", true],
  ['"{}"', "{}", true],
  ['"[1]"', "[1]", true],
  ['"{"', "{", true],
  ['"\\"q\\""', '"q"', true],
  ['"it\'s"', "it's", true],
  ['"a\\\\b"', "a\\b", true],
  ['"tab\\tline\\n"', "tab\tline\n", true],
  ['"nul\\u0000"', "nul\u0000", true],
  ['"\\u00e9é"', "éé", true],
  ['"e\u0301"', "e\u0301", true],
  ['"😀\\ud83d\\ude00"', "😀😀", true],
  ['"\\ud800"', "\ufffd", true],
  ['"%_"', "%_", true],
  ['"{v:String}"', "{v:String}", true],
  ['"\u2028/\\/"', "\u2028//", true],
];

/** Where the tables put the property: the object's JSON text and the path to it. */
const places = [
  { name: "top-level", path: "$.v", wrap: (json: string) => `{"u":1,"v":${json}}`, without: '{"u":1}' },
  { name: "nested", path: "$.a.b[1]", wrap: (json: string) => `{"a":{"b":[[],${json}]}}`, without: '{"a":{"b":[[]]}}' },
] as const;

const numericAggregations: readonly Aggregation[] = ["SUM", "AVG", "MIN", "MAX", "LATEST"];

export function valueConformance(fixtures: Fixtures): void {
  describe("paths", () => {
    test("resolve to a canonical text", async () => {
      const fixture = fixtures();
      await fixture.insert(pathCases.map(([data], index) => ({ data, subject: `case ${index}` })));
      const results = [];
      for (const [index, [data, valuePath]] of pathCases.entries()) {
        const query = { dimensions: { key: valuePath }, groupBy: ["key"], subjects: [`case ${index}`] } as const;
        const [row] = await fixture.usage(query);
        const present = await fixture.usage({ ...query, filters: new Map([["key", { op: "exists", value: true }]]) });
        results.push([data, valuePath, row?.groups[0], present.length === 1]);
      }
      expect(results).toEqual(pathCases);
    });
  });

  describe.each(places)("a $name property", (place) => {
    const insert = async (fixture: Fixture, cases: readonly (readonly [string | null, ...unknown[]])[]) => {
      const data = cases.map(([json]) => (json === null ? place.without : place.wrap(json)));
      await fixture.insert(data.map((text, index) => ({ data: text, subject: `case ${index}` })));
    };

    test.each(numericAggregations)("has a numeric value for %s", async (aggregation) => {
      const fixture = fixtures();
      await insert(fixture, numericCases);
      const rows = await fixture.usage({ aggregation, valuePath: place.path, groupBySubject: true });
      const values = new Map(rows.map((row) => [row.subject, row.value]));
      expect(numericCases.map(([json], index) => [json, values.get(`case ${index}`) ?? null])).toEqual(numericCases);
    });

    test("has a canonical text", async () => {
      const fixture = fixtures();
      await insert(fixture, textCases);
      const query = { dimensions: { key: place.path }, groupBySubject: true, groupBy: ["key"] } as const;
      const rows = await fixture.usage(query);
      const exists = await fixture.usage({ ...query, filters: new Map([["key", { op: "exists", value: true }]]) });
      const texts = new Map(rows.map((row) => [row.subject, row.groups[0]]));
      const present = new Set(exists.map((row) => row.subject));
      const seen = textCases.map(([json], index) => [json, texts.get(`case ${index}`), present.has(`case ${index}`)]);
      expect(seen).toEqual(textCases);
    });

    test("counts once per distinct text in UNIQUE_COUNT, unless it is null, missing or complex", async () => {
      const fixture = fixtures();
      await insert(fixture, textCases);
      const distinct = new Set(textCases.filter(([, , exists]) => exists).map(([, text]) => text));
      const rows = await fixture.usage({ aggregation: "UNIQUE_COUNT", valuePath: place.path });
      expect(valuesAndGroups(rows)).toEqual([[String(distinct.size)]]);
    });
  });

  aggregationConformance(fixtures);
}

/** JSON of the values, then the results of SUM, AVG, MIN and MAX; null where no row appears. */
const aggregateCases: readonly (readonly [readonly string[], readonly (string | null)[]])[] = [
  [
    ["1", "2", "4"],
    ["7", `2.${"3".repeat(24)}`, "1", "4"],
  ],
  [
    ["1", "1", "0"],
    ["2", `0.${"6".repeat(23)}7`, "0", "1"],
  ],
  [
    ["-1", "-1", "0"],
    ["-2", `-0.${"6".repeat(23)}7`, "-1", "0"],
  ],
  [
    ["1e-24", "0"],
    [`0.${zeros(23)}1`, `0.${zeros(23)}1`, "0", `0.${zeros(23)}1`],
  ],
  [
    ["-1e-24", "0"],
    [`-0.${zeros(23)}1`, `-0.${zeros(23)}1`, `-0.${zeros(23)}1`, "0"],
  ],
  [
    ["1e-24", "0", "0"],
    [`0.${zeros(23)}1`, "0", "0", `0.${zeros(23)}1`],
  ],
  [
    ["-3", "-7"],
    ["-10", "-5", "-7", "-3"],
  ],
  [
    ["5", "-5"],
    ["0", "0", "-5", "5"],
  ],
  [
    ["-0", '"-0"'],
    ["0", "0", "0", "0"],
  ],
  [
    ["0.1", "0.2", '"0.3"'],
    ["0.6", "0.2", "0.1", "0.3"],
  ],
  [
    ["10", "9", '"1e1"'],
    ["29", `9.${"6".repeat(23)}7`, "9", "10"],
  ],
  [
    ["3", '"abc"', "null", "true", "{}", '"NaN"', "1e38"],
    ["3", "3", "3", "3"],
  ],
  [
    ['"abc"', "null"],
    [null, null, null, null],
  ],
  [
    ["9007199254740993", "1"],
    ["9007199254740994", "4503599627370497", "1", "9007199254740993"],
  ],
  [Array<string>(10).fill(nines(19)), [`${nines(19)}0`, nines(19), nines(19), nines(19)]],
  [Array<string>(1000).fill("0.1"), ["100", "0.1", "0.1", "0.1"]],
  [
    Array<string>(100).fill(`${nines(38)}.${nines(24)}`),
    [
      `${nines(40)}.${nines(22)}`,
      `${nines(38)}.${nines(24)}`,
      `${nines(38)}.${nines(24)}`,
      `${nines(38)}.${nines(24)}`,
    ],
  ],
  [
    [`-${nines(38)}`, nines(38), "1"],
    ["1", `0.${"3".repeat(24)}`, `-${nines(38)}`, nines(38)],
  ],
];

function aggregationConformance(fixtures: Fixtures): void {
  describe("aggregations", () => {
    test("add, average and compare exactly", async () => {
      const fixture = fixtures();
      await fixture.insert(
        aggregateCases.flatMap(([values], index) =>
          values.map((v) => ({ data: `{"v":${v}}`, subject: `case ${index}` })),
        ),
      );
      const results = new Map<Aggregation, Map<string | null, string>>();
      for (const aggregation of ["SUM", "AVG", "MIN", "MAX"] as const) {
        const rows = await fixture.usage({ aggregation, groupBySubject: true });
        results.set(aggregation, new Map(rows.map((row) => [row.subject, row.value])));
      }
      const seen = aggregateCases.map(([values], index) => [
        values,
        [...results.values()].map((bySubject) => bySubject.get(`case ${index}`) ?? null),
      ]);
      expect(seen).toEqual(aggregateCases);
    });

    test("COUNT counts every event, UNIQUE_COUNT has a row for every group of events", async () => {
      const fixture = fixtures();
      await fixture.insert([
        { subject: "a", data: '{"v":"x"}' },
        { subject: "a", data: '{"v":"X"}' },
        { subject: "a", data: '{"v":"x"}' },
        { subject: "b", data: '{"v":null}' },
        { subject: "b", data: null },
        { subject: "c", data: '{"v":""}' },
        { subject: "c", data: '{"v":[]}' },
      ]);
      const rows = async (aggregation: Aggregation) =>
        valuesAndGroups(await fixture.usage({ aggregation, groupBySubject: true }));
      expect(await rows("COUNT")).toEqual([
        ["2", "c"],
        ["2", "b"],
        ["3", "a"],
      ]);
      expect(await rows("UNIQUE_COUNT")).toEqual([
        ["1", "c"],
        ["0", "b"],
        ["2", "a"],
      ]);
      expect(await rows("SUM")).toEqual([]);
    });

    test("LATEST is the numeric value greatest by time, then by order of arrival", async () => {
      const fixture = fixtures();
      const [early, late] = ["2025-03-01T00:00:00.000001Z", "2025-03-01T00:00:00.000002Z"];
      const [first, second] = ["2025-04-02T00:00:00Z", "2025-04-02T00:00:00.000001Z"];
      const offset = (await fixture.insert([{}]))[0]?.offset ?? 0;
      const tie = { time: early, ingestedAt: first };
      await fixture.insert([
        { subject: "time", data: '{"v":2}', time: late, ingestedAt: first },
        { subject: "time", data: '{"v":1}', time: early, ingestedAt: second },
        { subject: "arrival", data: '{"v":2}', time: early, ingestedAt: second },
        { subject: "arrival", data: '{"v":1}', time: early, ingestedAt: first },
        { subject: "partition", data: '{"v":2}', ...tie, partition: 2, offset: offset + 1_000_000 },
        { subject: "partition", data: '{"v":1}', ...tie, partition: 1, offset: offset + 2_000_000 },
        { subject: "offset", data: '{"v":2}', ...tie, partition: 1, offset: offset + 4_000_000 },
        { subject: "offset", data: '{"v":1}', ...tie, partition: 1, offset: offset + 3_000_000 },
        { subject: "numeric", data: '{"v":2}', time: early },
        { subject: "numeric", data: '{"v":"none"}', time: late },
        { subject: "numeric", data: null, time: late },
        { subject: "none", data: '{"v":null}', time: late },
      ]);
      const rows = await fixture.usage({ aggregation: "LATEST", groupBySubject: true });
      expect(valuesAndGroups(rows)).toEqual(
        ["time", "partition", "offset", "numeric", "arrival"].map((subject) => ["2", subject]),
      );
    });
  });
}
