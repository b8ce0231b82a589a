/**
 * Checks balances in memory against a recomputation from all events at the same position vector, one at a time, for as long
 * as the product runs. A difference is a defect: it is told, and the balance is read anew.
 */

import type { PositionVector } from "../../engines/event-store/index.ts";
import { Loop } from "../../engines/jobs/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { MeteredValue } from "../engine/index.ts";
import type { LiveBalances } from "./live-balances.ts";

const INTERVAL_MS = 5_000;

export interface BalanceCheckerOptions {
  readonly balances: Pick<LiveBalances, "pick" | "valueNow" | "changed">;
  readonly clock: Clock;
  readonly positions: () => PositionVector;
  /** The value at an instant from the events up to the vector, without anything computed before; null: not there any more. */
  readonly recompute: (entitlementId: string, at: Instant, upTo: PositionVector) => Promise<MeteredValue | null>;
  /** In [0, 1). */
  readonly random: () => number;
  readonly onDifference: (difference: BalanceDifference) => void;
  readonly onError: (error: unknown) => void;
}

/** A balance in memory that was wrong, in numbers as texts. */
export interface BalanceDifference {
  readonly entitlementId: string;
  readonly inMemory: string;
  readonly recomputed: string;
}

export class BalanceChecker {
  readonly #options: BalanceCheckerOptions;
  readonly loop: Loop;
  #checked = 0;

  constructor(options: BalanceCheckerOptions) {
    this.#options = options;
    this.loop = new Loop({
      intervalMs: INTERVAL_MS,
      onError: options.onError,
      step: async () => {
        await this.checkOne();
        return false;
      },
    });
  }

  /** How many balances were checked. */
  get checked(): number {
    return this.#checked;
  }

  /** Checks any balance in memory. Its value, the instant and the vector are taken at one moment. */
  async checkOne(): Promise<void> {
    const { balances, clock, positions, random, recompute, onDifference } = this.#options;
    const picked = balances.pick(random());
    if (picked === null) return;
    const { entitlementId } = picked;
    const now = clock.now();
    const value = balances.valueNow(entitlementId, now);
    if (value === null) return;
    const expected = await recompute(entitlementId, now, positions());
    // What was changed meanwhile may have been computed from the terms after the change.
    if (expected === null || !picked.isCurrent()) return;
    this.#checked += 1;
    const [inMemory, recomputed] = [shown(value), shown(expected)];
    if (inMemory === recomputed) return;
    balances.changed(entitlementId);
    onDifference({ entitlementId, inMemory, recomputed });
  }
}

function shown({ balance, usage, overage, totalAvailableGrantAmount, grantBalances }: MeteredValue): string {
  const grants = [...grantBalances].map(([id, amount]) => `${id}=${amount.toText()}`);
  return [
    `balance=${balance.toText()} usage=${usage.toText()} overage=${overage.toText()}`,
    `total=${totalAvailableGrantAmount.toText()}`,
    ...grants,
  ].join(" ");
}
