/** The sink's feed against the reference event store, which reads values and filters in its own way. */

import { describe, expect, test } from "vitest";
import {
  type Aggregation,
  eventBytes,
  encodeEvents,
  type JsonPath,
  parseJsonPath,
  type StoredEvent,
  type TextFilter,
} from "../../engines/event-store/index.ts";
import { ReferenceStore } from "../../engines/event-store/reference.ts";
import { assert } from "../../kernel/assert.ts";
import { microsPerMinute } from "../../kernel/civil.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { JsonTape } from "../../kernel/json.ts";
import { FeedExtractor } from "./extractor.ts";
import { isWatchable, type UsageFeed, type WatchedUsage } from "./usage-feed.ts";

const START = 1_700_000_040_000_000;

/** JSON texts that have gone wrong somewhere, as values of a property. */
const VALUES = [
  ["1", "2.5", "-0", "1e3", "0.10", "-7.000", "123456789012345678901234567890.123456789", "1e-30", "5e-25", "1e38"],
  ['"12"', '"+1"', '" 1"', '"1e2"', '"0x10"', '""', '"null"', '"true"', '"NaN"', '"a\\u0041"', '"\\ud800"', '"é"'],
  ["null", "true", "false", "[]", "{}", "[1,2]", '{"v":3}', '{"v":{"w":"x"}}', '[{"v":1},{"v":"b"}]', "[[4]]"],
].flat();

const PATHS = ["$.v", "$.v.v", "$.v[0]", "$.v[1,0]", "$.v[*].v", "$.v[0 to 1]", '$["é"]', "$.v[0][0]"];

const FILTERS: readonly (readonly [string, TextFilter])[] = [
  ["eq", { op: "eq", value: "gpt" }],
  ["ne", { op: "ne", value: "gpt" }],
  ["the text null", { op: "eq", value: "null" }],
  ["order of bytes", { op: "gt", value: "1" }],
  ["in", { op: "in", values: ["12", "2.5", ""] }],
  ["nin of nothing", { op: "nin", values: [] }],
  ["exists", { op: "exists", value: true }],
  ["is missing", { op: "exists", value: false }],
  [
    "both",
    {
      op: "or",
      filters: [
        { op: "eq", value: "true" },
        { op: "and", filters: [{ op: "lte", value: "3" }] },
      ],
    },
  ],
];

describe("the feed has what the reference store counts, by subject and minute", () => {
  const events = randomEvents(400, 20_261_120);
  for (const aggregation of ["SUM", "COUNT", "UNIQUE_COUNT", "LATEST"] as const) {
    test(aggregation, async () => {
      for (const path of PATHS) {
        const watched = usage(aggregation, path, new Map());
        expect(feedRows(watched, events), path).toEqual(await referenceRows(watched, events));
      }
    });
  }

  test.each(FILTERS)("filter: %s", async (_name, filter) => {
    const watched = usage("COUNT", "$.v", new Map([["group", filter]]));
    expect(feedRows(watched, events)).toEqual(await referenceRows(watched, events));
  });

  test("from the meter's first instant on, of its type and namespace only", async () => {
    const watched = usage("COUNT", "$.v", new Map());
    const meter = { ...watched.meter, eventFrom: instantFromMicros(START + microsPerMinute + 1) };
    const rows = feedRows({ ...watched, meter }, events);
    expect(rows).toEqual(await referenceRows({ ...watched, meter }, events));
    expect(rows.length).toBeGreaterThan(0);
    expect(feedRows({ ...watched, meter: { ...meter, namespace: "other" } }, events)).toEqual([]);
    expect(feedRows({ ...watched, meter: { ...meter, eventType: "toke" } }, events)).toEqual([]);
  });
});

test("events that lost their identity are not in the feed", () => {
  const events = randomEvents(4, 7).map((event, row) => ({
    ...event,
    type: "tokens",
    data: `{"v":${row + 1}}`,
    time: event.ingestedAt,
  }));
  const feed = feedOf([usage("SUM", "$.v", new Map())], events, (row) => row !== 2);
  expect(feed?.values.reduce((sum, value) => sum + Number(value), 0)).toBe(7);
});

test("a minute's values of one subject are one entry", () => {
  const [first] = randomEvents(1, 7);
  assert(first !== undefined, "an event was made");
  const events = ["0.1", "0.2", "-0.3", "1e-24"].map((value, offset) => ({
    ...first,
    type: "tokens",
    offset,
    data: `{"v":${value}}`,
  }));
  const feed = feedOf([usage("SUM", "$.v", new Map())], events);
  expect(feed?.values).toEqual(["0.000000000000000000000001"]);
  expect(feed?.times).toEqual([START]);
});

test("nothing watched, no feed", () => {
  expect(feedOf([], randomEvents(3, 7))).toBeNull();
});

test.each<[TextFilter, boolean]>([
  [{ op: "eq", value: "a" }, true],
  [{ op: "like", pattern: "a%" }, false],
  [
    {
      op: "and",
      filters: [
        { op: "eq", value: "a" },
        { op: "ncontains", value: "b" },
      ],
    },
    false,
  ],
])("filters with patterns are not watched: %j", (filter, expected) => {
  expect(isWatchable(filter)).toBe(expected);
});

function usage(aggregation: Aggregation, text: string, filters: ReadonlyMap<string, TextFilter>): WatchedUsage {
  const path = parsed(text);
  const groupBy = new Map([["group", parsed("$.g")]]);
  const value = aggregation === "COUNT" ? {} : { valuePath: path };
  return {
    key: `${aggregation} ${text}`,
    meter: { namespace: "n", eventType: "tokens", aggregation, groupBy, ...value },
    filters,
  };
}

function parsed(text: string): JsonPath {
  const path = parseJsonPath(text);
  assert(path !== null, "the tests' paths are valid");
  return path;
}

/** Events of two subjects within three minutes, some of them without data, of another type or before the others. */
function randomEvents(count: number, seed: number): StoredEvent[] {
  let state = seed;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const value = (): string => VALUES[below(VALUES.length)] ?? "";
  return Array.from({ length: count }, (_, offset) => {
    const data = `{"v":${value()},"g":${below(3) === 0 ? '"gpt"' : value()},"é":${value()}${below(4) === 0 ? `,"v":${value()}` : ""}}`;
    const ingestedAt = instantFromMicros(START + below(5));
    return {
      namespace: "n",
      id: String(offset),
      source: "test",
      type: below(10) === 0 ? "other" : "tokens",
      subject: `customer ${"é".repeat(below(2))}`,
      time: instantFromMicros(START + (count === 1 ? 0 : below(3) * microsPerMinute + below(4))),
      isTimeGiven: true,
      data: below(20) === 0 ? null : data,
      ingestedAt,
      storedAt: ingestedAt,
      partition: 0,
      offset,
    };
  });
}

function feedOf(
  watched: readonly WatchedUsage[],
  events: readonly StoredEvent[],
  isOwn: (row: number) => boolean = () => true,
): UsageFeed | null {
  const extractor = new FeedExtractor();
  extractor.watch(watched);
  const batch = extractor.begin();
  const tape = new JsonTape(64);
  events.forEach((event, row) => {
    const bytes = eventBytes(event);
    if (bytes.dataEnd > bytes.dataStart) tape.parse(bytes.bytes, bytes.dataStart, bytes.dataEnd);
    const type = Buffer.from(event.type).toString("latin1");
    batch?.add(row, type, Buffer.from(event.namespace), bytes, event.ingestedAt, tape);
  });
  return batch?.finish(isOwn, 0) ?? null;
}

interface Row {
  readonly subject: string | null;
  readonly minute: number;
  readonly value: string;
}

/** The feed as meter query results by subject and minute. */
function feedRows(watched: WatchedUsage, events: readonly StoredEvent[]): readonly Row[] {
  const feed = feedOf([watched], events);
  const rows =
    feed === null
      ? []
      : feed.values.map((value, at) => ({
          subject: feed.subjects[at] ?? "",
          minute: Math.floor((feed.times[at] ?? 0) / microsPerMinute) * microsPerMinute,
          value,
          place: [feed.times[at] ?? 0, feed.arrivals[at] ?? 0, feed.offsets[at] ?? 0],
        }));
  const byMinute = Map.groupBy(rows, ({ subject, minute }) => `${minute} ${subject}`);
  return sorted(
    [...byMinute.values()].flatMap((minute) =>
      minute
        .slice(0, 1)
        .map(({ subject, minute: start }) => ({ subject, minute: start, value: added(minute, watched) })),
    ),
  );
}

/** What the entries of a minute come to. */
function added(minute: readonly (Row & { readonly place: readonly number[] })[], { meter }: WatchedUsage): string {
  const values = minute.map(({ value }) => value);
  if (meter.aggregation === "UNIQUE_COUNT") return String(new Set(values).size);
  if (meter.aggregation !== "LATEST")
    return values.reduce((sum, value) => sum.plus(Decimal.of(value)), Decimal.zero).toText();
  const order = (row: (typeof minute)[number], than: (typeof minute)[number]): number =>
    row.place.map((part, at) => part - (than.place[at] ?? 0)).find((difference) => difference !== 0) ?? 0;
  return minute.toSorted(order).at(-1)?.value ?? "";
}

async function referenceRows(
  { meter, filters }: WatchedUsage,
  events: readonly StoredEvent[],
): Promise<readonly Row[]> {
  const store = new ReferenceStore();
  await store.insert(encodeEvents(events), "t");
  const rows = await store.queryUsage({
    meter,
    window: { size: "MINUTE", timeZone: "UTC" },
    groupBySubject: true,
    groupByCustomer: false,
    groupBy: [],
    filters,
    upTo: new Map([[0, events.length]]),
  });
  const counted = rows.filter(({ value }) => meter.aggregation !== "UNIQUE_COUNT" || value !== "0");
  return sorted(
    counted.map(({ subject, windowStart, value }) => ({
      subject,
      minute: windowStart,
      value: Decimal.of(value).toText(),
    })),
  );
}

function sorted(rows: readonly Row[]): readonly Row[] {
  const key = ({ minute, subject }: Row): string => `${minute} ${subject}`;
  return rows.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}
