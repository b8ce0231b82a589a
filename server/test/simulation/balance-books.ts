/**
 * The books of the simulation of balances: all events, entitlements, grants and resets as the test made them, and what the
 * pure engine says of them. It shares nothing with the product but the engine.
 */

import {
  advance,
  floorToMinute,
  type Grant,
  initialState,
  type Phase,
  phases,
  type Terms,
  valueBeforeMeasuring,
  valueOf,
} from "../../src/entitlements/index.ts";
import { assert } from "../../src/kernel/assert.ts";
import { Decimal } from "../../src/kernel/decimal.ts";
import { parseDuration } from "../../src/kernel/duration.ts";
import { type Instant, parseInstant } from "../../src/kernel/instant.ts";

export const KINDS = ["SUM", "COUNT", "UNIQUE_COUNT", "LATEST"] as const;
export type Kind = (typeof KINDS)[number];

export interface BookedEvent {
  readonly id: string;
  readonly subject: string;
  readonly time: Instant;
  readonly value: number;
}

/** An entitlement as the API answers it. */
interface EntitlementAnswer {
  readonly id: string;
  readonly measureUsageFrom: string;
  readonly usagePeriod: { readonly intervalISO: string; readonly anchor: string };
  readonly preserveOverageAtReset: boolean;
}

/** A grant as the API answers it. */
interface GrantAnswer {
  readonly id: string;
  readonly amount: number;
  readonly priority: number;
  readonly effectiveAt: string;
  readonly expiresAt?: string;
  readonly voidedAt?: string;
  readonly minRolloverAmount: number;
  readonly maxRolloverAmount: number;
  readonly recurrence?: { readonly intervalISO: string; readonly anchor: string };
  readonly createdAt: string;
}

interface Account {
  readonly id: string;
  terms: Terms;
}

export class BalanceBooks {
  /** Subject to customer. */
  readonly owners = new Map<string, string>();
  readonly #events: BookedEvent[] = [];
  readonly #accounts = new Map<string, Account>();

  /** In the order of their arrival, each once. */
  get events(): readonly BookedEvent[] {
    return this.#events;
  }

  add(event: BookedEvent): void {
    this.#events.push(event);
  }

  /** Notes an entitlement and its grants, as the API answered them. */
  open(customer: string, kind: Kind, entitlement: string, grants: string): void {
    const { id, measureUsageFrom, usagePeriod, preserveOverageAtReset } = JSON.parse(entitlement) as EntitlementAnswer;
    const terms: Terms = {
      measureUsageFrom: instant(measureUsageFrom),
      usagePeriod: { interval: duration(usagePeriod.intervalISO), anchor: instant(usagePeriod.anchor) },
      resets: [],
      preserveOverageAtReset,
      isSoftLimit: false,
      grants: [],
      gauge: kind === "LATEST",
      conversion: null,
    };
    this.#accounts.set(`${customer} ${kind}`, { id, terms });
    this.setGrants(customer, kind, grants);
  }

  setGrants(customer: string, kind: Kind, page: string): void {
    const { items } = JSON.parse(page) as { readonly items: readonly GrantAnswer[] };
    const account = this.#account(customer, kind);
    account.terms = { ...account.terms, grants: items.map(grantOf) };
  }

  reset(customer: string, kind: Kind, now: Instant, preserveOverage: boolean): void {
    const account = this.#account(customer, kind);
    const at = floorToMinute(now);
    account.terms = { ...account.terms, resets: [...account.terms.resets, { at, anchor: at, preserveOverage }] };
  }

  entitlementId(customer: string, kind: Kind): string {
    return this.#account(customer, kind).id;
  }

  grantIds(customer: string, kind: Kind): readonly string[] {
    return this.#account(customer, kind).terms.grants.map(({ id }) => id);
  }

  /** The value as the API has to answer it. */
  valueAt(customer: string, kind: Kind, now: Instant): object {
    const { terms } = this.#account(customer, kind);
    const { hasAccess, balance, usage, overage, totalAvailableGrantAmount } =
      now < terms.measureUsageFrom ? valueBeforeMeasuring(terms) : valueOf(terms, this.#stateAt(customer, kind, now));
    return {
      hasAccess,
      balance: Number(balance.toText()),
      usage: Number(usage.toText()),
      overage: Number(overage.toText()),
      totalAvailableGrantAmount: Number(totalAvailableGrantAmount.toText()),
    };
  }

  #stateAt(customer: string, kind: Kind, now: Instant): ReturnType<typeof initialState> {
    const { terms } = this.#account(customer, kind);
    const usages = phases(terms, { at: terms.measureUsageFrom }, now).map((phase) =>
      this.#usage(customer, kind, phase),
    );
    return advance(terms, initialState(terms), now, (index) => Decimal.fromInteger(usages[index] ?? 0));
  }

  #usage(customer: string, kind: Kind, { from, to, periodStart }: Phase): number {
    const own = this.#events.filter(({ subject, time }) => this.owners.get(subject) === customer && time < to);
    const since = (start: Instant): readonly BookedEvent[] => own.filter(({ time }) => time >= start);
    switch (kind) {
      case "SUM":
        return since(from).reduce((sum, { value }) => sum + value, 0);
      case "COUNT":
        return since(from).length;
      case "UNIQUE_COUNT": {
        const before = since(periodStart).filter(({ time }) => time < from);
        return distinct(since(periodStart)) - distinct(before);
      }
      case "LATEST":
        // Sorting keeps the order of arrival among events of one time.
        return (
          since(periodStart)
            .toSorted((a, b) => a.time - b.time)
            .at(-1)?.value ?? 0
        );
    }
  }

  #account(customer: string, kind: Kind): Account {
    const account = this.#accounts.get(`${customer} ${kind}`);
    assert(account !== undefined, "the entitlement was made");
    return account;
  }
}

function distinct(events: readonly BookedEvent[]): number {
  return new Set(events.map(({ value }) => value)).size;
}

function grantOf(answer: GrantAnswer): Grant {
  const { recurrence } = answer;
  return {
    id: answer.id,
    amount: Decimal.fromInteger(answer.amount),
    priority: answer.priority,
    effectiveAt: instant(answer.effectiveAt),
    expiresAt: answer.expiresAt === undefined ? null : instant(answer.expiresAt),
    voidedAt: answer.voidedAt === undefined ? null : instant(answer.voidedAt),
    deletedAt: null,
    minRollover: Decimal.fromInteger(answer.minRolloverAmount),
    maxRollover: Decimal.fromInteger(answer.maxRolloverAmount),
    recurrence:
      recurrence === undefined
        ? null
        : { interval: duration(recurrence.intervalISO), anchor: instant(recurrence.anchor) },
    createdAt: instant(answer.createdAt),
  };
}

function instant(text: string): Instant {
  const parsed = parseInstant(text);
  assert(parsed !== null, "the API answers instants");
  return parsed;
}

function duration(text: string): Terms["usagePeriod"]["interval"] {
  const parsed = parseDuration(text);
  assert(parsed !== null, "the API answers durations");
  return parsed;
}
