/**
 * Evaluates thresholds of entitlements whose value may have changed.
 *
 * What was touched waits in memory and is evaluated in order, each entitlement once however often it was touched meanwhile:
 * an evaluation always reads the present value, so one that comes later knows more. What fires is decided again in the
 * transaction that creates the event, by the locked state of the pair (rule, entitlement).
 *
 * Invariants: a batch that crosses nothing costs no statement once its entitlements are known; evaluations of one
 * entitlement never run side by side, so an older value cannot follow a newer one; an evaluation that fails is repeated.
 */

import type { Kysely, Transaction } from "kysely";
import { Loop } from "../../engines/jobs/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Instant } from "../../kernel/instant.ts";
import { dedupeKey, insertEvent, lockActingRule } from "../events/emission-store.ts";
import { entitlementAnnotations, entitlementData, type EntitlementFacts } from "../events/facts.ts";
import type { RuleBook } from "../rules/rule-book.ts";
import { type Rule, thresholdBody, watchesFeature } from "../rules/rule.ts";
import { type Armament, armamentOf, step } from "./armament.ts";
import { lockArmament, readArmaments, writeArmament } from "./armament-store.ts";
import { type BalanceSource, isActiveAt, type Reading, type WatchedEntitlement } from "./balance-source.ts";
import { thresholdKey } from "./selection.ts";

export interface ThresholdEvaluatorOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly book: RuleBook;
  readonly source: BalanceSource;
  /** Called with the number of events after their transaction. */
  readonly onEvents: (count: number) => void;
  readonly onError: (error: unknown) => void;
  /** Called before a value that is not in memory is computed from the event store. */
  readonly onRead: (entitlementId: string) => void;
}

/** Entitlements that are looked at together; their armaments are read with one statement. */
const BATCH = 500;
/** Values that are not in memory are computed so many at a time. */
const PARALLEL_READS = 4;
/** Pairs of rule and entitlement whose armament stays in memory. */
const MAX_REMEMBERED = 200_000;
const RETRY_MS = 1000;
const TYPE = "entitlements.balance.threshold";

/** A rule, and an entitlement that it watches with its present value. */
interface Evaluation {
  readonly rule: Rule;
  readonly entitlement: WatchedEntitlement;
  readonly reading: Reading;
}

export class ThresholdEvaluator {
  readonly #options: ThresholdEvaluatorOptions;
  /** Evaluates what was touched until told to end. */
  readonly loop: Loop;
  /** Entitlement id to the instant of the latest cause. */
  #waiting = new Map<string, Instant>();
  /** `rule entitlement` to what is known of the pair, the oldest first. */
  readonly #armaments = new Map<string, Armament>();
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(options: ThresholdEvaluatorOptions) {
    this.#options = options;
    this.loop = new Loop({
      step: async () => await this.#evaluateWaiting(),
      intervalMs: RETRY_MS,
      onError: options.onError,
    });
  }

  /** Whether everything that was touched is evaluated. */
  get isIdle(): boolean {
    return this.#waiting.size === 0;
  }

  /** The values of these entitlements may have changed at `at`; they are evaluated soon, unless no rule watches any. */
  touch(entitlementIds: Iterable<string>, at: Instant): void {
    if (this.#options.book.hasNone(TYPE)) return;
    for (const id of entitlementIds) this.#waiting.set(id, at);
    if (this.#waiting.size > 0) this.loop.wake();
  }

  async #evaluateWaiting(): Promise<boolean> {
    const batch = [...this.#waiting].slice(0, BATCH);
    if (batch.length > 0) {
      for (const [id] of batch) this.#waiting.delete(id);
      try {
        await this.evaluate(new Map(batch));
      } catch (error) {
        // Repeated after a pause: nobody else would notice what these have crossed.
        for (const [id, at] of batch) if (!this.#waiting.has(id)) this.#waiting.set(id, at);
        throw error;
      }
    }
    return this.#waiting.size > 0;
  }

  /** Evaluates entitlements, by id and the instant of the cause, after those that are being evaluated. */
  async evaluate(causes: ReadonlyMap<string, Instant>): Promise<void> {
    const turn = this.#lastTurn.then(async () => await this.#evaluate(causes));
    this.#lastTurn = turn.catch(() => undefined);
    await turn;
  }

  async #evaluate(causes: ReadonlyMap<string, Instant>): Promise<void> {
    const rules = await this.#options.book.of(TYPE);
    if (rules.length === 0) return;
    const evaluations = await this.#evaluationsOf(causes, rules);
    await this.#remember(evaluations);
    for (const evaluation of evaluations) {
      const known = this.#armaments.get(keyOf(evaluation)) ?? null;
      const { periodStart, value } = evaluation.reading;
      // A clock that was set back shows a period that is over.
      if (known !== null && known.periodStart > periodStart) continue;
      const before = armamentOf(known, periodStart);
      if (step(before, evaluation.rule.thresholds, value).next !== before) await this.#apply(evaluation);
      else if (before !== known) this.#set(evaluation, before);
    }
  }

  /** What the rules have to look at; values that are not in memory are computed a few at a time. */
  async #evaluationsOf(causes: ReadonlyMap<string, Instant>, rules: readonly Rule[]): Promise<readonly Evaluation[]> {
    const { source, clock, onRead } = this.#options;
    const found: Evaluation[] = [];
    const add = (entitlement: WatchedEntitlement, reading: Reading, watching: readonly Rule[]): void => {
      for (const rule of watching) found.push({ rule, entitlement, reading });
    };
    const watchingOf = (entitlement: WatchedEntitlement, causeAt: Instant): readonly Rule[] =>
      isActiveAt(entitlement, clock.now())
        ? rules.filter((rule) => rule.createdAt <= causeAt && watchesFeature(rule, entitlement.feature))
        : [];
    const absent: (readonly [string, Instant])[] = [];
    for (const [id, causeAt] of causes) {
      const live = source.live(id);
      if (live === null) absent.push([id, causeAt]);
      else add(live.entitlement, live.reading, watchingOf(live.entitlement, causeAt));
    }
    const queue = absent.values();
    const work = async (): Promise<void> => {
      for (const [id, causeAt] of queue) {
        const entitlement = await source.find(id);
        if (entitlement === null) continue;
        const watching = watchingOf(entitlement, causeAt);
        if (watching.length === 0) continue;
        onRead(id);
        add(entitlement, await source.read(id, clock.now()), watching);
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL_READS, absent.length) }, work));
    return found;
  }

  /** Reads what memory does not have of these pairs. */
  async #remember(evaluations: readonly Evaluation[]): Promise<void> {
    const missing = evaluations.filter((evaluation) => !this.#armaments.has(keyOf(evaluation)));
    const keys = missing.map(({ rule, entitlement }) => ({ ruleId: rule.id, entitlementId: entitlement.id }));
    const read = await readArmaments(this.#options.db, keys);
    missing.forEach((evaluation, index) => {
      this.#set(evaluation, read[index] ?? armamentOf(null, evaluation.reading.periodStart));
    });
  }

  #set(evaluation: Evaluation, armament: Armament): void {
    const key = keyOf(evaluation);
    this.#armaments.delete(key);
    this.#armaments.set(key, armament);
    if (this.#armaments.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#armaments.keys()) {
      this.#armaments.delete(oldest);
      break;
    }
  }

  /** Something changes: does it in one transaction with the events. */
  async #apply(evaluation: Evaluation): Promise<void> {
    const { db, clock, source, onEvents } = this.#options;
    // Before the transaction, because the embedded store would have nobody else wait for it.
    const facts = await source.facts(evaluation.entitlement.id, clock.now());
    const result = await db.transaction().execute(async (tx) => await this.#applyIn(tx, evaluation, facts));
    // Of a rule that does not act any more only the state store knows what it will go on from.
    if (result.armament === null) this.#armaments.delete(keyOf(evaluation));
    else this.#set(evaluation, result.armament);
    if (result.events > 0) onEvents(result.events);
  }

  async #applyIn(
    tx: Transaction<Database>,
    { rule, entitlement, reading }: Evaluation,
    facts: EntitlementFacts,
  ): Promise<{ readonly armament: Armament | null; readonly events: number }> {
    const { namespace, clock, newId } = this.#options;
    const initial = armamentOf(null, reading.periodStart);
    const acting = await lockActingRule(tx, namespace, rule.id);
    // The rule may have been changed since the book was asked.
    if (acting === null || !watchesFeature(acting, entitlement.feature)) return { armament: null, events: 0 };
    const key = { ruleId: rule.id, entitlementId: entitlement.id };
    const stored = await lockArmament(tx, key, initial);
    if (stored.periodStart > reading.periodStart) return { armament: stored, events: 0 };
    const before = armamentOf(stored, reading.periodStart);
    const { next, fires } = step(before, acting.thresholds, reading.value);
    await writeArmament(tx, key, next);
    let events = 0;
    for (const { threshold, epoch } of fires) {
      const parts = [namespace, rule.id, entitlement.id, reading.periodStart, thresholdKey(threshold), epoch];
      const hash = dedupeKey(parts);
      const draft = {
        id: newId(),
        at: clock.now(),
        data: entitlementData(facts, reading.value, `,"threshold":${JSON.stringify(thresholdBody(threshold))}`),
        annotations: { ...entitlementAnnotations(facts), "event.balance.dedupe.hash": hash },
        feature: facts.feature,
        subject: facts.subject,
        dedupeKey: hash,
      };
      if (await insertEvent(tx, namespace, acting, draft)) events += 1;
    }
    return { armament: next, events };
  }
}

function keyOf({ rule, entitlement }: Evaluation): string {
  return `${rule.id} ${entitlement.id}`;
}
