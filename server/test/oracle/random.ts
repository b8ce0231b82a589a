/** Reproducible randomness for the oracle: everything it does is a function of one seed. */

/** A small generator of the xorshift family; good enough to pick test data, not for anything else. */
export class Random {
  #state: number;

  constructor(seed: number) {
    // The generator never leaves zero, and neighbouring seeds should not begin alike.
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) >>> 0 || 1;
    for (let round = 0; round < 8; round += 1) this.#next();
  }

  /** A whole number in `[0, bound)`. */
  below(bound: number): number {
    return Math.floor((this.#next() / 2 ** 32) * bound);
  }

  /** A whole number in `[from, to]`. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(choices: readonly [T, ...T[]] | readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  /** Each choice with even odds, in the given order. */
  some<T>(choices: readonly T[]): T[] {
    return choices.filter(() => this.oneIn(2));
  }

  shuffled<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, rank: this.#next() }))
      .toSorted((a, b) => a.rank - b.rank)
      .map(({ item }) => item);
  }

  list<T>(length: number, make: (index: number) => T): T[] {
    return Array.from({ length }, (_, index) => make(index));
  }

  #next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state;
  }
}
