/**
 * Sees to it that usage of watched entitlements is noticed at once: batches only tell of balances in memory, so every
 * watched entitlement is brought there, and until it is, its value is looked at whenever events were stored.
 *
 * How far usage was evaluated is written down now and then: a start looks at every entitlement if some usage was not.
 * A rule acts from its creation on, so an entitlement is looked at only if events were stored since.
 *
 * Invariant: once an entitlement is in memory, no usage has gone by between its last evaluation and its first report.
 */

import type { Kysely } from "kysely";
import { Loop, type Service } from "../../engines/jobs/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { RuleBook } from "../rules/rule-book.ts";
import type { BalanceSource } from "../thresholds/balance-source.ts";
import type { ThresholdEvaluator } from "../thresholds/evaluator.ts";
import { readProgress, watchedAfter, writeProgress } from "./watch-store.ts";

/** Last stored offset by log partition. */
type Positions = ReadonlyMap<number, number>;

export interface ResidencyOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly book: RuleBook;
  readonly source: Pick<BalanceSource, "live" | "warm">;
  readonly evaluator: Pick<ThresholdEvaluator, "evaluate" | "touch" | "isIdle">;
  readonly positions: () => Positions;
  readonly onError: (error: unknown) => void;
}

const TYPE = "entitlements.balance.threshold";
/** While some are on their way into memory. */
const TICK_MS = 100;
/** Every so often, all of them are looked for: balances may be dropped without notice. */
const ROUND_MICROS = 60_000_000;
const WALK_PORTION = 1000;
/** Values that are computed from the event store per tick. */
const READ_PORTION = 20;

/** An entitlement that is not in memory, and how far its usage is evaluated; null: nobody knows. */
type Absent = Map<string, Positions | null>;

export class Residency implements Service {
  readonly #options: ResidencyOptions;
  readonly #loop: Loop;
  readonly #absent: Absent = new Map();
  #roundAt = 0;
  /** How far usage is evaluated of whatever the next round finds; undefined: as found at the start. */
  #baseline: Positions | null | undefined = undefined;
  /** Whether usage was stored that nobody was told of. */
  #isLost = false;
  #written: Positions = new Map();
  #isEnding = false;

  constructor(options: ResidencyOptions) {
    this.#options = options;
    this.#loop = new Loop({ step: async () => await this.#tick(), intervalMs: TICK_MS, onError: options.onError });
  }

  async run(): Promise<void> {
    await this.#loop.run();
  }

  async stop(): Promise<void> {
    this.#isEnding = true;
    await this.#loop.stop();
    await this.#note();
  }

  async drain(): Promise<void> {
    await this.stop();
  }

  /** A rule acts from now on: what it watches is looked for at once. */
  ruleActs(): void {
    this.#roundAt = 0;
    if (!this.#isLost && this.#baseline !== undefined) this.#baseline = this.#options.positions();
    this.#loop.wake();
  }

  /** Events were stored without a report. */
  lost(): void {
    this.#roundAt = 0;
    this.#isLost = true;
    this.#loop.wake();
  }

  /** A value was computed from the events stored up to these positions, because it was not in memory. */
  read(entitlementId: string, positions: Positions): void {
    this.#absent.set(entitlementId, positions);
    this.#options.source.warm([entitlementId]);
  }

  async #tick(): Promise<boolean> {
    const { book, clock, positions } = this.#options;
    if ((await book.of(TYPE)).length === 0) {
      this.#absent.clear();
      // Whatever is stored until the first rule acts is not its business.
      this.#baseline = positions();
      return false;
    }
    const now = clock.now();
    if (this.#roundAt === 0 || now >= this.#roundAt + ROUND_MICROS || now < this.#roundAt) {
      await this.#round();
      this.#roundAt = now;
    }
    await this.#settle();
    return false;
  }

  /** Finds what is not in memory. */
  async #round(): Promise<void> {
    const { db, namespace, source, positions } = this.#options;
    const known = this.#baseline === undefined ? await readProgress(db, namespace) : this.#baseline;
    const baseline = this.#isLost ? null : known;
    // What is dropped from now on is found by a later round, which does not know since when.
    this.#baseline = null;
    this.#isLost = false;
    let after = "";
    while (!this.#isEnding) {
      const ids = await watchedAfter(db, namespace, after, WALK_PORTION);
      const last = ids.at(-1);
      if (last === undefined) break;
      const absent = ids.filter((id) => source.live(id) === null);
      for (const id of absent) if (!this.#absent.has(id)) this.#absent.set(id, baseline);
      source.warm(absent);
      after = last;
    }
    if (!this.#isEnding) await this.#note(positions());
  }

  /** Evaluates what came into memory, and a few of those that did not. */
  async #settle(): Promise<void> {
    const { source, evaluator, clock, positions } = this.#options;
    const stored = positions();
    const unread = new Map<string, ReturnType<Clock["now"]>>();
    const arrived: string[] = [];
    for (const [id, evaluated] of this.#absent) {
      const isBehind = evaluated === null || !isSame(evaluated, stored);
      if (source.live(id) !== null) {
        this.#absent.delete(id);
        if (isBehind) arrived.push(id);
      } else if (isBehind && unread.size < READ_PORTION) {
        unread.set(id, clock.now());
        // To the end, so that others have their turn.
        this.#absent.delete(id);
        this.#absent.set(id, stored);
      }
    }
    evaluator.touch(arrived, clock.now());
    if (unread.size > 0) await evaluator.evaluate(unread);
  }

  /** Writes how far everything is evaluated, if it is. */
  async #note(upto: Positions = this.#options.positions()): Promise<void> {
    const { db, namespace, evaluator } = this.#options;
    const isBehind = [...this.#absent.values()].some((evaluated) => evaluated === null || !isSame(evaluated, upto));
    if (this.#roundAt === 0 || isBehind || !evaluator.isIdle || isSame(upto, this.#written)) return;
    await writeProgress(db, namespace, upto);
    this.#written = upto;
  }
}

function isSame(a: Positions, b: Positions): boolean {
  return a.size === b.size && [...a].every(([partition, offset]) => b.get(partition) === offset);
}
