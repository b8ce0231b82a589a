/** Creating, changing, reading and deleting subjects. */

import type { Kysely, Transaction } from "kysely";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import { Fault } from "../../kernel/fault.ts";
import type { CustomerService } from "../customer-service.ts";
import { displayNames, findSubject, listSubjects, markSubjectDeleted, upsertSubject } from "./subject-store.ts";
import { compareKeys, draftErrors, type Subject, type SubjectDraft } from "./subject.ts";

export interface SubjectServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  /** Who has subjects as its own. */
  readonly customers: Pick<CustomerService, "giveOwners" | "releaseSubjectKey">;
  /** Whether a subject that nobody owns gets a customer when it is created or changed. */
  readonly givesOwners: boolean;
}

export class SubjectService {
  readonly #options: SubjectServiceOptions;

  constructor(options: SubjectServiceOptions) {
    this.#options = options;
  }

  /**
   * Creates or changes subjects by key, all of them or none, and returns them in the order of the drafts. A key that is
   * named twice is changed twice, in order. Subjects that nobody owns get a customer, unless that is turned off. Fault: `invalid_subject` with every offending field.
   */
  async upsert(drafts: readonly SubjectDraft[]): Promise<readonly Subject[]> {
    const { db, namespace, clock, newId, customers, givesOwners } = this.#options;
    const errors = draftErrors(drafts);
    const [first] = errors;
    if (first !== undefined) throw new Fault("validation", "invalid_subject", first.message, { fields: errors });
    // Two requests that name the same keys take their rows in the same order, so that neither waits for the other.
    const order = drafts
      .map((draft, index) => ({ draft, index }))
      .toSorted((a, b) => compareKeys(a.draft.key, b.draft.key) || a.index - b.index);
    const write = async (tx: Transaction<Database>): Promise<readonly Subject[]> => {
      const last = new Map<string, Subject>();
      for (const { draft } of order) {
        last.set(draft.key, await upsertSubject(tx, draft, { namespace, newId: newId(), at: clock.now() }));
      }
      return drafts.flatMap(({ key }) => last.get(key) ?? []);
    };
    return givesOwners ? await customers.giveOwners(write) : await db.transaction().execute(write);
  }

  /** The subject with this id, deleted or not, or the live subject with this key. Fault: `subject_not_found`. */
  async get(idOrKey: string): Promise<Subject> {
    const subject = await findSubject(this.#options.db, this.#options.namespace, idOrKey);
    if (subject === null) throw new Fault("not_found", "subject_not_found", `subject not found: ${idOrKey}`);
    return subject;
  }

  /** All live subjects, by key. */
  async list(): Promise<readonly Subject[]> {
    return await listSubjects(this.#options.db, this.#options.namespace);
  }

  /**
   * Deletes the subject with this id or key and takes its key from the subject keys of its customer, which goes as well if
   * it was made for this subject and nothing is attached to it; without a live subject there is nothing to do.
   */
  async delete(idOrKey: string): Promise<void> {
    const { db, namespace, clock, customers } = this.#options;
    const subject = await findSubject(db, namespace, idOrKey);
    if (subject === null || subject.deletedAt !== null) return;
    await customers.releaseSubjectKey(subject.key, (tx) => markSubjectDeleted(tx, subject.id, clock.now()));
  }

  /** What to call those of the keys that are live subjects: the display name, or else the key. */
  async names(keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const found = await displayNames(this.#options.db, this.#options.namespace, keys);
    return new Map([...found].map(([key, name]) => [key, name ?? key]));
  }
}
