/**
 * What is held of each entitlement, in memory, so that value and access endpoints and decisions need no query.
 *
 * Invariants: a hold counts until its instant exactly, without anything having to run; an amount that settles counts in
 * exactly those sums whose balance does not yet include its place in the log, so the switch from hold to event happens
 * within one answer; what a store holds after a restart gives the same sums as before.
 */

import type { PositionVector } from "../../engines/event-store/index.ts";
import type { LogPosition } from "../../events/index.ts";
import { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";
import { type Hold, remainder } from "./hold.ts";

interface LiveHold {
  readonly amount: Decimal;
  readonly until: Instant;
}

interface SettlingAmount {
  readonly amount: Decimal;
  readonly until: LogPosition;
}

/** The sum of an entitlement's live holds for instants in `[from, until)`. */
interface Sum {
  readonly amount: Decimal;
  readonly from: Instant;
  readonly until: number;
}

interface EntitlementHolds {
  readonly live: Map<string, LiveHold>;
  /** In the order of their offsets. */
  settling: SettlingAmount[];
  sum: Sum | null;
}

export class HeldAmounts {
  readonly #byEntitlement = new Map<string, EntitlementHolds>();

  /**
   * What is held at `at` beside a balance that includes the events up to `upTo`: the sum of the holds that have not expired
   * and of what has not settled by then.
   */
  heldOf(entitlementId: string, at: Instant, upTo: PositionVector): Decimal {
    const holds = this.#byEntitlement.get(entitlementId);
    if (holds === undefined) return Decimal.zero;
    return liveSum(holds, at).plus(unsettled(holds.settling, upTo));
  }

  /** As `heldOf`, as if `before`, as it is known, were `after`; `before` is null when the hold is new. */
  heldWith(after: Hold, before: Hold | null, at: Instant, upTo: PositionVector): Decimal {
    const now = this.heldOf(after.entitlementId, at, upTo);
    return now.plus(counting(after, at, upTo)).minus(before === null ? Decimal.zero : counting(before, at, upTo));
  }

  /** Replaces what is known of the hold by its present state; `before` is its last state, null when it is new. */
  put(hold: Hold, before: Hold | null): void {
    const holds = this.#of(hold.entitlementId);
    const amount = remainder(hold);
    setLive(holds, hold.id, amount.isPositive() ? { amount, until: hold.countsUntil } : null);
    const { settling } = hold;
    if (settling !== null && settling !== before?.settling) {
      // What was settling before stays on its own until it is forgotten: only the new part is added.
      const known = before?.settling?.amount ?? Decimal.zero;
      insert(holds.settling, { amount: settling.amount.minus(known), until: settling.until });
    }
    if (isEmpty(holds)) this.#byEntitlement.delete(hold.entitlementId);
  }

  /** Replaces everything that is known of an entitlement by these holds. */
  replace(entitlementId: string, holds: readonly Hold[]): void {
    this.#byEntitlement.delete(entitlementId);
    for (const hold of holds) this.put(hold, null);
  }

  /** Forgets what has settled in every balance that includes the events up to `upTo`, and what had expired by `at`. */
  forget(at: Instant, upTo: PositionVector): void {
    for (const [entitlementId, holds] of this.#byEntitlement) {
      holds.settling = holds.settling.filter(({ until }) => !isStored(until, upTo));
      for (const [id, { until }] of holds.live) if (until <= at) holds.live.delete(id);
      holds.sum = null;
      if (isEmpty(holds)) this.#byEntitlement.delete(entitlementId);
    }
  }

  /** Entitlements of which something is held, or was until lately. */
  get size(): number {
    return this.#byEntitlement.size;
  }

  #of(entitlementId: string): EntitlementHolds {
    const known = this.#byEntitlement.get(entitlementId);
    if (known !== undefined) return known;
    const fresh = { live: new Map(), settling: [], sum: null };
    this.#byEntitlement.set(entitlementId, fresh);
    return fresh;
  }
}

/** Whether a balance that includes the events up to `upTo` includes that place. */
export function isStored(position: LogPosition, upTo: PositionVector): boolean {
  return (upTo.get(position.partition) ?? -1) >= position.offset;
}

/** What one hold adds to the sum. */
function counting(hold: Hold, at: Instant, upTo: PositionVector): Decimal {
  const { settling } = hold;
  const live = at < hold.countsUntil ? remainder(hold) : Decimal.zero;
  return settling === null || isStored(settling.until, upTo) ? live : live.plus(settling.amount);
}

/** A decision after another must not add up all holds again: the remembered sum moves along. */
function setLive(holds: EntitlementHolds, id: string, hold: LiveHold | null): void {
  const before = holds.live.get(id);
  if (hold === null) holds.live.delete(id);
  else holds.live.set(id, hold);
  const { sum } = holds;
  if (sum === null) return;
  // Exactly the holds that end after its first instant are in the sum.
  const out = before !== undefined && before.until > sum.from ? before.amount : Decimal.zero;
  const isIn = hold !== null && hold.until > sum.from;
  holds.sum = {
    amount: sum.amount.minus(out).plus(isIn ? hold.amount : Decimal.zero),
    from: sum.from,
    until: isIn ? Math.min(sum.until, hold.until) : sum.until,
  };
}

/** Remembered until the next hold expires: most are confirmed long before, so a sum serves many reads. */
function liveSum(holds: EntitlementHolds, at: Instant): Decimal {
  const known = holds.sum;
  if (known !== null && at >= known.from && at < known.until) return known.amount;
  let amount = Decimal.zero;
  let until = Number.POSITIVE_INFINITY;
  for (const hold of holds.live.values()) {
    if (hold.until <= at) continue;
    amount = amount.plus(hold.amount);
    until = Math.min(until, hold.until);
  }
  holds.sum = { amount, from: at, until };
  return amount;
}

/** Newest first: what was stored long ago, and is kept for answers under way, is not looked at. */
function unsettled(settling: readonly SettlingAmount[], upTo: PositionVector): Decimal {
  const stored = upTo.size === 0 ? -1 : Math.min(...upTo.values());
  let sum = Decimal.zero;
  for (let index = settling.length - 1; index >= 0; index--) {
    const entry = settling[index];
    if (entry === undefined || entry.until.offset <= stored) break;
    if (!isStored(entry.until, upTo)) sum = sum.plus(entry.amount);
  }
  return sum;
}

function insert(settling: SettlingAmount[], entry: SettlingAmount): void {
  let index = settling.length;
  while (index > 0 && (settling[index - 1]?.until.offset ?? -1) > entry.until.offset) index -= 1;
  settling.splice(index, 0, entry);
}

function isEmpty({ live, settling }: EntitlementHolds): boolean {
  return live.size === 0 && settling.length === 0;
}
