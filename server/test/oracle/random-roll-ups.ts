/**
 * Random roll-ups over a random world, in every state that they can be in: covering any part of the events, made in several
 * steps, merged or not, with rows of half-written chunks lying about, with stale periods, and with rebuilt ones over rows that
 * are wrong.
 */

import {
  LEVELS,
  type MeterView,
  type PositionVector,
  type RollUp,
  type RollUpStore,
} from "../../src/engines/event-store/index.ts";
import { instantFromMicros } from "../../src/kernel/instant.ts";
import type { Period } from "../../src/kernel/period.ts";
import { partitions, type World } from "./random-events.ts";
import { paths, randomInstant, randomMeter } from "./random-queries.ts";
import type { Random } from "./random.ts";

export interface RandomRollUp {
  readonly meter: MeterView;
  readonly rollUp: RollUp;
}

/**
 * `newId` hands out numbers that no roll-up or chunk had before. With `forPhases` the meter is a sum, and the first level that
 * there can be is built, which answers for phases of customers.
 */
export async function randomRollUp(
  random: Random,
  world: World,
  store: RollUpStore,
  newId: () => number,
  forPhases: boolean,
): Promise<RandomRollUp> {
  const found = randomMeter(random, world);
  const meter: MeterView = forPhases
    ? { ...found, aggregation: "SUM", valuePath: found.valuePath ?? random.pick(paths) }
    : found;
  const chosen = forPhases ? [...LEVELS.slice(0, 1), ...random.some(LEVELS.slice(1))] : random.some(LEVELS);
  const levels = chosen.length === 0 ? LEVELS.slice(0, 2) : chosen;
  const basis = { id: newId(), groupKeys: random.shuffled([...meter.groupBy.keys()]), levels };
  const steps = randomSteps(random, world);
  let coverage: PositionVector = new Map();
  let chunks: number[] = [];
  for (const upTo of steps) {
    if (random.oneIn(3)) await store.fold({ rollUp: basis, meter, chunk: newId(), after: coverage, upTo });
    const chunk = newId();
    await store.fold({ rollUp: basis, meter, chunk, after: coverage, upTo });
    coverage = upTo;
    chunks.push(chunk);
  }
  const stale = random.oneIn(3) ? [randomPeriod(random, world)] : [];
  let rollUp: RollUp = { ...basis, coverage, chunks, stale, rebuilt: [] };
  if (random.oneIn(2)) rollUp = await rebuild(random, world, store, newId, { meter, rollUp });
  if (random.oneIn(3) && rollUp.chunks.length > 1) {
    const into = newId();
    await store.mergeChunks(rollUp, rollUp.chunks, into);
    rollUp = { ...rollUp, chunks: [into], rebuilt: [] };
  } else if (random.oneIn(2)) {
    chunks = random.shuffled([...rollUp.chunks]);
    rollUp = { ...rollUp, chunks };
  }
  return { meter, rollUp };
}

/** Adds wrong rows, then what replaces them. */
async function rebuild(
  random: Random,
  world: World,
  store: RollUpStore,
  newId: () => number,
  { meter, rollUp }: RandomRollUp,
): Promise<RollUp> {
  const period = randomPeriod(random, world);
  const wrong = newId();
  const chunk = newId();
  const whole = { rollUp, meter, after: new Map(), upTo: rollUp.coverage, period };
  await store.fold({ ...whole, chunk: wrong });
  await store.fold({ ...whole, chunk });
  const replaces = [...rollUp.chunks, wrong];
  return { ...rollUp, chunks: [...replaces, chunk], rebuilt: [{ period, chunk, replaces }] };
}

/** One to four vectors, each at or after the one before in every partition. */
function randomSteps(random: Random, world: World): readonly PositionVector[] {
  const offsets = new Map(
    partitions.map((partition) => [
      partition,
      world.events.filter((event) => event.partition === partition).map((event) => event.offset),
    ]),
  );
  const cuts = new Map(
    [...offsets].map(([partition, all]) => [
      partition,
      random.list(4, () => (all.length === 0 ? 0 : random.pick(all))).toSorted((a, b) => a - b),
    ]),
  );
  const count = random.between(1, 4);
  return random.list(
    count,
    (step) => new Map(partitions.map((partition) => [partition, cuts.get(partition)?.[step] ?? 0])),
  );
}

function randomPeriod(random: Random, world: World): Period {
  const a = randomInstant(random, world);
  const b = random.oneIn(2) ? randomInstant(random, world) : instantFromMicros(a + 60_000_000);
  return a < b ? { from: a, to: b } : { from: b, to: instantFromMicros(a + 1) };
}
