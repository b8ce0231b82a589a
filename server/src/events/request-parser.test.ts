/** The rules for events, one line each, and the laws: the same texts as `JSON.parse`, and the log holds what was sent. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fault } from "../kernel/fault.ts";
import { type Instant, instantFromMicros, parseInstant } from "../kernel/instant.ts";
import { EventReader, stampMissingTimes } from "./event-codec.ts";
import { type BodyShape, EventParser, type IngestLimits, type ParsedEvents, parseInSlices } from "./request-parser.ts";

const LIMITS: IngestLimits = {
  maxBodyBytes: 1 << 20,
  maxEvents: 3,
  maxEventBytes: 2048,
  maxAttributeBytes: 64,
  maxDepth: 4,
};
const NOW = instantFromMicros(Date.parse("2026-06-01T00:00:00Z") * 1000);
const DAY_MICROS = 86_400_000_000;
const NAMESPACE = Buffer.from("default");

const VALID = { specversion: "1.0", id: "1", source: "gateway", type: "prompt", subject: "customer-1" };

function parseText(
  text: string | Uint8Array,
  shape: BodyShape = "either",
  limits: IngestLimits = LIMITS,
): ParsedEvents {
  const parser = new EventParser(NAMESPACE, limits).parse(Buffer.from(text), shape, NOW);
  for (;;) {
    const step = parser.next();
    if (step.done === true) return step.value;
  }
}

/** `code` and each bad field with its message; the number of events when they are accepted. */
function outcome(text: string | Uint8Array, shape: BodyShape = "either", limits: IngestLimits = LIMITS): unknown {
  try {
    return parseText(text, shape, limits).count;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error.fields.length === 0) return [error.code, error.message];
    return [error.code, ...error.fields.map(({ field, message }) => `${field}: ${message}`)];
  }
}

interface Decoded {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly data: string;
  readonly time: Instant;
  readonly isTimeGiven: boolean;
}

function decode(payload: Uint8Array): Decoded[] {
  const reader = new EventReader(payload);
  expect(Buffer.from(reader.namespace).toString()).toBe("default");
  const events: Decoded[] = [];
  while (reader.next()) {
    const text = (start: number, end: number): string => Buffer.from(reader.bytes.subarray(start, end)).toString();
    events.push({
      id: text(reader.idStart, reader.idEnd),
      source: text(reader.sourceStart, reader.sourceEnd),
      type: text(reader.typeStart, reader.typeEnd),
      subject: text(reader.subjectStart, reader.subjectEnd),
      data: text(reader.dataStart, reader.dataEnd),
      time: reader.time,
      isTimeGiven: reader.isTimeGiven,
    });
  }
  return events;
}

describe("an event is accepted", () => {
  test.each([
    ["with the required attributes", {}],
    ["with specversion 0.3", { specversion: "0.3" }],
    ["with a time", { time: "2026-01-31T12:00:00.123456789+02:00" }],
    ["with null for everything optional", { time: null, datacontenttype: null, dataschema: null, data: null }],
    ["with empty data", { data: {}, datacontenttype: "application/json", dataschema: "urn:x" }],
    ["with extensions", { traceparent: "00-1", sampled: true, ids: "not id", timex: 1 }],
    ["at the first instant", { time: "1970-01-01T00:00:00Z" }],
    ["just before the end of time", { time: "2199-12-31T23:59:59.999999Z" }],
    ["with an id as long as allowed", { id: "x".repeat(64) }],
    ["with a type that is as long as allowed in UTF-8", { type: "é".repeat(32) }],
    ["nested as deep as allowed", { data: { a: [{ b: [] }] } }],
  ])("%s", (_name, change) => {
    expect(outcome(JSON.stringify({ ...VALID, ...change }))).toBe(1);
  });

  test("with an id that is too long only while it is escaped", () => {
    const id = "\\u0041".repeat(64);
    expect(outcome(`{"specversion":"1.0","id":"${id}","source":"s","type":"t","subject":"u"}`)).toBe(1);
  });

  test("with the zero time of some clients, which is no time", () => {
    const decoded = decode(parseText(JSON.stringify({ ...VALID, time: "0001-01-01T00:00:00Z" })).out.view());
    expect(decoded.map(({ isTimeGiven }) => isTimeGiven)).toEqual([false]);
  });

  test("with names that are escaped, and the last of repeated names counts", () => {
    const text = `{"id":"first","i\\u0064":"second","specversion":"\\u0031.0","source":"s","type":"t","subject":"u"}`;
    expect(decode(parseText(text).out.view()).map(({ id }) => id)).toEqual(["second"]);
  });
});

const OUT_OF_RANGE = "event time out of range: it must lie in the years 1970 to 2199";
const NOT_AN_INSTANT = `"time" must be an RFC 3339 date-time with offset, such as "2026-01-31T12:00:00Z"`;
const NOT_JSON_CONTENT = `"datacontenttype" must be "application/json", null or absent`;

describe("an event is refused", () => {
  test.each([
    ...["id", "source", "type", "subject"].flatMap((name): [object, string][] => [
      [{ [name]: undefined }, `$.${name}: "${name}" is required: send a non-empty string`],
      [{ [name]: "" }, `$.${name}: "${name}" must be a non-empty string`],
      [{ [name]: null }, `$.${name}: "${name}" must be a non-empty string`],
      [{ [name]: 7 }, `$.${name}: "${name}" must be a non-empty string`],
      [{ [name]: "x".repeat(65) }, `$.${name}: "${name}" is longer than 64 bytes (ingest.maxAttributeBytes)`],
      [{ [name]: "é".repeat(33) }, `$.${name}: "${name}" is longer than 64 bytes (ingest.maxAttributeBytes)`],
    ]),
    [{ specversion: undefined }, `$.specversion: "specversion" is required: send "1.0"`],
    [{ specversion: null }, `$.specversion: "specversion" must be "1.0"`],
    [{ specversion: 1 }, `$.specversion: "specversion" must be "1.0"`],
    [{ specversion: "1.1" }, `$.specversion: "specversion" must be "1.0"`],
    [{ specversion: "1.0 " }, `$.specversion: "specversion" must be "1.0"`],
    [{ time: 1_700_000_000 }, `$.time: ${NOT_AN_INSTANT}`],
    [{ time: "" }, `$.time: ${NOT_AN_INSTANT}`],
    [{ time: "2026-01-31" }, `$.time: ${NOT_AN_INSTANT}`],
    [{ time: "2026-01-31T12:00:00" }, `$.time: ${NOT_AN_INSTANT}`],
    [{ time: "2026-01-31T12:00:60Z" }, `$.time: ${NOT_AN_INSTANT}`],
    [{ time: "2026-02-29T12:00:00Z" }, `$.time: ${NOT_AN_INSTANT}`],
    [{ time: "1969-12-31T23:59:59.999999Z" }, `$.time: ${OUT_OF_RANGE}`],
    [{ time: "2200-01-01T00:00:00Z" }, `$.time: ${OUT_OF_RANGE}`],
    [{ datacontenttype: "text/plain" }, `$.datacontenttype: ${NOT_JSON_CONTENT}`],
    [{ datacontenttype: 1 }, `$.datacontenttype: ${NOT_JSON_CONTENT}`],
    [{ dataschema: "" }, `$.dataschema: "dataschema" must be a non-empty string, null or absent`],
    [{ dataschema: {} }, `$.dataschema: "dataschema" must be a non-empty string, null or absent`],
    [{ data: "text" }, `$.data: "data" must be an object, null or absent; wrap a single string in an object`],
    [{ data: 5 }, `$.data: "data" must be an object, null or absent; wrap a single number in an object`],
    [{ data: true }, `$.data: "data" must be an object, null or absent; wrap a single value in an object`],
    [{ data: [1] }, `$.data: "data" must be an object, null or absent; wrap a single value in an object`],
    [{ data: { a: [{ b: [[]] }] } }, `$.data: nested deeper than 4 levels (ingest.maxDepth)`],
  ])("%j", (change, expected) => {
    expect(outcome(JSON.stringify({ ...VALID, ...change }))).toEqual(["invalid_event", expected]);
  });

  test("when it is too long", () => {
    const text = JSON.stringify({ ...VALID, data: { text: "x".repeat(2048) } });
    const message = `$: the event is ${text.length} bytes long, the limit is 2048 (ingest.maxEventBytes)`;
    expect(outcome(text)).toEqual(["invalid_event", message]);
  });

  test("when its time lies outside what the configuration allows", () => {
    const limits = { ...LIMITS, maxPastMicros: DAY_MICROS, maxFutureMicros: DAY_MICROS };
    const at = (time: string): unknown => outcome(JSON.stringify({ ...VALID, time }), "either", limits);
    expect(at("2026-05-31T00:00:00Z")).toBe(1);
    expect(at("2026-06-02T00:00:00Z")).toBe(1);
    const past = "$.time: event time out of range: it lies further in the past than ingest.maxPast allows";
    expect(at("2026-05-30T23:59:59.999999Z")).toEqual(["invalid_event", past]);
    const future = "$.time: event time out of range: it lies further in the future than ingest.maxFuture allows";
    expect(at("2026-06-02T00:00:00.000001Z")).toEqual(["invalid_event", future]);
  });
});

describe("a body", () => {
  const one = JSON.stringify(VALID);
  const noEvents = "invalid event: no events found";
  test.each<[BodyShape, string, unknown]>([
    ["single", one, 1],
    ["single", `[${one}]`, ["invalid_event", "invalid event: the body must be one object"]],
    ["batch", `[${one}]`, 1],
    ["batch", one, ["invalid_event", "invalid event: the body must be an array"]],
    ["batch", "[]", 0],
    ["batch", " [ ] ", 0],
    ["either", "[]", ["invalid_event", noEvents]],
    ["either", ` [ ${one} , ${one} ] `, 2],
    ["either", `[${one},${one},${one}]`, 3],
    ["either", "7", ["invalid_event", "$: an event must be an object"]],
    ["either", `[${one},null]`, ["invalid_event", "$[1]: an event must be an object"]],
    ["either", "", ["invalid_json", "invalid JSON: expected a JSON value, but the text ends at byte 0"]],
    [
      "either",
      `[${one},]`,
      ["invalid_json", `invalid JSON: expected a JSON value, found "]" at byte ${one.length + 2}`],
    ],
    ["either", `[${one}`, ["invalid_json", `invalid JSON: expected "," or "]" at byte ${one.length + 1}`]],
    ["either", `${one}x`, ["invalid_json", `invalid JSON: text after the end of the JSON value at byte ${one.length}`]],
    [
      "either",
      `[${one}]]`,
      ["invalid_json", `invalid JSON: text after the end of the JSON value at byte ${one.length + 2}`],
    ],
  ])("of shape %s: %s", (shape, text, expected) => {
    expect(outcome(text, shape)).toEqual(expected);
  });

  test("with too many events is refused with a code of its own", () => {
    const message = "too many events: a request may hold 3 (ingest.maxEvents); split the batch";
    expect(outcome(`[${[one, one, one, one].join(",")}]`)).toEqual(["too_many_events", message]);
  });

  test("that is not UTF-8 is refused", () => {
    const bytes = Buffer.concat([Buffer.from('{"id":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
    expect(outcome(bytes)).toEqual(["invalid_json", "invalid JSON: the body is not valid UTF-8"]);
  });

  test("names all of its bad events and all of their bad attributes", () => {
    const bad = [{ ...VALID, id: "", time: "today" }, VALID, { ...VALID, subject: undefined, data: [] }];
    expect(outcome(JSON.stringify(bad))).toEqual([
      "invalid_event",
      `$[0].id: "id" must be a non-empty string`,
      `$[0].time: ${NOT_AN_INSTANT}`,
      `$[2].subject: "subject" is required: send a non-empty string`,
      `$[2].data: "data" must be an object, null or absent; wrap a single value in an object`,
    ]);
  });

  test("that is no JSON names the bad events before the mistake, too", () => {
    const message = `$[0].id: "id" must be a non-empty string`;
    expect(outcome(`[${JSON.stringify({ ...VALID, id: "" })},!]`)).toEqual(["invalid_json", message]);
  });

  test("summarises its bad events in the message", () => {
    const bad = JSON.stringify([
      { ...VALID, id: "" },
      { ...VALID, id: "" },
    ]);
    const first = `invalid event: $[0].id: "id" must be a non-empty string`;
    expect(() => parseText(bad)).toThrow(`${first} (and 1 more, see extensions.validationErrors)`);
  });
});

test("a parser carries nothing from a refused body to the next, nor between bodies under way at once", async () => {
  const limits = { ...LIMITS, maxEvents: 10_000, maxBodyBytes: 1 << 24 };
  const parser = new EventParser(NAMESPACE, limits);
  const bodyOf = (prefix: string): Buffer => {
    const events = Array.from({ length: 6000 }, (_, index) => ({ ...VALID, id: `${prefix}${index}`, data: { index } }));
    return Buffer.from(JSON.stringify(events));
  };
  const slices = [...parser.parse(bodyOf("a"), "either", NOW)];
  expect(slices.length, "how often a body of 700 KB lets other work run").toBe(2);
  await expect(parseInSlices(parser.parse(Buffer.from("[{"), "either", NOW))).rejects.toThrow("invalid JSON");
  const [a, b] = await Promise.all(
    ["a", "b"].map(async (prefix) => await parseInSlices(parser.parse(bodyOf(prefix), "either", NOW))),
  );
  const idsOf = (parsed: ParsedEvents | undefined): string[] =>
    decode(parsed?.out.view() ?? new Uint8Array()).map(({ id, data }) => `${id} ${data}`);
  const expected = (prefix: string): string[] =>
    Array.from({ length: 6000 }, (_, index) => `${prefix}${index} {"index":${index}}`);
  expect(idsOf(a)).toEqual(expected("a"));
  expect(idsOf(b)).toEqual(expected("b"));
});

/** The rules of the tables above on a parsed value: slow, obvious, and blind to everything about bytes. */
function isValidEvent(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const event = new Map<string, unknown>(Object.entries(value));
  const isText = (name: string): boolean => {
    const text = event.get(name);
    return typeof text === "string" && text !== "" && Buffer.byteLength(text) <= LIMITS.maxAttributeBytes;
  };
  const isAbsentOr = (name: string, check: (value: unknown) => boolean): boolean =>
    event.get(name) === undefined || event.get(name) === null || check(event.get(name));
  return (
    ["id", "source", "type", "subject"].every(isText) &&
    (event.get("specversion") === "1.0" || event.get("specversion") === "0.3") &&
    isAbsentOr("time", (time) => {
      const instant = typeof time === "string" ? parseInstant(time) : null;
      return instant !== null && instant >= 0 && instant < 7_258_118_400_000_000;
    }) &&
    isAbsentOr("datacontenttype", (contentType) => contentType === "application/json") &&
    isAbsentOr("dataschema", (schema) => typeof schema === "string" && schema !== "") &&
    isAbsentOr("data", (data) => typeof data === "object" && !Array.isArray(data))
  );
}

function expectedOutcome(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "invalid_json";
  }
  const events = Array.isArray(value) ? value : [value];
  if (events.length > LIMITS.maxEvents) return "too_many_events";
  return events.length > 0 && events.every(isValidEvent) ? "accepted" : "invalid_event";
}

const damage = fc.record({
  at: fc.nat(),
  remove: fc.nat({ max: 3 }),
  insert: fc.oneof(
    fc.constantFrom(
      "",
      '"',
      "\\",
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      " ",
      "\t",
      "0",
      "-",
      ".",
      "e",
      "null",
      "\u0001",
      "\ufeff",
    ),
    fc.string({ maxLength: 3, unit: "binary" }),
  ),
});

test("a damaged body is accepted exactly when JSON.parse accepts it and the rules hold", () => {
  const events = [
    {
      ...VALID,
      time: "2026-01-31T12:00:00Z",
      dataschema: "urn:x",
      data: { n: -1.5e3, t: "\u00e9\n", l: [true, null] },
    },
    { ...VALID, id: "2", datacontenttype: "application/json", data: null },
  ];
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(fc.boolean(), fc.array(damage, { maxLength: 2 }), (isBatch, damages) => {
      let text = JSON.stringify(isBatch ? events : events[0], null, isBatch ? 1 : 0);
      for (const { at, remove, insert } of damages) {
        const place = at % (text.length + 1);
        text = text.slice(0, place) + insert + text.slice(place + remove);
      }
      text = text.toWellFormed();
      const found = outcome(text);
      const expected = expectedOutcome(text);
      seen.set(expected, (seen.get(expected) ?? 0) + 1);
      expect(typeof found === "number" ? "accepted" : Array.isArray(found) && found[0], text).toBe(expected);
    }),
    { numRuns: 3000 },
  );
  for (const each of ["accepted", "invalid_event", "invalid_json"]) expect(seen.get(each), each).toBeGreaterThan(20);
});

const attribute = fc
  .string({ unit: "binary", minLength: 1, maxLength: 12 })
  .map((text) => text.toWellFormed())
  .filter((text) => Buffer.byteLength(text) <= LIMITS.maxAttributeBytes);
const sentEvent = fc.record({
  texts: fc.tuple(attribute, attribute, attribute, attribute),
  time: fc.option(fc.integer({ min: 0, max: 7_258_118_399_999 })),
  data: fc.option(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })),
  isEscaped: fc.boolean(),
  indent: fc.constantFrom("", " ", "\t"),
});

/** A JSON string in which every character is an escape. */
function escaped(text: string): string {
  const units = Array.from({ length: text.length }, (_, at) => text.charCodeAt(at).toString(16).padStart(4, "0"));
  return `"\\u${units.join("\\u")}"`;
}

test("the log payload decodes to what was sent, data byte for byte", () => {
  fc.assert(
    fc.property(fc.array(sentEvent, { minLength: 1, maxLength: 3 }), (events) => {
      const texts = events.map(({ texts: [id, source, type, subject], time, data, isEscaped, indent }) => {
        const quote = isEscaped ? escaped : JSON.stringify;
        const dataText = data === null ? "null" : JSON.stringify(data, null, indent);
        const timeText = time === null ? "null" : JSON.stringify(new Date(time).toISOString());
        const named = `"subject":${quote(subject)},"type":${quote(type)},"source":${quote(source)},"id":${quote(id)}`;
        return { dataText, event: `{"data":${dataText},"time":${timeText},"specversion":"1.0",${named}}` };
      });
      const limits = { ...LIMITS, maxDepth: 16, maxEventBytes: 1 << 20 };
      const parsed = parseText(`[${texts.map(({ event }) => event).join(",")}]`, "batch", limits);
      stampMissingTimes(parsed.out, parsed.withoutTime, NOW);
      const expected = events.map(({ texts: [id, source, type, subject], time, data }, index) => ({
        id,
        source,
        type,
        subject,
        data: data === null ? "" : texts[index]?.dataText,
        time: time === null ? NOW + index : time * 1000,
        isTimeGiven: time !== null,
      }));
      expect(decode(parsed.out.view())).toEqual(expected);
    }),
  );
});
