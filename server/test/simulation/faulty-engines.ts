/**
 * Engines that fail at any call, before it took effect or after, for the simulation of the sink without processes.
 *
 * The event store behaves as ClickHouse was seen to: a block is split by month, each part appears at once and has a token of
 * its own, which is noted before the part appears; an insert whose client is gone goes on. What the claims and the state
 * store have answered, they keep.
 */

import type {
  KyselyPlugin,
  PluginTransformQueryArgs,
  PluginTransformResultArgs,
  QueryResult,
  RootOperationNode,
  UnknownRow,
} from "kysely";
import type { Claims } from "../../src/engines/claims/index.ts";
import type { EventLogReader } from "../../src/engines/event-log/index.ts";
import { encodeEvents, type EventStore, type RowBlock, type StoredEvent } from "../../src/engines/event-store/index.ts";
import { ReferenceStore } from "../../src/engines/event-store/reference.ts";
import type { Random } from "../oracle/random.ts";

/** The failure that was asked for; any other is a finding. */
export class InjectedFault extends Error {
  override readonly name = "InjectedFault";
}

/** Decides which calls fail, and counts where. */
export class Faults {
  readonly counts = new Map<string, number>();
  readonly #random: Random;
  /** One in so many places fails; 0 when nothing fails any more. */
  #rate: number;

  constructor(random: Random, rate: number) {
    this.#random = random;
    this.#rate = rate;
  }

  /** True now and then: the caller has to fail at `place`. */
  strikes(place: string): boolean {
    if (this.#rate === 0 || !this.#random.oneIn(this.#rate)) return false;
    this.counts.set(place, (this.counts.get(place) ?? 0) + 1);
    return true;
  }

  /** Throws now and then. */
  at(place: string): void {
    if (this.strikes(place)) throw new InjectedFault(place);
  }

  end(): void {
    this.#rate = 0;
  }

  /** Calls `work`, and fails now and then before it or after it. */
  async around<Result>(place: string, work: () => Promise<Result>): Promise<Result> {
    this.at(`before ${place}`);
    const result = await work();
    this.at(`after ${place}`);
    return result;
  }
}

export function faultyLog(log: EventLogReader, faults: Faults): EventLogReader {
  return {
    partitions: log.partitions,
    end: (partition) => log.end(partition),
    start: (partition) => log.start(partition),
    read: (...request) => faults.around("log.read", () => log.read(...request)),
    waitFor: (...request) => faults.around("log.waitFor", () => log.waitFor(...request)),
    close: () => log.close(),
  };
}

export function faultyClaims(claims: Claims, faults: Faults): Claims {
  return {
    claim: (request) => faults.around("claims.claim", () => claims.claim(request)),
    count: () => faults.around("claims.count", () => claims.count()),
    close: () => claims.close(),
  };
}

/** Statements of the state store that fail; inside a transaction they roll it back. */
export class FaultyStatements implements KyselyPlugin {
  readonly #faults: Faults;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  transformQuery({ node }: PluginTransformQueryArgs): RootOperationNode {
    this.#faults.at("before a statement");
    return node;
  }

  async transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    this.#faults.at("after a statement");
    return result;
  }
}

interface Part {
  readonly token: string;
  readonly block: RowBlock;
}

type SinkStore = Pick<EventStore, "insert" | "settle" | "countEvents" | "storedOffsets" | "eventsAt" | "lastOffset">;

/** The store that survives the sink; `faulty` is what a sink gets to see of it. */
export class PartitionedStore {
  readonly reference = new ReferenceStore();
  readonly #random: Random;
  readonly #tokens = new Set<string>();
  /** Parts of inserts whose clients are gone; they appear at any time between later calls. */
  #goingOn: Part[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** Finishes the inserts whose clients are gone. */
  async finish(): Promise<void> {
    const parts = this.#goingOn;
    this.#goingOn = [];
    for (const part of parts) await this.#add(part);
  }

  faulty(faults: Faults): EventStore {
    const { reference } = this;
    const call = async <Result>(place: string, work: () => Promise<Result>): Promise<Result> => {
      await this.#goOn();
      return await faults.around(place, work);
    };
    const own: SinkStore = {
      insert: async (block, token) => await this.#insert(block, token, faults),
      settle: async () => await faults.around("store.settle", async () => await this.#settle()),
      countEvents: (...request) => call("store.countEvents", () => reference.countEvents(...request)),
      storedOffsets: (...request) => call("store.storedOffsets", () => reference.storedOffsets(...request)),
      eventsAt: (...request) => call("store.eventsAt", () => reference.eventsAt(...request)),
      lastOffset: (...request) => call("store.lastOffset", () => reference.lastOffset(...request)),
    };
    return Object.assign(new ReferenceStore(), own);
  }

  async #insert(block: RowBlock, token: string, faults: Faults): Promise<void> {
    faults.at("before store.insert");
    const parts = await partsOf(block, token);
    for (const [index, part] of parts.entries()) {
      await this.#goOn();
      if (faults.strikes("store.insert goes on alone")) {
        this.#goingOn.push(...parts.slice(index));
        throw new InjectedFault("store.insert goes on alone");
      }
      if (!this.#tokens.has(part.token) && faults.strikes("amid store.insert, token noted")) {
        this.#tokens.add(part.token);
        throw new InjectedFault("amid store.insert, token noted");
      }
      await this.#add(part);
      faults.at("amid store.insert");
    }
    faults.at("after store.insert");
  }

  /** An insert that is still on its way to the store is not waited for. */
  async #settle(): Promise<void> {
    if (this.#random.oneIn(2)) await this.finish();
  }

  async #goOn(): Promise<void> {
    while (this.#goingOn.length > 0 && this.#random.oneIn(3)) {
      const part = this.#goingOn.shift();
      if (part !== undefined) await this.#add(part);
    }
  }

  async #add({ block, token }: Part): Promise<void> {
    if (this.#tokens.has(token)) return;
    this.#tokens.add(token);
    await this.reference.insert(block, token);
  }
}

/** One part per month, in the order in which the months occur. */
async function partsOf(block: RowBlock, token: string): Promise<readonly Part[]> {
  const scratch = new ReferenceStore();
  await scratch.insert(block, token);
  const offsets = await scratch.storedOffsets(0, 0, Number.MAX_SAFE_INTEGER);
  const months = new Map<string, StoredEvent[]>();
  for (const event of await scratch.eventsAt(0, offsets)) {
    const month = new Date(event.time / 1000).toISOString().slice(0, "2026-01".length);
    const events = months.get(month) ?? [];
    events.push(event);
    months.set(month, events);
  }
  return [...months].map(([month, events]) => ({ token: `${month} ${token}`, block: encodeEvents(events) }));
}
