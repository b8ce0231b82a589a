/**
 * Looks at entitlements when time or a command changes them: tells their reset points, and has their thresholds evaluated
 * at every boundary and after every change.
 *
 * Invariants: a reset point is told once per rule, however often this is repeated; those that passed while nothing ran are
 * told oldest first, unless they are too old; no value is computed inside a transaction.
 */

import type { Kysely } from "kysely";
import { Loop } from "../../engines/jobs/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import { earlierInstant, type Instant, laterInstant, plusMicros } from "../../kernel/instant.ts";
import { dedupeKey, insertEvent, lockActingRule } from "../events/emission-store.ts";
import { entitlementAnnotations, entitlementData } from "../events/facts.ts";
import type { RuleBook } from "../rules/rule-book.ts";
import { type Rule, watchesFeature } from "../rules/rule.ts";
import { type BalanceSource, isActiveAt, type WatchedEntitlement } from "../thresholds/balance-source.ts";
import type { ThresholdEvaluator } from "../thresholds/evaluator.ts";
import {
  advanceEvaluation,
  advanceReset,
  type DueEvaluation,
  dueEvaluations,
  type DueReset,
  dueResets,
} from "./watch-store.ts";

export interface WatcherOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly book: RuleBook;
  readonly source: BalanceSource;
  readonly evaluator: Pick<ThresholdEvaluator, "evaluate">;
  readonly onEvents: (count: number) => void;
  /** Reset points that were too old to be told. */
  readonly onSkipped: (count: number) => void;
  readonly onError: (error: unknown) => void;
  /** How often to look for what time made due. */
  readonly pollIntervalMs?: number;
}

const BATCH = 200;
/** Entitlements that are looked at side by side. */
const PARALLEL = 4;
/** Reset points that passed longer ago are not told any more. */
const OLDEST_MICROS = 48 * 3_600_000_000;

/** A reset point with what it needs to be told. */
interface Told {
  readonly entitlement: WatchedEntitlement;
  readonly rules: readonly Rule[];
}

export class Watcher {
  readonly #options: WatcherOptions;
  /** Looks until told to end; woken when something is due, it looks at once. */
  readonly loop: Loop;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.loop = new Loop({
      step: async () => await this.look(),
      intervalMs: options.pollIntervalMs ?? 1000,
      onError: options.onError,
    });
  }

  /** Does what is due, up to a limit; resolves with whether more may be due. */
  async look(): Promise<boolean> {
    const { db, namespace, clock, book } = this.#options;
    const resets = await book.of("entitlements.reset");
    // Without a rule nothing is looked at: the rows wait, and a rule that comes later skips what lies before it.
    const due = resets.length === 0 ? [] : await dueResets(db, namespace, clock.now(), BATCH);
    const told = await this.#each(due, async (reset) => await this.#reset(reset, resets));
    const thresholds = await book.of("entitlements.balance.threshold");
    const changed = thresholds.length === 0 ? [] : await dueEvaluations(db, namespace, clock.now(), BATCH);
    const evaluated = await this.#evaluate(changed);
    // A failure waits for the next round, so that what cannot be done is not tried without a pause.
    return told && evaluated && (due.length > 0 || changed.length === BATCH);
  }

  /** Works on a few at a time; false when one has failed. */
  async #each<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<boolean> {
    let isFine = true;
    const queue = items.values();
    const worker = async (): Promise<void> => {
      for (const item of queue) {
        try {
          await work(item);
        } catch (error) {
          isFine = false;
          this.#options.onError(error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, worker));
    return isFine;
  }

  async #reset(due: DueReset, rules: readonly Rule[]): Promise<void> {
    const { db, source, clock } = this.#options;
    const { entitlementId, at } = due;
    const entitlement = await source.find(entitlementId);
    if (entitlement === null || (entitlement.activeTo !== null && at >= entitlement.activeTo)) {
      await db.transaction().execute(async (tx) => await advanceReset(tx, due, null));
      return;
    }
    const watching = rules.filter((rule) => watchesFeature(rule, entitlement.feature));
    const acting = watching.filter((rule) => rule.createdAt <= (due.causedAt ?? at));
    // A reset that is asked for takes effect at the begin of the minute, which may lie before the entitlement's.
    const isActive = isActiveAt(entitlement, due.causedAt ?? at);
    const isTold = due.cause !== "creation" && acting.length > 0 && isActive;
    if (!isTold) {
      // Straight to where the first rule acts: there may be years in between.
      const first = watching.reduce((earliest, rule) => earlierInstant(earliest, rule.createdAt), clock.now());
      const after = acting.length > 0 ? at : laterInstant(at, plusMicros(first, -1));
      await this.#tell(due, await source.nextReset(entitlementId, after), null);
      return;
    }
    await this.#tell(due, await source.nextReset(entitlementId, at), { entitlement, rules: acting });
  }

  /** Creates the events of a reset point, if any, and moves on to the next, in one transaction. */
  async #tell(due: DueReset, next: Instant | null, told: Told | null): Promise<void> {
    const { db, namespace, source, clock, newId, onEvents, onSkipped } = this.#options;
    const { entitlementId, at } = due;
    const isTooOld = plusMicros(due.causedAt ?? at, OLDEST_MICROS) < clock.now();
    if (told === null || isTooOld) {
      const isMoved = await db.transaction().execute(async (tx) => await advanceReset(tx, due, next));
      if (isMoved && told !== null) onSkipped(told.rules.length);
      return;
    }
    const { value } = await source.read(entitlementId, at);
    const facts = await source.facts(entitlementId, at);
    const count = await db.transaction().execute(async (tx) => {
      if (!(await advanceReset(tx, due, next))) return 0;
      let events = 0;
      for (const { id: ruleId } of told.rules) {
        const rule = await lockActingRule(tx, namespace, ruleId);
        // The rule may have been changed since the book was asked.
        if (rule === null || !watchesFeature(rule, told.entitlement.feature)) continue;
        const draft = {
          id: newId(),
          at: clock.now(),
          data: entitlementData(facts, value),
          annotations: entitlementAnnotations(facts),
          feature: facts.feature,
          subject: facts.subject,
          dedupeKey: dedupeKey([namespace, rule.id, entitlementId, "reset", at]),
        };
        if (await insertEvent(tx, namespace, rule, draft)) events += 1;
      }
      return events;
    });
    if (count > 0) onEvents(count);
  }

  async #evaluate(due: readonly DueEvaluation[]): Promise<boolean> {
    const { db, source, clock, evaluator } = this.#options;
    if (due.length === 0) return true;
    await evaluator.evaluate(new Map(due.map(({ entitlementId, at }) => [entitlementId, at])));
    const now = clock.now();
    return await this.#each(due, async (one) => {
      const entitlement = await source.find(one.entitlementId);
      const isOver = entitlement === null || (entitlement.activeTo !== null && entitlement.activeTo <= now);
      await advanceEvaluation(db, one, isOver ? null : await source.nextBoundary(one.entitlementId, now));
    });
  }
}
