/** Answers what notifications ask about metered entitlements, from their domain and from balances in memory. */

import { featureBody } from "../../../catalog/index.ts";
import { customerBody, subjectBody } from "../../../customers/index.ts";
import {
  type Entitlement,
  entitlementsWithIds,
  isMetered,
  type MeteredEntitlement,
  type MeteredValue,
  nextBoundary,
  nextReset,
  periodAt,
  subjectEntitlementBody,
} from "../../../entitlements/index.ts";
import { Fault } from "../../../kernel/fault.ts";
import { earlierInstant, type Instant } from "../../../kernel/instant.ts";
import type { BalanceSource, EntitlementFacts, Reading, WatchedEntitlement } from "../../../notifications/index.ts";
import type { Catalog } from "../catalog.ts";
import type { Core } from "../core.ts";
import type { Customers } from "../customers.ts";
import type { Entitlements } from "../entitlements.ts";

/** What it is answered from. */
export interface EntitlementSourceNeeds {
  readonly catalog: Catalog;
  readonly customers: Customers;
  readonly entitlements: Entitlements;
  readonly live: LiveValues;
}

/** Balances in memory. */
export interface LiveValues {
  /** With the terms that it follows from; null when it is not in memory. */
  latest(
    entitlementId: string,
  ): { readonly value: MeteredValue; readonly terms: Parameters<typeof periodAt>[0] } | null;
  warm(entitlementIds: Iterable<string>): void;
}

const MAX_REMEMBERED = 200_000;

/** What notifications ask about metered entitlements. */
export class EntitlementSource implements BalanceSource {
  readonly #core: Core;
  readonly #needs: EntitlementSourceNeeds;
  /** By id; null: not metered. */
  readonly #known = new Map<string, WatchedEntitlement | null>();
  #changes = 0;

  constructor(core: Core, needs: EntitlementSourceNeeds) {
    this.#core = core;
    this.#needs = needs;
  }

  live(id: string): { readonly entitlement: WatchedEntitlement; readonly reading: Reading } | null {
    const entitlement = this.#known.get(id);
    if (entitlement === undefined || entitlement === null) return null;
    const latest = this.#needs.live.latest(id);
    if (latest === null) return null;
    const { from } = periodAt(latest.terms, this.#core.clock.now());
    return { entitlement, reading: { periodStart: from, value: latest.value } };
  }

  warm(ids: readonly string[]): void {
    this.#needs.live.warm(ids);
    const unknown = ids.filter((id) => !this.#known.has(id));
    if (unknown.length === 0) return;
    this.#load(unknown).catch((error: unknown) => {
      this.#core.logger.warn(
        { err: error },
        "watched entitlements could not be read; they are read when they are used",
      );
    });
  }

  async find(id: string): Promise<WatchedEntitlement | null> {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const [entitlement] = await this.#load([id]);
    return entitlement !== undefined && isMetered(entitlement) ? watched(entitlement) : null;
  }

  async read(id: string, at: Instant): Promise<Reading> {
    const { calculation } = this.#needs.entitlements;
    const entitlement = await this.#metered(id);
    const { terms } = await calculation.basis(entitlement);
    return { periodStart: periodAt(terms, at).from, value: await calculation.value(entitlement, at) };
  }

  async facts(id: string, at: Instant): Promise<EntitlementFacts> {
    const { customers, subjects } = this.#needs.customers;
    const { features } = this.#needs.catalog;
    const entitlement = await this.#metered(id);
    const customer = await customers.get(entitlement.customerId);
    const feature = await features.get(entitlement.featureId);
    const subjectKey = customer.subjectKeys[0] ?? null;
    const subject = subjectKey === null ? null : await orNull(subjects.get(subjectKey));
    const key = subjectKey ?? customer.key ?? "";
    return {
      feature: { id: feature.id, key: feature.key },
      subject: { id: subject?.id ?? null, key },
      customer: { id: customer.id, key: customer.key },
      bodies: {
        entitlement: JSON.stringify(subjectEntitlementBody(entitlement, at)),
        feature: JSON.stringify(featureBody(feature)),
        subject: JSON.stringify(subject === null ? { key } : subjectBody(subject)),
        customer: JSON.stringify(customerBody(customer)),
      },
    };
  }

  async nextBoundary(id: string, after: Instant): Promise<Instant | null> {
    const entitlement = await this.#metered(id);
    const { terms } = await this.#needs.entitlements.calculation.basis(entitlement);
    const next = nextBoundary(terms, after);
    const { activeFrom } = entitlement;
    // An entitlement that begins later is looked at when it does.
    if (activeFrom <= after) return next;
    return next === null ? activeFrom : earlierInstant(activeFrom, next);
  }

  async nextReset(id: string, after: Instant): Promise<Instant | null> {
    const { terms } = await this.#needs.entitlements.calculation.basis(await this.#metered(id));
    return nextReset(terms, after)?.at ?? null;
  }

  /** These have changed: nothing that was read before is used any more. */
  forget(ids: readonly string[]): void {
    this.#changes += 1;
    for (const id of ids) this.#known.delete(id);
  }

  async #metered(id: string): Promise<MeteredEntitlement> {
    const [entitlement] = await entitlementsWithIds(this.#core.db, this.#core.namespace, [id]);
    if (entitlement !== undefined && isMetered(entitlement)) return entitlement;
    throw new Fault("not_found", "entitlement_not_found", `metered entitlement not found: ${id}`);
  }

  async #load(ids: readonly string[]): Promise<readonly Entitlement[]> {
    const changes = this.#changes;
    const entitlements = await entitlementsWithIds(this.#core.db, this.#core.namespace, ids);
    // What changed meanwhile may have been read before the change.
    if (changes !== this.#changes) return entitlements;
    if (this.#known.size > MAX_REMEMBERED) this.#known.clear();
    for (const one of entitlements) this.#known.set(one.id, isMetered(one) ? watched(one) : null);
    return entitlements;
  }
}

function watched(entitlement: MeteredEntitlement): WatchedEntitlement {
  const { id, featureId, featureKey, activeFrom, activeTo, deletedAt } = entitlement;
  const end = activeTo === null || deletedAt === null ? (activeTo ?? deletedAt) : earlierInstant(activeTo, deletedAt);
  return { id, feature: { id: featureId, key: featureKey }, activeFrom, activeTo: end };
}

/** Null instead of the fault that nothing was found. */
export async function orNull<Found>(promise: Promise<Found>): Promise<Found | null> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Fault && error.kind === "not_found") return null;
    throw error;
  }
}
