/**
 * Creating, replacing, ending, resetting and finding entitlements.
 *
 * Every verb reads the clock once. A change, its checks and what others do about it are one transaction; changes of one
 * customer's set of entitlements wait for each other at the customer, changes of one entitlement at the entitlement.
 */

import type { Kysely, Transaction } from "kysely";
import type { Feature, FeatureService } from "../catalog/index.ts";
import type { Customer, CustomerChange } from "../customers/index.ts";
import type { Database } from "../engines/state-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Fault } from "../kernel/fault.ts";
import { parseUlid } from "../kernel/id.ts";
import { formatInstant, type Instant } from "../kernel/instant.ts";
import type { EntitlementChanges } from "./changes.ts";
import { type EntitlementDraft, type ManagedPart, newEntitlement, type NewEntitlement } from "./draft.ts";
import { floorToMinute } from "./engine/index.ts";
import {
  endOf,
  type Entitlement,
  isActiveAt,
  isMetered,
  lastReset,
  type MeteredEntitlement,
  usagePeriodAt,
} from "./entitlement.ts";
import { insertGrants, markGrantsDeleted } from "./grants/store.ts";
import { fieldFault, InputErrors } from "./input.ts";
import {
  bumpRevision,
  countEntitlements,
  endEntitlements,
  type EntitlementListQuery,
  findActive,
  findClash,
  findEntitlement,
  insertEntitlement,
  insertReset,
  listEntitlements,
  lockEntitlement,
  lockOwner,
  lockUnended,
} from "./store.ts";

export interface EntitlementServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly features: Pick<FeatureService, "get">;
  readonly changes: EntitlementChanges;
}

/** How a client asks for a reset; the instant is RFC 3339 text. */
export interface ResetRequest {
  readonly effectiveAt?: string | undefined;
  readonly retainAnchor?: boolean | undefined;
  readonly preserveOverage?: boolean | undefined;
}

/** A part of a list, and how many items it has altogether. */
export interface Listed<Item> {
  readonly items: readonly Item[];
  readonly totalCount: number;
}

export class EntitlementService {
  readonly #options: EntitlementServiceOptions;
  /** Which entitlements ended with a customer whose deletion is not committed yet. */
  readonly #endedBy = new WeakMap<CustomerChange, readonly string[]>();

  constructor(options: EntitlementServiceOptions) {
    this.#options = options;
  }

  /**
   * Creates an entitlement of a live customer. Faults: `feature_not_found`, `invalid_entitlement` with every offending field
   * (or the code of the only one), `entitlement_exists` with `conflictingEntityId`, `customer_deleted`.
   */
  async create(customer: Customer, draft: EntitlementDraft, managed: ManagedPart | null = null): Promise<Entitlement> {
    const { changes } = this.#options;
    const planned = await this.#plan(customer, draft, managed);
    return await changes.write(customer.id, async (tx, touch) => {
      await requireOwner(tx, customer.id);
      touch(planned.entitlement.id);
      return await this.#insert(tx, planned);
    });
  }

  /**
   * Ends an entitlement now and starts another one to the same feature. Faults: those of `create`, `entitlement_not_found`,
   * `entitlement_managed_by_subscription` (403), `override_feature_mismatch`, `entitlement_ended`, `entitlement_not_started`.
   */
  async override(customer: Customer, idOrFeatureKey: string, draft: EntitlementDraft): Promise<Entitlement> {
    const { changes, namespace } = this.#options;
    const old = await this.get(customer, idOrFeatureKey);
    refuseManaged(old);
    const planned = await this.#plan(customer, draft, null);
    const { activeFrom: now, featureKey } = planned.entitlement;
    if (featureKey !== old.featureKey) {
      const message = `the new entitlement must be to the same feature, "${old.featureKey}", not to "${featureKey}"`;
      throw fieldFault("override_feature_mismatch", message, "$.featureKey");
    }
    return await changes.write(customer.id, async (tx, touch) => {
      await requireOwner(tx, customer.id);
      refuseOverride(await lockEntitlement(tx, namespace, old.id), now);
      touch(old.id);
      await endEntitlements(tx, [old.id], { active_to: now }, now);
      await changes.structure(tx, old.id, "ended", now);
      touch(planned.entitlement.id);
      return await this.#insert(tx, planned);
    });
  }

  /**
   * Deletes an entitlement and its grants; one that has ended or is deleted stays as it is. Faults: `entitlement_not_found`,
   * `entitlement_managed_by_subscription` (403).
   */
  async delete(customer: Customer, idOrFeatureKey: string): Promise<void> {
    const { changes, namespace, clock } = this.#options;
    const found = await this.get(customer, idOrFeatureKey);
    await changes.write(customer.id, async (tx, touch) => {
      const entitlement = await lockEntitlement(tx, namespace, found.id);
      const now = clock.now();
      const end = endOf(entitlement);
      if (entitlement.deletedAt !== null || (end !== null && end <= now)) return;
      refuseManaged(entitlement);
      touch(entitlement.id);
      await this.#delete(tx, [entitlement.id], now);
    });
  }

  /**
   * Starts a new usage period. Faults: `entitlement_not_found`, `entitlement_not_metered`, `entitlement_not_active`,
   * `invalid_time`, `invalid_reset`, `entitlement_managed_by_subscription` (403).
   */
  async reset(customer: Customer, idOrFeatureKey: string, request: ResetRequest): Promise<void> {
    const { changes, namespace, clock } = this.#options;
    const found = await this.get(customer, idOrFeatureKey);
    refuseManaged(found);
    await changes.write(customer.id, async (tx, touch) => {
      const entitlement = await lockEntitlement(tx, namespace, found.id);
      const now = clock.now();
      const at = resetInstant(entitlement, request, now);
      requireMetered(entitlement, "reset");
      const anchor = request.retainAnchor === true ? anchorInForce(entitlement) : at;
      const preserveOverage = request.preserveOverage ?? entitlement.metered.preserveOverageAtReset;
      touch(entitlement.id);
      await insertReset(tx, entitlement.id, { at, anchor, preserveOverage }, now);
      await bumpRevision(tx, entitlement.id, now);
      await changes.reset(tx, entitlement, at);
    });
  }

  /** The customer's entitlement with this id, in any state, or else the active one to the feature with this key, or null. */
  async find(customer: Customer, idOrFeatureKey: string): Promise<Entitlement | null> {
    const { db, namespace, clock } = this.#options;
    if (parseUlid(idOrFeatureKey) !== null) {
      const entitlement = await findEntitlement(db, namespace, idOrFeatureKey);
      if (entitlement !== null && entitlement.customerId !== customer.id) throw entitlementNotFound(idOrFeatureKey);
      if (entitlement !== null) return entitlement;
    }
    return await findActive(db, customer.id, idOrFeatureKey, clock.now());
  }

  /** As `find`. Fault: `entitlement_not_found`. */
  async get(customer: Customer, idOrFeatureKey: string): Promise<Entitlement> {
    const entitlement = await this.find(customer, idOrFeatureKey);
    if (entitlement === null) throw entitlementNotFound(idOrFeatureKey);
    return entitlement;
  }

  /** The entitlement with this id, whoever owns it, in any state. Fault: `entitlement_not_found`. */
  async byId(id: string): Promise<Entitlement> {
    const entitlement = await findEntitlement(this.#options.db, this.#options.namespace, id);
    if (entitlement === null) throw entitlementNotFound(id);
    return entitlement;
  }

  async list(query: EntitlementListQuery): Promise<Listed<Entitlement>> {
    const { db, namespace } = this.#options;
    const items = await listEntitlements(db, namespace, query);
    return { items, totalCount: await countEntitlements(db, namespace, query) };
  }

  /** All entitlements of the customer that are active now, by feature key. */
  async activeOf(customerId: string): Promise<readonly Entitlement[]> {
    const { db, namespace, clock } = this.#options;
    const all = { includeDeleted: false, orderBy: "createdAt", direction: "asc", limit: 100_000, offset: 0 } as const;
    const active = await listEntitlements(db, namespace, { ...all, customerIds: [customerId], activeAt: clock.now() });
    return active.toSorted((a, b) => (a.featureKey < b.featureKey ? -1 : 1));
  }

  /** All entitlements of the customer that are not deleted, scheduled and ended ones too, by feature key. */
  async undeletedOf(customerId: string): Promise<readonly Entitlement[]> {
    const { db, namespace } = this.#options;
    const all = { includeDeleted: false, orderBy: "createdAt", direction: "asc", limit: 100_000, offset: 0 } as const;
    const found = await listEntitlements(db, namespace, { ...all, customerIds: [customerId] });
    return found.toSorted((a, b) => (a.featureKey < b.featureKey ? -1 : 1));
  }

  /** Whether the customer has an entitlement that is not deleted, scheduled and ended ones too; inside a transaction. */
  async hasAny(tx: Transaction<Database>, customerId: string): Promise<boolean> {
    const query = { includeDeleted: false, orderBy: "createdAt", direction: "asc", limit: 1, offset: 0 } as const;
    return (await listEntitlements(tx, this.#options.namespace, { ...query, customerIds: [customerId] })).length > 0;
  }

  /** Takes part in every change of a customer: with a customer go its entitlements, managed ones too. */
  async withCustomer(tx: Transaction<Database>, change: CustomerChange): Promise<void> {
    const { after } = change;
    if (after.deletedAt === null) return;
    const ids = await lockUnended(tx, after.id, after.deletedAt);
    await this.#delete(tx, ids, after.deletedAt);
    this.#endedBy.set(change, ids);
  }

  /** Tells of the entitlements that went with a customer; after the commit. */
  afterCustomer(change: CustomerChange): void {
    const entitlementIds = this.#endedBy.get(change) ?? [];
    if (entitlementIds.length > 0) this.#options.changes.tell({ customerId: change.after.id, entitlementIds });
  }

  async #plan(customer: Customer, draft: EntitlementDraft, managed: ManagedPart | null): Promise<NewEntitlement> {
    const { namespace, clock, newId } = this.#options;
    const feature = await this.#feature(draft);
    return newEntitlement(draft, { namespace, now: clock.now(), newId, customerId: customer.id, feature, managed });
  }

  async #feature({ featureId, featureKey }: EntitlementDraft): Promise<Feature> {
    const idOrKey = featureId ?? featureKey;
    if (idOrKey === undefined) {
      const message = 'the feature is missing; send "featureKey" or "featureId"';
      throw fieldFault("feature_missing", message, "$.featureKey");
    }
    const feature = await this.#options.features.get(idOrKey);
    if (feature.archivedAt === null) return feature;
    const message = `feature not found: ${idOrKey} is archived; use a feature that is not`;
    throw new Fault("not_found", "feature_not_found", message);
  }

  async #insert(tx: Transaction<Database>, { entitlement, grants }: NewEntitlement): Promise<Entitlement> {
    const { changes, namespace } = this.#options;
    const clash = await findClash(tx, entitlement);
    if (clash !== null) throw entitlementExists(entitlement, clash);
    // The lock at the customer leaves nothing to race with; the constraint is for what goes past this service.
    if (!(await insertEntitlement(tx, entitlement))) throw entitlementExists(entitlement, null);
    await insertGrants(tx, grants);
    await changes.structure(tx, entitlement.id, "created", entitlement.activeFrom);
    return (await findEntitlement(tx, namespace, entitlement.id)) ?? entitlement;
  }

  async #delete(tx: Transaction<Database>, ids: readonly string[], at: Instant): Promise<void> {
    await endEntitlements(tx, ids, { deleted_at: at }, at);
    await markGrantsDeleted(tx, ids, at);
    for (const id of ids) await this.#options.changes.structure(tx, id, "ended", at);
  }
}

/** Fault: `entitlement_not_metered`, 400. */
export function requireMetered(entitlement: Entitlement, what: string): asserts entitlement is MeteredEntitlement {
  if (isMetered(entitlement)) return;
  const message = `the entitlement to "${entitlement.featureKey}" is ${entitlement.type}; only a metered one has a ${what}`;
  throw new Fault("validation", "entitlement_not_metered", message);
}

async function requireOwner(tx: Transaction<Database>, customerId: string): Promise<void> {
  if (await lockOwner(tx, customerId)) return;
  throw new Fault("precondition_failed", "customer_deleted", `customer ${customerId} is deleted`);
}

function refuseManaged({ managedBy }: Entitlement): void {
  if (managedBy === null) return;
  const message = `entitlement is managed by subscription; change the subscription instead`;
  throw new Fault("forbidden", "entitlement_managed_by_subscription", message);
}

function refuseOverride(old: Entitlement, now: Instant): void {
  refuseManaged(old);
  const end = endOf(old);
  // It may have been deleted after `now` was read, while this waited for its turn.
  if (end !== null && (old.deletedAt !== null || end <= now)) {
    const message = `entitlement ${old.id} ended at ${formatInstant(end)} and cannot be overridden; create a new one`;
    throw new Fault("validation", "entitlement_ended", message);
  }
  if (now <= old.activeFrom) {
    const message = `entitlement ${old.id} starts at ${formatInstant(old.activeFrom)} and cannot be overridden before`;
    throw new Fault("validation", "entitlement_not_started", message);
  }
}

/** When the reset takes place. The checks are in the order in which their sentences help. */
function resetInstant(entitlement: Entitlement, { effectiveAt }: ResetRequest, now: Instant): Instant {
  requireMetered(entitlement, "reset");
  if (!isActiveAt(entitlement, now)) {
    const message = `entitlement ${entitlement.id} is not active now; only an active one can be reset`;
    throw new Fault("validation", "entitlement_not_active", message);
  }
  const errors = new InputErrors();
  const field = "$.effectiveAt";
  const sent = effectiveAt === undefined ? now : errors.instant(effectiveAt, field);
  errors.throwIfAny("invalid_reset");
  const at = floorToMinute(sent ?? now);
  const refuse = (rule: string) =>
    fieldFault("invalid_reset", `"effectiveAt" ${rule}, not ${formatInstant(at)}`, field);
  if (at > now) throw refuse(`must not be in the future, it is ${formatInstant(now)}`);
  const period = usagePeriodAt(entitlement, now);
  if (period !== null && at < period.from) {
    throw refuse(`must not be before the start of the present usage period, ${formatInstant(period.from)}`);
  }
  const last = lastReset(entitlement);
  if (at <= last) throw refuse(`must be in a later minute than the last reset, ${formatInstant(last)}`);
  return at;
}

function anchorInForce({ resets, usagePeriod }: MeteredEntitlement): Instant {
  return resets.at(-1)?.anchor ?? usagePeriod.anchor;
}

function entitlementNotFound(idOrFeatureKey: string): Fault {
  return new Fault("not_found", "entitlement_not_found", `entitlement not found: ${idOrFeatureKey}`);
}

function entitlementExists({ featureKey }: Entitlement, conflictingEntityId: string | null): Fault {
  const message =
    `the customer has an entitlement to feature "${featureKey}" already` +
    `${conflictingEntityId === null ? "" : `, ${conflictingEntityId}`}; override or delete it first`;
  const extensions = conflictingEntityId === null ? {} : { conflictingEntityId };
  return new Fault("conflict", "entitlement_exists", message, { extensions });
}
