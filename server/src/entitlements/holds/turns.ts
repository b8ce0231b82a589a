/** Turns: work on one entitlement happens one piece after the other, in the order in which it came; others do not wait. */

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Does the work when everything before it under the same name has ended, well or not; settles as the work does. */
  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name);
    const turn = before === undefined ? work() : before.then(work);
    // The next turn waits for the end of this one and does not care how it ended.
    const end = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(name, end);
    try {
      return await turn;
    } finally {
      if (this.#last.get(name) === end) this.#last.delete(name);
    }
  }
}
