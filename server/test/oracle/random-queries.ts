/** Random meters and queries over a random world. */

import {
  type Aggregation,
  type CustomerSubjects,
  type EventListQuery,
  type JsonPath,
  type MeterView,
  parseJsonPath,
  type PhaseUsageQuery,
  type PositionVector,
  type TextFilter,
  type TimeFilter,
  type UsageQuery,
  type ValuesQuery,
} from "../../src/engines/event-store/index.ts";
import { assert } from "../../src/kernel/assert.ts";
import { type Instant, instantFromMicros } from "../../src/kernel/instant.ts";
import { partitions, randomNumber, randomZone, texts, type World } from "./random-events.ts";
import type { Random } from "./random.ts";

const aggregations: readonly Aggregation[] = ["SUM", "COUNT", "AVG", "MIN", "MAX", "UNIQUE_COUNT", "LATEST"];
const MINUTE_MICROS = 60_000_000;
const groupKeys: readonly string[] = ["value", "windowstart", "type", "count"];

export const paths: readonly JsonPath[] = [
  "$.v",
  "$.k",
  "$.n",
  "$.a",
  "$.v.v",
  "$.n.v",
  "$.n['it\\'s']",
  "$['it\\'s']",
  "$.größe",
  "$['a.b']",
  "$.a[0]",
  "$.a[*]",
  "$.v[*]",
  "$.a[1 to 2]",
  "$.v[2,0]",
  "$.a[*].v",
  "$.n[*].k",
  "$.v[*][*]",
  "$.a[0 to 9][1,0].v",
  "$.n.a[*]",
  "$.missing",
  "$[0]",
  "$[*].v",
].map((text) => {
  const path = parseJsonPath(text);
  assert(path !== null, "the oracle uses valid paths");
  return path;
});

/** Half of all paths lead to where most events have a value. */
function randomPath(random: Random): JsonPath {
  return random.pick(random.oneIn(2) ? paths.slice(0, 1) : paths);
}

export function randomUsageQuery(
  random: Random,
  world: World,
  meter: MeterView = randomMeter(random, world),
): UsageQuery {
  const keys = [...meter.groupBy.keys()];
  const bounds = randomBounds(random, world);
  const customers = random.oneIn(4) ? randomCustomers(random, world) : undefined;
  const sizes = ["MINUTE", "HOUR", "DAY", "MONTH"] as const;
  const timeZone = random.oneIn(2) ? world.zone : randomZone(random);
  const filtered = random.oneIn(3) ? random.some(keys) : [];
  return {
    meter,
    ...bounds,
    ...(random.oneIn(3) ? {} : { window: { size: random.pick(sizes), timeZone } }),
    ...(random.oneIn(4) && { subjects: random.some([...world.subjects, "unknown"]) }),
    ...(customers && { customers }),
    groupBySubject: random.oneIn(3),
    groupByCustomer: customers !== undefined && random.oneIn(2),
    groupBy: random.oneIn(2) ? random.shuffled(random.some(keys)) : [],
    filters: new Map(filtered.map((key) => [key, randomTextFilter(random, 2)])),
    upTo: randomPositions(random, world),
    ...(random.oneIn(6) && { storedBefore: randomInstant(random, world) }),
  };
}

/** A few series of random subjects and minutes under the meter, the filters and the positions of a usage query. */
export function randomPhaseQuery(
  random: Random,
  world: World,
  { meter, filters, upTo, rollUp }: UsageQuery,
): PhaseUsageQuery {
  const series = random.list(random.between(1, 6), () => ({
    subjects: random.some([...world.subjects, "unknown"]),
    bounds: random
      .list(random.between(0, 8), () => randomInstant(random, world))
      .map((at) => instantFromMicros(at - (at % MINUTE_MICROS)))
      .toSorted((a, b) => a - b),
  }));
  return { meter, filters, upTo, series, ...(rollUp !== undefined && { rollUp }) };
}

export function randomListQuery(random: Random, world: World): EventListQuery {
  const text = (): TextFilter | undefined => (random.oneIn(12) ? randomTextFilter(random, 1) : undefined);
  const time = (): TimeFilter | undefined => (random.oneIn(10) ? randomTimeFilter(random, world, 1) : undefined);
  const conditions = {
    id: text(),
    source: text(),
    subject: text(),
    type: text(),
    time: time(),
    ingestedAt: time(),
    storedAt: time(),
    subjects: random.oneIn(6) ? random.some(world.subjects) : undefined,
    after: random.oneIn(2) ? undefined : randomPosition(random, world),
  };
  const by = random.pick(["time", "ingestedAt", "storedAt"] as const);
  return {
    namespace: world.namespace,
    ...(Object.fromEntries(Object.entries(conditions).filter(([, each]) => each)) as Partial<EventListQuery>),
    sort: { by, direction: random.pick(["asc", "desc"] as const) },
    limit: random.pick([1, 10, 100]),
    upTo: randomPositions(random, world),
  };
}

export function randomValuesQuery(random: Random, world: World): ValuesQuery {
  const meter = randomMeter(random, world);
  const key = random.pick([...meter.groupBy.keys(), ""]);
  const property = key === "" ? ({ kind: "subject" } as const) : ({ kind: "groupBy", key } as const);
  return { meter, property, ...randomBounds(random, world), upTo: randomPositions(random, world) };
}

export function randomMeter(random: Random, world: World): MeterView {
  const aggregation = random.pick(aggregations);
  return {
    namespace: world.namespace,
    eventType: random.oneIn(6) ? random.pick([...world.types, "unknown"]) : "type",
    aggregation,
    groupBy: new Map(random.some(groupKeys).map((key) => [key, randomPath(random)])),
    ...(aggregation !== "COUNT" && { valuePath: randomPath(random) }),
    ...(random.oneIn(8) && { eventFrom: randomInstant(random, world) }),
  };
}

function randomBounds(random: Random, world: World): { from?: Instant; to?: Instant } {
  // Four candidates, so that the span is usually wide enough to hold events.
  const instants = random.list(4, () => randomInstant(random, world)).toSorted((a, b) => a - b);
  const from = instants[0] ?? instantFromMicros(0);
  const to = instantFromMicros(Math.max(instants[3] ?? 0, from + 1));
  return { ...(random.oneIn(3) && { from }), ...(random.oneIn(3) && { to }) };
}

/** An instant of an event, or a little before or after it. */
export function randomInstant(random: Random, world: World): Instant {
  const micros = random.pick(world.instants) + random.pick([0, 0, 1, -1, 1_000_000, 3_599_999_999]);
  return instantFromMicros(Math.max(0, micros));
}

function randomCustomers(random: Random, world: World): readonly CustomerSubjects[] {
  const ids = random.shuffled(["c1", "c2", "it's"]).slice(0, random.between(1, 3));
  return ids.map((id) => ({ id, subjects: random.some([...world.subjects, "unknown"]) }));
}

/** All events, or a random cut through every partition. */
function randomPositions(random: Random, world: World): PositionVector {
  const visible = random.oneIn(8) ? random.some(partitions) : partitions;
  const isWhole = random.oneIn(2);
  return new Map(
    visible.map((partition) => {
      const offsets = world.events.filter((event) => event.partition === partition).map((event) => event.offset);
      return [partition, isWhole || offsets.length === 0 ? 2 ** 40 : random.pick(offsets)];
    }),
  );
}

function randomPosition(random: Random, world: World): EventListQuery["after"] {
  const event = random.pick(world.events);
  const sortValue = random.pick([event.time, event.ingestedAt, event.storedAt]);
  return { sortValue, partition: event.partition, offset: event.offset };
}

function randomTextFilter(random: Random, depth: number): TextFilter {
  const text = () => (random.oneIn(4) ? randomNumber(random) : random.pick(texts));
  const pattern = () =>
    random.list(random.between(1, 3), () => random.pick(["%", "_", "\\%", "\\_", "\\\\", "\\", text()])).join("");
  const kind = random.below(depth > 0 ? 8 : 6);
  switch (kind) {
    case 0:
      return { op: random.pick(["in", "nin"] as const), values: random.list(random.between(0, 5), text) };
    case 1:
      return { op: random.pick(["like", "nlike", "ilike", "nilike"] as const), pattern: pattern() };
    case 2:
      return { op: random.pick(["contains", "ncontains"] as const), value: text() };
    case 3:
      return { op: "exists", value: random.oneIn(2) };
    case 4:
    case 5:
      return { op: random.pick(["eq", "ne", "gt", "gte", "lt", "lte"] as const), value: text() };
    default: {
      const filters = random.list(random.between(0, 3), () => randomTextFilter(random, depth - 1));
      return { op: random.pick(["and", "or"] as const), filters };
    }
  }
}

function randomTimeFilter(random: Random, world: World, depth: number): TimeFilter {
  if (depth > 0 && random.oneIn(3)) {
    const filters = random.list(random.between(0, 2), () => randomTimeFilter(random, world, depth - 1));
    return { op: random.pick(["and", "or"] as const), filters };
  }
  return { op: random.pick(["gt", "gte", "lt", "lte", "eq"] as const), value: randomInstant(random, world) };
}
