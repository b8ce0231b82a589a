/**
 * Reserving and leasing amounts of balances, and ending those holds.
 *
 * Invariants: decisions about one entitlement are taken one after the other, each from the newest balance and all holds
 * before it, and the entitlement's row is locked meanwhile, so what is confirmed and held never exceeds a hard limit; a hold
 * is durable before anybody is told of it; memory is changed after the commit, and is read anew from the store whenever it
 * is unknown how a commit went.
 */

import type { Kysely, Transaction } from "kysely";
import type { PositionVector } from "../../engines/event-store/index.ts";
import type { CustomerService } from "../../customers/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { LogPosition } from "../../events/index.ts";
import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { Fault } from "../../kernel/fault.ts";
import { parseUlid } from "../../kernel/id.ts";
import { type Instant, plusMicros } from "../../kernel/instant.ts";
import type { Balances, NewestValue } from "../balances.ts";
import { isMetered, type MeteredEntitlement } from "../entitlement.ts";
import type { MeteredValue } from "../engine/index.ts";
import { type HeldAmounts, isStored } from "./held-amounts.ts";
import {
  confirmed,
  type Hold,
  type HoldOrigin,
  lease,
  type LeaseDraft,
  type LeaseRenewal,
  released,
  renewed,
  reported,
  requireSameAmount,
  reservation,
  type ReservationDraft,
  returned,
  type Standing,
  statusAt,
  type StoredHoldStatus,
} from "./hold.ts";
import {
  clearSettled,
  countingHolds,
  deleteEndedBefore,
  findHold,
  findHoldByKey,
  insertHold,
  listHolds,
  lockActiveEntitlement,
  lockHold,
  markExpired,
  updateHold,
} from "./hold-store.ts";
import type { EntitlementService } from "../service.ts";
import { Turns } from "./turns.ts";

/** Finished holds, and with them the keys of reservations, are kept for so long. */
const RETENTION_MICROS = 30 * 24 * 3600 * 1_000_000;
/** Each further look needs a reset or grant that was committed between the look at the balance and the decision. */
const MAX_LOOKS = 10;

/** Names an entitlement as paths do. */
export interface EntitlementPath {
  readonly customerIdOrKey: string;
  readonly featureKey: string;
}

export interface HoldServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  /** How long a lease counts after its time: its holder's events are on their way. */
  readonly graceMicros: number;
  readonly customers: Pick<CustomerService, "getLive">;
  readonly entitlements: Pick<EntitlementService, "get" | "byId">;
  readonly balances: Pick<Balances, "newest">;
  /** What is held, in memory; this service fills it and keeps it. */
  readonly held: HeldAmounts;
  /** How far events are stored. */
  readonly stored: () => PositionVector;
  /** The last place in the log that has been acknowledged; null when there is none. */
  readonly acknowledged: () => LogPosition | null;
}

/** A hold with what it leaves of the balance. */
export interface HoldAnswer {
  readonly hold: Hold;
  readonly standing: Standing;
  readonly at: Instant;
}

/** A value with the holds of the entitlement. */
export interface ValueWithHolds {
  readonly newest: NewestValue;
  readonly standing: Standing | null;
}

export class HoldService {
  readonly #options: HoldServiceOptions;
  readonly #turns = new Turns();
  /** Entitlements whose last change may or may not have been committed. */
  readonly #uncertain = new Set<string>();
  #sweptUpTo: PositionVector = new Map();

  constructor(options: HoldServiceOptions) {
    this.#options = options;
  }

  /** Reads what is held; before the first answer. */
  async load(): Promise<void> {
    for (const hold of await countingHolds(this.#options.db, null)) this.#options.held.put(this.#withinLog(hold), null);
  }

  /**
   * Holds an amount. `isNew` is false when the key was used before for the same amount. Faults: those of the entitlement's
   * look-up, `reservation_requires_metered_entitlement`, `amount_must_be_positive`, `insufficient_balance`,
   * `reservation_key_reused`.
   */
  async reserve(path: EntitlementPath, draft: ReservationDraft): Promise<HoldAnswer & { readonly isNew: boolean }> {
    return await this.#decide(path, "reservation", async (tx, { origin, standing, at }) => {
      const existing = draft.key === null ? null : await findHoldByKey(tx, origin.entitlementId, draft.key);
      if (existing !== null) {
        requireSameAmount(existing, draft.amount);
        return { before: existing, after: existing, isNew: false };
      }
      const hold = reservation({ ...origin, at, lastsMicros: draft.lastsMicros }, draft, standing);
      await insertHold(tx, hold);
      return { before: null, after: hold, isNew: true };
    });
  }

  /** Lends a slice. Faults: as `reserve`, without those of keys; `invalid_min_amount`. */
  async lease(path: EntitlementPath, draft: LeaseDraft): Promise<HoldAnswer> {
    return await this.#decide(path, "lease", async (tx, { origin, standing, at }) => {
      const { graceMicros } = this.#options;
      const hold = lease({ ...origin, at, lastsMicros: draft.lastsMicros }, draft, standing, graceMicros);
      await insertHold(tx, hold);
      return { before: null, after: hold, isNew: true };
    });
  }

  /** Reports use of a lease and lends more. Faults: `lease_not_found`, `lease_not_held`, `consumed_decreased`. */
  async renew(path: EntitlementPath, id: string, renewal: LeaseRenewal): Promise<HoldAnswer> {
    const { id: known, entitlementId } = await this.find(path, id, "lease");
    return await this.#turns.take(
      entitlementId,
      async () =>
        await this.#look(await this.#byId(entitlementId), async (tx, look) => {
          const before = await this.#lock(tx, known, "lease");
          const reportedLease = reported(before, renewal.consumed, this.#unsettledPosition(), look.at);
          const left = this.#standing(look, { before, after: reportedLease });
          const after = renewed(reportedLease, renewal, left, { at: look.at, graceMicros: this.#options.graceMicros });
          await updateHold(tx, after);
          return { before, after, isNew: false };
        }),
    );
  }

  /** Ends a lease; one that has ended stays as it is. Faults: `lease_not_found`, `consumed_decreased`. */
  async return(
    path: EntitlementPath,
    id: string,
    consumed: Decimal,
  ): Promise<HoldAnswer & { readonly value: ValueWithHolds }> {
    return await this.#end(await this.find(path, id, "lease"), (hold, at) =>
      statusAt(hold, at) === "held" ? returned(reported(hold, consumed, this.#unsettledPosition(), at), at) : hold,
    );
  }

  /**
   * The work of a reservation was done and took `amount`, null for what was reserved. `position` is the place of its event
   * if that came along. Faults: `reservation_not_held`.
   */
  async confirm(hold: Hold, amount: Decimal | null, position: LogPosition | null): Promise<ValueWithHolds> {
    const settlesAt = (): LogPosition | null => position ?? this.#unsettledPosition();
    const { value } = await this.#end(hold, (now, at) => confirmed(now, amount ?? now.amount, settlesAt(), at));
    return value;
  }

  /** The work of a reservation was not done. Faults: `reservation_not_found`, `reservation_not_held`. */
  async release(path: EntitlementPath, id: string): Promise<ValueWithHolds> {
    return (await this.#end(await this.find(path, id, "reservation"), released)).value;
  }

  /** The hold with this id of that customer and feature. Faults: `reservation_not_found`, `lease_not_found`. */
  async find(path: EntitlementPath, id: string, kind: Hold["kind"]): Promise<Hold> {
    const customer = await this.#options.customers.getLive(path.customerIdOrKey);
    const ulid = parseUlid(id);
    const hold = ulid === null ? null : await findHold(this.#options.db, this.#options.namespace, ulid);
    const isMeant =
      hold?.kind === kind &&
      hold.customerId === customer.id &&
      (hold.featureKey === path.featureKey || hold.entitlementId === parseUlid(path.featureKey));
    if (hold === null || !isMeant) throw holdNotFound(kind, id);
    return hold;
  }

  /** Reservations of the active entitlement, newest first. */
  async list(
    path: EntitlementPath,
    part: { readonly status: StoredHoldStatus | null; readonly limit: number; readonly offset: number },
  ): Promise<{ readonly items: readonly Hold[]; readonly totalCount: number; readonly at: Instant }> {
    const { db, clock } = this.#options;
    const at = clock.now();
    const { id } = await this.#metered(path, "reservation");
    return { ...(await listHolds(db, { entitlementId: id, kind: "reservation", at, ...part })), at };
  }

  /** Marks what has expired, forgets what has settled before the last call, deletes what is past its retention. */
  async sweep(): Promise<void> {
    const { db, clock } = this.#options;
    const at = clock.now();
    // An answer under way may still be about a balance of before, so what has just settled is kept until the next sweep.
    const upTo = this.#sweptUpTo;
    this.#sweptUpTo = this.#options.stored();
    await markExpired(db, at);
    await clearSettled(db, upTo);
    this.#options.held.forget(at, upTo);
    await deleteEndedBefore(db, plusMicros(at, -RETENTION_MICROS));
  }

  /** Takes a decision from the newest balance of the path's entitlement, in its turn. */
  async #decide(
    path: EntitlementPath,
    kind: Hold["kind"],
    decide: Decide,
  ): Promise<HoldAnswer & { readonly isNew: boolean }> {
    const entitlement = await this.#metered(path, kind);
    return await this.#turns.take(entitlement.id, async () => await this.#look(entitlement, decide));
  }

  /** Looks at the balance until nothing has changed between the look and the decision. */
  async #look(entitlement: MeteredEntitlement, decide: Decide): Promise<HoldAnswer & { readonly isNew: boolean }> {
    const { namespace, clock, newId } = this.#options;
    const { id: entitlementId, customerId, featureKey } = entitlement;
    let seen = entitlement;
    for (let looks = 1; looks <= MAX_LOOKS; looks++) {
      const newest = await this.#options.balances.newest(seen);
      const at = clock.now();
      const { value } = newest;
      if (value === null) throw notActive(featureKey);
      const balance: Balance = { entitlement: seen, value, upTo: newest.upTo, at };
      const origin = { id: newId(), namespace, entitlementId, customerId, featureKey };
      const made = await this.#commit(entitlementId, async (tx) => {
        const revision = await lockActiveEntitlement(tx, entitlementId, at);
        if (revision === null) throw notActive(featureKey);
        if (revision !== seen.revision) return null;
        return await decide(tx, { ...balance, origin, standing: this.#standing(balance, null) });
      });
      if (made !== null) {
        return { hold: made.after, standing: this.#standing(balance, null), at, isNew: made.isNew };
      }
      seen = await this.#byId(entitlementId);
    }
    throw new Fault("unavailable", "entitlement_busy", "the entitlement is being changed all the time; try again", {
      retryAfterSeconds: 1,
    });
  }

  /** Ends a hold in its entitlement's turn and answers the value after it. */
  async #end(
    { id, kind, entitlementId }: Hold,
    end: (hold: Hold, at: Instant) => Hold,
  ): Promise<HoldAnswer & { readonly value: ValueWithHolds }> {
    const { after } = await this.#turns.take(
      entitlementId,
      async () =>
        await this.#commit(entitlementId, async (tx) => {
          const before = await this.#lock(tx, id, kind);
          const ended = end(before, this.#options.clock.now());
          if (ended !== before) await updateHold(tx, ended);
          return { before, after: ended, isNew: false };
        }),
    );
    const value = await this.value(await this.#byId(entitlementId));
    return { hold: after, value, standing: value.standing ?? NOTHING, at: this.#options.clock.now() };
  }

  /** The newest value of an entitlement and its holds. */
  async value(entitlement: MeteredEntitlement): Promise<ValueWithHolds> {
    const newest = await this.#options.balances.newest(entitlement);
    const { value, upTo } = newest;
    if (value === null) return { newest, standing: null };
    return { newest, standing: this.#standing({ entitlement, value, upTo, at: this.#options.clock.now() }, null) };
  }

  async #metered({ customerIdOrKey, featureKey }: EntitlementPath, kind: Hold["kind"]): Promise<MeteredEntitlement> {
    const { customers, entitlements } = this.#options;
    const entitlement = await entitlements.get(await customers.getLive(customerIdOrKey), featureKey);
    if (isMetered(entitlement)) return entitlement;
    const message = `a ${kind} needs a metered entitlement: the one for ${featureKey} is ${entitlement.type} and has no balance`;
    throw new Fault("validation", "reservation_requires_metered_entitlement", message);
  }

  async #byId(id: string): Promise<MeteredEntitlement> {
    const entitlement = await this.#options.entitlements.byId(id);
    assert(isMetered(entitlement), "only metered entitlements have holds");
    return entitlement;
  }

  /** The hold as it is now, locked, without what has settled. */
  async #lock(tx: Transaction<Database>, id: string, kind: Hold["kind"]): Promise<Hold> {
    const hold = await lockHold(tx, this.#options.namespace, id);
    if (hold === null) throw holdNotFound(kind, id);
    return hold.settling !== null && isStored(hold.settling.until, this.#options.stored())
      ? { ...hold, settling: null }
      : hold;
  }

  /** What the balance leaves, with a change that is not made yet. */
  #standing(
    { entitlement, value, upTo, at }: Balance,
    change: { readonly before: Hold | null; readonly after: Hold } | null,
  ): Standing {
    const held =
      change === null
        ? this.#options.held.heldOf(entitlement.id, at, upTo)
        : this.#options.held.heldWith(change.after, change.before, at, upTo);
    const { balance } = value;
    return { balance, held, available: balance.minus(held), isSoftLimit: entitlement.metered.isSoftLimit };
  }

  /** Runs a change in a transaction of its own and then takes it over into memory. Null when the change was not made. */
  async #commit<Made extends Change | null>(
    entitlementId: string,
    change: (tx: Transaction<Database>) => Promise<Made>,
  ): Promise<Made> {
    if (this.#uncertain.has(entitlementId)) await this.#reload(entitlementId);
    let made: Made;
    try {
      made = await this.#options.db.transaction().execute(change);
    } catch (error) {
      // A fault was thrown before the commit; anything else may have come after it.
      if (!(error instanceof Fault)) await this.#doubt(entitlementId);
      throw error;
    }
    // Also when nothing changed: a repeated call may find what a commit of unknown outcome made after memory was read anew.
    if (made !== null) this.#options.held.put(made.after, made.before);
    return made;
  }

  async #doubt(entitlementId: string): Promise<void> {
    this.#uncertain.add(entitlementId);
    // While the store does not answer, the next change of this entitlement tries again and is refused until it does.
    await this.#reload(entitlementId).catch(() => undefined);
  }

  async #reload(entitlementId: string): Promise<void> {
    const holds = await countingHolds(this.#options.db, entitlementId);
    this.#options.held.replace(
      entitlementId,
      holds.map((hold) => this.#withinLog(hold)),
    );
    this.#uncertain.delete(entitlementId);
  }

  /**
   * Where what is used now settles: behind everything that was acknowledged so far. Null when all of that is stored.
   */
  #unsettledPosition(): LogPosition | null {
    const position = this.#options.acknowledged();
    return position === null || isStored(position, this.#options.stored()) ? null : position;
  }

  /** A state store that is newer than its log, as after a restore, names places that will be given to other events. */
  #withinLog(hold: Hold): Hold {
    const end = this.#options.acknowledged();
    const { settling } = hold;
    if (settling === null || (end !== null && settling.until.offset <= end.offset)) return hold;
    return { ...hold, settling: null };
  }
}

/** A balance at a moment. */
interface Balance {
  readonly entitlement: MeteredEntitlement;
  readonly value: MeteredValue;
  readonly upTo: PositionVector;
  readonly at: Instant;
}

/** A hold before and after a change; `before` is null when it is new. */
interface Change {
  readonly before: Hold | null;
  readonly after: Hold;
  readonly isNew: boolean;
}

/** Takes a decision in the transaction that locks the entitlement. */
type Decide = (
  tx: Transaction<Database>,
  look: Balance & { readonly standing: Standing; readonly origin: Omit<HoldOrigin, "at" | "lastsMicros"> },
) => Promise<Change>;

const NOTHING: Standing = {
  balance: Decimal.zero,
  held: Decimal.zero,
  available: Decimal.zero,
  isSoftLimit: false,
};

function holdNotFound(kind: Hold["kind"], id: string): Fault {
  return new Fault(
    "not_found",
    `${kind}_not_found`,
    `${kind} not found: ${id}; it must be one of this customer and feature`,
  );
}

function notActive(featureKey: string): Fault {
  return new Fault("not_found", "entitlement_not_found", `the entitlement for ${featureKey} is not active any more`);
}
