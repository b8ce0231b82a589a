/**
 * The slow, obvious reference of the engine, for tests only: it goes through time minute by minute, asks at each minute what
 * the rules say happens there, and knows nothing of cursors, compiled terms or states. Numbers are JavaScript integers,
 * recurrences are multiples of fixed lengths.
 */

import { assert } from "../../../kernel/assert.ts";
import { microsPerMinute } from "../../../kernel/civil.ts";
import type { Duration } from "../../../kernel/duration.ts";
import type { Instant } from "../../../kernel/instant.ts";
import type { Grant } from "../grant.ts";
import type { Terms } from "../terms.ts";
import type { Metered, UsageEvent } from "./fixtures.ts";

export interface ReferenceValue {
  readonly balance: number;
  readonly usage: number;
  readonly overage: number;
  readonly totalAvailableGrantAmount: number;
  /** Of the active grants. */
  readonly grantBalances: ReadonlyMap<string, number>;
}

/** The value at `until`, which is not before measureUsageFrom. */
export function referenceValue(terms: Terms, until: Instant, metered: Metered): ReferenceValue {
  const minutes = new Minutes(terms, metered);
  const first = terms.measureUsageFrom / microsPerMinute;
  const last = Math.floor(until / microsPerMinute);
  minutes.begin(first);
  for (let minute = first + 1; minute <= last; minute++) {
    minutes.meter(minute - 1);
    minutes.pass(minute);
  }
  // The minute that is read counts as a whole, unless the reading is at its very start.
  if (until % microsPerMinute !== 0) minutes.meter(last);
  return minutes.read(last);
}

class Minutes {
  private readonly balances = new Map<string, number>();
  private overage = 0;
  private usage = 0;
  private covered = 0;
  /** Metered since the last boundary. */
  private pending = 0;
  private readonly seen = new Set<number>();
  private readonly grants: readonly Grant[];
  private readonly terms: Terms;
  private readonly kind: Metered["kind"];
  private readonly eventsByMinute = new Map<number, UsageEvent[]>();

  constructor(terms: Terms, { kind, events }: Metered) {
    this.terms = terms;
    this.kind = kind;
    this.grants = terms.grants.toSorted(
      (a, b) =>
        a.priority - b.priority ||
        (a.expiresAt ?? 1e18) - (b.expiresAt ?? 1e18) ||
        a.createdAt - b.createdAt ||
        (a.id < b.id ? -1 : 1),
    );
    for (const event of events.toSorted((a, b) => a.at - b.at)) {
      const minute = Math.floor(event.at / microsPerMinute);
      this.eventsByMinute.set(minute, [...(this.eventsByMinute.get(minute) ?? []), event]);
    }
  }

  begin(minute: number): void {
    for (const grant of this.active(minute)) {
      const isFull = grant.effectiveAt === minute * microsPerMinute || recursAt(grant, minute);
      this.balances.set(grant.id, isFull ? Number(grant.amount.toText()) : 0);
    }
  }

  /** Counts the events of a minute. */
  meter(minute: number): void {
    for (const { value } of this.eventsByMinute.get(minute) ?? []) {
      if (this.kind === "SUM") this.pending += value;
      if (this.kind === "LATEST") this.pending = value;
      if (this.kind === "UNIQUE_COUNT" && !this.seen.has(value)) {
        this.seen.add(value);
        this.pending++;
      }
    }
  }

  /** Applies what happens at a minute. */
  pass(minute: number): void {
    const starting = this.active(minute).filter((grant) => grant.effectiveAt === minute * microsPerMinute);
    const ending = this.active(minute - 1).filter((grant) => !this.active(minute).includes(grant));
    const recurring = this.active(minute).filter((grant) => recursAt(grant, minute));
    const preserve = this.resetAt(minute);
    if (starting.length + ending.length + recurring.length === 0 && preserve === null) return;
    if (this.kind === "LATEST") {
      if (preserve !== null) this.pending = 0;
      return;
    }
    this.closePhase(minute - 1);
    for (const grant of ending) this.balances.set(grant.id, 0);
    if (preserve !== null) {
      this.usage = 0;
      this.covered = 0;
      this.seen.clear();
      this.overage = preserve ? Math.max(0, this.overage) : 0;
      for (const { id, minRollover, maxRollover } of this.active(minute)) {
        const raised = Math.max(Number(minRollover.toText()), this.balances.get(id) ?? 0);
        this.balances.set(id, Math.min(Number(maxRollover.toText()), raised));
      }
      this.burn(this.active(minute).filter((grant) => !starting.includes(grant) && !recurring.includes(grant)));
    }
    for (const grant of [...starting, ...recurring]) this.balances.set(grant.id, Number(grant.amount.toText()));
  }

  read(minute: number): ReferenceValue {
    const active = this.active(minute);
    if (this.kind === "LATEST") {
      for (const grant of active) this.balances.set(grant.id, Number(grant.amount.toText()));
      this.usage = this.pending;
      this.overage = this.pending;
      this.burn(active);
    } else {
      this.closePhase(minute);
    }
    const grantBalances = new Map(active.map(({ id }) => [id, this.balances.get(id) ?? 0]));
    const balance = [...grantBalances.values()].reduce((sum, one) => sum + one, 0);
    return {
      balance,
      usage: this.usage,
      overage: Math.max(0, this.overage),
      totalAvailableGrantAmount: this.covered + balance,
      grantBalances,
    };
  }

  private closePhase(minute: number): void {
    this.usage += this.pending;
    this.overage += this.pending;
    this.pending = 0;
    this.burn(this.active(minute));
  }

  private burn(grants: readonly Grant[]): void {
    for (const { id } of grants) {
      const burnt = Math.max(0, Math.min(this.overage, this.balances.get(id) ?? 0));
      this.balances.set(id, (this.balances.get(id) ?? 0) - burnt);
      this.overage -= burnt;
      this.covered += burnt;
    }
  }

  /** In burn order. */
  private active(minute: number): readonly Grant[] {
    const at = minute * microsPerMinute;
    return this.grants.filter(
      ({ effectiveAt, expiresAt, voidedAt, deletedAt }) =>
        effectiveAt <= at && [expiresAt, voidedAt, deletedAt].every((end) => end === null || at < end),
    );
  }

  /** Whether overage is preserved by the reset at a minute; null without a reset. */
  private resetAt(minute: number): boolean | null {
    const at = minute * microsPerMinute;
    const manual = this.terms.resets.find((reset) => reset.at === at);
    if (manual !== undefined) return manual.preserveOverage;
    const [last] = this.terms.resets.filter((reset) => reset.at < at).toSorted((a, b) => b.at - a.at);
    const anchor = last?.anchor ?? this.terms.usagePeriod.anchor;
    return isPoint(this.terms.usagePeriod.interval, anchor, minute) ? this.terms.preserveOverageAtReset : null;
  }
}

function recursAt({ recurrence }: Grant, minute: number): boolean {
  return recurrence !== null && isPoint(recurrence.interval, recurrence.anchor, minute);
}

function isPoint(interval: Duration, anchor: Instant, minute: number): boolean {
  assert(interval.years === 0 && interval.months === 0, "the reference knows fixed lengths only");
  const minutes = ((interval.weeks * 7 + interval.days) * 24 + interval.hours) * 60 + interval.minutes;
  return (minute - anchor / microsPerMinute) % minutes === 0;
}
