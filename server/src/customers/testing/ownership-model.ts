/**
 * Ownership of subjects as simply as it can be said, for tests that compare the service with it after every step. The
 * subject hook is on.
 */

export const SUBJECTS = ["a", "b", "c", "d"] as const;

export interface Attempt {
  /** `attach` makes a customer one that something is attached to. */
  readonly kind: "create" | "update" | "delete" | "attach" | "upsertSubject" | "deleteSubject";
  /** Which customer, counted in the order of creation, modulo how many there are. */
  readonly target: number;
  /** Of a customer, or else of a subject. */
  readonly key: string | undefined;
  readonly subjectKeys: readonly string[];
}

interface ModelCustomer {
  key: string | undefined;
  subjectKeys: readonly string[];
  isLive: boolean;
  /** Made by the hook and not described by a client since. */
  isStandIn: boolean;
  isInUse: boolean;
}

export class OwnershipModel {
  /** Ids of the customers that were made, in order; whoever drives the model adds them. */
  readonly ids: string[] = [];
  /** The keys of the subjects that are entities. */
  readonly subjects = new Set<string>();
  readonly #customers: ModelCustomer[] = [];

  /** Applies an attempt; false when it has to be refused. */
  apply({ kind, target, key, subjectKeys }: Attempt): boolean {
    if (kind === "upsertSubject") return this.#upsertSubject(subjectOf(key));
    if (kind === "deleteSubject") return this.#deleteSubject(subjectOf(key));
    const customer = this.#customers[target % Math.max(1, this.#customers.length)];
    const draft = { key, subjectKeys, isLive: true, isStandIn: false, isInUse: false };
    if (kind === "create") {
      if (!this.#makeRoom(undefined, draft)) return false;
      this.#customers.push(draft);
      return true;
    }
    if (customer === undefined) return true;
    if (kind === "update") {
      if (!customer.isLive || !this.#makeRoom(customer, draft)) return false;
      Object.assign(customer, { key, subjectKeys, isStandIn: false });
    } else if (kind === "delete") customer.isLive = false;
    else customer.isInUse = true;
    return true;
  }

  /** Subject to the number of its owner. */
  owners(): ReadonlyMap<string, number> {
    return new Map(
      SUBJECTS.flatMap((subject) => {
        const byKey = this.#customers.findIndex((each) => each.isLive && each.key === subject);
        const bySubject = this.#customers.findIndex((each) => each.isLive && each.subjectKeys.includes(subject));
        const owner = byKey === -1 ? bySubject : byKey;
        return owner === -1 ? [] : [[subject, owner] as const];
      }),
    );
  }

  /** The subjects that a customer claims and no other live one owns, sorted. */
  subjectsOf(index: number): readonly string[] {
    const { key, subjectKeys = [] } = this.#customers[index] ?? {};
    const owners = this.owners();
    return SUBJECTS.filter(
      (subject) => (key === subject || subjectKeys.includes(subject)) && (owners.get(subject) ?? index) === index,
    );
  }

  #upsertSubject(subject: string): true {
    this.subjects.add(subject);
    if (this.owners().has(subject)) return true;
    this.#customers.push({ key: subject, subjectKeys: [subject], isLive: true, isStandIn: true, isInUse: false });
    return true;
  }

  #deleteSubject(subject: string): true {
    if (!this.subjects.delete(subject)) return true;
    for (const each of this.#customers.filter(({ isLive }) => isLive)) {
      const claims = each.key === subject || each.subjectKeys.includes(subject);
      each.subjectKeys = each.subjectKeys.filter((key) => key !== subject);
      const isEmpty = each.subjectKeys.length === 0 && (each.key ?? subject) === subject;
      if (claims && isEmpty && each.isStandIn && !each.isInUse) each.isLive = false;
    }
    return true;
  }

  /** Deletes the stand-ins in the way of what a customer becomes; false, and nothing happens, when another one keeps it. */
  #makeRoom(self: ModelCustomer | undefined, { key, subjectKeys }: ModelCustomer): boolean {
    const others = this.#customers.filter((each) => each.isLive && each !== self);
    const wanted = new Set([key, ...subjectKeys]);
    const idle = others.filter(
      (each) =>
        each.isStandIn &&
        !each.isInUse &&
        (each.subjectKeys.some((subject) => wanted.has(subject)) || (each.key !== undefined && wanted.has(each.key))),
    );
    const isTaken = others
      .filter((each) => !idle.includes(each))
      .some(
        (each) =>
          (key !== undefined && each.key === key) || each.subjectKeys.some((subject) => subjectKeys.includes(subject)),
      );
    if (isTaken) return false;
    for (const each of idle) each.isLive = false;
    for (const subject of subjectKeys) this.subjects.add(subject);
    return true;
  }
}

/** The subject that an attempt is about. */
export function subjectOf(key: string | undefined): string {
  return key ?? "a";
}
