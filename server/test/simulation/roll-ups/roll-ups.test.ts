/**
 * The simulation of the keeper of roll-ups: events come in, meters are created, changed and deleted, rows go bad, calls fail
 * before or after they took effect, keepers end at any moment, and the power fails and takes the last commits with it.
 * Whatever is offered for a query at any moment, the answer is that of the events.
 *
 * `ROLL_UP_SEED=<number>` repeats a run, `ROLL_UP_ACTIONS=<number>` makes it longer; the seed is always printed.
 */

import { afterAll, beforeAll, expect, test } from "vitest";
import type { StoredEvent } from "../../../src/engines/event-store/index.ts";
import { assert } from "../../../src/kernel/assert.ts";
import { instantFromMicros } from "../../../src/kernel/instant.ts";
import { type Meter, meterView } from "../../../src/meters/index.ts";
import { compare } from "../../oracle/comparison.ts";
import { randomWorld, type World } from "../../oracle/random-events.ts";
import { randomInstant, randomMeter, randomUsageQuery } from "../../oracle/random-queries.ts";
import { Random } from "../../oracle/random.ts";
import { Faults, InjectedFault } from "../faulty-engines.ts";
import { createMeter, groupByTexts, type Memory, NAMESPACE, Stage } from "./stage.ts";

const seed = Number(process.env["ROLL_UP_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const actionCount = Number(process.env["ROLL_UP_ACTIONS"] ?? 60);

const FAULT_RATE = 40;
const MAX_METERS = 4;
/** A meter that is always there, and for which a roll-up always pays. */
const LASTING = "lasting";
/** Few instants and documents, so that events gather in buckets and groups and roll-ups pay. */
const INSTANTS = 24;
const DOCUMENTS = 6;
const GRACE_MICROS = 6 * 60 * 1_000_000;
const ALWAYS = { from: instantFromMicros(0), to: instantFromMicros(7_258_118_400_000_000) };
/** More steps than any state of affairs takes to be brought in order. */
const MANY_STEPS = 500;

const random = new Random(seed);
const faults = new Faults(random, FAULT_RATE);
const offsets = new Map<number, number>();
let stage: Stage;
let world: World;
let memory: Memory | null = null;
let live: Meter[] = [];
let meterCount = 0;
let asked = 0;
/** Questions for which a roll-up may be used, wherever the query's bounds and the roll-up's levels allow it. */
let offered = 0;
const done = new Map<string, number>();

beforeAll(async () => {
  process.stderr.write(`simulation of roll-ups: ROLL_UP_SEED=${seed}\n`);
  stage = await Stage.open(faults);
  const made = randomWorld(random, NAMESPACE, nextOffset);
  const instants = random.list(INSTANTS, () => random.pick(made.instants));
  world = { ...made, instants, events: [] };
});

afterAll(async () => {
  await stage?.close();
});

function nextOffset(partition: number): number {
  const offset = offsets.get(partition) ?? 0;
  offsets.set(partition, offset + 1);
  return offset;
}

/** Events of a later moment in the same world. */
function arrivals(): readonly StoredEvent[] {
  const drawn = randomWorld(random, NAMESPACE, nextOffset).events;
  const documents = (world.events.length > 0 ? world.events : drawn).slice(0, DOCUMENTS).map(({ data }) => data);
  const events = drawn.map((event) => ({
    ...event,
    type: random.oneIn(6) ? random.pick(world.types) : "type",
    time: random.pick(world.instants),
    subject: random.pick(world.subjects),
    data: random.pick(documents),
  }));
  world = { ...world, events: [...world.events, ...events] };
  return events;
}

/** Steps of the keeper; failures that were asked for are its own business. */
async function work(steps: number): Promise<void> {
  for (let step = 0; step < steps; step += 1) {
    try {
      await stage.keeper.step();
    } catch (error) {
      if (!(error instanceof InjectedFault)) throw error;
    }
  }
}

async function changeMeters(): Promise<void> {
  const kind = random.below(4);
  const meter = live.length === 0 ? undefined : random.pick(live);
  if (meter === undefined || (kind < 2 && live.length < MAX_METERS)) {
    meterCount += 1;
    await createMeter(stage, randomMeter(random, world), `m${meterCount}`);
  } else if (kind === 2 && meter.slug !== LASTING) {
    await stage.meters.delete(meter.id);
  } else {
    // The path of the value must not be among those of the groups.
    const view = { ...randomMeter(random, world), ...withValue(meter) };
    await stage.meters.update(meter.id, { groupBy: groupByTexts(view) });
  }
  await listMeters();
}

function withValue(meter: Meter): Pick<ReturnType<typeof meterView>, "valuePath"> {
  const { valuePath } = meterView(meter);
  return valuePath === undefined ? {} : { valuePath };
}

async function listMeters(): Promise<void> {
  live = [...(await stage.meters.list({ orderBy: "slug", direction: "asc", includeDeleted: false }))];
}

/** Rows of a roll-up go bad in a period, which is known before the next keeper begins. */
async function spoil(): Promise<void> {
  const ready = stage.keeper.records.filter(({ record }) => record.status === "ready" && record.chunks.length > 0);
  if (ready.length === 0) return;
  const { meter, record } = random.pick(ready);
  // What the keeper believes may be older than what is recorded.
  const recorded = await stage.db.selectFrom("roll_up").selectAll().where("id", "=", record.id).executeTakeFirst();
  const chunks = await stage.db
    .selectFrom("roll_up_chunk")
    .selectAll()
    .where("roll_up", "=", record.id)
    .where("status", "=", "counting")
    .execute();
  const chunk = chunks.length === 0 ? undefined : random.pick(chunks);
  if (recorded === undefined || chunk === undefined) return;
  const [a, b] = [randomInstant(random, world), randomInstant(random, world)];
  const period = { from: Math.min(a, b), to: Math.max(a, b) + 1 };
  const bad = { from: instantFromMicros(period.from), to: instantFromMicros(period.to) };
  const fold = { rollUp: record, meter: meterView(meter), chunk: chunk.id, after: new Map(), upTo: record.coverage };
  const rows = await stage.store.rollUps.fold({ ...fold, period: bad });
  const stale = JSON.stringify([...recorded.stale, period]);
  await stage.db.updateTable("roll_up").set({ stale }).where("id", "=", record.id).execute();
  await stage.db.updateTable("roll_up_chunk").set({ rows }).where("id", "=", chunk.id).execute();
  stage.restart();
}

const ACTIONS: readonly (readonly [name: string, weight: number, act: () => Promise<unknown>])[] = [
  ["store", 5, async () => await stage.storeBatch(arrivals)],
  ["work", 9, async () => await work(random.between(1, 5))],
  ["change meters", 2, changeMeters],
  ["restart", 2, async () => stage.restart()],
  ["spoil", 1, spoil],
  [
    "let time pass",
    2,
    async () => {
      stage.clock.advance(GRACE_MICROS);
      await work(3);
    },
  ],
  [
    "fail the power",
    2,
    async () => {
      if (memory !== null) await stage.failPower(memory);
      memory = memory === null ? await stage.remember() : null;
      await listMeters();
    },
  ],
];

async function act(): Promise<void> {
  const bag = ACTIONS.flatMap((action) => Array.from({ length: action[1] }, () => action));
  const [name, , action] = random.pick(bag);
  done.set(name, (done.get(name) ?? 0) + 1);
  await action();
}

/** Asks some of the meters something, while the keeper works if it is to. */
async function ask(count: number, isWorking: boolean): Promise<void> {
  const working = isWorking ? work(2) : Promise.resolve();
  const questions = random.list(live.length === 0 ? 0 : count, async () => {
    const meter = random.pick(live);
    const rollUp = stage.keeper.of(meter);
    const drawn = randomUsageQuery(random, world, meterView(meter));
    const planned = random.oneIn(5) ? drawn : { ...drawn, upTo: stage.positions };
    const query = rollUp === null ? planned : { ...planned, rollUp };
    asked += 1;
    if (rollUp !== null && query.upTo === stage.positions && query.storedBefore === undefined) offered += 1;
    return await compare(stage.reference, stage.store, { kind: "usage", query }, []);
  });
  const report = (await Promise.all(questions)).find((each) => each !== null);
  await working;
  if (report !== undefined) expect.fail(`ROLL_UP_SEED=${seed}, after ${summary()}: ${report}`);
}

function summary(): string {
  const counts = (all: ReadonlyMap<string, number>) => [...all].map(([name, count]) => `${name} ${count}`).join(", ");
  return `${counts(done)}; faults: ${counts(faults.counts)}; for ${offered} of ${asked} questions there was a roll-up`;
}

test("whatever happens to the keeper, no query is ever answered wrongly", { timeout: 300_000 }, async () => {
  const startedMs = performance.now();
  for (let batch = 0; batch < 3; batch += 1) await stage.storeBatch(arrivals);
  const lasting = { namespace: NAMESPACE, eventType: "type", aggregation: "COUNT", groupBy: new Map() } as const;
  await createMeter(stage, lasting, LASTING);
  for (let meter = 1; meter < MAX_METERS; meter += 1) await changeMeters();
  await work(12);
  for (let action = 0; action < actionCount; action += 1) {
    await act();
    await ask(3, random.oneIn(3));
  }
  expect(stage.differences, `ROLL_UP_SEED=${seed}`).toEqual([]);

  faults.end();
  stage.restart();
  for (let step = 0; step < MANY_STEPS && !stage.keeper.isCaughtUp; step += 1) await work(1);
  expect(stage.keeper.isCaughtUp, `ROLL_UP_SEED=${seed}`).toBe(true);
  await ask(20, false);
  for (const { meter, record } of stage.keeper.records) {
    for (const level of record.levels) {
      const found = await stage.store.rollUps.differences(record, meterView(meter), level, ALWAYS, 3);
      expect(found, `ROLL_UP_SEED=${seed}, meter ${meter.slug}`).toEqual([]);
    }
  }
  await expectNoGarbage();
  process.stderr.write(`simulation of roll-ups: ${summary()}, ${Math.round(performance.now() - startedMs)} ms\n`);
  expect(offered).toBeGreaterThan(asked / 10);
});

/** In the end, only rows that count are left, but for those of a few chunks that wait for company. */
async function expectNoGarbage(): Promise<void> {
  const counting = new Set(stage.keeper.records.flatMap(({ record }) => record.chunks));
  const waiting = async (): Promise<number> => {
    const rows = await stage.store.rollUps.chunkRows();
    return [...rows.keys()].filter((chunk) => !counting.has(chunk)).length;
  };
  stage.clock.advance(GRACE_MICROS);
  await work(3);
  assert(stage.keeper.isCaughtUp, "nothing was stored meanwhile");
  expect(await waiting(), `ROLL_UP_SEED=${seed}`).toBeLessThan(3);
}
