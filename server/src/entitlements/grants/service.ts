/** Creating, voiding and listing grants. A change and its checks are one transaction, in which the entitlement is locked. */

import type { Kysely } from "kysely";
import type { Database } from "../../engines/state-store/index.ts";
import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { Fault } from "../../kernel/fault.ts";
import { formatInstant, type Instant } from "../../kernel/instant.ts";
import type { EntitlementChanges } from "../changes.ts";
import { floorToMinute } from "../engine/index.ts";
import { type Entitlement, usagePeriodAt } from "../entitlement.ts";
import { fieldFault, InputErrors } from "../input.ts";
import { type Listed, requireMetered } from "../service.ts";
import { bumpRevision, findEntitlement, lockEntitlement } from "../store.ts";
import { type EntitlementGrant, type GrantDraft, grantOf } from "./grant.ts";
import { countGrants, findGrant, type GrantListQuery, insertGrants, listGrants, markVoided } from "./store.ts";

export interface GrantServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly changes: EntitlementChanges;
}

export class GrantService {
  readonly #options: GrantServiceOptions;

  constructor(options: GrantServiceOptions) {
    this.#options = options;
  }

  /**
   * Gives a metered entitlement, in any state, a grant. Faults: `entitlement_not_metered`, `invalid_grant` with every
   * offending field, or the only one's own code: `grant_amount_must_be_positive`, `grant_before_usage_period`, ...
   */
  async create(owner: Entitlement, draft: GrantDraft): Promise<EntitlementGrant> {
    const { namespace, clock, newId, changes } = this.#options;
    requireMetered(owner, "grant");
    return await changes.write(owner.customerId, async (tx, touch) => {
      const entitlement = await lockEntitlement(tx, namespace, owner.id);
      const now = clock.now();
      const errors = new InputErrors();
      const place = { id: newId(), periodStart: periodStart(entitlement, now), field: "$" };
      const grant = grantOf(draft, { namespace, entitlementId: entitlement.id, now, ...place }, errors);
      errors.throwIfAny("invalid_grant");
      assert(grant !== null, "a draft without errors makes a grant");
      touch(entitlement.id);
      await insertGrants(tx, [grant]);
      await bumpRevision(tx, entitlement.id, now);
      await changes.structure(tx, entitlement.id, "grant_created", grant.effectiveAt);
      return grant;
    });
  }

  /**
   * Ends a grant at an instant of the present usage period, RFC 3339 text, by default now. Faults: `grant_not_found`,
   * `grant_voided` the second time, `invalid_time`, `invalid_void`.
   */
  async void(id: string, at: string | undefined): Promise<void> {
    const { db, namespace, clock, changes } = this.#options;
    const named = await findGrant(db, namespace, id);
    if (named === null) throw grantNotFound(id);
    const owner = await findEntitlement(db, namespace, named.entitlementId);
    assert(owner !== null, "a grant has an entitlement");
    await changes.write(owner.customerId, async (tx, touch) => {
      const entitlement = await lockEntitlement(tx, namespace, owner.id);
      const grant = await findGrant(tx, namespace, id);
      if (grant === null) throw grantNotFound(id);
      if (grant.voidedAt !== null) {
        const message = `grant already voided: ${grant.id} ended at ${formatInstant(grant.voidedAt)}`;
        throw new Fault("validation", "grant_voided", message);
      }
      const now = clock.now();
      const voidedAt = voidInstant(entitlement, at, now);
      touch(entitlement.id);
      await markVoided(tx, grant.id, voidedAt, now);
      await bumpRevision(tx, entitlement.id, now);
      await changes.structure(tx, entitlement.id, "grant_voided", voidedAt);
    });
  }

  async list(query: GrantListQuery): Promise<Listed<EntitlementGrant>> {
    const { db, namespace } = this.#options;
    const items = await listGrants(db, namespace, query);
    return { items, totalCount: await countGrants(db, namespace, query) };
  }
}

function voidInstant(entitlement: Entitlement, at: string | undefined, now: Instant): Instant {
  const errors = new InputErrors();
  const sent = at === undefined ? now : errors.instant(at, "$.at");
  errors.throwIfAny("invalid_void");
  const voidedAt = floorToMinute(sent ?? now);
  const refuse = (rule: string) => fieldFault("invalid_void", `"at" ${rule}, not ${formatInstant(voidedAt)}`, "$.at");
  if (voidedAt > now) throw refuse(`must not be in the future, it is ${formatInstant(now)}`);
  const start = periodStart(entitlement, now);
  if (voidedAt < start)
    throw refuse(`must not be before the start of the present usage period, ${formatInstant(start)}`);
  return voidedAt;
}

function periodStart(entitlement: Entitlement, now: Instant): Instant {
  const period = usagePeriodAt(entitlement, now);
  assert(period !== null, "a metered entitlement has usage periods");
  return period.from;
}

function grantNotFound(id: string): Fault {
  return new Fault("not_found", "grant_not_found", `grant not found: ${id}`);
}
