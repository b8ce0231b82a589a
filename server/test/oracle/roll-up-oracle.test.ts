/**
 * The oracle over roll-ups: whatever of a meter is rolled up, and in whatever state that is, the event store answers exactly
 * what the reference answers from events alone.
 *
 * `ORACLE_SEED=<number>` repeats a run, `ORACLE_WORLDS=<number>` makes it longer; the seed is always printed.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type ChdbEngine,
  coverOf,
  createEventStore,
  encodeEvents,
  hotCover,
  type PhaseUsageQuery,
  type RollUp,
  type RollUpEventStore,
  startChdbEngine,
  type UsageQuery,
} from "../../src/engines/event-store/index.ts";
import { ReferenceStore } from "../../src/engines/event-store/reference.ts";
import { assert } from "../../src/kernel/assert.ts";
import { type Instant, instantFromMicros } from "../../src/kernel/instant.ts";
import { compare, type Question } from "./comparison.ts";
import { randomWorld } from "./random-events.ts";
import { randomPhaseQuery, randomUsageQuery } from "./random-queries.ts";
import { randomRollUp } from "./random-roll-ups.ts";
import { Random } from "./random.ts";

const seed = Number(process.env["ORACLE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const worldCount = Number(process.env["ORACLE_WORLDS"] ?? 3);
const rollUpsPerWorld = 5;
const queriesPerRollUp = 20;
const MAX_WORLDS_FOR_DIFFERENCES = 20;
const concurrency = 4;
/** Fewer than most levels with groups or small buckets have, and more than days without groups. */
const MAX_FORGETFUL_ROWS = 20;
const DAY_MICROS = 86_400_000_000;

let dataDirectory: string | undefined;
let engine: ChdbEngine | undefined;
let opened: RollUpEventStore | undefined;
/** Keeps hardly any rows in memory, so that its answers are put together from rows, roll-ups and events. */
let forgetful: RollUpEventStore | undefined;

beforeAll(async () => {
  process.stderr.write(`oracle of roll-ups: ORACLE_SEED=${seed}\n`);
  dataDirectory = await mkdtemp(join(tmpdir(), "tallystick-roll-up-oracle-"));
  engine = await startChdbEngine({ dataDirectory });
  const endpoint = { kind: "embedded", socketPath: engine.socketPath } as const;
  opened = createEventStore({ endpoint });
  forgetful = createEventStore({ endpoint, maxHotBlockRows: MAX_FORGETFUL_ROWS });
  await opened.migrate();
});

afterAll(async () => {
  await opened?.close();
  await forgetful?.close();
  await engine?.stop();
  if (dataDirectory !== undefined) await rm(dataDirectory, { recursive: true, force: true });
});

const offsets = new Map<number, number>();
let lastId = 0;
let covered = 0;
let hot = 0;
let hotWithRest = 0;
let keptAnswers = 0;
let questionsAsked = 0;
let coveredPhases = 0;

test.each(Array.from({ length: worldCount }, (_, index) => index))(
  `world %i of seed ${seed}: the store with roll-ups equals the reference without`,
  async (index) => {
    assert(opened !== undefined && forgetful !== undefined, "tests run after the stores were opened");
    const store = opened;
    const once = [opened];
    const kept = [opened, forgetful, opened];
    const random = new Random(seed + index);
    const world = randomWorld(random, `roll-ups-${seed}-${index}`, (partition) => {
      const offset = offsets.get(partition) ?? 0;
      offsets.set(partition, offset + 1);
      return offset;
    });
    const reference = new ReferenceStore();
    const block = encodeEvents(world.events);
    await reference.insert(block, world.namespace);
    await store.insert(block, world.namespace);
    const questions: { readonly question: Question; readonly stores: readonly RollUpEventStore[] }[] = [];
    for (let count = 0; count < rollUpsPerWorld; count += 1) {
      const { meter, rollUp } = await randomRollUp(random, world, store.rollUps, () => (lastId += 1), count === 0);
      for (let query = 0; query < queriesPerRollUp; query += 1) {
        const asked = randomUsageQuery(random, world, meter);
        const usage = random.oneIn(2) ? { ...asked, rollUp } : { ...withoutEvents(asked, rollUp), rollUp };
        const cover = coverOf(usage, rollUp);
        const isWhole = cover !== null && cover.edges.length === 0 && !cover.hasTail;
        const isHot = hotCover(usage, rollUp) !== null;
        // What is kept in memory is asked for twice, and of a store that has to put answers together from more places.
        questions.push({ question: { kind: "usage", query: usage }, stores: isWhole || isHot ? kept : once });
        if (cover !== null) covered += 1;
        if (isWhole && !isHot) keptAnswers += 1;
        if (isHot) hot += 1;
        if (isHot && !isWhole) hotWithRest += 1;
        questionsAsked += 1;
        if (meter.aggregation === "SUM" || meter.aggregation === "COUNT") {
          const phases = randomPhaseQuery(random, world, usage);
          questions.push({ question: { kind: "phases", query: phases }, stores: once });
          if (isInRollUp(phases, rollUp)) coveredPhases += 1;
        }
      }
    }
    const iterator = questions.values();
    const reports: string[] = [];
    const work = async () => {
      for (const { question, stores } of iterator) {
        // Fewer events would need another roll-up, so the whole world is reported.
        for (const each of stores) {
          const report = await compare(reference, each, question, []);
          if (report !== null) reports.push(report);
        }
        if (reports.length > 0) return;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    if (reports[0] !== undefined) expect.fail(`ORACLE_SEED=${seed}, world ${index}: ${reports[0]}`);
  },
);

/** Whether the roll-up has what the phases need: buckets of single minutes or shorter, by subject. */
function isInRollUp({ filters, upTo }: PhaseUsageQuery, { coverage, levels }: RollUp): boolean {
  const isCovered = [...coverage].every(([partition, offset]) => offset <= (upTo.get(partition) ?? -1));
  return (
    isCovered &&
    levels.some(({ grain, bySubject, byGroups }) => {
      return bySubject && (byGroups || filters.size === 0) && (grain === "MICROSECOND" || grain === "MINUTE");
    })
  );
}

/** The same question as of the roll-up's coverage, within bounds of days, so that buckets often answer it alone. */
function withoutEvents(query: UsageQuery, rollUp: RollUp): UsageQuery {
  const day = (at: Instant): Instant => instantFromMicros(Math.floor(at / DAY_MICROS) * DAY_MICROS);
  const from = query.from === undefined ? {} : { from: day(query.from) };
  const to = query.to === undefined ? {} : { to: instantFromMicros(day(query.to) + DAY_MICROS) };
  return { ...query, ...from, ...to, upTo: rollUp.coverage };
}

test("many of the questions were answered from roll-ups, and of those many from memory, alone or with the rest", () => {
  expect(hot).toBeGreaterThan(questionsAsked / 40);
  expect(hotWithRest).toBeGreaterThan(questionsAsked / 40);
  expect(keptAnswers).toBeGreaterThan(0);
  expect(covered).toBeGreaterThan(questionsAsked / 10);
  expect(coveredPhases).toBeGreaterThan(worldCount);
});

test("a roll-up that differs from its events is found, and one that does not is not", async () => {
  assert(opened !== undefined, "tests run after the store was opened");
  const store = opened;
  const random = new Random(seed);
  let found = 0;
  // Some worlds have hardly any events, and roll-ups of them no rows that could be missing.
  for (let index = 0; found === 0 && index < MAX_WORLDS_FOR_DIFFERENCES; index += 1) {
    found += await differencesFound(random, store, `differences-${seed}-${index}`);
  }
  expect(found).toBeGreaterThan(0);
});

/** Compares roll-ups of a random world with its events, whole and without a chunk; returns how many lacked rows. */
async function differencesFound(random: Random, store: RollUpEventStore, name: string): Promise<number> {
  const world = randomWorld(random, name, (partition) => {
    const offset = offsets.get(partition) ?? 0;
    offsets.set(partition, offset + 1);
    return offset;
  });
  await store.insert(encodeEvents(world.events), world.namespace);
  const always = { from: instantFromMicros(0), to: instantFromMicros(7_258_118_400_000_000) };
  let found = 0;
  for (let count = 0; count < rollUpsPerWorld; count += 1) {
    const { meter, rollUp } = await randomRollUp(random, world, store.rollUps, () => (lastId += 1), false);
    for (const level of rollUp.levels) {
      expect(await store.rollUps.differences(rollUp, meter, level, always, 10)).toEqual([]);
    }
    const [level] = rollUp.levels;
    const [chunk] = rollUp.chunks;
    assert(level !== undefined && chunk !== undefined, "a roll-up has levels and chunks");
    // Without one of its chunks it says too little, unless that chunk has no rows.
    const rows = (await store.rollUps.chunkRows()).get(chunk) ?? 0;
    const less = { ...rollUp, chunks: rollUp.chunks.filter((each) => each !== chunk), rebuilt: [] };
    if (rows === 0 || rollUp.rebuilt.length > 0) continue;
    expect((await store.rollUps.differences(less, meter, level, always, 10)).length).toBeGreaterThan(0);
    found += 1;
  }
  return found;
}
