/**
 * The notifications of one product, put together.
 *
 * Commands of other modules call `changed` and `wasReset` inside their transactions and `wake` after them; usage calls
 * `touched` after a batch. Everything else happens by itself.
 */

import type { Operation } from "@tallystick/contract";
import type { Kysely, Transaction } from "kysely";
import type { Service } from "../engines/jobs/index.ts";
import type { Database } from "../engines/state-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Instant } from "../kernel/instant.ts";
import { type AddressRuleOptions, AddressRules } from "./channels/addresses.ts";
import { ChannelService } from "./channels/channel-service.ts";
import { channelOperations } from "./channels/http.ts";
import { type AttemptResult, DeliveryWorker } from "./delivery/worker.ts";
import { EventService } from "./events/event-service.ts";
import { eventOperations } from "./events/http.ts";
import { eventRetention } from "./events/retention.ts";
import { ruleOperations } from "./rules/http.ts";
import { RuleBook } from "./rules/rule-book.ts";
import { type FeatureLookup, RuleService } from "./rules/rule-service.ts";
import { activeRules } from "./rules/rule-store.ts";
import type { BalanceSource } from "./thresholds/balance-source.ts";
import { ThresholdEvaluator } from "./thresholds/evaluator.ts";
import { Residency } from "./watch/residency.ts";
import { watchChange, watchCustomers, watchReset } from "./watch/watch-store.ts";
import { Watcher } from "./watch/watcher.ts";

/** What is counted. */
export interface NotificationCounts {
  readonly onEvents: (count: number) => void;
  readonly onAttempt: (result: AttemptResult) => void;
  /** Reset points that were too old to be told. */
  readonly onSkipped: (count: number) => void;
}

export interface NotificationsOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  /** From a cryptographic source. */
  readonly randomBytes: (count: number) => Uint8Array;
  /** From [0, 1). */
  readonly random: () => number;
  readonly version: string;
  readonly addresses: AddressRuleOptions;
  readonly retentionDays: number;
  readonly features: FeatureLookup;
  readonly source: BalanceSource;
  /** How far events are stored, by log partition. */
  readonly positions: () => ReadonlyMap<number, number>;
  readonly counts: NotificationCounts;
  readonly onError: (error: unknown) => void;
}

export class Notifications {
  readonly operations: readonly Operation[];
  /** In the order of their start. */
  readonly services: readonly Service[];
  readonly #options: NotificationsOptions;
  readonly #evaluator: ThresholdEvaluator;
  readonly #watcher: Watcher;
  readonly #residency: Residency;

  constructor(options: NotificationsOptions) {
    const { db, namespace, clock, newId, randomBytes, version, source, counts, onError, positions } = options;
    const store = { db, namespace, clock, newId };
    const addresses = new AddressRules(options.addresses);
    const worker = new DeliveryWorker({
      ...store,
      addresses,
      version,
      random: options.random,
      onAttempt: counts.onAttempt,
      onError,
    });
    const onEvents = (count: number): void => {
      counts.onEvents(count);
      worker.wake();
    };
    const book = new RuleBook(() => activeRules(db, namespace));
    const rules = new RuleService({
      ...store,
      book,
      features: options.features,
      onChange: () => {
        this.#residency.ruleActs();
        this.#watcher.loop.wake();
      },
    });
    const onRead = (id: string): void => this.#residency.read(id, positions());
    this.#options = options;
    this.#evaluator = new ThresholdEvaluator({ ...store, book, source, onEvents, onError, onRead });
    const watched = { ...store, book, source, evaluator: this.#evaluator, onError };
    this.#watcher = new Watcher({ ...watched, onEvents, onSkipped: counts.onSkipped });
    this.#residency = new Residency({ ...watched, positions });
    const events = new EventService({ ...store, rules, onDue: () => onEvents(0) });
    const channels = new ChannelService({ ...store, addresses, randomBytes });
    this.operations = [...channelOperations(channels), ...ruleOperations(rules), ...eventOperations(events)];
    const retention = eventRetention({ ...store, retentionDays: options.retentionDays, onError });
    this.services = [worker, this.#evaluator.loop, this.#watcher.loop, this.#residency, retention];
  }

  /** Inside the transaction of a change of an entitlement or its grants. */
  async changed(tx: Transaction<Database>, entitlementId: string): Promise<void> {
    await watchChange(tx, this.#options.namespace, entitlementId, this.#options.clock.now());
  }

  /** Inside the transaction of a change of whose usage belongs to these customers. */
  async reattributed(tx: Transaction<Database>, customerIds: readonly string[]): Promise<void> {
    await watchCustomers(tx, customerIds, this.#options.clock.now());
  }

  /** Inside the transaction of a reset that takes effect at `point`. */
  async wasReset(tx: Transaction<Database>, entitlementId: string, point: Instant): Promise<void> {
    await watchReset(tx, this.#options.namespace, entitlementId, { point, at: this.#options.clock.now() });
  }

  /** After such a transaction. */
  wake(): void {
    this.#watcher.loop.wake();
  }

  /** A batch, or a change of whose usage it is, may have changed these balances. */
  touched(entitlementIds: Iterable<string>): void {
    this.#evaluator.touch(entitlementIds, this.#options.clock.now());
  }

  /** Events were stored without a report of what they touch. */
  lost(): void {
    this.#residency.lost();
  }
}
