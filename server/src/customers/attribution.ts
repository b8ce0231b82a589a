/**
 * Whose usage it is: the owner of a subject is the live customer whose key it is, else the one that has it among its
 * subject keys. So a subject has at most one owner, and moving it moves its whole history.
 *
 * Owners are kept in memory, also the absence of one, because every batch of events asks for them.
 */

import { type ChangeWatch, Recent } from "../kernel/recent.ts";
import type { SubjectClaim } from "./customer-store.ts";

/** Some 40 MB of subjects of 50 characters. */
const MAX_REMEMBERED = 200_000;

export class Attribution {
  readonly #claims: (subjects: readonly string[]) => Promise<readonly SubjectClaim[]>;
  readonly #owners: Recent<string | null>;

  /** `claims` reads the claims of live customers to subjects. */
  constructor(watch: ChangeWatch, claims: (subjects: readonly string[]) => Promise<readonly SubjectClaim[]>) {
    this.#claims = claims;
    this.#owners = new Recent(MAX_REMEMBERED, watch);
  }

  /** The id of the subject's owner, null when it is known to have none, undefined when only the store knows. */
  inMemory(subject: string): string | null | undefined {
    return this.#owners.get(subject);
  }

  /** The ids of the owners by subject; a subject without one is missing. One statement for all that are not in memory. */
  async ownersOf(subjects: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const owners = new Map<string, string>();
    const unknown = new Set<string>();
    for (const subject of subjects) {
      const owner = this.inMemory(subject);
      if (owner === undefined) unknown.add(subject);
      else if (owner !== null) owners.set(subject, owner);
    }
    if (unknown.size === 0) return owners;
    const looked = await this.#owners.look(
      async () => ownersByClaims(await this.#claims([...unknown])),
      (found) => [...unknown].map((subject) => [subject, found.get(subject) ?? null]),
    );
    return new Map([...owners, ...looked]);
  }

  /** To be called when the owners of these subjects have changed, before anybody is told so. */
  forget(subjects: readonly string[]): void {
    this.#owners.forget(subjects);
  }

  clear(): void {
    this.#owners.clear();
  }
}

/** The owner of each claimed subject: a key beats a subject key. */
function ownersByClaims(claims: readonly SubjectClaim[]): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const { subject, customerId, by } of claims) {
    if (by === "key" || !owners.has(subject)) owners.set(subject, customerId);
  }
  return owners;
}
