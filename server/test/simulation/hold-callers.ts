/**
 * Callers that share one hard limit: they reserve or lease before they work, confirm at most what they reserved, release,
 * or crash and say nothing; they repeat every call until it has a definite answer, whatever becomes of the server.
 *
 * The ledger has only what callers know for certain: an amount is held from the answer that granted it until the request
 * that gives it up, or its expiry; it is used from the request that says so. So at every instant the ledger is at most
 * what the server counts, and must never exceed the limit.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../oracle/random.ts";

const RETRY_MS = 25;
const DEADLINE_MS = 90_000;
/** Callers that crash hold for so long. */
const ABANDONED = "PT2S";

interface Entry {
  readonly amount: number;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

/** What callers know to be held and used. */
export class HoldLedger {
  readonly limit: number;
  used = 0;
  /** The most that was ever held and used at once. */
  highest = 0;
  readonly violations: string[] = [];
  readonly #held = new Map<string, Entry>();

  constructor(limit: number) {
    this.limit = limit;
  }

  get held(): number {
    const now = Date.now();
    return this.#held.values().reduce((sum, { amount, until }) => sum + (until > now ? amount : 0), 0);
  }

  /** When the last of what nobody gave up expires, in milliseconds since the epoch. */
  get lastExpiry(): number {
    return Math.max(0, ...this.#held.values().map(({ until }) => until));
  }

  hold(id: string, amount: number, expiresAt: string): void {
    const until = Date.parse(expiresAt);
    this.#held.set(id, { amount, until });
    this.#check(`${id} holds ${amount}`);
  }

  /** Of what is held, `used` is used; `left` stays held. */
  use(id: string, used: number, left: number): void {
    const entry = this.#held.get(id);
    this.#held.delete(id);
    if (entry !== undefined && left > 0) this.#held.set(id, { ...entry, amount: left });
    this.used += used;
    this.#check(`${id} used ${used}`);
  }

  #check(what: string): void {
    const sum = this.held + this.used;
    this.highest = Math.max(this.highest, sum);
    if (sum > this.limit) this.violations.push(`${what}: ${this.held} held and ${this.used} used, limit ${this.limit}`);
  }
}

interface Granted {
  readonly id: string;
  readonly amount: number;
  readonly granted: number;
  readonly available: number;
  readonly expiresAt: string;
}

export interface HoldCallersOptions {
  readonly random: Random;
  readonly ledger: HoldLedger;
  /** Where the server is at the moment; empty while there is none. */
  readonly url: () => string;
  readonly customer: string;
  readonly featureKey: string;
  readonly eventType: string;
}

export class HoldCallers {
  readonly counts = {
    granted: 0,
    refused: 0,
    confirmed: 0,
    released: 0,
    abandoned: 0,
    leased: 0,
    renewed: 0,
    repeated: 0,
  };
  readonly #options: HoldCallersOptions;
  readonly #base: string;
  #isStopping = false;
  #next = 0;

  constructor(options: HoldCallersOptions) {
    this.#options = options;
    this.#base = `/api/v1/customers/${options.customer}/entitlements/${options.featureKey}`;
  }

  /** Works until `stop`; what is under way is finished. */
  async run(reserving: number, leasing: number): Promise<void> {
    const all = [...this.#many(reserving, () => this.#reserveOnce()), ...this.#many(leasing, () => this.#leaseOnce())];
    await Promise.all(all);
  }

  stop(): void {
    this.#isStopping = true;
  }

  #many(count: number, once: () => Promise<void>): Promise<void>[] {
    return Array.from({ length: count }, async () => {
      while (!this.#isStopping) await once();
    });
  }

  /** Up to four tenths of what is left, so that callers are in each other's way however much that is. */
  #wanted(): number {
    const left = this.#options.ledger.limit - this.#options.ledger.used;
    return this.#options.random.between(1, Math.max(1, Math.floor(left * 0.4)));
  }

  async #reserveOnce(): Promise<void> {
    const { random, ledger } = this.#options;
    const fate = random.below(10);
    const key = `job-${this.#next++}`;
    const expiresIn = fate < 2 ? ABANDONED : "PT10M";
    const made = await this.#post(`${this.#base}/reservations`, { amount: this.#wanted(), key, expiresIn });
    if (made.status === 409) {
      this.counts.refused += 1;
      return;
    }
    const { id, amount, expiresAt } = this.#body(made, [200, 201]);
    this.counts.granted += 1;
    ledger.hold(id, amount, expiresAt);
    if (fate < 2) {
      this.counts.abandoned += 1;
    } else if (fate < 4) {
      ledger.use(id, 0, 0);
      this.#body(await this.#post(`${this.#base}/reservations/${id}/release`, undefined), [200]);
      this.counts.released += 1;
    } else {
      const used = random.between(0, Math.ceil(amount / 10));
      ledger.use(id, used, 0);
      const event = { data: { tokens: used } };
      this.#body(await this.#post(`${this.#base}/reservations/${id}/confirm`, { amount: used, event }), [200]);
      this.counts.confirmed += 1;
    }
  }

  async #leaseOnce(): Promise<void> {
    const { random, ledger } = this.#options;
    const lease = await this.#post(`${this.#base}/leases`, { amount: this.#wanted(), minAmount: 1, ttl: "PT10M" });
    if (lease.status === 409) {
      this.counts.refused += 1;
      return;
    }
    let { granted } = this.#body(lease, [201]);
    const { id, expiresAt } = this.#body(lease, [201]);
    this.counts.leased += 1;
    ledger.hold(id, granted, expiresAt);
    let consumed = 0;
    for (let rounds = random.between(0, 3); rounds > 0; rounds--) {
      consumed += await this.#spend(id, random.between(0, Math.ceil((granted - consumed) / 20)));
      ledger.hold(id, granted - consumed, expiresAt);
      const renewed = this.#body(await this.#post(`${this.#base}/leases/${id}/renew`, { consumed, amount: 5 }), [200]);
      this.counts.renewed += 1;
      granted = renewed.granted;
      ledger.hold(id, granted - consumed, renewed.expiresAt);
    }
    consumed += await this.#spend(id, random.between(0, Math.ceil((granted - consumed) / 20)));
    ledger.use(id, 0, 0);
    this.#body(await this.#post(`${this.#base}/leases/${id}/return`, { consumed }), [200]);
  }

  /** Sends an event for what is used under a lease; resolves when it is acknowledged. */
  async #spend(leaseId: string, used: number): Promise<number> {
    const { ledger, customer, eventType: type } = this.#options;
    const id = `use-${this.#next++}`;
    const event = { specversion: "1.0", id, source: "leases", type, subject: customer, data: { tokens: used } };
    const held = await this.#post("/api/v1/events", event, "application/cloudevents+json");
    if (held.status !== 204) throw new Error(`${held.status} ${held.text}`);
    // The whole lease is still held by the server, so that the ledger moves from held to used.
    ledger.used += used;
    ledger.hold(leaseId, 0, new Date().toISOString());
    return used;
  }

  #body({ status, text }: { readonly status: number; readonly text: string }, wanted: readonly number[]): Granted {
    if (!wanted.includes(status)) throw new Error(`${status} ${text}`);
    return JSON.parse(text) as Granted;
  }

  /** Sends a request again and again until there is an answer that is not the end of the server. */
  async #post(path: string, json: unknown, contentType = "application/json") {
    const deadlineMs = performance.now() + DEADLINE_MS;
    for (;;) {
      const url = this.#options.url();
      try {
        if (url !== "") {
          const headers = json === undefined ? {} : { "content-type": contentType };
          const body = json === undefined ? {} : { body: JSON.stringify(json) };
          const response = await fetch(`${url}${path}`, { method: "POST", headers, ...body });
          const text = await response.text();
          if (response.status < 500) return { status: response.status, text };
        }
      } catch {
        // The server was killed: whether it did what was asked is unknown, so the same is asked again.
      }
      if (performance.now() > deadlineMs) throw new Error(`no answer to POST ${path}`);
      this.counts.repeated += 1;
      await delay(RETRY_MS);
    }
  }
}

/** Lets some time pass: less than `maxMs`, as the seed will have it. */
export async function pause(random: Random, minMs: number, maxMs: number): Promise<void> {
  await delay(random.between(minMs, maxMs));
}
