/**
 * The balances in memory and the way from an event to them: by the usage that is watched, then by subject. Bounded: what was
 * not read for longest goes first.
 */

import type { LiveBalance } from "./live-balance.ts";
import type { LiveTerms } from "./reading/live-terms.ts";
import type { UsageEntry } from "./phase-usage.ts";

/** A balance, or one that is being read while entries for it come in already. */
export class Resident {
  readonly of: LiveTerms;
  /** Entries after the position vector at which the balance is read; null when that is over or has failed. */
  pending: UsageEntry[] | null = [];
  balance: LiveBalance | null = null;

  constructor(of: LiveTerms) {
    this.of = of;
  }

  /** False when the balance has to be rebuilt. */
  take(entry: UsageEntry): boolean {
    if (this.balance !== null) return this.balance.take(entry);
    if (this.pending === null || this.pending.length >= MAX_PENDING) return false;
    this.pending.push(entry);
    return true;
  }

  /** The balance has been read; false when it has to be rebuilt already. */
  install(balance: LiveBalance): boolean {
    const pending = this.pending ?? [];
    this.pending = null;
    this.balance = balance;
    return pending.every((entry) => balance.take(entry));
  }
}

/** More entries while a balance is read mean that the reading takes far too long. */
const MAX_PENDING = 10_000;

export class Residents {
  readonly #max: number;
  /** In the order of last use. */
  readonly #byId = new Map<string, Resident>();
  readonly #bySubject = new Map<string, Map<string, Resident[]>>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(entitlementId: string): Resident | undefined {
    return this.#byId.get(entitlementId);
  }

  /** As `get`, for a reader: the balance stays longer. */
  use(entitlementId: string): Resident | undefined {
    const resident = this.#byId.get(entitlementId);
    if (resident === undefined) return undefined;
    this.#byId.delete(entitlementId);
    this.#byId.set(entitlementId, resident);
    return resident;
  }

  add(resident: Resident): void {
    const { entitlementId, usage, customer } = resident.of;
    this.remove(entitlementId);
    this.#byId.set(entitlementId, resident);
    const bySubject = this.#bySubject.get(usage.key) ?? new Map<string, Resident[]>();
    this.#bySubject.set(usage.key, bySubject);
    for (const subject of new Set(customer.subjects)) {
      const residents = bySubject.get(subject);
      if (residents === undefined) bySubject.set(subject, [resident]);
      else residents.push(resident);
    }
    if (this.#byId.size <= this.#max) return;
    for (const oldest of this.#byId.keys()) {
      this.remove(oldest);
      return;
    }
  }

  remove(entitlementId: string): void {
    const resident = this.#byId.get(entitlementId);
    if (resident === undefined) return;
    this.#byId.delete(entitlementId);
    const { usage, customer } = resident.of;
    const bySubject = this.#bySubject.get(usage.key);
    for (const subject of customer.subjects) {
      const left = bySubject?.get(subject)?.filter((each) => each !== resident) ?? [];
      if (left.length > 0) bySubject?.set(subject, left);
      else bySubject?.delete(subject);
    }
    if (bySubject?.size === 0) this.#bySubject.delete(usage.key);
  }

  removeAll(): void {
    this.#byId.clear();
    this.#bySubject.clear();
  }

  removeWhere(isGone: (terms: LiveTerms) => boolean): void {
    for (const { of } of this.#byId.values()) if (isGone(of)) this.remove(of.entitlementId);
  }

  /** Those whose usage it is, by subject. */
  ofUsage(key: string): ReadonlyMap<string, readonly Resident[]> | undefined {
    return this.#bySubject.get(key);
  }

  /** Any one of them; `random` is in [0, 1). */
  pick(random: number): Resident | undefined {
    let left = Math.floor(random * this.#byId.size);
    for (const resident of this.#byId.values()) if (left-- === 0) return resident;
    return undefined;
  }
}
