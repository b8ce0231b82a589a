/**
 * Answers to "may this customer use that", from memory alone and at once: the customer, its entitlements and its balances.
 *
 * Only what is entirely in memory is answered here; anything else (unknown customers, faults, times other than now) goes
 * through the operations, which give the same bodies, and brings the customer's entitlements into memory for the next time.
 */

import type { Customer } from "../../customers/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import { parseUlid } from "../../kernel/id.ts";
import type { Instant } from "../../kernel/instant.ts";
import { type Balances, NO_ACCESS } from "../balances.ts";
import type { EntitlementChange } from "../changes.ts";
import { type Entitlement, endOf, isActiveAt } from "../entitlement.ts";
import { accessBody, valueBody } from "../http/wire.ts";

/** Customers whose entitlements are in memory. */
const MAX_CUSTOMERS = 100_000;
/** `/api/v1/customers/{c}/access` and `/api/v{1,2}/customers/{c}/entitlements/{featureKey}/value` */
const PATH = /^\/api\/v([12])\/customers\/([^/]+)\/(?:(access)|entitlements\/([^/]+)\/value)$/;

export interface AccessMemoryOptions {
  readonly clock: Clock;
  /** The customer with this id or key, from memory. */
  readonly customer: (idOrKey: string) => Customer | undefined;
  /** All entitlements of the customer that are not deleted. */
  readonly entitlementsOf: (customerId: string) => Promise<readonly Entitlement[]>;
  readonly balances: Pick<Balances, "known">;
  readonly onError: (error: unknown) => void;
}

export class AccessMemory {
  readonly #options: AccessMemoryOptions;
  /** By customer id, in the order of last use. */
  readonly #entitlements = new Map<string, readonly Entitlement[]>();
  /** Customers whose entitlements are being loaded, with whether they changed meanwhile. */
  readonly #loading = new Map<string, { hasChanged: boolean }>();

  constructor(options: AccessMemoryOptions) {
    this.#options = options;
  }

  /** The JSON text that answers a GET of this path with 200; null: ask the operations. */
  answer(path: string): string | null {
    const match = PATH.exec(path);
    if (match === null) return null;
    const [, version, customerName = "", access, featureName = ""] = match;
    const customer = this.#options.customer(decoded(customerName));
    if (customer === undefined || customer.deletedAt !== null) return null;
    const entitlements = this.#entitlementsOf(customer.id);
    if (entitlements === null) return null;
    const now = this.#options.clock.now();
    if (access !== undefined) return version === "1" ? this.#accessText(entitlements, now) : null;
    return this.#valueText(entitlements, decoded(featureName), now, version === "2");
  }

  /** The entitlements of the customer have changed. */
  changed({ customerId }: Pick<EntitlementChange, "customerId">): void {
    this.#entitlements.delete(customerId);
    const loading = this.#loading.get(customerId);
    if (loading !== undefined) loading.hasChanged = true;
  }

  #accessText(entitlements: readonly Entitlement[], now: Instant): string | null {
    const { balances } = this.#options;
    const values = new Map<string, NonNullable<ReturnType<typeof balances.known>>>();
    for (const entitlement of entitlements) {
      if (!isActiveAt(entitlement, now)) continue;
      const value = balances.known(entitlement, now);
      if (value === null) return null;
      values.set(entitlement.featureKey, value);
    }
    return JSON.stringify(accessBody(values));
  }

  #valueText(
    entitlements: readonly Entitlement[],
    featureKey: string,
    now: Instant,
    withGrants: boolean,
  ): string | null {
    // What could be an id may name an entitlement, also one that is not active.
    if (parseUlid(featureKey) !== null) return null;
    const entitlement = entitlements.find((each) => each.featureKey === featureKey && isActiveAt(each, now));
    // The two versions of the API differ in what they say of a feature that the customer has no entitlement to.
    if (entitlement === undefined) return withGrants ? null : JSON.stringify(valueBody(NO_ACCESS));
    const value = this.#options.balances.known(entitlement, now);
    return value === null ? null : JSON.stringify(valueBody(value, { withGrants }));
  }

  #entitlementsOf(customerId: string): readonly Entitlement[] | null {
    const known = this.#entitlements.get(customerId);
    if (known === undefined) {
      void this.#load(customerId);
      return null;
    }
    this.#entitlements.delete(customerId);
    this.#entitlements.set(customerId, known);
    return known;
  }

  async #load(customerId: string): Promise<void> {
    if (this.#loading.has(customerId)) return;
    const loading = { hasChanged: false };
    this.#loading.set(customerId, loading);
    try {
      const now = this.#options.clock.now();
      const found = await this.#options.entitlementsOf(customerId);
      if (loading.hasChanged) return;
      // What has ended does not come back. The order is that of the operation that lists what a customer may use.
      const kept = found.filter((entitlement) => (endOf(entitlement) ?? now) >= now);
      this.#entitlements.set(customerId, kept);
      if (this.#entitlements.size <= MAX_CUSTOMERS) return;
      for (const oldest of this.#entitlements.keys()) {
        this.#entitlements.delete(oldest);
        return;
      }
    } catch (error) {
      this.#options.onError(error);
    } finally {
      this.#loading.delete(customerId);
    }
  }
}

/** A part of a path without its escapes; one with bad escapes names nothing. */
function decoded(part: string): string {
  if (!part.includes("%")) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
