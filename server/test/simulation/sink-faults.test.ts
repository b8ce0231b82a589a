/**
 * The sink alone, on a real log, real claims and a real state store, with every call to any engine failing now and then:
 * hundreds of small worlds in the time that a handful of real kills take. In each, the events stored and the conflicts
 * listed are exactly those that the log implies.
 *
 * `SINK_SEED=<number>` repeats a run, `SINK_WORLDS=<number>` makes it longer; the seed is always printed.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openEmbeddedClaims } from "../../src/engines/claims/index.ts";
import { type EventLog, openEmbeddedLog } from "../../src/engines/event-log/index.ts";
import { parseJsonPath } from "../../src/engines/event-store/index.ts";
import { EMBEDDED, emptyTables, type StateStoreFixture } from "../../src/engines/state-store/fixture.ts";
import { EventAcceptor, Sink } from "../../src/events/index.ts";
import { assert } from "../../src/kernel/assert.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { Random } from "../oracle/random.ts";
import {
  faultyClaims,
  faultyLog,
  Faults,
  FaultyStatements,
  InjectedFault,
  PartitionedStore,
} from "./faulty-engines.ts";

const seed = Number(process.env["SINK_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const worldCount = Number(process.env["SINK_WORLDS"] ?? 100);
/** A run of so many worlds meets failures at every place. */
const FULL_RUN_WORLDS = 50;
const MONTHS = 6;
const IDENTITIES = 40;
const NAMESPACE = "default";
const LIMITS = { maxBodyBytes: 1e7, maxEvents: 1000, maxEventBytes: 1e6, maxAttributeBytes: 1024, maxDepth: 64 };
/** Where faults strike: before and after nine calls and a statement, in five ways at an insert, after four steps. */
const PLACES = 29;
/** Runs of the sink after which faults end, so that every world does. */
const FAULTY_RUNS = 12;

/** What one event of the log is, in offset order. */
interface Arrival {
  readonly id: string;
  readonly variant: number;
}

let state: StateStoreFixture | undefined;
const struck = new Map<string, number>();

beforeAll(async () => {
  process.stderr.write(`sink faults: SINK_SEED=${seed}\n`);
  state = await EMBEDDED.open();
});

afterAll(async () => {
  await state?.close();
});

test(
  `${worldCount} worlds of seed ${seed}: whatever fails, the sink stores what the log implies`,
  { timeout: 400_000 },
  async () => {
    // Rare places may need more worlds; a short run, which repeats a failure, does without them.
    const isComplete = (): boolean => worldCount < FULL_RUN_WORLDS || struck.size === PLACES;
    for (let world = 0; world < worldCount || (!isComplete() && world < worldCount * 5); world += 1) {
      const directory = await mkdtemp(join(tmpdir(), "tallystick-sink-"));
      try {
        await live(directory, new Random(seed + world), `SINK_SEED=${seed + world} SINK_WORLDS=1`);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    }
    const places = [...struck].map(([place, count]) => `${place} ${count}`).toSorted();
    process.stderr.write(`sink faults: ${worldCount} worlds, ${places.join(", ")}, SINK_SEED=${seed}\n`);
    expect(isComplete()).toBe(true);
  },
);

/** What the sinks of a world told about batches, replayed ones included. */
const fed: { readonly from: number; readonly to: number; readonly events: number; readonly invalid: number }[] = [];

/** All events of all worlds. */
const WATCHED = {
  key: "usage",
  meter: { namespace: NAMESPACE, eventType: "usage", aggregation: "COUNT", groupBy: new Map() },
  filters: new Map(),
} as const;

/** Finds a value in none of the events. */
const CHECKED = { slug: "usage", namespace: NAMESPACE, eventType: "usage", aggregation: "SUM" } as const;

async function live(directory: string, random: Random, label: string): Promise<void> {
  assert(state !== undefined, "worlds run after the state store was opened");
  await emptyTables(state.store);
  fed.length = 0;
  const faults = new Faults(random, random.pick([4, 8, 20, 60]));
  const log = await openEmbeddedLog({
    directory: join(directory, "log"),
    report: (report) => assert(false, report.kind),
  });
  try {
    const store = new PartitionedStore(random);
    const arrivals = await runSinks(directory, log, store, faults, random);
    await checkWorld(store, arrivals, label);
  } finally {
    // A handle that nobody closes ends the process, and with it the report of what went wrong.
    await log.close();
  }
  for (const [place, count] of faults.counts) struck.set(place, (struck.get(place) ?? 0) + count);
}

/** Sink after sink, until everything is stored; resolves with the log's events. */
async function runSinks(
  directory: string,
  log: EventLog,
  store: PartitionedStore,
  faults: Faults,
  random: Random,
): Promise<readonly Arrival[]> {
  const arrivals: Arrival[] = [];
  for (let run = 0; ; run += 1) {
    if (run === FAULTY_RUNS) faults.end();
    if (run === 0 || random.oneIn(3)) arrivals.push(...(await acceptSome(log, random)));
    if (random.oneIn(8)) await loseCommits(store, random);
    const isDone = await runSink(directory, log, store, faults, random);
    if (isDone && (run >= FAULTY_RUNS || random.oneIn(6))) break;
  }
  await store.finish();
  return arrivals;
}

/** A power cut may take the state store's last commits; the log, the claims and the events stay. */
async function loseCommits(store: PartitionedStore, random: Random): Promise<void> {
  assert(state !== undefined, "worlds run after the state store was opened");
  // Nothing outlives a power cut, so no insert goes on afterwards.
  await store.finish();
  const { db } = state.store;
  const position = await db.selectFrom("stored_position").select("stored_upto").executeTakeFirst();
  if (position === undefined) return;
  const upTo = random.between(0, position.stored_upto);
  await db.deleteFrom("sink_batch").where("to_offset", ">", upTo).execute();
  await db.deleteFrom("event_conflict").where("log_offset", ">", upTo).execute();
  await db.updateTable("stored_position").set({ stored_upto: upTo }).execute();
}

async function acceptSome(log: EventLog, random: Random): Promise<readonly Arrival[]> {
  const acceptor = new EventAcceptor({ log, namespace: NAMESPACE, limits: LIMITS, clock: systemClock });
  const arrivals: Arrival[] = [];
  for (let request = random.between(1, 4); request > 0; request -= 1) {
    const batch = random.list(random.between(1, 12), () => ({
      id: `event ${random.below(IDENTITIES)}`,
      variant: random.oneIn(3) ? 1 : 0,
    }));
    const body = batch.map(({ id, variant }) => ({
      id,
      specversion: "1.0",
      source: "simulation",
      type: "usage",
      subject: "subject",
      // The month depends on the identity, so that a batch is stored as several parts.
      time: new Date(Date.UTC(2026, id.charCodeAt(id.length - 1) % MONTHS, 3)),
      data: { variant },
    }));
    await acceptor.accept(Buffer.from(JSON.stringify(body)), "application/cloudevents-batch+json");
    arrivals.push(...batch);
  }
  return arrivals;
}

/** Runs one sink until it fails or has stored everything; true in the latter case. */
async function runSink(
  directory: string,
  log: EventLog,
  store: PartitionedStore,
  faults: Faults,
  random: Random,
): Promise<boolean> {
  assert(state !== undefined, "worlds run after the state store was opened");
  const claims = await openEmbeddedClaims({ directory: join(directory, "claims"), tableCapacity: 16, fanout: 2 });
  let isDone = false;
  const sink = new Sink({
    partition: 0,
    log: faultyLog(log, faults),
    claims: faultyClaims(claims, faults),
    store: store.faulty(faults),
    db: state.store.db.withPlugin(new FaultyStatements(faults)),
    clock: systemClock,
    limits: { events: random.pick([3, 10, 1000]), bytes: 1e6, months: random.pick([2, 100]) },
    lingerMs: 0,
    onRecovered: () => undefined,
    onCommitted: ({ from, to, feed, invalidValues }) => {
      assert(feed !== null, "the sink watches the usage");
      const events = feed.values.reduce((sum, value) => sum + Number(value), 0);
      fed.push({ from, to, events, invalid: invalidValues[0]?.events ?? 0 });
      isDone = to === log.end(0) - 1;
      if (isDone) sink.stop();
    },
    onStep: async (step) => faults.at(`step ${step}`),
  });
  sink.watch([WATCHED]);
  const valuePath = parseJsonPath("$.missing");
  assert(valuePath !== null, "the path is valid");
  sink.check([{ ...CHECKED, valuePath }]);
  const position = await state.store.db.selectFrom("stored_position").selectAll().executeTakeFirst();
  if (position?.stored_upto === log.end(0) - 1) {
    isDone = true;
    sink.stop();
  }
  try {
    await sink.run();
  } catch (error) {
    if (!(error instanceof InjectedFault)) throw error;
  } finally {
    await claims.close();
  }
  return isDone;
}

async function checkWorld(store: PartitionedStore, arrivals: readonly Arrival[], label: string): Promise<void> {
  assert(state !== undefined, "worlds run after the state store was opened");
  const first = new Map<string, Arrival>();
  const stored: number[] = [];
  const conflicts: number[] = [];
  arrivals.forEach((arrival, offset) => {
    const winner = first.get(arrival.id);
    if (winner === undefined) {
      first.set(arrival.id, arrival);
      stored.push(offset);
    } else if (winner.variant !== arrival.variant) conflicts.push(offset);
  });
  expect(await store.reference.storedOffsets(0, 0, Number.MAX_SAFE_INTEGER), label).toEqual(stored);
  for (const { from, to, events: counted, invalid } of fed) {
    const count = stored.filter((offset) => offset >= from && offset <= to).length;
    expect({ counted, invalid }, `${label}: the report of ${from} to ${to}`).toEqual({
      counted: count,
      invalid: count,
    });
  }
  const events = await store.reference.eventsAt(0, stored);
  expect(
    events.map(({ offset, id, data }) => ({ offset, id, data })).toSorted((a, b) => a.offset - b.offset),
    label,
  ).toEqual(
    stored.map((offset) => ({
      offset,
      id: arrivals[offset]?.id,
      data: JSON.stringify({ variant: arrivals[offset]?.variant }),
    })),
  );
  const listed = await state.store.db.selectFrom("event_conflict").select("log_offset").orderBy("log_offset").execute();
  expect(
    listed.map((row) => row.log_offset),
    label,
  ).toEqual(conflicts);
  const positions = await state.store.db.selectFrom("stored_position").select("stored_upto").execute();
  expect(positions, label).toEqual([{ stored_upto: arrivals.length - 1 }]);
}
