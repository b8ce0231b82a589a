/** Meter queries over HTTP: values to the last digit, windows in zones, grouping, filters, CSV and every refusal. */

import type { MeterQueryResult, MeterQueryRow } from "@tallystick/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answer, type EventDraft, startTestProduct, type TestProduct } from "./product-fixture.ts";

const DAY_MS = 24 * 3600 * 1000;

let product: TestProduct;

beforeAll(async () => {
  product = await startTestProduct();
  for (const meter of METERS) await product.json("/api/v1/meters", { json: meter });
  await product.ingest(...USAGE);
  await product.ingestBody(`[${EXACT.join(",")}]`);
});
afterAll(async () => {
  await product?.stop();
});

const AGGREGATIONS = ["SUM", "COUNT", "AVG", "MIN", "MAX", "UNIQUE_COUNT", "LATEST"] as const;

const METERS = [
  ...AGGREGATIONS.map((aggregation) => ({
    slug: `use_${aggregation.toLowerCase()}`,
    eventType: "use",
    aggregation,
    ...(aggregation === "COUNT" ? {} : { valueProperty: "$.n" }),
    groupBy: { model: "$.model", value: "$.value", windowstart: "$.ws", type: "$.type" },
  })),
  ...["exact", "tenths", "nines"].flatMap((eventType) => [
    { slug: eventType, eventType, aggregation: "SUM", valueProperty: "$.n" },
    { slug: `${eventType}_avg`, eventType, aggregation: "AVG", valueProperty: "$.n" },
    { slug: `${eventType}_max`, eventType, aggregation: "MAX", valueProperty: "$.n" },
  ]),
  { slug: "huge", eventType: "huge", aggregation: "SUM", valueProperty: "$.n" },
  { slug: "silent", eventType: "silent", aggregation: "SUM", valueProperty: "$.n" },
  { slug: "silent_count", eventType: "silent", aggregation: "COUNT" },
  { slug: "silent_unique", eventType: "silent", aggregation: "UNIQUE_COUNT", valueProperty: "$.n" },
  { slug: "zones", eventType: "zones", aggregation: "COUNT" },
];

function use(subject: string, time: string, data: unknown): EventDraft {
  return { type: "use", subject, time, data };
}

const USAGE: readonly EventDraft[] = [
  use("alice", "2026-01-01T00:00:00Z", { n: 1, model: "small" }),
  use("alice", "2026-01-01T10:00:30Z", { n: 2.5, model: "large", value: "v", ws: "w", type: "t" }),
  use("bob", "2026-01-02T00:00:00Z", { n: "4", model: "large" }),
  use("bob", "2026-01-02T12:00:00.5Z", { n: 8, model: 1.5 }),
  use("carol", "2026-02-01T00:00:00Z", { n: 8, model: 'a "quoted", one' }),
  use("carol", "2026-02-01T00:00:01Z", { n: "no number" }),
  ...[
    "2025-03-09T07:59:59Z",
    "2025-03-09T08:00:00Z",
    "2025-03-10T06:59:59.999999Z",
    "2025-03-10T07:00:00Z",
    "2025-11-02T08:30:00Z",
    "2025-11-02T09:30:00Z",
  ].map((time) => ({ type: "zones", time })),
];

let exactId = 0;

function exact(type: string, numbers: readonly string[]): readonly string[] {
  return numbers.map((n) => {
    const head = JSON.stringify({ specversion: "1.0", id: `exact-${exactId++}`, source: "exact", type, subject: "s" });
    return `${head.slice(0, -1)},"data":{"n":${n}}}`;
  });
}

const EXACT = [
  ...exact("exact", ["9007199254740993", "0.1234567890123456789"]),
  ...exact("tenths", Array<string>(1000).fill("0.1")),
  ...exact("nines", Array<string>(10).fill("9999999999999999999")),
  ...exact("huge", Array<string>(2).fill("99999999999999999999999999999999999999")),
];

function query(slug: string, parameters = ""): Promise<MeterQueryResult> {
  return product.json<MeterQueryResult>(`/api/v1/meters/${slug}/query?${parameters}`);
}

/** Rows as `value@start/end` and what they are grouped by, which reads like a ledger. */
function ledger({ data }: MeterQueryResult): readonly string[] {
  return data.map((row) => [row.value, `${row.windowStart}/${row.windowEnd}`, ...groupsOf(row)].join(" "));
}

function groupsOf({ subject, groupBy }: MeterQueryRow): readonly string[] {
  return [...(subject === null ? [] : [subject]), ...Object.values(groupBy).map((text) => JSON.stringify(text))];
}

describe("values", () => {
  test.each([
    ["use_sum", 23.5],
    ["use_count", 6],
    ["use_avg", 4.7],
    ["use_min", 1],
    ["use_max", 8],
    ["use_unique_count", 5],
    ["use_latest", 8],
  ])("%s of everything is %d", async (slug, value) => {
    expect(ledger(await query(slug))).toEqual([`${value} 2026-01-01T00:00:00Z/2026-02-01T00:01:00Z`]);
  });

  test.each([
    ["exact", "9007199254740993.1234567890123456789"],
    ["exact_max", "9007199254740993"],
    ["exact_avg", "4503599627370496.56172839450617283945"],
    ["tenths", "100"],
    ["tenths_avg", "0.1"],
    ["nines", "99999999999999999990"],
    ["huge", "199999999999999999999999999999999999998"],
  ])("%s is exactly %s, in JSON and in CSV", async (slug, value) => {
    const json = await product.call(`/api/v1/meters/${slug}/query`);
    expect(json.text).toContain(`"value":${value},`);
    const csv = await product.call(`/api/v1/meters/${slug}/query`, { headers: { accept: "text/csv" } });
    const [integer = "", fraction = ""] = value.split(".");
    expect(csv.text.trimEnd().split(",").at(-1)).toBe(`${integer}.${fraction.padEnd(6, "0")}`);
  });
});

describe("periods and windows", () => {
  test("from counts, to does not, to the microsecond", async () => {
    const period = (from: string, to: string): string => `from=2026-01-0${from}&to=2026-01-0${to}`;
    const sum = async (parameters: string): Promise<number | undefined> =>
      (await query("use_sum", parameters)).data[0]?.value;
    expect(await sum(period("2T12:00:00.5Z", "2T12:00:00.500001Z"))).toBe(8);
    expect(await sum(period("2T12:00:00.500001Z", "2T13:00:00Z"))).toBeUndefined();
    expect(await sum(period("2T12:00:00Z", "2T12:00:00.5Z"))).toBeUndefined();
    expect(await sum(`${period("2T01:00:00", "2T14:00:00.500001").replaceAll("&", "%2B01:00&")}%2B01:00`)).toBe(12);
  });

  test("the answer echoes from, to and windowSize, and only what was sent", async () => {
    const { data: _data, ...echo } = await query("use_sum", "from=2026-01-01T01:00:00%2B01:00&windowSize=DAY");
    expect(echo).toEqual({ from: "2026-01-01T00:00:00Z", windowSize: "DAY" });
    expect(Object.keys(await query("use_sum", "windowTimeZone=UTC"))).toEqual(["data"]);
  });

  test("only windows with events appear, with their full bounds, also at the edges", async () => {
    expect(ledger(await query("use_sum", "windowSize=DAY&from=2026-01-01T10:00:00Z&to=2026-01-02T06:00:00Z"))).toEqual([
      "2.5 2026-01-01T00:00:00Z/2026-01-02T00:00:00Z",
      "4 2026-01-02T00:00:00Z/2026-01-03T00:00:00Z",
    ]);
    expect(ledger(await query("use_sum", "windowSize=MONTH"))).toEqual([
      "15.5 2026-01-01T00:00:00Z/2026-02-01T00:00:00Z",
      "8 2026-02-01T00:00:00Z/2026-03-01T00:00:00Z",
    ]);
    expect(ledger(await query("use_sum", "windowSize=MINUTE&to=2026-01-02T00:00:00Z"))).toEqual([
      "1 2026-01-01T00:00:00Z/2026-01-01T00:01:00Z",
      "2.5 2026-01-01T10:00:00Z/2026-01-01T10:01:00Z",
    ]);
  });

  test.each([
    [
      "windowSize=DAY&windowTimeZone=America/Los_Angeles&to=2025-04-01T00:00:00Z",
      [
        "1 2025-03-08T08:00:00Z/2025-03-09T08:00:00Z",
        "2 2025-03-09T08:00:00Z/2025-03-10T07:00:00Z",
        "1 2025-03-10T07:00:00Z/2025-03-11T07:00:00Z",
      ],
    ],
    [
      "windowSize=HOUR&windowTimeZone=America/Los_Angeles&from=2025-11-01T00:00:00Z",
      ["1 2025-11-02T08:00:00Z/2025-11-02T09:00:00Z", "1 2025-11-02T09:00:00Z/2025-11-02T10:00:00Z"],
    ],
    [
      "windowSize=HOUR&windowTimeZone=Asia/Kolkata&from=2025-11-02T09:00:00Z",
      ["1 2025-11-02T09:30:00Z/2025-11-02T10:30:00Z"],
    ],
    [
      "windowSize=MONTH&windowTimeZone=Europe/Budapest&to=2025-04-01T00:00:00Z",
      ["4 2025-02-28T23:00:00Z/2025-03-31T22:00:00Z"],
    ],
  ])("zones: %s", async (parameters, rows) => {
    expect(ledger(await query("zones", parameters))).toEqual(rows);
  });
});

describe("no events", () => {
  test.each([
    ["silent", "", []],
    ["silent_count", "", ["0 1970-01-01T00:00:00Z/1970-01-01T00:01:00Z"]],
    ["silent_unique", "from=2026-01-01T00:00:00Z", ["0 2026-01-01T00:00:00Z/2026-01-01T00:01:00Z"]],
    [
      "silent_count",
      "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z",
      ["0 2026-01-01T00:00:00Z/2026-01-02T00:00:00Z"],
    ],
    ["silent_count", "windowSize=DAY", []],
    ["silent_count", "groupBy=subject", []],
    ["silent_count", "subject=nobody", []],
  ])("%s?%s", async (slug, parameters, rows) => {
    expect(ledger(await query(slug, parameters))).toEqual(rows);
  });
});

describe("groups and filters", () => {
  const all = "2026-01-01T00:00:00Z";

  test("rows are ordered by window ascending, then by group descending", async () => {
    const result = await query("use_count", "windowSize=MONTH&groupBy=subject");
    expect(ledger(result)).toEqual([
      `2 ${all}/2026-02-01T00:00:00Z bob`,
      `2 ${all}/2026-02-01T00:00:00Z alice`,
      "2 2026-02-01T00:00:00Z/2026-03-01T00:00:00Z carol",
    ]);
  });

  test("a missing value is the empty text, numbers are canonical, repeats are ignored", async () => {
    const { data } = await query("use_count", "groupBy=model&groupBy=model&windowSize=MONTH");
    expect(data.flatMap(groupsOf)).toEqual(['"small"', '"large"', '"1.5"', '"a \\"quoted\\", one"', '""']);
    expect(data.every(({ subject }) => subject === null)).toBe(true);
  });

  test("keys that are names of columns are ordinary", async () => {
    const parameters = "groupBy=value&groupBy=windowstart&groupBy=type&filterGroupBy[value]=v";
    const { data } = await query("use_sum", parameters);
    expect(data).toMatchObject([{ value: 2.5, groupBy: { value: "v", windowstart: "w", type: "t" } }]);
  });

  test("a subject filter groups by subject", async () => {
    const { data } = await query("use_sum", "subject=alice&subject=bob&subject=alice&from=2026-01-01T00:00:00Z");
    expect(data.map(({ subject, value }) => [subject, value])).toEqual([
      ["bob", 12],
      ["alice", 3.5],
    ]);
  });

  test.each([
    ["filterGroupBy[model]=large", 2],
    ["filterGroupBy%5Bmodel%5D=large", 2],
    ["filterGroupBy[model]=large&filterGroupBy[model]=small", 3],
    ["filterGroupBy[model]=1.5", 1],
    ["filterGroupBy[model]=", 1],
    ["filterGroupBy[model]=none", 0],
    ["filterGroupBy[model]=large&filterGroupBy[value]=v", 1],
    [advanced({ model: { $eq: "large" } }), 2],
    [advanced({ model: { $ne: "large" } }), 4],
    [advanced({ model: { $in: ["large", "small"] } }), 3],
    [advanced({ model: { $nin: ["large", "small"] } }), 3],
    [advanced({ model: { $like: "_ar%" } }), 2],
    [advanced({ model: { $nlike: "_ar%" } }), 4],
    [advanced({ model: { $ilike: "LAR%" } }), 2],
    [advanced({ model: { $contains: "QUOTED" } }), 1],
    [advanced({ model: { $ncontains: "a" } }), 2],
    [advanced({ model: { $gt: "l" } }), 3],
    [advanced({ model: { $lte: "1.5" } }), 2],
    [advanced({ model: { $exists: true } }), 5],
    [advanced({ model: { $exists: false } }), 1],
    [advanced({ model: { $or: [{ $eq: "small" }, { $and: [{ $gt: "l" }, { $lt: "m" }] }] } }), 3],
    [advanced({ model: { $eq: "large" }, value: { $exists: true } }), 1],
    [advanced({}), 6],
  ])("%s", async (parameters, count) => {
    expect((await query("use_count", parameters)).data[0]?.value).toBe(count);
  });

  test("POST asks the same question", async () => {
    const json = {
      from: "2026-01-01T00:00:00Z",
      windowSize: "MONTH",
      subject: ["alice", "bob"],
      groupBy: ["model"],
      filterGroupBy: { model: ["large"], value: [] },
      clientId: "nightly",
      unknown: true,
    };
    const posted = await product.json("/api/v1/meters/use_sum/query", { json });
    const search =
      "from=2026-01-01T00:00:00Z&windowSize=MONTH&subject=alice&subject=bob&groupBy=model&filterGroupBy[model]=large";
    expect(posted).toEqual(await query("use_sum", search));
    expect(ledger(posted as MeterQueryResult)).toHaveLength(2);
    const filters = { advancedMeterGroupByFilters: { model: { $like: "l%" } } };
    expect(await product.json("/api/v1/meters/use_count/query", { json: filters })).toMatchObject({
      data: [{ value: 2 }],
    });
  });
});

function advanced(filters: unknown): string {
  return `advancedMeterGroupByFilters=${encodeURIComponent(JSON.stringify(filters))}`;
}

describe("CSV", () => {
  function csv(parameters: string, accept = "text/csv"): Promise<Answer> {
    return product.call(`/api/v1/meters/use_sum/query?${parameters}`, { headers: { accept } });
  }

  test("names, six decimals, line ends, file name and content type", async () => {
    const answer = await csv("windowSize=MONTH&groupBy=subject&groupBy=model&groupBy=value");
    expect(answer.headers.get("content-type")).toBe("text/csv");
    expect(answer.headers.get("content-disposition")).toBe("attachment; filename=use_sum.csv");
    expect(answer.text.split("\n").slice(0, 2)).toEqual([
      "window_start,window_end,subject,model,value,value",
      "2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,bob,large,,4.000000",
    ]);
    expect(answer.text).toContain(`carol,"a ""quoted"", one",,8.000000\n`);
    expect(answer.text).not.toContain("\r");
    expect((await csv("to=2025-01-01T00:00:00Z")).text).toBe("window_start,window_end,value\n");
  });

  test("is chosen by Accept, also for POST, and by nothing else", async () => {
    const posted = await product.call("/api/v1/meters/use_sum/query", { json: {}, headers: { accept: "text/csv" } });
    expect(posted.text).toBe("window_start,window_end,value\n2026-01-01T00:00:00Z,2026-02-01T00:01:00Z,23.500000\n");
    for (const accept of ["*/*", "application/json", "text/*", "text/csvx", "nonsense", "text/html;q=1"]) {
      expect((await csv("", accept)).headers.get("content-type")).toBe("application/json");
    }
    for (const accept of ["text/csv; charset=utf-8", "application/json;q=0.5, Text/CSV"]) {
      expect((await csv("", accept)).headers.get("content-type")).toBe("text/csv");
    }
  });

  test("an error is a problem, whatever Accept says", async () => {
    expect((await csv("windowSize=YEAR")).status).toBe(400);
  });
});

const REFUSED: readonly (readonly [string, Readonly<Record<string, unknown>>, string, string])[] = [
  [
    "from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00%2B01:00",
    { from: "2026-01-01T00:00:00Z", to: "2026-01-01T01:00:00+01:00" },
    "from and to cannot be equal",
    "$.to",
  ],
  [
    "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    { from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z" },
    "from must be before to",
    "$.from",
  ],
  ["from=2026-01-01", { from: "2026-01-01" }, `"from" must be an RFC 3339`, "$.from"],
  ["to=tomorrow", { to: "tomorrow" }, `"to" must be an RFC 3339`, "$.to"],
  ["windowSize=WEEK", { windowSize: "WEEK" }, "windowSize", "$.windowSize"],
  ["windowSize=day", { windowSize: "day" }, "windowSize", "$.windowSize"],
  [
    "windowTimeZone=Mars/Phobos",
    { windowTimeZone: "Mars/Phobos" },
    "invalid time zone: Mars/Phobos",
    "$.windowTimeZone",
  ],
  ["windowTimeZone=Local", { windowTimeZone: "Local" }, "invalid time zone: Local", "$.windowTimeZone"],
  ["windowTimeZone=", { windowTimeZone: "" }, "invalid time zone: ", "$.windowTimeZone"],
  ["groupBy=nope", { groupBy: ["nope"] }, "invalid group by: nope", "$.groupBy"],
  ["groupBy=constructor", { groupBy: ["constructor"] }, "invalid group by: constructor", "$.groupBy"],
  [
    "groupBy=customer_id",
    { groupBy: ["customer_id"] },
    "customer filter is required with customer_id group by",
    "$.filterCustomerId",
  ],
  ["filterGroupBy[nope]=1", { filterGroupBy: { nope: ["1"] } }, "invalid group by filter: nope", "$.filterGroupBy"],
  [
    "filterGroupBy[subject]=1",
    { filterGroupBy: { subject: ["1"] } },
    "invalid group by filter: subject",
    "$.filterGroupBy",
  ],
  [
    advanced({ nope: { $eq: "1" } }),
    { advancedMeterGroupByFilters: { nope: { $eq: "1" } } },
    "invalid group by filter: nope",
    "$.advancedMeterGroupByFilters",
  ],
  [
    `filterGroupBy[model]=1&${advanced({ model: { $eq: "1" } })}`,
    { filterGroupBy: { model: ["1"] }, advancedMeterGroupByFilters: { model: { $eq: "1" } } },
    "advanced meter group by filters and filter group by cannot be used together",
    "$.advancedMeterGroupByFilters",
  ],
  [
    advanced({ model: { $eq: "" } }),
    { advancedMeterGroupByFilters: { model: { $eq: "" } } },
    "must not be empty",
    "$.advancedMeterGroupByFilters.model.$eq",
  ],
  [
    advanced({ model: {} }),
    { advancedMeterGroupByFilters: { model: {} } },
    "exactly one of",
    "$.advancedMeterGroupByFilters.model",
  ],
  [
    advanced({ model: { $eq: "a", $ne: "b" } }),
    { advancedMeterGroupByFilters: { model: { $eq: "a", $ne: "b" } } },
    "exactly one of",
    "$.advancedMeterGroupByFilters.model",
  ],
  [
    advanced({ model: { $in: [] } }),
    { advancedMeterGroupByFilters: { model: { $in: [] } } },
    "1 to 100",
    "$.advancedMeterGroupByFilters.model.$in",
  ],
  [`clientId=${"c".repeat(37)}`, { clientId: "c".repeat(37) }, "clientId", "$.clientId"],
];

describe("what is refused", () => {
  test.each(REFUSED)("GET ?%s", async (parameters, _json, sentence, field) => {
    const problem = await product.problem(400, `/api/v1/meters/use_sum/query?${parameters}`);
    expect(problem.detail).toContain(sentence);
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toContain(field);
  });

  test.each(REFUSED)("POST, as GET ?%s", async (_parameters, json, sentence, field) => {
    const problem = await product.problem(400, "/api/v1/meters/use_sum/query", { json });
    expect(problem.detail).toContain(sentence);
    expect(problem.extensions?.validationErrors?.map((error) => error.field)).toContain(field);
  });

  test.each(["subject", "filterCustomerId", "groupBy"])("POST with more than 100 of %s", async (name) => {
    const json = { [name]: Array<string>(101).fill("model") };
    const problem = await product.problem(400, "/api/v1/meters/use_sum/query", { json });
    expect(problem.detail).toContain("at most 100");
  });

  test.each(["advancedMeterGroupByFilters=%7B", "advancedMeterGroupByFilters=null", "advancedMeterGroupByFilters=[]"])(
    "GET ?%s is no JSON object",
    async (parameters) => {
      const problem = await product.problem(400, `/api/v1/meters/use_sum/query?${parameters}`);
      expect(problem.detail).toContain("advancedMeterGroupByFilters");
    },
  );

  test("an unknown customer: 404", async () => {
    const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const problem = await product.problem(404, `/api/v1/meters/use_sum/query?filterCustomerId=${id}`);
    expect(problem.detail).toBe(`customer with id ${id} not found`);
  });
});

describe("subjects and group-by values", () => {
  test("subjects are distinct, sorted and those of the period", async () => {
    expect(await product.json("/api/v1/meters/use_sum/subjects")).toEqual(["alice", "bob", "carol"]);
    const period = "from=2026-01-02T00:00:00Z&to=2026-02-01T00:00:00Z";
    expect(await product.json(`/api/v1/meters/use_sum/subjects?${period}`)).toEqual(["bob"]);
    await product.problem(400, "/api/v1/meters/use_sum/subjects?from=x");
    await product.problem(400, "/api/v1/meters/use_sum/subjects?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z");
  });

  test("values are those of the last 24 hours, unless a period is named", async () => {
    const path = "/api/v1/meters/use_sum/group-by/model/values";
    expect(await product.json(path)).toEqual([]);
    const hours = (count: number): string => new Date(Date.now() - count * 3_600_000).toISOString();
    await product.ingest(
      { type: "use", time: hours(1), data: { model: "recent" } },
      { type: "use", time: hours(1), data: { model: "recent" } },
      { type: "use", time: hours(2) },
      { type: "use", time: hours(25), data: { model: "yesterday" } },
    );
    expect(await product.json(path)).toEqual(["", "recent"]);
    expect(await product.json(`${path}?from=${hours(26)}`)).toEqual(["", "recent", "yesterday"]);
    expect(await product.json(`${path}?from=${hours(26)}&to=${hours(24)}`)).toEqual(["yesterday"]);
    expect(await product.json(`${path}?to=2026-02-01T00:00:01Z`)).toContain("small");
  });

  test("long and old periods and unknown keys are refused", async () => {
    const values = (key: string, parameters: string): string =>
      `/api/v1/meters/use_sum/group-by/${key}/values?${parameters}`;
    const daysAgo = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();
    const refused: readonly (readonly [string, string, string])[] = [
      ["nope", "", "invalid group by: nope"],
      ["subject", "", "invalid group by: subject"],
      ["toString", "", "invalid group by: toString"],
      ["model", `from=${daysAgo(90)}`, "90 days"],
      ["model", `from=${daysAgo(40)}&to=${daysAgo(9)}`, "30 days"],
      ["model", `from=${daysAgo(1)}&to=${daysAgo(2)}`, "from must be before to"],
      ["model", "from=yesterday", "RFC 3339"],
    ];
    for (const [key, parameters, sentence] of refused) {
      expect((await product.problem(400, values(key, parameters))).detail).toContain(sentence);
    }
    await product.json(values("model", `from=${daysAgo(40)}&to=${daysAgo(10.5)}`));
    await product.json(values("model", `from=${daysAgo(89.9)}`));
  });
});
