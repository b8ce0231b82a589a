/**
 * What was looked up lately, by name, because ownership and customers are asked for with every batch of events and every
 * check of access, and the state store takes a millisecond. Bounded: what was not asked for longest goes first.
 *
 * Invariant: what was read before a change is never handed out once the change is answered. Whoever changes says so before,
 * forgets what changed when it is committed, and only then answers; a look-up that a change overlaps is not remembered. One
 * server at a time uses a state store, so no change goes by unseen.
 */

/** Whether changes are under way; shared by everything that one kind of change affects. */
export class ChangeWatch {
  #begun = 0;
  #underWay = 0;

  began(): void {
    this.#begun += 1;
    this.#underWay += 1;
  }

  ended(): void {
    this.#underWay -= 1;
  }

  /** Runs a look-up, and `remember` with what it found unless a change overlapped it. */
  async look<Found>(read: () => Promise<Found>, remember: (found: Found) => void): Promise<Found> {
    const begun = this.#underWay === 0 ? this.#begun : null;
    const found = await read();
    if (begun === this.#begun) remember(found);
    return found;
  }
}

export class Recent<Value> {
  readonly #max: number;
  /** In the order of last use: a `Map` keeps the order of insertion. */
  readonly #values = new Map<string, Value>();

  constructor(max: number) {
    this.#max = max;
  }

  /** The value that is remembered under the name; undefined when none is. */
  get(name: string): Value | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    this.#values.delete(name);
    this.#values.set(name, value);
    return value;
  }

  set(name: string, value: Value): void {
    this.#values.delete(name);
    this.#values.set(name, value);
    if (this.#values.size <= this.#max) return;
    for (const oldest of this.#values.keys()) {
      this.#values.delete(oldest);
      return;
    }
  }

  forget(names: Iterable<string>): void {
    for (const name of names) this.#values.delete(name);
  }

  clear(): void {
    this.#values.clear();
  }
}
