/**
 * Changes of entitlements: one transaction each, in which others take part, and after which others hear of it.
 *
 * Whoever remembers balances drops what a change touches. They hear of it also when a change failed, because nobody knows
 * then whether it was committed.
 */

import type { Kysely, Transaction } from "kysely";
import type { Database } from "../engines/state-store/index.ts";
import { Fault } from "../kernel/fault.ts";
import type { Instant } from "../kernel/instant.ts";
import type { MeteredEntitlement } from "./entitlement.ts";

/** What changed of the structure that balances are computed from. */
export type StructureCause = "created" | "ended" | "reset" | "grant_created" | "grant_voided";

/** Takes part in the transaction of a change; a fault that it throws refuses the change. */
export interface EntitlementParticipant {
  /** `entitlement` is as it was before the reset. */
  readonly onReset?: (tx: Transaction<Database>, entitlement: MeteredEntitlement, at: Instant) => Promise<void>;
  /** Balances from `at` on may be others than before. */
  readonly onStructure?: (
    tx: Transaction<Database>,
    entitlementId: string,
    cause: StructureCause,
    at: Instant,
  ) => Promise<void>;
}

export interface EntitlementChange {
  readonly customerId: string;
  /** Empty when a new entitlement could not be made. */
  readonly entitlementIds: readonly string[];
}

export class EntitlementChanges {
  readonly #db: Kysely<Database>;
  readonly #participants: readonly EntitlementParticipant[];
  readonly #listeners: ((change: EntitlementChange) => void)[] = [];

  /** The array is read at every change, so that domains wired later can still be added to it. */
  constructor(db: Kysely<Database>, participants: readonly EntitlementParticipant[]) {
    this.#db = db;
    this.#participants = participants;
  }

  /** Calls the listener after every change, before the change is answered. */
  onChange(listener: (change: EntitlementChange) => void): void {
    this.#listeners.push(listener);
  }

  /** Runs a change of the customer's entitlements in a transaction; `touch` names those that it changes. */
  async write<Result>(
    customerId: string,
    work: (tx: Transaction<Database>, touch: (entitlementId: string) => void) => Promise<Result>,
  ): Promise<Result> {
    const entitlementIds = new Set<string>();
    try {
      const result = await this.#db.transaction().execute((tx) => work(tx, (id) => entitlementIds.add(id)));
      this.tell({ customerId, entitlementIds: [...entitlementIds] });
      return result;
    } catch (error) {
      if (!(error instanceof Fault)) this.tell({ customerId, entitlementIds: [...entitlementIds] });
      throw error;
    }
  }

  tell(change: EntitlementChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  async reset(tx: Transaction<Database>, entitlement: MeteredEntitlement, at: Instant): Promise<void> {
    for (const { onReset } of this.#participants) await onReset?.(tx, entitlement, at);
    await this.structure(tx, entitlement.id, "reset", at);
  }

  async structure(tx: Transaction<Database>, id: string, cause: StructureCause, at: Instant): Promise<void> {
    for (const { onStructure } of this.#participants) await onStructure?.(tx, id, cause, at);
  }
}
