/**
 * What was looked up lately in a store, by name, because it is asked for with every batch of events, query or check of
 * access, and the store takes a millisecond. Bounded: what was not asked for longest goes first.
 *
 * Invariant: what was read before a change is never handed out once the change is answered. Whoever changes does so within
 * the watch's `during` and forgets what changed before that ends; a look-up that a change overlaps is answered, but not
 * remembered. It holds for the changes of this process only: a store that others write to needs more.
 */

/** Whether changes are under way; shared by all memories that one kind of change affects. */
export class ChangeWatch {
  #begun = 0;
  #underWay = 0;

  /** Does a change; what it affects is to be forgotten when it is committed, before the promise settles. */
  async during<Result>(change: () => Promise<Result>): Promise<Result> {
    this.#begun += 1;
    this.#underWay += 1;
    try {
      return await change();
    } finally {
      this.#underWay -= 1;
    }
  }

  /** Does a look-up, and `remember` with what it found unless a change overlapped it. */
  async look<Found>(read: () => Promise<Found>, remember: (found: Found) => void): Promise<Found> {
    const begun = this.#underWay === 0 ? this.#begun : null;
    const found = await read();
    if (begun === this.#begun) remember(found);
    return found;
  }
}

/** Values by name, at most `max` of them. */
export class Recent<Value> {
  readonly #max: number;
  readonly #watch: ChangeWatch;
  /** In the order of last use: a `Map` keeps the order of insertion. */
  readonly #values = new Map<string, Value>();

  /** Memories that are changed together share a watch. */
  constructor(max: number, watch = new ChangeWatch()) {
    this.#max = max;
    this.#watch = watch;
  }

  /** The value that is remembered under the name; undefined when none is. */
  get(name: string): Value | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    this.#values.delete(name);
    this.#values.set(name, value);
    return value;
  }

  /** The value that is remembered under the name, else what `read` finds; that there is none (null) is not remembered. */
  async getOrRead(name: string, read: () => Promise<Value | null>): Promise<Value | null> {
    return this.get(name) ?? (await this.look(read, (found) => (found === null ? [] : [[name, found]])));
  }

  /** Does a look-up of whatever shape, and remembers what `named` makes of it unless a change overlapped it. */
  async look<Found>(
    read: () => Promise<Found>,
    named: (found: Found) => Iterable<readonly [name: string, value: Value]>,
  ): Promise<Found> {
    return await this.#watch.look(read, (found) => {
      for (const [name, value] of named(found)) this.#remember(name, value);
    });
  }

  /** Does a change that may affect any value, so that all are forgotten. Meanwhile nothing is remembered. */
  async changing<Result>(change: () => Promise<Result>): Promise<Result> {
    this.clear();
    return await this.#watch.during(change);
  }

  forget(names: Iterable<string>): void {
    for (const name of names) this.#values.delete(name);
  }

  clear(): void {
    this.#values.clear();
  }

  #remember(name: string, value: Value): void {
    this.#values.delete(name);
    this.#values.set(name, value);
    if (this.#values.size <= this.#max) return;
    for (const oldest of this.#values.keys()) {
      this.#values.delete(oldest);
      return;
    }
  }
}
