/** The keeper of roll-ups in situations that need an exact moment; `server/test/simulation` has those of chance. */

import { afterEach, describe, expect, test } from "vitest";
import { compare } from "../../../test/oracle/comparison.ts";
import { Random } from "../../../test/oracle/random.ts";
import { Faults, InjectedFault } from "../../../test/simulation/faulty-engines.ts";
import { NAMESPACE, Stage } from "../../../test/simulation/roll-ups/stage.ts";
import type { RollUp, StoredEvent } from "../../engines/event-store/index.ts";
import { assert } from "../../kernel/assert.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { type Meter, meterView } from "../meter.ts";
import type { RollUpPace } from "./pace.ts";

const MINUTE = 60_000_000;
const DAY = 24 * 60 * MINUTE;
/** 2026-01-05T12:00:00Z */
const NOON = 1_767_614_400_000_000;
const GRACE = 6 * MINUTE;

/** Faults at places that the test names. */
class PlannedFaults extends Faults {
  /** Places that fail the next time, and places that fail every time. */
  readonly once = new Set<string>();
  readonly always = new Set<string>();

  constructor() {
    super(new Random(1), 0);
  }

  override strikes(place: string): boolean {
    return this.once.delete(place) || this.always.has(place);
  }
}

let opened: Stage | undefined;
let offset = 0;

afterEach(async () => {
  await opened?.close();
});

async function open(faults: Faults, pace: Partial<RollUpPace> = {}): Promise<Stage> {
  const stage = await Stage.open(faults, pace);
  opened = stage;
  offset = 0;
  stage.clock.set(instantFromMicros(NOON));
  return stage;
}

/** Events at these times, in microseconds, of two subjects. */
function events(times: readonly number[]): readonly StoredEvent[] {
  return times.map((time) => {
    offset += 1;
    return {
      namespace: NAMESPACE,
      id: `event ${offset}`,
      source: "s",
      type: "type",
      subject: `subject ${offset % 2}`,
      time: instantFromMicros(time),
      isTimeGiven: true,
      data: `{"v":${offset}}`,
      ingestedAt: instantFromMicros(NOON),
      storedAt: instantFromMicros(NOON),
      partition: 0,
      offset,
    };
  });
}

/** So many events in five minutes. */
function busyMinutes(count: number, from = NOON): readonly number[] {
  return Array.from({ length: count }, (_, index) => from + (index % 5) * MINUTE);
}

async function createSum(stage: Stage, slug = "sum"): Promise<Meter> {
  return await stage.meters.create({ slug, aggregation: "SUM", eventType: "type", valueProperty: "$.v" });
}

/** Steps until everything is rolled up. */
async function untilCaughtUp(stage: Stage): Promise<void> {
  for (let step = 0; step < 50 && !stage.keeper.isCaughtUp; step += 1) await stage.keeper.step();
  expect(stage.keeper.isCaughtUp).toBe(true);
}

/** The roll-up that queries use; with it, the meter's usage is that of the events. */
async function soundRollUp(stage: Stage, meter: Meter): Promise<RollUp> {
  const rollUp = stage.keeper.of(meter);
  assert(rollUp !== null, "the meter has a roll-up");
  const query = {
    meter: meterView(meter),
    groupBySubject: true,
    groupByCustomer: false,
    groupBy: [],
    filters: new Map(),
    upTo: stage.positions,
    rollUp,
  };
  expect(await compare(stage.reference, stage.store, { kind: "usage", query }, [])).toBeNull();
  return rollUp;
}

async function chunksWithRows(stage: Stage): Promise<readonly number[]> {
  return [...(await stage.store.rollUps.chunkRows()).keys()];
}

describe("a start", () => {
  test("that fails at its end finds the same roll-ups when it is tried again, and deletes rows of nobody", async () => {
    const faults = new PlannedFaults();
    const stage = await open(faults);
    const meter = await createSum(stage);
    await stage.storeBatch(() => events(busyMinutes(100)));
    await untilCaughtUp(stage);
    const before = await soundRollUp(stage, meter);
    const unknown = { rollUp: before, meter: meterView(meter), chunk: 7, after: new Map(), upTo: stage.positions };
    await stage.store.rollUps.fold(unknown);
    stage.restart();
    faults.once.add("before deleteChunks");
    await expect(stage.keeper.step()).rejects.toThrow(InjectedFault);
    expect(stage.keeper.isCaughtUp).toBe(false);
    await untilCaughtUp(stage);
    expect(await soundRollUp(stage, meter)).toEqual(before);
    expect(await chunksWithRows(stage)).toEqual(before.chunks);
    stage.restart();
    await untilCaughtUp(stage);
    expect(await soundRollUp(stage, meter)).toEqual(before);
  });

  test("goes on with a roll-up that was to take another's place, which queries use until then", async () => {
    const stage = await open(new Faults(new Random(1), 0));
    const meter = await createSum(stage);
    // Two months, in which minutes do not pay at first.
    const sparse = Array.from({ length: 50 }, (_, index) => NOON + index * MINUTE);
    const all = [...sparse, ...sparse.map((time) => time + 31 * DAY)];
    await stage.storeBatch(() => events(all));
    await untilCaughtUp(stage);
    const former = await soundRollUp(stage, meter);
    expect(former.levels.some(({ grain }) => grain === "MINUTE")).toBe(false);
    await stage.storeBatch(() => events(Array.from({ length: 12 }, () => all).flat()));
    const isBuilding = (): boolean => stage.keeper.records.some(({ record }) => record.status === "building");
    for (let step = 0; step < 10 && !isBuilding(); step += 1) await stage.keeper.step();
    stage.restart();
    await stage.keeper.step();
    const [successor] = stage.keeper.records;
    expect(successor?.record).toMatchObject({ status: "building", monthsLeft: [expect.anything()] });
    expect((await soundRollUp(stage, meter)).id).toBe(former.id);
    await untilCaughtUp(stage);
    const rollUp = await soundRollUp(stage, meter);
    expect(rollUp.id).toBe(successor?.record.id);
    expect(rollUp.levels.some(({ grain }) => grain === "MINUTE")).toBe(true);
    expect(await stage.db.selectFrom("roll_up").select("id").execute()).toEqual([{ id: rollUp.id }]);
  });
});

test("after a power cut, a roll-up whose rows were deleted in the forgotten time is built anew", async () => {
  const stage = await open(new Faults(new Random(1), 0), { minDeletedChunks: 1 });
  const meter = await createSum(stage);
  await stage.storeBatch(() => events(busyMinutes(100)));
  await untilCaughtUp(stage);
  const before = await soundRollUp(stage, meter);
  const memory = await stage.remember();
  await stage.meters.delete(meter.id);
  await stage.keeper.step();
  stage.clock.advance(GRACE);
  await stage.keeper.step();
  expect(await chunksWithRows(stage)).toEqual([]);
  await stage.failPower(memory);
  await stage.keeper.step();
  expect(stage.keeper.records.map(({ record }) => record.id)).not.toContain(before.id);
  await untilCaughtUp(stage);
  await soundRollUp(stage, meter);
  expect(stage.differences).toEqual([]);
});

describe("a failure", () => {
  test("to learn that a change was recorded makes no event count twice, neither now nor after a restart", async () => {
    const faults = new PlannedFaults();
    const stage = await open(faults);
    const meter = await createSum(stage);
    await stage.storeBatch(() => events(busyMinutes(100)));
    await untilCaughtUp(stage);
    await stage.storeBatch(() => events(busyMinutes(50)));
    faults.once.add("after a transaction");
    await expect(stage.keeper.step()).rejects.toThrow(InjectedFault);
    await soundRollUp(stage, meter);
    await untilCaughtUp(stage);
    await soundRollUp(stage, meter);
    stage.restart();
    await untilCaughtUp(stage);
    await soundRollUp(stage, meter);
    // Nor did a check have to find it.
    expect(stage.differences).toEqual([]);
  });

  test("of one meter's upkeep does not keep the other meters from theirs", async () => {
    const faults = new PlannedFaults();
    const stage = await open(faults, { retryMs: 3_600_000 });
    const sum = await createSum(stage);
    const count = await stage.meters.create({ slug: "count", aggregation: "COUNT", eventType: "type" });
    await stage.storeBatch(() => events(busyMinutes(100)));
    faults.always.add("before fold SUM");
    for (let step = 0; step < 12; step += 1) {
      await stage.keeper.step().catch((error: unknown) => expect(error).toBeInstanceOf(InjectedFault));
    }
    expect(stage.keeper.of(sum)).toBeNull();
    await soundRollUp(stage, count);
  });
});

test("a roll-up that says something else than the events is found, not used there, and made right", async () => {
  const stage = await open(new Faults(new Random(1), 0));
  const meter = await createSum(stage);
  await stage.storeBatch(() => events(busyMinutes(100)));
  for (let step = 0; step < 10 && stage.keeper.of(meter) === null; step += 1) await stage.keeper.step();
  // Not asked before it is damaged: what a query has read of a chunk is kept, because it never changes otherwise.
  const before = stage.keeper.of(meter);
  const chunk = before?.chunks[0];
  assert(before !== null && chunk !== undefined, "the roll-up has a chunk");
  const period = { from: instantFromMicros(NOON), to: instantFromMicros(NOON + 1) };
  const again = { rollUp: before, meter: meterView(meter), chunk, after: new Map(), upTo: stage.positions, period };
  await stage.store.rollUps.fold(again);
  await expect(soundRollUp(stage, meter)).rejects.toThrow("differ");
  await stage.keeper.step();
  expect(stage.differences).toEqual(["sum"]);
  expect((await soundRollUp(stage, meter)).stale).toHaveLength(1);
  await untilCaughtUp(stage);
  for (let step = 0; step < 3; step += 1) await stage.keeper.step();
  const after = await soundRollUp(stage, meter);
  expect(after).toMatchObject({ id: before.id, stale: [], rebuilt: [{ replaces: [chunk] }] });
});

test("rows of nobody are deleted, after a while and not while somebody holds that up", async () => {
  const faults = new PlannedFaults();
  const stage = await open(faults, { minDeletedChunks: 1 });
  const meter = await createSum(stage);
  await stage.storeBatch(() => events(busyMinutes(100)));
  await untilCaughtUp(stage);
  await stage.meters.delete(meter.id);
  await stage.keeper.step();
  expect(stage.keeper.of(meter)).toBeNull();
  await stage.keeper.step();
  expect(await chunksWithRows(stage)).toHaveLength(1);
  stage.clock.advance(GRACE);
  faults.once.add("before deleteChunks");
  await expect(stage.keeper.step()).rejects.toThrow(InjectedFault);
  const release = await stage.keeper.holdDeletions();
  await stage.keeper.step();
  expect(await chunksWithRows(stage)).toHaveLength(1);
  release();
  release();
  await stage.keeper.step();
  expect(await chunksWithRows(stage)).toEqual([]);
  expect(await stage.db.selectFrom("roll_up_chunk").selectAll().execute()).toEqual([]);
});
