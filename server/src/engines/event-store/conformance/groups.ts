/**
 * Cases on grouping and filtering: group values, the order of rows, subjects and customers, and every filter operator.
 */

import { describe, expect, test } from "vitest";
import type { TextFilter } from "../store.ts";
import { type Fixtures, valuesAndGroups } from "./fixture.ts";

/** Texts that break naive quoting, parameter binding or matching. */
export const awkwardTexts: readonly string[] = [
  "it's",
  'say "hi"',
  "back\\slash",
  "\\",
  "%",
  "_",
  "{value:String}",
  "?",
  "$1",
  "--",
  "/*",
  ";",
  "`tick`",
  "a\tb",
  "a\nb",
  "a\r\nb",
  "nul\u0000byte",
  " leading and trailing ",
  "größe",
  "ÀÉ",
  "数",
  "😀",
  "\u{10ffff}",
  "\uffff",
  "\ufeff",
  "\u2028",
  "null",
  "NULL",
  "true",
  "0",
  "1.50",
  "[]",
  "{}",
  "znull",
  "#1",
  "\\N",
  "\\0",
  "a,b",
  "e\u0301",
  "é",
  "'",
  '"',
  "''",
  "\\'",
];

export function groupConformance(fixtures: Fixtures): void {
  describe("groups", () => {
    test("take the canonical text: null is null, what is missing or complex is empty", async () => {
      const fixture = fixtures();
      const values = ["1.50", '"1.5"', '"1.50"', "null", '"null"', "true", '""', "{}", "[1]", "1e0", "-0"];
      await fixture.insert([...values.map((v) => ({ data: `{"v":${v}}` })), { data: "{}" }, { data: null }]);
      const rows = await fixture.usage({ dimensions: { key: "$.v" }, groupBy: ["key"] });
      expect(valuesAndGroups(rows)).toEqual([
        ["1", "true"],
        ["2", "null"],
        ["1", "1.50"],
        ["2", "1.5"],
        ["1", "1"],
        ["1", "0"],
        ["5", ""],
      ]);
    });

    test("may have any name", async () => {
      const fixture = fixtures();
      const keys = [
        "value",
        "windowstart",
        "window_start",
        "windowend",
        "type",
        "subject_",
        "namespace",
        "time",
        "data",
        "vals",
        "count",
        "sum",
        "select",
        "from",
        "group",
        "order",
        "null",
        "n",
        "m",
        "v",
        "g0",
        "k0",
        "value_0",
        "id",
        "source",
        "_",
        "A",
      ];
      await fixture.insert([
        {
          data: JSON.stringify({ v: 3, ...Object.fromEntries(keys.map((key, index) => [`p${key}`, `text ${index}`])) }),
        },
      ]);
      const dimensions = Object.fromEntries(keys.map((key) => [key, `$.p${key}`]));
      const filters = new Map<string, TextFilter>(keys.map((key) => [key, { op: "like", pattern: "text %" }]));
      const texts = keys.map((_, index) => `text ${index}`);
      for (const window of [undefined, { size: "DAY", timeZone: "UTC" } as const]) {
        const query = { dimensions, groupBy: keys, groupBySubject: true, filters, ...(window && { window }) };
        const rows = await fixture.usage({ ...query, aggregation: "SUM" });
        expect(valuesAndGroups(rows)).toEqual([["3", "subject", ...texts]]);
      }
      expect(valuesAndGroups(await fixture.usage({ dimensions, groupBy: ["value"] }))).toEqual([["1", "text 0"]]);
    });

    test("carry any text, in names, values, subjects and types", async () => {
      const fixture = fixtures();
      await fixture.insert(
        awkwardTexts.map((text) => ({ type: "awkward", subject: text, data: JSON.stringify({ v: text, [text]: 7 }) })),
      );
      for (const text of awkwardTexts) {
        const quoted = `$["${text.replace(/["\\]/g, "\\$&")}"]`;
        const rows = await fixture.usage({
          aggregation: "SUM",
          eventType: "awkward",
          valuePath: quoted,
          dimensions: { key: "$.v" },
          groupBy: ["key"],
          groupBySubject: true,
          subjects: [text],
          filters: new Map([["key", { op: "eq", value: text }]]),
        });
        expect(valuesAndGroups(rows)).toEqual([["7", text, text]]);
      }
      await fixture.insert(awkwardTexts.map((type) => ({ type, source: type, id: type })));
      for (const eventType of awkwardTexts) {
        expect(valuesAndGroups(await fixture.usage({ eventType }))).toEqual([["1"]]);
      }
    });

    test("follow the window in descending byte order of subject, customer and group values", async () => {
      const fixture = fixtures();
      const texts = ["a", "b", "B", "é", "z", "\uffff", "😀", ""];
      await fixture.insert(texts.map((v) => ({ data: JSON.stringify({ v, w: "same" }) })));
      await fixture.insert([{ time: "2025-02-01T00:00:00Z", data: '{"v":"early"}' }]);
      const dimensions = { key: "$.v", other: "$.w" };
      const rows = await fixture.usage({ dimensions, groupBy: ["key"], window: { size: "DAY", timeZone: "UTC" } });
      expect(rows.map((row) => row.groups[0])).toEqual(["early", "😀", "\uffff", "é", "z", "b", "a", "B", ""]);
      const swapped = await fixture.usage({ dimensions, groupBy: ["other", "key"], from: "2025-03-01T00:00:00Z" });
      expect(swapped.map((row) => row.groups)).toEqual(
        ["😀", "\uffff", "é", "z", "b", "a", "B", ""].map((text) => ["same", text]),
      );
    });

    test("by subject come before groups by customer and property", async () => {
      const fixture = fixtures();
      await fixture.insert([
        { subject: "s1", data: '{"k":"y"}' },
        { subject: "s1", data: '{"k":"x"}' },
        { subject: "s2", data: '{"k":"x"}' },
        { subject: "s3", data: '{"k":"x"}' },
      ]);
      const rows = await fixture.usage({
        dimensions: { key: "$.k" },
        groupBy: ["key"],
        groupBySubject: true,
        groupByCustomer: true,
        customers: [
          { id: "c1", subjects: ["s1", "s3"] },
          { id: "c2", subjects: ["s2", "s1"] },
        ],
        from: "2025-01-01T00:00:00Z",
      });
      expect(valuesAndGroups(rows)).toEqual([
        ["1", "s3", "c1", "x"],
        ["1", "s2", "c2", "x"],
        ["1", "s1", "c1", "y"],
        ["1", "s1", "c1", "x"],
      ]);
    });
  });

  attributionConformance(fixtures);
  filterConformance(fixtures);
}

function attributionConformance(fixtures: Fixtures): void {
  describe("subjects and customers", () => {
    const insert = async () => {
      const fixture = fixtures();
      await fixture.insert(["s1", "s1", "s2", "s3", "S1"].map((subject) => ({ subject })));
      return fixture;
    };
    const customers = [
      { id: "c1", subjects: ["s1"] },
      { id: "c2", subjects: ["s2", "s1", "unknown"] },
      { id: "c3", subjects: [] },
    ];

    test("restrict the events", async () => {
      const fixture = await insert();
      const count = async (query: Parameters<typeof fixture.usage>[0]) => (await fixture.usage(query))[0]?.value;
      expect(await count({})).toBe("5");
      expect(await count({ subjects: ["s1", "s3", "s3"] })).toBe("3");
      expect(await count({ subjects: ["unknown"] })).toBe("0");
      expect(await count({ subjects: [] })).toBe("0");
      expect(await count({ customers })).toBe("3");
      expect(await count({ customers, subjects: ["s2", "s3"] })).toBe("1");
      expect(await count({ customers: [{ id: "c3", subjects: [] }] })).toBe("0");
      expect(await count({ customers: [] })).toBe("0");
    });

    test("attribute a subject to the first customer that lists it", async () => {
      const fixture = await insert();
      const rows = await fixture.usage({ customers, groupByCustomer: true });
      expect(valuesAndGroups(rows)).toEqual([
        ["1", "c2"],
        ["2", "c1"],
      ]);
      const reversed = await fixture.usage({ customers: customers.toReversed(), groupByCustomer: true });
      expect(valuesAndGroups(reversed)).toEqual([["3", "c2"]]);
    });
  });
}

/** The `$.v` of the events that filters choose from, by subject; null: no such property. */
const filtered: Readonly<Record<string, string | null>> = {
  abc: '"abc"',
  ABC: '"ABC"',
  empty: '""',
  missing: null,
  null: "null",
  true: "true",
  number: "1.50",
  text: '"1.5"',
  object: "{}",
  array: '["abc"]',
  percent: '"100%"',
  under: '"a_c"',
  backslash: '"a\\\\c"',
  line: '"a\\nc"',
  accent: '"ÀÉ"',
  face: '"😀"',
  top: '"\uffff"',
};

const everySubject = Object.keys(filtered);
const without = (...subjects: readonly string[]) => everySubject.filter((subject) => !subjects.includes(subject));

/** A filter and the subjects whose events it lets through. */
const filterCases: readonly (readonly [TextFilter, readonly string[]])[] = [
  [{ op: "eq", value: "abc" }, ["abc"]],
  [{ op: "eq", value: "1.5" }, ["number", "text"]],
  [{ op: "eq", value: "null" }, ["null"]],
  [{ op: "eq", value: "true" }, ["true"]],
  [{ op: "eq", value: "" }, ["empty", "missing", "object", "array"]],
  [{ op: "ne", value: "abc" }, without("abc")],
  [{ op: "ne", value: "" }, without("empty", "missing", "object", "array")],
  [{ op: "in", values: ["abc", "100%", "unknown"] }, ["abc", "percent"]],
  [{ op: "in", values: [] }, []],
  [{ op: "nin", values: ["abc", "100%", "unknown"] }, without("abc", "percent")],
  [{ op: "nin", values: [] }, everySubject],
  [{ op: "like", pattern: "abc" }, ["abc"]],
  [{ op: "like", pattern: "a%" }, ["abc", "under", "backslash", "line"]],
  [{ op: "like", pattern: "a_c" }, ["abc", "under", "backslash", "line"]],
  [{ op: "like", pattern: "a\\_c" }, ["under"]],
  [{ op: "like", pattern: "%\\%" }, ["percent"]],
  [{ op: "like", pattern: "a\\\\c" }, ["backslash"]],
  [{ op: "like", pattern: "a\\c" }, ["backslash"]],
  [{ op: "like", pattern: "abc\\" }, []],
  [{ op: "like", pattern: "_" }, ["face", "top"]],
  [{ op: "like", pattern: "__" }, ["accent"]],
  [{ op: "like", pattern: "%" }, everySubject],
  [{ op: "like", pattern: "" }, ["empty", "missing", "object", "array"]],
  [{ op: "like", pattern: "a.c" }, []],
  [{ op: "like", pattern: "%b%" }, ["abc"]],
  [{ op: "nlike", pattern: "a%" }, without("abc", "under", "backslash", "line")],
  [{ op: "ilike", pattern: "aBc" }, ["abc", "ABC"]],
  [{ op: "ilike", pattern: "à_" }, ["accent"]],
  [{ op: "ilike", pattern: "A\\_C" }, ["under"]],
  [{ op: "nilike", pattern: "aBc" }, without("abc", "ABC")],
  [{ op: "contains", value: "Bc" }, ["abc", "ABC"]],
  [{ op: "contains", value: "é" }, ["accent"]],
  [{ op: "contains", value: "0%" }, ["percent"]],
  [{ op: "contains", value: "_" }, ["under"]],
  [{ op: "contains", value: "\\" }, ["backslash"]],
  [{ op: "ncontains", value: "Bc" }, without("abc", "ABC")],
  [{ op: "gt", value: "abc" }, ["null", "true", "accent", "face", "top"]],
  [{ op: "gte", value: "abc" }, ["abc", "null", "true", "accent", "face", "top"]],
  [{ op: "lt", value: "1.5" }, ["empty", "missing", "object", "array"]],
  [{ op: "lte", value: "1.5" }, ["empty", "missing", "object", "array", "number", "text"]],
  // UTF-16 would sort the surrogates of an emoji below U+FFFF.
  [{ op: "gt", value: "\uffff" }, ["face"]],
  [{ op: "gt", value: "a" }, ["abc", "under", "backslash", "line", "null", "true", "accent", "face", "top"]],
  [{ op: "exists", value: true }, without("missing", "null", "object", "array")],
  [{ op: "exists", value: false }, ["missing", "null", "object", "array"]],
  [
    {
      op: "and",
      filters: [
        { op: "gte", value: "a" },
        { op: "lt", value: "b" },
      ],
    },
    ["abc", "under", "backslash", "line"],
  ],
  [
    {
      op: "or",
      filters: [
        { op: "eq", value: "abc" },
        { op: "exists", value: false },
      ],
    },
    ["abc", "missing", "null", "object", "array"],
  ],
  [
    {
      op: "and",
      filters: [
        {
          op: "or",
          filters: [
            { op: "eq", value: "abc" },
            { op: "eq", value: "ABC" },
          ],
        },
        { op: "ne", value: "abc" },
      ],
    },
    ["ABC"],
  ],
];

/** Text, pattern or substring in another case; both follow the full Unicode lower-casing of the whole text. */
const caseCases: readonly (readonly [string, string])[] = [
  ["straße", "STRAßE"],
  ["ẞ", "ß"],
  ["İ", "i̇"],
  ["ΟΔΟΣ", "οδος"],
  ["ДОМ", "дом"],
  ["ǅ", "ǆ"],
  ["K", "k"],
  ["Ω", "ω"],
  ["𐐀", "𐐨"],
];

function filterConformance(fixtures: Fixtures): void {
  describe("filters", () => {
    const insert = async (path: "top-level" | "nested") => {
      const fixture = fixtures();
      await fixture.insert(
        Object.entries(filtered).map(([subject, v]) => {
          const data = v === null ? "{}" : `{"v":${v}}`;
          return { subject, data: path === "nested" ? `{"n":[${data}]}` : data };
        }),
      );
      await fixture.insert([{ type: "other", subject: "of another type", data: '{"v":"abc"}' }]);
      return fixture;
    };

    test.each([
      ["top-level", "$.v"],
      ["nested", "$.n[0].v"],
    ] as const)("choose by a %s property", async (place, key) => {
      const fixture = await insert(place);
      const seen = [];
      for (const [filter] of filterCases) {
        const query = { dimensions: { key }, filters: new Map([["key", filter]]), groupBySubject: true };
        const subjects = new Set((await fixture.usage(query)).map((row) => row.subject));
        expect(subjects).not.toContain("of another type");
        seen.push([filter, everySubject.filter((subject) => subjects.has(subject))]);
      }
      expect(seen).toEqual(
        filterCases.map(([filter, subjects]) => [filter, everySubject.filter((subject) => subjects.includes(subject))]),
      );
    });

    test("treat absent data as a missing property", async () => {
      const fixture = fixtures();
      await fixture.insert([{ data: null }]);
      const value = async (filter: TextFilter) =>
        (await fixture.usage({ dimensions: { key: "$.v" }, filters: new Map([["key", filter]]) }))[0]?.value;
      expect(await value({ op: "exists", value: false })).toBe("1");
      expect(await value({ op: "exists", value: true })).toBe("0");
      expect(await value({ op: "ne", value: "x" })).toBe("1");
      expect(await value({ op: "eq", value: "" })).toBe("1");
    });

    test("ignore case by lower-casing both whole texts", async () => {
      const fixture = fixtures();
      await fixture.insert(caseCases.map(([v], index) => ({ subject: `case ${index}`, data: JSON.stringify({ v }) })));
      for (const [index, [, other]] of caseCases.entries()) {
        for (const filter of [
          { op: "ilike", pattern: other },
          { op: "contains", value: other },
        ] as const) {
          const query = { dimensions: { key: "$.v" }, filters: new Map([["key", filter]]), groupBySubject: true };
          expect((await fixture.usage(query)).map((row) => row.subject)).toContain(`case ${index}`);
        }
      }
    });

    test("on several keys must all hold", async () => {
      const fixture = fixtures();
      await fixture.insert([{ data: '{"a":1,"b":1}' }, { data: '{"a":1,"b":2}' }, { data: '{"a":2,"b":1}' }]);
      const filters = new Map<string, TextFilter>([
        ["a", { op: "eq", value: "1" }],
        ["b", { op: "eq", value: "1" }],
      ]);
      const dimensions = { a: "$.a", b: "$.b", c: "$.c" };
      expect(valuesAndGroups(await fixture.usage({ dimensions, filters }))).toEqual([["1"]]);
    });
  });
}
