/** Notifications over a fresh state store, a clock that stands still, and a receiver on loopback. */

import type { Kysely } from "kysely";
import type { Database } from "../../engines/state-store/index.ts";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../../engines/state-store/fixture.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { createUlidSource } from "../../kernel/id.ts";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import { AddressRules } from "../channels/addresses.ts";
import { ChannelService } from "../channels/channel-service.ts";
import { Receiver } from "../delivery/fixture.ts";
import { DeliveryWorker, type DeliveryWorkerOptions } from "../delivery/worker.ts";
import { EventService } from "../events/event-service.ts";
import { RuleBook } from "../rules/rule-book.ts";
import { type FeatureName, RuleService } from "../rules/rule-service.ts";
import { activeRules, updateRule } from "../rules/rule-store.ts";
import type { Rule, RuleDraft } from "../rules/rule.ts";

export const START = instantFromMicros(1_767_225_600_000_000);
export const SECOND = 1_000_000;
export const HOUR = 3600 * SECOND;

/** Longer than any test: what is not woken does not happen. */
const NEVER_MS = 1_000_000;

export class NotificationsFixture {
  readonly store: StateStoreFixture;
  readonly receiver: Receiver;
  readonly clock = new ManualClock(START);
  readonly newId = createUlidSource(this.clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
  readonly features = new Map<string, FeatureName>();
  readonly errors: unknown[] = [];
  readonly addresses = new AddressRules({ denyNetworks: [], allowPrivateNetworks: true });
  readonly book: RuleBook;
  readonly channels: ChannelService;
  readonly rules: RuleService;
  readonly events: EventService;

  private constructor(store: StateStoreFixture, receiver: Receiver) {
    this.store = store;
    this.receiver = receiver;
    this.book = new RuleBook(() => activeRules(this.db, "default"));
    const basics = { db: this.db, namespace: "default", clock: this.clock, newId: this.newId };
    const randomBytes = (count: number): Uint8Array => crypto.getRandomValues(new Uint8Array(count));
    this.channels = new ChannelService({ ...basics, addresses: this.addresses, randomBytes });
    this.rules = new RuleService({
      ...basics,
      book: this.book,
      features: async (refs) =>
        new Map(
          refs.flatMap((ref) => {
            const name = this.features.get(ref);
            return name === undefined ? [] : [[ref, name] as const];
          }),
        ),
      onChange: () => undefined,
    });
    this.events = new EventService({ ...basics, rules: this.rules, onDue: () => undefined });
  }

  static async open(engine: FixtureEngine): Promise<NotificationsFixture> {
    return new NotificationsFixture(await engine.open(), await Receiver.start());
  }

  get db(): Kysely<Database> {
    return this.store.store.db;
  }

  async empty(): Promise<void> {
    await emptyTables(this.store.store);
    this.clock.set(START);
    this.receiver.received.length = 0;
    this.receiver.mostOpen.clear();
    this.features.clear();
    await this.book.refresh();
  }

  async close(): Promise<void> {
    await this.receiver.stop();
    await this.store.close();
  }

  /** A channel to a path of the receiver. */
  async channel(path = "/"): Promise<string> {
    const draft = { isDisabled: false, customHeaders: {}, signingSecret: null, metadata: null };
    return (await this.channels.create({ ...draft, name: path, url: this.receiver.url(path) })).id;
  }

  async rule(channels: readonly string[], draft: Partial<RuleDraft> = {}): Promise<string> {
    const basics = { name: "rule", isDisabled: false, features: [], thresholds: [], metadata: null };
    return (await this.rules.create({ type: "entitlements.reset", ...basics, channels, ...draft })).id;
  }

  /** Changes a stored rule behind the book's back. */
  async rewrite(ruleId: string, part: Partial<Rule>): Promise<void> {
    const rule = await this.rules.get(ruleId);
    await this.db.transaction().execute(async (tx) => await updateRule(tx, { ...rule, ...part }));
  }

  /** An event that is due to the rule's channels. */
  async event(ruleId: string): Promise<string> {
    return (await this.events.test(ruleId)).id;
  }

  worker(options: Partial<DeliveryWorkerOptions> = {}): DeliveryWorker {
    return new DeliveryWorker({
      db: this.db,
      namespace: "default",
      clock: this.clock,
      addresses: this.addresses,
      version: "1.2.3",
      pollIntervalMs: NEVER_MS,
      random: () => 0,
      onAttempt: () => undefined,
      onError: (error) => void this.errors.push(error),
      ...options,
    });
  }

  /** Attempts everything that is due, once, and what became due by it. */
  async deliver(options: Partial<DeliveryWorkerOptions> = {}): Promise<void> {
    const worker = this.worker(options);
    const running = worker.run();
    await worker.drain();
    await running;
  }

  at(micros: number): Instant {
    return instantFromMicros(START + micros);
  }
}
