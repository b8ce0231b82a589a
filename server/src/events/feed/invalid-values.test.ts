/** Which events yield no value for a meter, against what a listing says of each of them. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Aggregation, eventBytes, parseJsonPath } from "../../engines/event-store/index.ts";
import { assert } from "../../kernel/assert.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { JsonTape } from "../../kernel/json.ts";
import { explainValue } from "../../meters/index.ts";
import { type CheckedMeter, InvalidValueCounter, type InvalidValues } from "./invalid-values.ts";
import { LatinTexts } from "./latin-texts.ts";
import { TapePath } from "./tape-path.ts";

const PATHS = ["$.v", "$.v.v", "$.v[0]", "$.v[*].v", "$.v[0 to 1]", "$.v[1,0]", '$["é"]'].map(pathOf);
const AGGREGATIONS = ["SUM", "AVG", "MIN", "MAX", "LATEST", "UNIQUE_COUNT", "COUNT"] as const;

function pathOf(text: string): CheckedMeter["valuePath"] {
  const path = parseJsonPath(text);
  assert(path !== null, "the tests' paths are valid");
  return path;
}

/** Texts around what is a number: of any length, with all that a number may have and some of what it must not. */
const digits = (maxLength: number) => fc.string({ unit: fc.nat({ max: 9 }).map(String), maxLength });
const almostNumber = fc
  .tuple(
    fc.constantFrom("", "-", "+", " ", "--"),
    digits(60),
    fc.constantFrom("", ".", ".", ".."),
    digits(30),
    fc.constantFrom("", "", "e5", "E-7", "e+40", "e", "e999999999999", " "),
  )
  .map((parts) => parts.join(""));
/** On both sides of what is too large. */
const largeNumber = fc
  .tuple(fc.constantFrom("", "-"), fc.nat({ max: 60 }), fc.constantFrom("", "", ".5", `.${"9".repeat(25)}`))
  .map(([sign, length, fraction]) => `${sign}9${"9".repeat(length)}${fraction}`);
const token = fc
  .oneof(largeNumber, almostNumber)
  .map((text) => (/^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(text) ? text : "17"));
const text = fc.oneof(
  almostNumber,
  largeNumber,
  fc.constantFrom("", ".", "+", "-", "-.", "5.", ".5", "NaN", "-Infinity", "0x10", "1_0", "é", "null"),
  fc.string({ unit: "binary", maxLength: 5 }),
);
const escaped = text.map((value) => `"${Array.from(value, escapedCharacter).join("")}"`);
const value = fc.letrec<{ readonly value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    token,
    text.map((value) => JSON.stringify(value)),
    escaped,
    fc.constantFrom("null", "true", "false", "[]", "{}"),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => `[${items.join(",")}]`),
    objectOf(tie("value")),
  ),
})).value;

function objectOf(member: fc.Arbitrary<string>): fc.Arbitrary<string> {
  // Names come twice now and then, and with blanks around them.
  const name = fc.constantFrom('"v"', ' "v" ', '"é"', '"\\u0076"', '"w"');
  return fc.array(fc.tuple(name, member), { maxLength: 4 }).map((members) => {
    return `{${members.map(([key, each]) => `${key}:${each}`).join(",")}}`;
  });
}

function escapedCharacter(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** Documents whose values are looked at mostly, and of any other shape. */
const documents = fc.oneof(
  value.map((each) => `{"v":${each}}`),
  objectOf(value),
  value,
);

describe("an event is counted exactly when a listing explains it", () => {
  test.each(AGGREGATIONS)("%s", (aggregation) => {
    fc.assert(
      fc.property(documents, (data) => {
        for (const path of PATHS) {
          const isExplained = explainValue(aggregation, path, data) !== null;
          const counted = count([meterOf({ aggregation, valuePath: path })], [{ data }]);
          expect(counted, path.text).toEqual(isExplained ? [{ namespace: "n", meter: "m", events: 1 }] : []);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("without data", () => {
    for (const aggregation of AGGREGATIONS) {
      const isExplained = explainValue(aggregation, pathOf("$.v"), null) !== null;
      expect(count([meterOf({ aggregation })], [{ data: null }])).toHaveLength(isExplained ? 1 : 0);
    }
  });
});

test("whether there is a value is what reading it says", () => {
  const tape = new JsonTape(64);
  const seen = { number: 0, none: 0 };
  fc.assert(
    fc.property(documents, (data) => {
      const bytes = Buffer.from(data);
      tape.parse(bytes, 0, bytes.length);
      for (const path of PATHS.map((each) => new TapePath(each))) {
        expect(path.hasNumber(tape)).toBe(path.number(tape) !== null);
        expect(path.hasText(tape)).toBe(path.text(tape) !== null);
        if (path.hasText(tape)) seen[path.hasNumber(tape) ? "number" : "none"] += 1;
      }
    }),
    { numRuns: 2_000 },
  );
  // Both kinds of texts must occur, or the law says nothing.
  expect(Math.min(seen.number, seen.none)).toBeGreaterThan(100);
});

describe("counts", () => {
  const events = [{ data: '{"v":"many","w":1}' }, { data: '{"v":2}' }, { data: '{"w":"3"}' }, { data: null }];

  test("by meter, whether or not others look at the same value", () => {
    const meters = [
      meterOf({ slug: "sum" }),
      meterOf({ slug: "max", aggregation: "MAX" }),
      meterOf({ slug: "unique", aggregation: "UNIQUE_COUNT" }),
      meterOf({ slug: "other", valuePath: pathOf("$.w") }),
      meterOf({ slug: "count", aggregation: "COUNT" }),
    ];
    const counted = Object.fromEntries(count(meters, events).map(({ meter, events: found }) => [meter, found]));
    expect(counted).toEqual({ sum: 3, max: 3, unique: 2, other: 2 });
  });

  test("of events that keep their identity", () => {
    expect(count([meterOf({})], events, (row) => row === 1 || row === 3)).toEqual([
      { namespace: "n", meter: "m", events: 1 },
    ]);
    expect(count([meterOf({})], events, (row) => row === 1)).toEqual([]);
  });

  test("of the meter's type and namespace", () => {
    const meters = [
      meterOf({ slug: "here", eventType: "größe" }),
      meterOf({ slug: "elsewhere", namespace: "other", eventType: "größe" }),
      meterOf({ slug: "another", eventType: "größen" }),
    ];
    expect(count(meters, [{ type: "größe" }, { type: "größ" }, { type: "größe", namespace: "other" }])).toEqual([
      { namespace: "n", meter: "here", events: 1 },
      { namespace: "other", meter: "elsewhere", events: 1 },
    ]);
  });

  test("of the meters that were named last, from the next batch on", () => {
    const counter = new InvalidValueCounter();
    expect(counter.begin()).toBeNull();
    counter.check([meterOf({ slug: "first" })]);
    const batch = counter.begin();
    counter.check([meterOf({ slug: "second" })]);
    expect([batch, counter.begin()].map((each) => addAll(each, [{}]))).toMatchObject([
      [{ meter: "first" }],
      [{ meter: "second" }],
    ]);
    counter.check([]);
    expect(counter.begin()).toBeNull();
  });
});

test("latin-1 texts are right whatever was looked at before", () => {
  const ranges = fc.array(fc.uint8Array({ maxLength: 3, max: 3 }).chain(withLongOnes), {
    minLength: 100,
    maxLength: 200,
  });
  fc.assert(
    fc.property(ranges, (all) => {
      const texts = new LatinTexts();
      for (const bytes of all) {
        const around = Buffer.concat([Buffer.from([1, 0]), bytes, Buffer.from([2, 255])]);
        const found = texts.of(around, 2, 2 + bytes.length);
        // What is remembered must not change with the bytes that it was made of.
        around.fill(3);
        expect(found).toBe(Buffer.from(bytes).toString("latin1"));
      }
    }),
  );
});

function withLongOnes(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.constantFrom(bytes, Buffer.concat([bytes, Buffer.alloc(70, 200), bytes]), Buffer.concat([bytes, bytes]));
}

interface Sent {
  readonly namespace?: string;
  readonly type?: string;
  readonly data?: string | null;
}

function meterOf(given: Partial<CheckedMeter> & { readonly aggregation?: Aggregation }): CheckedMeter {
  return { slug: "m", namespace: "n", eventType: "t", aggregation: "SUM", valuePath: pathOf("$.v"), ...given };
}

function count(
  meters: readonly CheckedMeter[],
  events: readonly Sent[],
  isOwn: (row: number) => boolean = () => true,
): readonly InvalidValues[] {
  const counter = new InvalidValueCounter();
  counter.check(meters);
  return addAll(counter.begin(), events, isOwn);
}

function addAll(
  batch: ReturnType<InvalidValueCounter["begin"]>,
  events: readonly Sent[],
  isOwn: (row: number) => boolean = () => true,
): readonly InvalidValues[] {
  const tape = new JsonTape(64);
  events.forEach(({ namespace = "n", type = "t", data = null }, row) => {
    const at = instantFromMicros(0);
    const event = { namespace, id: "1", source: "s", type, subject: "c", time: at, isTimeGiven: true, data };
    const bytes = eventBytes({ ...event, ingestedAt: at, storedAt: at, partition: 0, offset: row });
    if (bytes.dataEnd > bytes.dataStart) tape.parse(bytes.bytes, bytes.dataStart, bytes.dataEnd);
    batch?.add(row, Buffer.from(type).toString("latin1"), Buffer.from(namespace), bytes, tape);
  });
  return batch?.finish(isOwn) ?? [];
}
