/**
 * What the schemas accept, ignore and reject, and the sentences that a rejected request answers with; alone and behind hono.
 */
import { OpenAPIHono, type z } from "@hono/zod-openapi";
import { describe, expect, test } from "vitest";
import {
  type MeterCreate,
  type MeterQueryRequest,
  createMeterRoute,
  eventSchema,
  featureCreateSchema,
  ingestEventsBodySchema,
  listEventsQuerySchema,
  listEventsV2QuerySchema,
  listMetersQuerySchema,
  meterCreateSchema,
  meterParamsSchema,
  meterQueryRequestSchema,
  meterUpdateSchema,
  queryMeterQuerySchema,
  queryMeterRoute,
  queryRecord,
  validationIssues,
} from "./index.ts";

const ULID = "01G65Z755AFWAKHE12NY0CQ9FH";
const meter = { slug: "tokens_total", aggregation: "COUNT", eventType: "prompt" };
const event = { id: "1", source: "chat", specversion: "1.0", type: "prompt", subject: "customer-1" };

/** The violations as `field: message` lines; empty when the value is accepted. */
function violations(schema: z.ZodType, value: unknown): string[] {
  const result = schema.safeParse(value);
  return result.success ? [] : validationIssues(result.error).map(({ field, message }) => `${field}: ${message}`);
}

function query(schema: z.ZodType, text: string): unknown {
  return schema.parse(queryRecord(new URLSearchParams(text)));
}

describe("accepted", () => {
  test.each<[string, z.ZodType, unknown]>([
    ["the least meter", meterCreateSchema, meter],
    ["metadata null", meterCreateSchema, { ...meter, metadata: null }],
    ["the longest slug", meterCreateSchema, { ...meter, slug: "a".repeat(64) }],
    ["the longest name", meterCreateSchema, { ...meter, name: "x".repeat(256) }],
    ["the longest description", meterCreateSchema, { ...meter, description: "x".repeat(1024) }],
    ["group-by keys with any letter case", meterCreateSchema, { ...meter, groupBy: { _Model9: "$.m", value: "$.v" } }],
    ["an empty update", meterUpdateSchema, {}],
    ["the least event", eventSchema, event],
    [
      "an event with every null",
      eventSchema,
      { ...event, time: null, data: null, dataschema: null, datacontenttype: null },
    ],
    ["an older CloudEvents version", eventSchema, { ...event, specversion: "0.3" }],
    ["one event", ingestEventsBodySchema, event],
    ["many events", ingestEventsBodySchema, [event, event]],
    ["a slug in the path", meterParamsSchema, { meterIdOrSlug: "tokens_total" }],
    ["an id in the path", meterParamsSchema, { meterIdOrSlug: ULID }],
    ["an id in lower case", meterParamsSchema, { meterIdOrSlug: ULID.toLowerCase() }],
    ["an empty question", meterQueryRequestSchema, {}],
    [
      "a null operand beside an operator",
      meterQueryRequestSchema,
      { advancedMeterGroupByFilters: { m: { $eq: "a", $ne: null } } },
    ],
    [
      "two levels of combination",
      meterQueryRequestSchema,
      { advancedMeterGroupByFilters: { m: { $or: [{ $and: [{ $eq: "a" }] }] } } },
    ],
    ["100 subjects", meterQueryRequestSchema, { subject: Array.from({ length: 100 }, String) }],
  ])("%s", (_, schema, value) => {
    expect(violations(schema, value)).toEqual([]);
  });
});

describe("ignored", () => {
  test("unknown and read-only fields of a new meter", () => {
    const parsed = meterCreateSchema.parse({ ...meter, id: 7, createdAt: "never", deletedAt: {}, color: "red" });
    expect(parsed).toEqual(meter);
  });

  test("fixed fields of a changed meter", () => {
    expect(meterUpdateSchema.parse({ ...meter, name: "Tokens" })).toEqual({ name: "Tokens" });
  });

  test("extension attributes of an event", () => {
    expect(eventSchema.parse({ ...event, traceparent: "00-1" })).toEqual(event);
  });
});

describe("rejected, naming the field and the fix", () => {
  const slugFix = "use lower-case letters and digits, words joined by single underscores, such as tokens_total";

  test.each<[string, z.ZodType, unknown, string[]]>([
    ["nothing", meterCreateSchema, null, ["$: the request must be an object, not null"]],
    ["no slug", meterCreateSchema, { ...meter, slug: undefined }, ['$.slug: "slug" is missing; send a string']],
    [
      "a slug with capitals",
      meterCreateSchema,
      { ...meter, slug: "Tokens" },
      [`$.slug: "slug": "Tokens" is not a slug; ${slugFix}`],
    ],
    [
      "a slug of 65",
      meterCreateSchema,
      { ...meter, slug: "a".repeat(65) },
      ['$.slug: "slug" must be at most 64 characters long'],
    ],
    ["an empty name", meterCreateSchema, { ...meter, name: "" }, ['$.name: "name" must not be empty']],
    [
      "a name of 257",
      meterCreateSchema,
      { ...meter, name: "x".repeat(257) },
      ['$.name: "name" must be at most 256 characters long'],
    ],
    [
      "an empty description",
      meterUpdateSchema,
      { description: "" },
      ['$.description: "description" must not be empty'],
    ],
    [
      "a long description",
      meterUpdateSchema,
      { description: "x".repeat(1025) },
      ['$.description: "description" must be at most 1024 characters long'],
    ],
    [
      "an unknown aggregation",
      meterCreateSchema,
      { ...meter, aggregation: "sum" },
      ['$.aggregation: "aggregation" must be one of SUM, COUNT, UNIQUE_COUNT, AVG, MIN, MAX, LATEST'],
    ],
    [
      "an empty event type",
      meterCreateSchema,
      { ...meter, eventType: "" },
      ['$.eventType: "eventType" must not be empty'],
    ],
    [
      "a number as metadata",
      meterUpdateSchema,
      { metadata: { a: 1 } },
      ['$.metadata.a: "metadata.a" must be a string, not a number'],
    ],
    [
      "a subject that is a number",
      eventSchema,
      { ...event, subject: 5 },
      ['$.subject: "subject" must be a string, not a number'],
    ],
    [
      "an unknown version",
      eventSchema,
      { ...event, specversion: "2.0" },
      ['$.specversion: "specversion" must be 1.0 (or 0.3), not "2.0"'],
    ],
    [
      "another content type",
      eventSchema,
      { ...event, datacontenttype: "text/plain" },
      ['$.datacontenttype: "datacontenttype" must be application/json'],
    ],
    ["an array as data", eventSchema, { ...event, data: [1] }, ['$.data: "data" must be an object, not an array']],
    [
      "the second event of a batch",
      ingestEventsBodySchema,
      [event, { ...event, id: "" }],
      ['$[1].id: "[1].id" must not be empty'],
    ],
    [
      "a word as limit",
      listEventsQuerySchema,
      { limit: "ten" },
      ['$.limit: "limit": must be a whole number in decimal digits, not "ten"'],
    ],
    [
      "a fraction as limit",
      listEventsQuerySchema,
      { limit: "1.5" },
      ['$.limit: "limit": must be a whole number in decimal digits, not "1.5"'],
    ],
    [
      "no digits as limit",
      listEventsQuerySchema,
      { limit: "" },
      ['$.limit: "limit": must be a whole number in decimal digits, not ""'],
    ],
    ["a limit of 101", listEventsQuerySchema, { limit: "101" }, ['$.limit: "limit" must be at most 100']],
    ["a page of 0", listMetersQuerySchema, { page: "0" }, ['$.page: "page" must be at least 1']],
    [
      "1 as true",
      listMetersQuerySchema,
      { includeDeleted: "1" },
      ['$.includeDeleted: "includeDeleted": must be true or false, not "1"'],
    ],
    [
      "a client id of 37",
      listEventsQuerySchema,
      { clientId: "x".repeat(37) },
      ['$.clientId: "clientId" must be at most 36 characters long'],
    ],
    [
      "101 customers",
      meterQueryRequestSchema,
      { filterCustomerId: Array.from({ length: 101 }, String) },
      ['$.filterCustomerId: "filterCustomerId" must have at most 100 items'],
    ],
    [
      "an unknown window",
      queryMeterQuerySchema,
      { windowSize: "WEEK" },
      ['$.windowSize: "windowSize" must be one of MINUTE, HOUR, DAY, MONTH'],
    ],
  ])("%s", (_, schema, value, expected) => {
    expect(violations(schema, value)).toEqual(expected);
  });

  test("a kind that is none, and what belongs to another kind", () => {
    const feature = (unitCost: unknown) => violations(featureCreateSchema, { key: "k", name: "n", unitCost });
    expect(feature({ type: "free" })).toEqual(['$.unitCost.type: "unitCost.type" must be one of manual, llm']);
    expect(feature({})).toEqual(['$.unitCost.type: "unitCost.type" must be one of manual, llm']);
    expect(feature({ type: "manual" })).toEqual(['$.unitCost.amount: "unitCost.amount" is missing; send a string']);
    expect(feature({ type: "llm" })).toEqual([]);
  });

  test("every violation at once", () => {
    const fields = violations(meterCreateSchema, { slug: "", groupBy: { "a-b": "$.x" } }).map(
      (line) => line.split(":")[0],
    );
    expect(new Set(fields)).toEqual(new Set(["$.slug", "$.aggregation", "$.eventType", '$.groupBy["a-b"]']));
  });

  test.each<[string, unknown, string]>([
    ["no operator", {}, "exactly one of"],
    ["an unknown operator", { $regex: "a" }, "exactly one of"],
    ["two operators", { $eq: "a", $ne: "b" }, "has $eq and $ne"],
    ["an empty operand", { $eq: "" }, "use $exists"],
    ["an empty combination", { $and: [] }, "at least 1 items"],
    ["three levels of combination", { $and: [{ $or: [{ $and: [{ $eq: "a" }] }] }] }, "at most 2 deep"],
  ])("a filter with %s", (_, filter, expected) => {
    expect(violations(meterQueryRequestSchema, { advancedMeterGroupByFilters: { model: filter } }).join()).toContain(
      expected,
    );
  });

  test("a filter nested without bounds, before it exhausts the stack", () => {
    let filter: unknown = { $eq: "a" };
    for (let level = 0; level < 100_000; level += 1) filter = { $and: [filter] };
    expect(violations(meterQueryRequestSchema, { advancedMeterGroupByFilters: { model: filter } })).toEqual([
      '$.advancedMeterGroupByFilters: "advancedMeterGroupByFilters": nests more than 32 levels deep; flatten the filter',
    ]);
  });

  test("two levels of combination in an event list", () => {
    const filter = JSON.stringify({ id: { $and: [{ $or: [{ $eq: "a" }] }] } });
    expect(violations(listEventsV2QuerySchema, { filter }).join()).toContain("at most 1 deep");
  });

  test("both kinds of group filters", () => {
    const value = { filterGroupBy: { a: ["1"] }, advancedMeterGroupByFilters: { a: { $eq: "1" } } };
    expect(violations(meterQueryRequestSchema, value).join()).toContain("cannot be used together");
  });

  test("a filter that is not JSON", () => {
    expect(violations(listEventsV2QuerySchema, { filter: "{id" }).join()).toMatch(/^\$\.filter: .*not valid JSON/);
  });
});

describe("query strings", () => {
  test.each<[string, z.ZodType, string, unknown]>([
    ["defaults", listMetersQuerySchema, "", { page: 1, pageSize: 100, order: "ASC", includeDeleted: false }],
    ["one occurrence", queryMeterQuerySchema, "subject=a", { subject: ["a"] }],
    ["repetition", queryMeterQuerySchema, "subject=a&subject=b", { subject: ["a", "b"] }],
    [
      "deep object",
      queryMeterQuerySchema,
      "filterGroupBy[model]=x&filterGroupBy%5Bregion%5D=y",
      { filterGroupBy: { model: ["x"], region: ["y"] } },
    ],
    [
      "JSON",
      queryMeterQuerySchema,
      `advancedMeterGroupByFilters=${encodeURIComponent('{"m":{"$in":["a"]}}')}`,
      { advancedMeterGroupByFilters: { m: { $in: ["a"] } } },
    ],
    [
      "an event filter",
      listEventsV2QuerySchema,
      `filter=${encodeURIComponent(`{"customerId":{"$in":["${ULID}"]}}`)}&limit=7`,
      { limit: 7, filter: { customerId: { $in: [ULID] } } },
    ],
  ])("%s", (_, schema, text, expected) => {
    expect(query(schema, text)).toEqual(expected);
  });

  test("GET and POST forms of a question parse to the same value", () => {
    const body = {
      from: "2026-01-01T00:00:00Z",
      subject: ["a"],
      filterGroupBy: { model: ["x"] },
      groupBy: ["model", "subject"],
    };
    const text = "from=2026-01-01T00:00:00Z&subject=a&filterGroupBy[model]=x&groupBy=model&groupBy=subject";
    expect(query(queryMeterQuerySchema, text)).toEqual(meterQueryRequestSchema.parse(body));
  });
});

describe("routes under hono", () => {
  const asked: MeterQueryRequest[] = [];
  const created: MeterCreate[] = [];
  const app = new OpenAPIHono({
    defaultHook: (result, context) => (result.success ? undefined : context.json(validationIssues(result.error), 400)),
  });
  app.openapi(queryMeterRoute, (context) => {
    asked.push(context.req.valid("query"));
    return context.json({ data: [] }, 200);
  });
  app.openapi(createMeterRoute, (context) => {
    const body = context.req.valid("json");
    created.push(body);
    const at = "2026-01-15T10:00:00Z";
    return context.json({ ...body, id: ULID, createdAt: at, updatedAt: at }, 200);
  });

  test("validate the query, deep objects included", async () => {
    const answer = await app.request("/api/v1/meters/tokens_total/query?filterGroupBy[model]=x&groupBy=a&groupBy=b");
    expect(answer.status).toBe(200);
    expect(asked).toEqual([{ filterGroupBy: { model: ["x"] }, groupBy: ["a", "b"] }]);
  });

  test("validate the path", async () => {
    const answer = await app.request("/api/v1/meters/Tokens!/query");
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject([{ field: "$.meterIdOrSlug" }]);
  });

  test("validate the body", async () => {
    const answer = await app.request("/api/v1/meters", {
      method: "POST",
      headers: { "content-type": "application/json; charset=utf-8" },
      body: JSON.stringify({ ...meter, color: "red" }),
    });
    expect(answer.status).toBe(200);
    expect(created).toEqual([meter]);
  });
});
