/**
 * Balances in memory against the pure engine over a list of events, in a small world that does everything at once: events
 * that are late, early and on time, batches prepared before they are stored, readings under way while batches arrive, a
 * clock that goes on and back, grants, resets, subjects that move, and a sink that dies between a commit and its report.
 */

import { expect, test } from "vitest";
import {
  type Aggregation,
  type CustomerSubjects,
  encodeEvents,
  type EventStore,
  parseJsonPath,
  type StoredEvent,
} from "../../engines/event-store/index.ts";
import { ReferenceStore } from "../../engines/event-store/reference.ts";
import { type UsageFeed, usageOfEvents, type WatchedUsage } from "../../events/index.ts";
import { assert } from "../../kernel/assert.ts";
import { microsPerDay, microsPerHour, microsPerMinute } from "../../kernel/civil.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { parseDuration } from "../../kernel/duration.ts";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import {
  advance,
  floorToMinute,
  type Grant,
  initialState,
  type MeteredValue,
  type Phase,
  phases,
  type Terms,
  valueBeforeMeasuring,
  valueOf,
} from "../engine/index.ts";
import { BalanceChecker, type BalanceDifference } from "./checker.ts";
import { LiveBalances } from "./live-balances.ts";
import type { LiveTerms } from "./reading/live-terms.ts";
import type { UsageKind } from "./phase-usage.ts";

const START = 1_704_067_200_000_000;
const KINDS = ["SUM", "COUNT", "UNIQUE_COUNT", "LATEST"] as const satisfies readonly (Aggregation & UsageKind)[];
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
const STEPS = 400;

const seen = { checked: 0, late: 0, gaps: 0 };

test.each(SEEDS)("a value from memory is the value recomputed from all events (seed %i)", async (seed) => {
  const world = new World(seed);
  const running = world.balances.run();
  for (let step = 0; step < STEPS; step++) {
    world.step();
    // Readings under way go on a little between any two steps.
    for (let turns = world.below(4); turns > 0; turns--) await turn();
    world.check();
  }
  await world.settle();
  await world.balances.stop();
  await running;
  seen.checked += world.checked;
  seen.late += world.balances.counts.late;
  seen.gaps += world.balances.counts.gaps;
});

test("the checker finds a balance that is wrong, tells of it and drops it", async () => {
  const world = new World(1);
  const running = world.balances.run();
  world.check();
  await world.settle();
  const differences: BalanceDifference[] = [];
  const id = world.balances.pick(0.99)?.entitlementId ?? "";
  const checker = (isRight: boolean): BalanceChecker =>
    new BalanceChecker({
      balances: world.balances,
      clock: world.clock,
      positions: () => new Map(),
      random: () => 0.99,
      recompute: async (entitlementId) => {
        await turn();
        const value = world.valueOf(entitlementId);
        return isRight ? value : { ...value, overage: value.overage.plus(Decimal.one) };
      },
      onDifference: (difference) => differences.push(difference),
      onError: (error) => {
        throw error;
      },
    });
  const right = checker(true);
  await right.checkOne();
  expect([right.checked, differences]).toEqual([1, []]);
  expect(world.balances.valueNow(id)).not.toBeNull();
  await checker(false).checkOne();
  expect(differences.map(({ entitlementId }) => entitlementId)).toEqual([id]);
  expect(differences[0]?.inMemory).not.toBe(differences[0]?.recomputed);
  expect(world.balances.latest(id)).toBeNull();
  // A balance that changed while it was recomputed is no defect.
  const late = checker(false).checkOne();
  world.balances.changed(world.balances.pick(0.99)?.entitlementId ?? "");
  await late;
  expect(differences).toHaveLength(1);
  await world.balances.stop();
  await running;
});

test("the worlds were worth looking at", () => {
  expect(seen.checked).toBeGreaterThan(1_000);
  expect(seen.late).toBeGreaterThan(20);
  expect(seen.gaps).toBeGreaterThan(5);
});

/** An entitlement of the world: what it measures and for whom. */
interface Entitled {
  readonly id: string;
  readonly customerId: string;
  readonly kind: (typeof KINDS)[number];
  terms: Terms;
}

interface Batch {
  readonly from: number;
  readonly to: number;
  readonly watched: readonly WatchedUsage[];
}

class World {
  readonly clock = new ManualClock(instantFromMicros(START));
  readonly balances: LiveBalances;
  checked = 0;
  #state: number;
  readonly #store = new ReferenceStore();
  readonly #log: StoredEvent[] = [];
  #stored = 0;
  #prepared: Batch | null = null;
  #watched: readonly WatchedUsage[] = [];
  /** Subject to customer. */
  readonly #owners = new Map<string, string>();
  readonly #entitled: Entitled[] = [];
  #nextId = 0;

  constructor(seed: number) {
    this.#state = seed;
    for (const customerId of ["a", "b", "c"]) {
      for (const part of ["1", "2", "3"].slice(0, 1 + this.below(3))) this.#owners.set(customerId + part, customerId);
      for (const kind of KINDS) {
        this.#entitled.push({
          id: `${customerId} ${kind}`,
          customerId,
          kind,
          terms: this.#randomTerms(kind === "LATEST"),
        });
      }
    }
    this.balances = new LiveBalances({
      clock: this.clock,
      store: slow(this.#store),
      load: async (ids) => {
        const loaded = this.#entitled.filter(({ id }) => ids.includes(id)).map((each) => this.#liveTerms(each));
        await turn();
        return loaded;
      },
      feed: {
        watch: (usages) => (this.#watched = usages),
        logEnd: () => this.#log.length,
        lagSeconds: () => 0,
      },
      positions: () => new Map([[0, this.#stored - 1]]),
      onError: (error) => {
        throw error;
      },
    });
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  step(): void {
    const dice = this.below(100);
    if (dice < 40) this.#accept(1 + this.below(6));
    else if (dice < 55) this.#prepare();
    else if (dice < 78) this.#commit(this.below(25) > 0);
    else if (dice < 90)
      this.clock.advance(this.below(3) === 0 ? this.below(8) * microsPerHour : this.below(90_000_000));
    else if (dice < 91) this.clock.set(instantFromMicros(this.clock.now() - this.below(3 * microsPerMinute)));
    else if (dice < 92) this.clock.advance(this.below(3) * microsPerDay);
    else if (dice < 96) this.#change();
    else if (dice < 98) this.balances.meterChanged(KINDS[this.below(KINDS.length)] ?? "");
    else this.#move();
  }

  /** Compares every balance that is in memory. */
  check(): void {
    for (const entitled of this.#entitled) {
      const value = this.balances.valueNow(entitled.id);
      if (value === null) continue;
      this.checked += 1;
      expect(shown(value), `${entitled.id} at ${this.clock.now()}`).toEqual(shown(this.#valueOf(entitled)));
    }
  }

  /** The value of an entitlement on paper. */
  valueOf(id: string): MeteredValue {
    const entitled = this.#entitled.find((each) => each.id === id);
    assert(entitled !== undefined, "the entitlement exists");
    return this.#valueOf(entitled);
  }

  async settle(): Promise<void> {
    this.#prepare();
    this.#commit(true);
    this.check();
    while (!this.balances.isSettled) await turn();
    this.check();
  }

  #accept(count: number): void {
    const now = this.clock.now();
    for (let i = 0; i < count; i++) {
      const dice = this.below(100);
      const away = (): number => (dice < 5 ? -this.below(3 * microsPerDay) : dice < 20 ? this.below(microsPerHour) : 0);
      const time = Math.max(START - microsPerHour, now + away() - this.below(2 * microsPerMinute));
      this.#log.push({
        namespace: "n",
        id: String(this.#log.length),
        source: "s",
        type: "t",
        subject: [...this.#owners.keys(), "nobody"][this.below(this.#owners.size + 1)] ?? "",
        time: instantFromMicros(time),
        isTimeGiven: true,
        data: `{"v":${this.below(12) - 2}.5,"group":"${this.below(4) === 0 ? "no" : "yes"}"}`,
        ingestedAt: instantFromMicros(now + this.below(3)),
        storedAt: now,
        partition: 0,
        offset: this.#log.length,
      });
    }
  }

  #prepare(): void {
    if (this.#prepared !== null || this.#stored === this.#log.length) return;
    this.#prepared = { from: this.#stored, to: this.#log.length - 1, watched: this.#watched };
  }

  /** Stores the batch; without its report when the sink died right then. */
  #commit(isReported: boolean): void {
    const batch = this.#prepared;
    if (batch === null) return;
    this.#prepared = null;
    const events = this.#log.slice(batch.from, batch.to + 1);
    void this.#store.insert(encodeEvents(events), String(batch.from));
    this.#stored = batch.to + 1;
    if (isReported) this.balances.stored({ from: batch.from, to: batch.to, feed: feedOf(batch.watched, events) });
    else if (this.below(2) === 0) this.balances.skipped();
    else this.#commitAnother();
  }

  /** Nobody tells of the batch without a report; the next report shows the gap. */
  #commitAnother(): void {
    this.#accept(1);
    this.#prepare();
    this.#commit(true);
  }

  /** A grant, a voided grant or a reset. */
  #change(): void {
    const entitled = this.#entitled[this.below(this.#entitled.length)];
    assert(entitled !== undefined, "there are entitlements");
    const { terms } = entitled;
    const at = floorToMinute(this.clock.now());
    const last = Math.max(terms.measureUsageFrom, ...terms.resets.map((reset) => reset.at));
    const dice = this.below(3);
    if (dice === 0) {
      const from = instantFromMicros(at + (this.below(3) - 1) * microsPerHour);
      entitled.terms = { ...terms, grants: [...terms.grants, this.#randomGrant(from)] };
    } else if (dice === 1) {
      const grants = terms.grants.map((grant, index) =>
        index === 0 && grant.voidedAt === null ? { ...grant, voidedAt: at } : grant,
      );
      entitled.terms = { ...terms, grants };
    } else if (at > last) {
      const reset = { at, anchor: at, preserveOverage: this.below(2) === 0 };
      entitled.terms = { ...terms, resets: [...terms.resets, reset] };
    }
    this.balances.changed(entitled.id);
  }

  /** A subject changes hands. */
  #move(): void {
    const subject = [...this.#owners.keys()][this.below(this.#owners.size)] ?? "";
    const before = this.#owners.get(subject) ?? "";
    const after = ["a", "b", "c"][this.below(3)] ?? "";
    this.#owners.set(subject, after);
    this.balances.attributionChanged([before, after], [subject]);
  }

  #randomTerms(gauge: boolean): Terms {
    const interval = parseDuration(["PT1H", "P1D", "PT7H"][this.below(3)] ?? "");
    assert(interval !== null, "the durations are valid");
    // Hardly two of them have a boundary in the same minute.
    const from = instantFromMicros(START + (this.below(90) - 45) * microsPerMinute);
    const anchor = this.below(2) === 0 ? from : instantFromMicros(from - this.below(2_000) * microsPerMinute);
    return {
      measureUsageFrom: from,
      usagePeriod: { interval, anchor },
      resets: [],
      preserveOverageAtReset: this.below(2) === 0,
      isSoftLimit: this.below(4) === 0,
      grants: Array.from({ length: this.below(3) }, () => this.#randomGrant(from)),
      gauge,
      conversion:
        this.below(4) === 0
          ? { operation: this.below(2) === 0 ? "divide" : "multiply", factor: Decimal.of("3") }
          : null,
    };
  }

  #randomGrant(from: Instant): Grant {
    const interval = parseDuration(["PT2H", "P1D"][this.below(2)] ?? "");
    const amount = Decimal.fromInteger(1 + this.below(200));
    this.#nextId += 1;
    return {
      id: `grant ${this.#nextId}`,
      amount,
      priority: this.below(3),
      effectiveAt: from,
      expiresAt: this.below(3) === 0 ? instantFromMicros(from + this.below(40) * microsPerHour) : null,
      voidedAt: null,
      deletedAt: null,
      minRollover: Decimal.fromInteger(this.below(2) * 10),
      maxRollover: this.below(2) === 0 ? amount : Decimal.zero,
      recurrence: this.below(2) === 0 && interval !== null ? { interval, anchor: from } : null,
      createdAt: from,
    };
  }

  #liveTerms({ id, customerId, kind, terms }: Entitled): LiveTerms {
    const entitled = { id, customerId, kind, terms };
    return {
      entitlementId: id,
      customer: this.#customer(customerId),
      meterId: kind,
      usage: usageOf(kind),
      kind,
      terms,
      rollUp: () => null,
      stateAt: async (at, upTo) => {
        await turn();
        const state = this.#stateAt(entitled, at, upTo.get(0) ?? -1);
        await turn();
        return state;
      },
    };
  }

  #customer(id: string): CustomerSubjects {
    return { id, subjects: [...this.#owners].filter(([, owner]) => owner === id).map(([subject]) => subject) };
  }

  #stateAt(entitled: Entitled, at: Instant, upTo: number): ReturnType<typeof initialState> {
    const { terms } = entitled;
    const all = phases(terms, { at: terms.measureUsageFrom }, at);
    const usages = all.map((phase) => this.#usageIn(entitled, phase, upTo));
    return advance(terms, initialState(terms), at, (index) => usages[index] ?? Decimal.zero);
  }

  #valueOf(entitled: Entitled): MeteredValue {
    const now = this.clock.now();
    if (now < entitled.terms.measureUsageFrom) return valueBeforeMeasuring(entitled.terms);
    return valueOf(entitled.terms, this.#stateAt(entitled, now, this.#stored - 1));
  }

  #usageIn({ customerId, kind }: Entitled, { from, to, periodStart }: Phase, upTo: number): Decimal {
    const own = this.#log.filter(
      (event) =>
        event.offset <= upTo &&
        this.#owners.get(event.subject) === customerId &&
        (event.data ?? "").includes('"yes"') &&
        event.time < to,
    );
    const values = (since: number): string[] =>
      own.filter(({ time }) => time >= since).map((event) => /"v":([^,]+)/.exec(event.data ?? "")?.[1] ?? "");
    if (kind === "COUNT") return Decimal.fromInteger(values(from).length);
    if (kind === "SUM") return values(from).reduce((sum, value) => sum.plus(Decimal.of(value)), Decimal.zero);
    if (kind === "UNIQUE_COUNT") {
      const before = own.filter(({ time }) => time >= periodStart && time < from);
      const seen = new Set(before.map((event) => /"v":([^,]+)/.exec(event.data ?? "")?.[1]));
      return Decimal.fromInteger(new Set(values(periodStart)).size - seen.size);
    }
    const order = (event: StoredEvent): number[] => [event.time, event.ingestedAt, event.offset];
    const latest = own
      .filter(({ time }) => time >= periodStart)
      .toSorted(
        (a, b) =>
          order(a)
            .map((part, at) => part - (order(b)[at] ?? 0))
            .find((sign) => sign !== 0) ?? 0,
      )
      .at(-1);
    return Decimal.of(/"v":([^,]+)/.exec(latest?.data ?? '"v":0,')?.[1] ?? "0");
  }
}

function usageOf(kind: Aggregation): WatchedUsage {
  const value = parseJsonPath("$.v");
  const group = parseJsonPath("$.group");
  assert(value !== null && group !== null, "the paths are valid");
  const meter = { namespace: "n", eventType: "t", aggregation: kind, groupBy: new Map([["group", group]]) };
  return {
    key: kind,
    meter: kind === "COUNT" ? meter : { ...meter, valuePath: value },
    filters: new Map([["group", { op: "eq", value: "yes" }]]),
  };
}

function feedOf(watched: readonly WatchedUsage[], events: readonly StoredEvent[]): UsageFeed {
  const feeds = watched.map((usage) => usageOfEvents(usage, events));
  return {
    keys: watched.map(({ key }) => key),
    watched: feeds.flatMap((feed, index) => feed.values.map(() => index)),
    subjects: feeds.flatMap((feed) => feed.subjects),
    times: feeds.flatMap((feed) => feed.times),
    arrivals: feeds.flatMap((feed) => feed.arrivals),
    offsets: feeds.flatMap((feed) => feed.offsets),
    values: feeds.flatMap((feed) => feed.values),
  };
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** The store with answers that take a while, computed at the beginning or at the end of it. */
function slow(store: ReferenceStore): Pick<EventStore, "queryUsage" | "queryPhaseUsage" | "listEvents"> {
  return {
    queryUsage: async (query) => {
      await turn();
      const rows = await store.queryUsage(query);
      await turn();
      return rows;
    },
    queryPhaseUsage: async (query) => {
      await turn();
      const usages = await store.queryPhaseUsage(query);
      await turn();
      return usages;
    },
    listEvents: async (query) => {
      await turn();
      const events = await store.listEvents(query);
      await turn();
      return events;
    },
  };
}

function shown({ grantBalances, ...value }: MeteredValue): Record<string, unknown> {
  const { balance, usage, overage, totalAvailableGrantAmount, hasAccess } = value;
  return {
    hasAccess,
    amounts: [balance, usage, overage, totalAvailableGrantAmount].map(String),
    grants: [...grantBalances].map(([id, amount]) => `${id}: ${amount.toText()}`),
  };
}
