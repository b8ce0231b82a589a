/**
 * The stage on which a keeper of roll-ups works: chDB, PGlite, meters, and a sink of the simplest kind, which stores a batch
 * and then says so. Keepers come and go on it, calls fail as asked for, and the power fails.
 *
 * Invariant: the reference has every event that the event store has, so that any query can be compared at any positions.
 */

import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Kysely } from "kysely";
import {
  type ChdbEngine,
  createEventStore,
  encodeEvents,
  type MeterView,
  type PositionVector,
  type RollUpEventStore,
  type RollUpStore,
  startChdbEngine,
  type StoredEvent,
} from "../../../src/engines/event-store/index.ts";
import { ReferenceStore } from "../../../src/engines/event-store/reference.ts";
import { makeEmbeddedDirectory } from "../../../src/engines/state-store/fixture.ts";
import { type Database, openStateStore, type StateStore } from "../../../src/engines/state-store/index.ts";
import { assert } from "../../../src/kernel/assert.ts";
import { ManualClock } from "../../../src/kernel/clock.ts";
import { instantFromMicros } from "../../../src/kernel/instant.ts";
import { type Meter, MeterService, RollUpKeeper, type RollUpPace } from "../../../src/meters/index.ts";
import { type Faults, FaultyStatements } from "../faulty-engines.ts";

export const NAMESPACE = "stage";

/** Work at once and delete at once, so that nothing waits for time to pass but what waits for the clock. */
const PACE: RollUpPace = {
  minEvents: 60,
  intervalMs: 1_000,
  metersTtlMs: 0,
  tidyIntervalMs: 0,
  shareOfTime: Number.POSITIVE_INFINITY,
  urgentShareOfTime: 1,
  retryMs: 0,
  minDeletedChunks: 3,
};

/** What the state store held at an earlier moment. */
export interface Memory {
  readonly directory: string;
  readonly positions: PositionVector;
}

interface Engines {
  readonly engine: ChdbEngine;
  readonly store: RollUpEventStore;
  readonly state: StateStore;
}

export class Stage {
  readonly reference = new ReferenceStore();
  readonly clock = new ManualClock(instantFromMicros(1_767_225_600_000_000));
  /** Differences that checks found, by the slug of the meter. */
  readonly differences: string[] = [];
  readonly store: RollUpEventStore;
  readonly #root: string;
  readonly #engine: ChdbEngine;
  readonly #faults: Faults;
  readonly #pace: RollUpPace;
  readonly #vectors: PositionVector[] = [];
  #state: StateStore;
  #keeper: RollUpKeeper;
  #positions: PositionVector = new Map();
  #meterCount = 0;
  #memories = 0;

  private constructor(root: string, { engine, store, state }: Engines, faults: Faults, pace: RollUpPace) {
    this.#root = root;
    this.#engine = engine;
    this.store = store;
    this.#state = state;
    this.#faults = faults;
    this.#pace = pace;
    this.#keeper = this.#newKeeper();
  }

  /** `faults` strike the keeper's calls of both stores, and nobody else's. */
  static async open(faults: Faults, pace: Partial<RollUpPace> = {}): Promise<Stage> {
    const root = await mkdtemp(join(tmpdir(), "tallystick-roll-ups-"));
    const engine = await startChdbEngine({ dataDirectory: join(root, "events") });
    const store = createEventStore({ endpoint: { kind: "embedded", socketPath: engine.socketPath } });
    await store.migrate();
    const stateDirectory = join(root, "state");
    await rename(await makeEmbeddedDirectory(), stateDirectory);
    const state = await openStateStore({ kind: "embedded", directory: stateDirectory });
    return new Stage(root, { engine, store, state }, faults, { ...PACE, ...pace });
  }

  async close(): Promise<void> {
    await this.store.close();
    await this.#engine.stop();
    await this.#state.close();
    await rm(this.#root, { recursive: true, force: true });
  }

  get keeper(): RollUpKeeper {
    return this.#keeper;
  }

  get db(): Kysely<Database> {
    return this.#state.db;
  }

  get positions(): PositionVector {
    return this.#positions;
  }

  get meters(): MeterService {
    return new MeterService({
      db: this.db,
      namespace: NAMESPACE,
      clock: this.clock,
      newId: () => {
        this.#meterCount += 1;
        return `METER${String(this.#meterCount).padStart(21, "0")}`;
      },
      reservedEventTypes: [],
    });
  }

  /** The next batch: one that was stored before the power failed is taken again, or else that of these events. */
  async storeBatch(events: () => readonly StoredEvent[]): Promise<void> {
    const known = this.#vectors.find((vector) => isAfter(vector, this.#positions));
    if (known !== undefined) {
      this.#positions = known;
      return;
    }
    const batch = events();
    const next = new Map(this.#positions);
    for (const { partition, offset } of batch) next.set(partition, Math.max(offset, next.get(partition) ?? -1));
    const block = encodeEvents(batch);
    const token = `batch ${this.#vectors.length}`;
    await this.reference.insert(block, token);
    await this.store.insert(block, token);
    this.#vectors.push(next);
    this.#positions = next;
  }

  /** A new process takes over, whatever the last one was doing. */
  restart(): void {
    this.#keeper = this.#newKeeper();
  }

  /** What the state store would be after a power cut that loses all that follows. */
  async remember(): Promise<Memory> {
    assert(this.#state.copyTo !== undefined, "an embedded store can be copied");
    this.#memories += 1;
    const directory = join(this.#root, `state-${this.#memories}`);
    await this.#state.copyTo(directory);
    return { directory, positions: this.#positions };
  }

  /** The power fails: the state store forgets its last commits, the event store forgets nothing. */
  async failPower({ directory, positions }: Memory): Promise<void> {
    await this.#state.close();
    this.#state = await openStateStore({ kind: "embedded", directory });
    this.#positions = positions;
    this.restart();
  }

  #newKeeper(): RollUpKeeper {
    return new RollUpKeeper({
      db: uncertain(this.#state.db.withPlugin(new FaultyStatements(this.#faults)), this.#faults),
      store: faultyRollUps(this.store.rollUps, this.#faults),
      clock: this.clock,
      positions: () => new Map(this.#positions),
      isBusy: () => false,
      isIngesting: () => false,
      onError: () => undefined,
      onDifference: (meter: Meter) => void this.differences.push(meter.slug),
      pace: this.#pace,
    });
  }
}

function isAfter(vector: PositionVector, other: PositionVector): boolean {
  return [...vector].some(([partition, offset]) => offset > (other.get(partition) ?? -1));
}

/** Transactions that fail before they begin, or that are committed without anybody learning of it. */
function uncertain(db: Kysely<Database>, faults: Faults): Kysely<Database> {
  const transaction = () => ({
    execute: async <T>(work: Parameters<ReturnType<typeof db.transaction>["execute"]>[0]) =>
      await faults.around<T>("a transaction", async () => (await db.transaction().execute(work)) as T),
  });
  return new Proxy(db, {
    get: (target, name) => {
      if (name === "transaction") return transaction;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function faultyRollUps(store: RollUpStore, faults: Faults): RollUpStore {
  return {
    fold: (fold) => faults.around(`fold ${fold.meter.aggregation}`, () => store.fold(fold)),
    mergeChunks: (...request) => faults.around("mergeChunks", () => store.mergeChunks(...request)),
    prepare: (rollUp) => store.prepare(rollUp),
    deleteChunks: (...request) => faults.around("deleteChunks", () => store.deleteChunks(...request)),
    chunkRows: () => faults.around("chunkRows", () => store.chunkRows()),
    countByType: (...request) => faults.around("countByType", () => store.countByType(...request)),
    countByMonth: (...request) => faults.around("countByMonth", () => store.countByMonth(...request)),
    estimateLevels: (...request) => faults.around("estimateLevels", () => store.estimateLevels(...request)),
    differences: (...request) => faults.around("differences", () => store.differences(...request)),
  };
}

/** Makes a meter of what the event store would see of it. */
export async function createMeter(stage: Stage, view: MeterView, slug: string): Promise<Meter> {
  return await stage.meters.create({
    slug,
    aggregation: view.aggregation,
    eventType: view.eventType,
    groupBy: groupByTexts(view),
    ...(view.valuePath === undefined ? {} : { valueProperty: view.valuePath.text }),
    ...(view.eventFrom === undefined ? {} : { eventFrom: view.eventFrom }),
  });
}

/** The group-by of a meter as clients write it; a path that is the value's own is left out, because that is refused. */
export function groupByTexts(view: MeterView): Record<string, string> {
  return Object.fromEntries(
    [...view.groupBy].filter(([, path]) => path.text !== view.valuePath?.text).map(([key, path]) => [key, path.text]),
  );
}
