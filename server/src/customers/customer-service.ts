/**
 * Creating, reading, replacing and deleting customers, and whose usage a subject is.
 *
 * Every change of ownership goes through this service: it decides who owns what (the database's unique indexes have the last
 * word), runs those who take part in its transaction, and tells listeners after the commit.
 *
 * Every transaction takes what it writes in one order, so that none waits for one that waits for it: subjects by key, then
 * locks of customers by id, then keys, then subject keys, both by their bytes.
 */

import type { Kysely, Transaction } from "kysely";
import type { CustomerSubjects } from "../engines/event-store/index.ts";
import type { Database } from "../engines/state-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Fault, type FieldError } from "../kernel/fault.ts";
import { parseUlid } from "../kernel/id.ts";
import { ChangeWatch, Recent } from "../kernel/recent.ts";
import { Attribution } from "./attribution.ts";
import {
  claimsTo,
  type CustomerListQuery,
  findCustomer,
  findCustomers,
  insertCustomers,
  isOwnerRace,
  listCustomers,
  lockCustomer,
  markCustomerDeleted,
  type SubjectClaim,
  updateCustomer,
} from "./customer-store.ts";
import {
  claimedSubjects,
  contentOf,
  type Customer,
  type CustomerChange,
  type CustomerContent,
  type CustomerDraft,
  draftErrors,
  sortedKeys,
} from "./customer.ts";
import { described, isStandIn, standInFor } from "./subject-hook.ts";
import { insertMissingSubjects } from "./subjects/subject-store.ts";
import type { Subject } from "./subjects/subject.ts";

/** By id and by key: 50,000 customers, each of which may check access many times a second; some 40 MB. */
const MAX_REMEMBERED = 100_000;
/** A change that loses a race for a key sees at the second look who won; more than that only if the winner is gone again. */
const MAX_ATTEMPTS = 3;

/** Takes part in the transaction of a change; a fault that it throws refuses the change. */
export type CustomerParticipant = (tx: Transaction<Database>, change: CustomerChange) => Promise<void>;

export interface CustomerServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  /** Read at every change, so that domains wired later can still be added to the array. */
  readonly inTransaction?: readonly CustomerParticipant[];
  /** Whether something is attached to the customer, whose row is locked. Left out: nothing ever is. */
  readonly isInUse?: (tx: Transaction<Database>, customerId: string) => Promise<boolean>;
}

/** A transaction in which customers change, and the changes so far. */
interface Work {
  readonly tx: Transaction<Database>;
  readonly changes: CustomerChange[];
}

export class CustomerService {
  readonly #options: CustomerServiceOptions;
  readonly #watch = new ChangeWatch();
  readonly #attribution: Attribution;
  /** By id, and by key unless the key could be read as an id. */
  readonly #recent = new Recent<Customer>(MAX_REMEMBERED, this.#watch);
  readonly #listeners: ((change: CustomerChange) => void)[] = [];

  constructor(options: CustomerServiceOptions) {
    this.#options = options;
    const { db, namespace } = options;
    this.#attribution = new Attribution(this.#watch, (subjects) => claimsTo(db, namespace, subjects));
  }

  /** Calls the listener after every committed change, before the change is answered. */
  onChange(listener: (change: CustomerChange) => void): void {
    this.#listeners.push(listener);
  }

  /** The customer with this id, deleted or not, or the live customer with this key. Fault: `customer_not_found`. */
  async get(idOrKey: string): Promise<Customer> {
    const known = this.recent(idOrKey);
    if (known !== undefined) return known;
    const { db, namespace } = this.#options;
    const found = await this.#recent.look(
      () => findCustomer(db, namespace, idOrKey),
      (customer) => (customer === null ? [] : named(customer)),
    );
    if (found === null) throw customerNotFound(idOrKey);
    return found;
  }

  /** As `get`, but not a deleted customer. Faults: `customer_not_found`, `customer_deleted` (412). */
  async getLive(idOrKey: string): Promise<Customer> {
    return requireLive(await this.get(idOrKey));
  }

  /** As `get`, from memory only; undefined when it takes the store to know. */
  recent(idOrKey: string): Customer | undefined {
    return this.#recent.get(parseUlid(idOrKey) ?? idOrKey);
  }

  async list(query: CustomerListQuery): Promise<{ readonly items: readonly Customer[]; readonly totalCount: number }> {
    return await listCustomers(this.#options.db, this.#options.namespace, query);
  }

  /** The customer that the subject's events belong to, or null. */
  async ownerOf(subject: string): Promise<Customer | null> {
    const owner = (await this.ownersOf([subject])).get(subject);
    return owner === undefined ? null : await this.get(owner);
  }

  /** The ids of the owners by subject; subjects without an owner are missing. */
  async ownersOf(subjects: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return await this.#attribution.ownersOf(subjects);
  }

  /** The id of the subject's owner from memory only: null when it has none, undefined when it takes the store to know. */
  ownerInMemory(subject: string): string | null | undefined {
    return this.#attribution.inMemory(subject);
  }

  /**
   * The customers with these ids, each once, in the order of first mention, with the subjects that are theirs: key and
   * subject keys, the last ones if the customer is deleted, without those that are another live customer's. Fault:
   * `customer_not_found`.
   */
  async subjectsOf(ids: readonly string[]): Promise<readonly CustomerSubjects[]> {
    return await this.#ownSubjects(await this.#getAll(ids));
  }

  /** As `subjectsOf`, for requests that know no deleted customers: those are `customer_not_found` as well. */
  async liveSubjectsOf(ids: readonly string[]): Promise<readonly CustomerSubjects[]> {
    const customers = await this.#getAll(ids);
    const deleted = customers.find(({ deletedAt }) => deletedAt !== null);
    if (deleted !== undefined) throw customerWithIdNotFound(deleted.id);
    return await this.#ownSubjects(customers);
  }

  /**
   * Creates a customer, and those of the subjects that it names which do not exist. Faults: `invalid_customer` with every
   * offending field; `customer_key_taken`, `subject_key_taken`.
   */
  async create(draft: CustomerDraft): Promise<Customer> {
    const content = checkedContent(draft);
    const { namespace, clock, newId } = this.#options;
    return await this.#change(async (work) => {
      await this.#makeSubjects(work, content);
      const at = clock.now();
      const times = { createdAt: at, updatedAt: at, deletedAt: null };
      const created: Customer = { id: newId(), namespace, ...content, annotations: null, ...times };
      await this.#makeRoom(work, created);
      await insertCustomers(work.tx, [created]);
      await this.#changed(work, null, created);
      return created;
    });
  }

  /**
   * Replaces what a client may say of a customer; what the draft leaves out is cleared. Faults: those of `create`,
   * `customer_not_found`, `customer_deleted`.
   */
  async update(idOrKey: string, draft: CustomerDraft): Promise<Customer> {
    const content = checkedContent(draft);
    return await this.#change(async (work) => {
      await this.#makeSubjects(work, content);
      const before = requireLive(await this.#lockForUpdate(work.tx, idOrKey, content));
      const annotations = described(before.annotations);
      const after: Customer = { ...before, ...content, annotations, updatedAt: this.#options.clock.now() };
      await this.#makeRoom(work, after);
      return await this.#replace(work, before, after);
    });
  }

  /**
   * Deletes a customer: its key and subject keys are free, its record stays. Deleting a deleted one has no effect. Faults:
   * `customer_not_found`, and those of who takes part.
   */
  async delete(idOrKey: string): Promise<void> {
    if ((await this.get(idOrKey)).deletedAt !== null) return;
    await this.#change(async (work) => {
      const before = await this.#lock(work.tx, idOrKey);
      if (before.deletedAt === null) await this.#remove(work, before);
    });
  }

  /** Runs `write` in a transaction that gives those of the subjects it returns a customer that nobody owns. */
  async giveOwners(write: (tx: Transaction<Database>) => Promise<readonly Subject[]>): Promise<readonly Subject[]> {
    const { namespace, clock, newId } = this.#options;
    return await this.#change(async (work) => {
      const written = await write(work.tx);
      const subjects = new Map(written.map((subject) => [subject.key, subject]));
      for (const { subject } of await claimsTo(work.tx, namespace, [...subjects.keys()])) subjects.delete(subject);
      const at = clock.now();
      const standIns = sortedKeys(subjects.keys())
        .flatMap((key) => subjects.get(key) ?? [])
        .map((subject) => standInFor(subject, { id: newId(), namespace, at }));
      await insertCustomers(work.tx, standIns);
      for (const after of standIns) {
        // Nobody else claims the subject, so nobody else is affected.
        const change = { before: null, after, customerIds: [after.id], subjects: after.subjectKeys };
        await this.#participate(work, change);
      }
      return written;
    });
  }

  /**
   * Runs `alongside` in a transaction that takes the subject key from the live customer that has it, if one has. A customer
   * that was made for this subject is deleted, unless something is attached to it.
   */
  async releaseSubjectKey(key: string, alongside: (tx: Transaction<Database>) => Promise<void>): Promise<void> {
    const { namespace, clock } = this.#options;
    await this.#change(async (work) => {
      await alongside(work.tx);
      const claims = await claimsTo(work.tx, namespace, [key]);
      // A stand-in never has another subject; one that was in use when a subject with this key was deleted has only the key.
      const claim = claims.find(({ by }) => by === "subjectKey") ?? claims[0];
      if (claim === undefined) return;
      const before = await this.#lock(work.tx, claim.customerId);
      if (before.deletedAt !== null) return;
      if (await this.#isIdleStandIn(work.tx, before)) return await this.#remove(work, before);
      if (!before.subjectKeys.includes(key)) return;
      const subjectKeys = before.subjectKeys.filter((each) => each !== key);
      await this.#replace(work, before, { ...before, subjectKeys, updatedAt: clock.now() });
    });
  }

  /** Makes the entities of the subjects that a customer names, where they are missing. */
  async #makeSubjects({ tx }: Work, { subjectKeys }: CustomerContent): Promise<void> {
    const { namespace, newId, clock } = this.#options;
    const subjects = subjectKeys.map((key) => ({ id: newId(), key }));
    await insertMissingSubjects(tx, namespace, subjects, clock.now());
  }

  async #replace(work: Work, before: Customer, after: Customer): Promise<Customer> {
    await updateCustomer(work.tx, before, after);
    await this.#changed(work, before, after);
    return after;
  }

  async #remove(work: Work, before: Customer): Promise<void> {
    const at = this.#options.clock.now();
    await markCustomerDeleted(work.tx, before.id, at);
    await this.#changed(work, before, { ...before, updatedAt: at, deletedAt: at });
  }

  /** Locks the customer and the stand-ins that may have to give way to it. */
  async #lockForUpdate(tx: Transaction<Database>, idOrKey: string, content: CustomerContent): Promise<Customer> {
    const { namespace } = this.#options;
    const found = await findCustomer(tx, namespace, idOrKey);
    if (found === null) throw customerNotFound(idOrKey);
    const inTheWay = standInIds(await this.#claimants(tx, { ...content, id: found.id }));
    for (const id of [found.id, ...inTheWay].toSorted()) await lockCustomer(tx, namespace, id);
    return await this.#lock(tx, found.id);
  }

  async #lock(tx: Transaction<Database>, idOrKey: string): Promise<Customer> {
    const found = await lockCustomer(tx, this.#options.namespace, idOrKey);
    if (found === null) throw customerNotFound(idOrKey);
    return found;
  }

  /** The other customers that claim what this one does. */
  async #claimants(
    tx: Transaction<Database>,
    content: Pick<Customer, "id" | "key" | "subjectKeys">,
  ): Promise<readonly Customer[]> {
    const claims = await this.#otherClaims(tx, content);
    return await findCustomers(tx, this.#options.namespace, [...new Set(claims.map(({ customerId }) => customerId))]);
  }

  async #otherClaims(
    tx: Transaction<Database>,
    content: Pick<Customer, "id" | "key" | "subjectKeys">,
  ): Promise<readonly SubjectClaim[]> {
    const claims = await claimsTo(tx, this.#options.namespace, claimedSubjects(content));
    return claims.filter(({ customerId }) => customerId !== content.id);
  }

  /** Deletes the stand-ins that have what the customer is to have, and refuses what another customer keeps. */
  async #makeRoom(work: Work, after: Customer): Promise<void> {
    const claims = await this.#otherClaims(work.tx, after);
    if (claims.length === 0) return;
    const gone = new Set<string>();
    for (const id of standInIds(await this.#claimants(work.tx, after)).toSorted()) {
      const standIn = await this.#lock(work.tx, id);
      const isIdle = standIn.deletedAt === null && (await this.#isIdleStandIn(work.tx, standIn));
      if (isIdle) await this.#remove(work, standIn);
      if (isIdle || standIn.deletedAt !== null) gone.add(id);
    }
    refuseTaken(
      after,
      claims.filter(({ customerId }) => !gone.has(customerId)),
    );
  }

  /** Whether a customer, whose row is locked, was made for a subject and nobody has made use of it. */
  async #isIdleStandIn(tx: Transaction<Database>, customer: Customer): Promise<boolean> {
    return isStandIn(customer) && (await this.#options.isInUse?.(tx, customer.id)) !== true;
  }

  /** Works out who is affected by a change, and lets those who take part in it do so. */
  async #changed(work: Work, before: Customer | null, after: Customer): Promise<void> {
    const had = new Set(before === null ? [] : claimedSubjects(before));
    const has = new Set(after.deletedAt === null ? claimedSubjects(after) : []);
    const subjects = [...had.symmetricDifference(has)];
    // A key that comes takes its subject from whoever has it as a subject key, a key that goes gives it back.
    const claims = await claimsTo(work.tx, this.#options.namespace, subjects);
    const customerIds = [...new Set([after.id, ...claims.map(({ customerId }) => customerId)])];
    await this.#participate(work, { before, after, customerIds, subjects });
  }

  async #participate({ tx, changes }: Work, change: CustomerChange): Promise<void> {
    for (const participate of this.#options.inTransaction ?? []) await participate(tx, change);
    changes.push(change);
  }

  /** Does work in a transaction, again if it lost a race for a key, and tells of its changes when they are committed. */
  async #change<Result>(execute: (work: Work) => Promise<Result>): Promise<Result> {
    return await this.#watch.during(async () => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          const changes: CustomerChange[] = [];
          const result = await this.#options.db.transaction().execute((tx) => execute({ tx, changes }));
          for (const change of changes) this.#forget(change);
          for (const change of changes) for (const listener of this.#listeners) listener(change);
          return result;
        } catch (error) {
          if (attempt < MAX_ATTEMPTS && isOwnerRace(error)) continue;
          // Unless it was refused, nobody knows whether the change was committed.
          if (!(error instanceof Fault)) this.#clear();
          throw error;
        }
      }
    });
  }

  #forget({ before, after, subjects }: CustomerChange): void {
    this.#attribution.forget(subjects);
    this.#recent.forget([after.id, ...[before?.key, after.key].flatMap((key) => key ?? [])]);
  }

  #clear(): void {
    this.#attribution.clear();
    this.#recent.clear();
  }

  async #getAll(ids: readonly string[]): Promise<readonly Customer[]> {
    const wanted = [...new Set(ids.map((id) => id.toUpperCase()))];
    const customers = new Map(wanted.map((id) => [id, this.#recent.get(id)]));
    const missing = wanted.filter((id) => customers.get(id) === undefined);
    const { db, namespace } = this.#options;
    const found = await this.#recent.look(
      () => findCustomers(db, namespace, missing),
      (looked) => looked.flatMap(named),
    );
    for (const customer of found) customers.set(customer.id, customer);
    return wanted.map((id) => {
      const customer = customers.get(id);
      if (customer === undefined) throw customerWithIdNotFound(ids.find((each) => each.toUpperCase() === id) ?? id);
      return customer;
    });
  }

  async #ownSubjects(customers: readonly Customer[]): Promise<readonly CustomerSubjects[]> {
    const owners = await this.ownersOf(customers.flatMap(claimedSubjects));
    return customers.map((customer) => ({
      id: customer.id,
      subjects: claimedSubjects(customer).filter((subject) => (owners.get(subject) ?? customer.id) === customer.id),
    }));
  }
}

/** The names under which `get` finds the customer. */
function named(customer: Customer): readonly (readonly [name: string, customer: Customer])[] {
  const { id, key, deletedAt } = customer;
  const hasName = key !== null && deletedAt === null && parseUlid(key) === null;
  return hasName
    ? [
        [id, customer],
        [key, customer],
      ]
    : [[id, customer]];
}

function checkedContent(draft: CustomerDraft): CustomerContent {
  const errors = draftErrors(draft);
  if (errors.length === 0) return contentOf(draft);
  const message = errors.map((error) => error.message).join("; ");
  throw new Fault("validation", "invalid_customer", message, { fields: errors });
}

/** Refuses keys and subject keys that other customers have, all of them at once. */
function refuseTaken(after: Customer, claims: readonly SubjectClaim[]): void {
  const others = new Map(claims.map((claim) => [`${claim.by} ${claim.subject}`, claim]));
  const errors: FieldError[] = [];
  const keyOwner = others.get(`key ${after.key ?? ""}`)?.customerId;
  if (after.key !== null && keyOwner !== undefined) errors.push(keyTaken(after.key, keyOwner));
  const lost = after.subjectKeys.flatMap((key) => others.get(`subjectKey ${key}`) ?? []);
  errors.push(...lost.map(({ subject, customerId }) => subjectKeyTaken(subject, customerId)));
  const [first] = errors;
  if (first === undefined) return;
  const conflictingEntityId = keyOwner ?? lost[0]?.customerId;
  throw new Fault("conflict", first.code, first.message, { fields: errors, extensions: { conflictingEntityId } });
}

function standInIds(customers: readonly Customer[]): readonly string[] {
  return customers.filter(isStandIn).map(({ id }) => id);
}

function requireLive(customer: Customer): Customer {
  if (customer.deletedAt === null) return customer;
  throw new Fault("precondition_failed", "customer_deleted", `customer ${customer.id} is deleted`);
}

function customerNotFound(idOrKey: string): Fault {
  return new Fault("not_found", "customer_not_found", `customer not found: ${idOrKey}`);
}

function customerWithIdNotFound(id: string): Fault {
  return new Fault("not_found", "customer_not_found", `customer with id ${id} not found`);
}

function keyTaken(key: string, owner: string): FieldError {
  const message = `key ${JSON.stringify(key)} is taken by customer ${owner}; choose another one`;
  return { code: "customer_key_taken", message, field: "$.key" };
}

function subjectKeyTaken(key: string, owner: string): FieldError {
  const message = `subject key ${JSON.stringify(key)} is taken by customer ${owner}; remove it there first`;
  return { code: "subject_key_taken", message, field: "$.usageAttribution.subjectKeys" };
}
