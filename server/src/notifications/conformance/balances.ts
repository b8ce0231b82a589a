/** Entitlements whose values a test sets, with a period of an hour: what notifications ask of entitlements. */

import { Decimal } from "../../kernel/decimal.ts";
import { type Instant, plusMicros } from "../../kernel/instant.ts";
import type { EntitlementFacts } from "../events/facts.ts";
import type { BalanceSource, Reading, WatchedEntitlement } from "../thresholds/balance-source.ts";
import { HOUR, START } from "./fixture.ts";

export class TestBalances implements BalanceSource {
  readonly #entitlements = new Map<string, WatchedEntitlement>();
  readonly #usage = new Map<string, { readonly usage: number; readonly total: number }>();
  readonly #boundaries = new Map<string, readonly Instant[]>();
  /** Whether values are in memory. */
  isLive = true;
  /** How often values were to come into memory. */
  warmed = 0;
  /** Reset points besides those of the hours. */
  resets: readonly Instant[] = [];
  /** What happens while a value or facts are read the next time. */
  onceRead: (() => Promise<void>) | null = null;
  onceFacts: (() => Promise<void>) | null = null;
  readonly #now: () => Instant;

  constructor(now: () => Instant) {
    this.#now = now;
  }

  add(id: string, change: Partial<WatchedEntitlement> = {}): void {
    const feature = { id: `id-of-${id}`, key: `key_of_${id}` };
    this.#entitlements.set(id, { id, feature, activeFrom: START, activeTo: null, ...change });
    this.#usage.set(id, { usage: 0, total: 100 });
  }

  /** Usage of grants of `total` together. */
  use(id: string, usage: number, total = 100): void {
    this.#usage.set(id, { usage, total });
  }

  boundaries(id: string, at: readonly Instant[]): void {
    this.#boundaries.set(id, at);
  }

  live(id: string): { readonly entitlement: WatchedEntitlement; readonly reading: Reading } | null {
    const entitlement = this.#entitlements.get(id);
    return this.isLive && entitlement !== undefined ? { entitlement, reading: this.#reading(id, this.#now()) } : null;
  }

  /** Values come into memory when the test says so. */
  warm(): void {
    this.warmed += 1;
  }

  async find(id: string): Promise<WatchedEntitlement | null> {
    return this.#entitlements.get(id) ?? null;
  }

  async read(id: string, at: Instant): Promise<Reading> {
    const happens = this.onceRead;
    this.onceRead = null;
    await happens?.();
    return this.#reading(id, at);
  }

  async facts(id: string, at: Instant): Promise<EntitlementFacts> {
    const happens = this.onceFacts;
    this.onceFacts = null;
    await happens?.();
    const { feature } = this.#entitlements.get(id) ?? { feature: { id: "", key: "" } };
    const subject = { id: null, key: `subject of ${id}` };
    const bodies = { feature: "{}", subject: "{}", customer: "{}" };
    return {
      feature,
      subject,
      customer: { id: `customer of ${id}`, key: null },
      bodies: { ...bodies, entitlement: JSON.stringify({ id, at }) },
    };
  }

  async nextBoundary(id: string, after: Instant): Promise<Instant | null> {
    return this.#boundaries.get(id)?.find((at) => at > after) ?? null;
  }

  async nextReset(_id: string, after: Instant): Promise<Instant | null> {
    const hour = plusMicros(periodStart(after), HOUR);
    return this.resets.find((at) => at > after && at < hour) ?? hour;
  }

  #reading(id: string, at: Instant): Reading {
    const { usage, total } = this.#usage.get(id) ?? { usage: 0, total: 0 };
    const number = (value: number): Decimal => Decimal.fromInteger(Math.max(0, value));
    const value = {
      hasAccess: usage < total,
      balance: number(total - usage),
      usage: number(usage),
      overage: number(usage - total),
      totalAvailableGrantAmount: number(total),
    };
    return { periodStart: periodStart(at), value };
  }
}

function periodStart(at: Instant): Instant {
  return plusMicros(at, -((at - START) % HOUR));
}
