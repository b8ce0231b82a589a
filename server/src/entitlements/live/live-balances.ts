/**
 * Balances in memory, fed by the sink, so that a check of access waits for nothing.
 *
 * A balance comes into memory when somebody asks for it: its terms are loaded, its usage is watched, and at the position
 * vector V of that moment it is read from the event store, while the entries of the batches after V are kept for it. From
 * then on each batch is added as it is stored. Whatever could make it wrong drops it: a change of the entitlement, of who
 * owns a subject, of the meter; usage of a phase that is closed; a clock that goes back; a batch that was stored without a
 * report. A dropped balance is read anew; meanwhile the caller recomputes.
 *
 * Invariants: what is handed out is the value at the position up to which the sink has reported, as a recomputation gives
 * it; nothing is handed out while the feed is more than a second behind the log. One process uses a data directory, so no
 * change goes by unseen.
 */

import type { PositionVector } from "../../engines/event-store/index.ts";
import { Loop, type Service } from "../../engines/jobs/index.ts";
import type { SinkReport, WatchedUsage } from "../../events/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { MeteredValue, Terms } from "../engine/index.ts";
import type { LiveTerms } from "./reading/live-terms.ts";
import { type Cohort, cohortsOf, rebuild, type RebuildOptions } from "./reading/rebuild.ts";
import { inParallel } from "../usage-reader.ts";
import { Resident, Residents } from "./residents.ts";
import { TooMuchUsage } from "./reading/usage-reads.ts";
import { WatchList, type WatchListOptions } from "./watch-list.ts";

/** Some 200 MB at the usual two kilobytes each. */
const MAX_BALANCES = 100_000;
/** Older answers are not given. */
const MAX_LAG_SECONDS = 1;
/** So many balances are loaded at once. */
const MAX_LOADED = 2_000;
/** A balance that cannot be kept, or could not be read, is left to the event store for so long. */
const COLD_MS = 10_000;
const IDLE_MS = 60_000;

export interface LiveBalancesOptions extends RebuildOptions {
  readonly clock: Clock;
  /** The metered entitlements among these that are active and whose usage can be watched. */
  readonly load: (entitlementIds: readonly string[]) => Promise<readonly LiveTerms[]>;
  readonly feed: WatchListOptions & { readonly lagSeconds: () => number };
  readonly positions: () => PositionVector;
  readonly onError: (error: unknown) => void;
  /** Bound of the balances in memory. */
  readonly maxBalances?: number;
}

/** What happened so far. */
export interface LiveCounts {
  /** Balances read from the event store. */
  rebuilt: number;
  /** Balances dropped because of usage of a phase that was closed. */
  late: number;
  /** Times when all balances were dropped because batches were stored without a report. */
  gaps: number;
}

export class LiveBalances implements Service {
  readonly counts: LiveCounts = { rebuilt: 0, late: 0, gaps: 0 };
  readonly #options: LiveBalancesOptions;
  readonly #residents: Residents;
  readonly #watched: WatchList;
  readonly #wanted = new Set<string>();
  /** Entitlements that are left to the event store, with the time up to which. */
  readonly #cold = new Map<string, number>();
  readonly #listeners: ((entitlementIds: ReadonlySet<string>) => void)[] = [];
  readonly #loop: Loop;
  /** The offset that the next report must begin with; null while nothing is in memory. */
  #next: number | null = null;
  /** Whoever waits for a position. */
  readonly #waiting: (() => void)[] = [];
  #isStopped = false;
  /** Changes of meters and positions so far; a balance that is being loaded across one is loaded again. */
  #changes = 0;
  /** Entitlements changed while they were being loaded. */
  #changedWhileLoading: Set<string> | null = null;
  /**
   * What changed owners meanwhile. Only balances that this concerns are loaded again: customers are made all the time, and
   * nothing would ever come into memory.
   */
  #movedWhileLoading: { readonly customers: Set<string>; readonly subjects: Set<string> } | null = null;

  constructor(options: LiveBalancesOptions) {
    this.#options = options;
    this.#residents = new Residents(options.maxBalances ?? MAX_BALANCES);
    this.#watched = new WatchList(options.feed);
    this.#loop = new Loop({ step: () => this.#rebuildSome(), intervalMs: IDLE_MS, onError: options.onError });
  }

  /** Brings wanted balances into memory until it is told to end. */
  async run(): Promise<void> {
    await this.#loop.run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#arrive();
    await this.#loop.stop();
  }

  async drain(): Promise<void> {
    await this.stop();
  }

  /** How many balances are in memory. */
  get size(): number {
    return this.#residents.size;
  }

  /**
   * The value now, or null when it is not in memory or not sure enough; then the caller recomputes, and the balance comes
   * into memory for the next one.
   */
  valueNow(entitlementId: string, now: Instant = this.#options.clock.now()): MeteredValue | null {
    const resident = this.#residents.use(entitlementId);
    const balance = resident?.balance ?? null;
    if (balance === null) {
      if (resident === undefined) this.warm([entitlementId]);
      return null;
    }
    if (this.#options.feed.lagSeconds() > MAX_LAG_SECONDS) return null;
    const value = balance.valueAt(now);
    if (value === null) {
      this.#residents.remove(entitlementId);
      this.warm([entitlementId]);
    }
    return value;
  }

  /**
   * The value at the position up to which the sink has reported, however far that is behind the log, with the terms that it
   * follows from; null when it is not in memory. For whoever looks at what a batch has changed.
   */
  latest(entitlementId: string): { readonly value: MeteredValue; readonly terms: Terms } | null {
    const resident = this.#residents.get(entitlementId);
    const value = resident?.balance?.valueAt(this.#options.clock.now()) ?? null;
    return resident === undefined || value === null ? null : { value, terms: resident.of.terms };
  }

  /** Brings balances into memory in the background. */
  warm(entitlementIds: Iterable<string>): void {
    for (const id of entitlementIds) {
      const coldUntil = this.#cold.get(id);
      if (coldUntil !== undefined && coldUntil > performance.now()) continue;
      this.#cold.delete(id);
      if (this.#residents.get(id) === undefined) this.#wanted.add(id);
    }
    if (this.#wanted.size > 0) this.#loop.wake();
  }

  /** Whether no balance waits to be brought into memory. */
  get isSettled(): boolean {
    return this.#wanted.size === 0 && this.#changedWhileLoading === null;
  }

  /** Takes the feed of a batch; the positions have moved already. */
  stored({ from, to, feed }: Pick<SinkReport, "from" | "to" | "feed">): void {
    if (this.#next !== null && this.#next !== from) this.skipped();
    this.#next = to + 1;
    this.#arrive();
    if (feed === null) return;
    const touched = new Set<string>();
    const byUsage = feed.keys.map((key) => this.#residents.ofUsage(key));
    feed.watched.forEach((place, at) => {
      const residents = byUsage[place]?.get(feed.subjects[at] ?? "");
      if (residents === undefined) return;
      const entry = {
        time: feed.times[at] ?? 0,
        arrival: feed.arrivals[at] ?? 0,
        offset: feed.offsets[at] ?? 0,
        value: feed.values[at] ?? "0",
      };
      for (const resident of residents) this.#give(resident, entry, touched);
    });
    if (touched.size > 0) for (const listener of this.#listeners) listener(touched);
  }

  #give(resident: Resident, entry: Parameters<Resident["take"]>[0], touched: Set<string>): void {
    const { entitlementId } = resident.of;
    touched.add(entitlementId);
    // A resident may be removed by an entry before this one.
    if (this.#residents.get(entitlementId) !== resident || resident.take(entry)) return;
    this.counts.late += 1;
    this.#residents.remove(entitlementId);
  }

  /** Batches were stored without a report: nothing in memory can be relied on. */
  skipped(): void {
    this.counts.gaps += 1;
    this.#next = null;
    this.#dropAll();
    this.#arrive();
  }

  /** The entitlement has changed: its terms, its period or its end. */
  changed(entitlementId: string): void {
    this.#residents.remove(entitlementId);
    this.#cold.delete(entitlementId);
    this.#changedWhileLoading?.add(entitlementId);
  }

  /** The subjects of these customers have changed, or of others to these. */
  attributionChanged(customerIds: readonly string[], subjects: readonly string[]): void {
    const moved = { customers: new Set(customerIds), subjects: new Set(subjects) };
    for (const id of customerIds) this.#movedWhileLoading?.customers.add(id);
    for (const subject of subjects) this.#movedWhileLoading?.subjects.add(subject);
    this.#residents.removeWhere((terms) => hasMoved(terms, moved));
  }

  /** The meter's definition has changed. */
  meterChanged(meterId: string): void {
    this.#changes += 1;
    this.#residents.removeWhere((terms) => terms.meterId === meterId);
    this.#watched.removeMeter(meterId);
  }

  /** Calls the listener with the entitlements in memory whose usage a batch has changed, once the batch is counted. */
  onTouched(listener: (entitlementIds: ReadonlySet<string>) => void): void {
    this.#listeners.push(listener);
  }

  /** What the sink's reports have to tell about. */
  watched(): readonly WatchedUsage[] {
    return this.#watched.usages();
  }

  /** Any balance in memory, to be checked; `random` is in [0, 1). */
  pick(random: number): { readonly entitlementId: string; readonly isCurrent: () => boolean } | null {
    const resident = this.#residents.pick(random);
    if (resident === undefined || resident.balance === null) return null;
    const { entitlementId } = resident.of;
    return { entitlementId, isCurrent: () => this.#residents.get(entitlementId) === resident };
  }

  #dropAll(): void {
    this.#changes += 1;
    this.#residents.removeAll();
  }

  /** Wakes whoever waits for a position. */
  #arrive(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Brings some wanted balances into memory; true when there are more. */
  async #rebuildSome(): Promise<boolean> {
    const ids = [...this.#wanted].slice(0, MAX_LOADED);
    if (ids.length === 0) return false;
    for (const id of ids) this.#wanted.delete(id);
    const changed = new Set<string>();
    this.#changedWhileLoading = changed;
    const moved = { customers: new Set<string>(), subjects: new Set<string>() };
    this.#movedWhileLoading = moved;
    const changes = this.#changes;
    try {
      const { clock, load } = this.#options;
      const loaded = await load(ids);
      await this.#waitFor(this.#watched.addAll(loaded));
      this.#leaveCold(ids.filter((id) => !changed.has(id)));
      const now = clock.now();
      const measuring = loaded.filter(({ terms }) => terms.measureUsageFrom <= now);
      const isCurrent = (member: LiveTerms): boolean =>
        changes === this.#changes && !changed.has(member.entitlementId) && !hasMoved(member, moved);
      await inParallel(cohortsOf(measuring, now), async (cohort) => {
        const { members } = cohort;
        // What has changed since it was loaded is loaded again.
        this.#want(members.filter((member) => !isCurrent(member)));
        await this.#rebuildCohort({ ...cohort, members: members.filter(isCurrent) });
      });
    } catch (error) {
      this.#leaveCold(ids);
      if (!(error instanceof Stopped)) throw error;
    } finally {
      this.#changedWhileLoading = null;
      this.#movedWhileLoading = null;
    }
    return this.#wanted.size > 0;
  }

  /** Reads a cohort at the present vector and adds what the feed told meanwhile. */
  async #rebuildCohort(cohort: Cohort): Promise<void> {
    const residents = cohort.members.map((member) => new Resident(member));
    for (const resident of residents) this.#residents.add(resident);
    try {
      this.#next ??= this.#storedEnd();
      const balances = await rebuild(this.#options, cohort, this.#options.positions());
      for (const resident of residents) {
        const { entitlementId } = resident.of;
        const balance = balances.get(entitlementId);
        if (balance === undefined || this.#residents.get(entitlementId) !== resident) continue;
        this.#cold.delete(entitlementId);
        this.counts.rebuilt += 1;
        if (!resident.install(balance)) this.#residents.remove(entitlementId);
      }
    } catch (error) {
      for (const { of } of residents) this.#residents.remove(of.entitlementId);
      if (!(error instanceof TooMuchUsage)) this.#options.onError(error);
    }
  }

  #want(members: readonly LiveTerms[]): void {
    for (const { entitlementId } of members) {
      this.#cold.delete(entitlementId);
      this.#wanted.add(entitlementId);
    }
  }

  /** These are not tried again for a while, unless they come into memory now. */
  #leaveCold(ids: readonly string[]): void {
    const until = performance.now() + COLD_MS;
    if (this.#cold.size > MAX_BALANCES) this.#cold.clear();
    for (const id of ids) this.#cold.set(id, until);
  }

  /** Resolves when everything before the offset is stored. */
  async #waitFor(offset: number): Promise<void> {
    while (this.#storedEnd() < offset) {
      if (this.#isStopped) throw new Stopped();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The first offset that is not stored. */
  #storedEnd(): number {
    return Math.max(-1, ...this.#options.positions().values()) + 1;
  }
}

/** Whether a change of ownership concerns the balance: its customer, or a subject that was its customer's. */
function hasMoved(
  { customer }: LiveTerms,
  moved: { readonly customers: ReadonlySet<string>; readonly subjects: ReadonlySet<string> },
): boolean {
  return moved.customers.has(customer.id) || customer.subjects.some((subject) => moved.subjects.has(subject));
}

/** The balances are not brought into memory any more. */
class Stopped extends Error {
  override readonly name = "Stopped";
}
