/**
 * The rules that act, in memory: every batch of usage asks which rules watch what it touched, and mostly none does.
 *
 * Invariant: a rule read before a change is never handed out after the change was answered, not even if the answer was that
 * nobody knows what became of it. Whoever changes rules says so; one server at a time uses a state store.
 */

import type { Rule, RuleType } from "./rule.ts";

export class RuleBook {
  readonly #read: () => Promise<readonly Rule[]>;
  #rules: readonly Rule[] | null = null;
  #reads = 0;
  /** Number of the read that `#rules` came from, or of the last one that is not to be used. */
  #latest = 0;

  /** `read` resolves with all rules that are neither deleted nor disabled. */
  constructor(read: () => Promise<readonly Rule[]>) {
    this.#read = read;
  }

  /** Reads the rules again; after every change, before it is answered. */
  async refresh(): Promise<void> {
    this.#reads += 1;
    const number = this.#reads;
    const rules = await this.#read();
    // A read that began later knows at least as much.
    if (number < this.#latest) return;
    this.#latest = number;
    this.#rules = rules;
  }

  /** Nobody knows what the rules are now: they are read when they are asked for, and no read under way is used. */
  forget(): void {
    this.#reads += 1;
    this.#latest = this.#reads;
    this.#rules = null;
  }

  /** The rules of a type that act. */
  async of(type: RuleType): Promise<readonly Rule[]> {
    while (this.#rules === null) await this.refresh();
    return this.#rules.filter((rule) => rule.type === type);
  }

  /** Whether no rule of the type acts, as far as is known without waiting: false while rules were not read yet. */
  hasNone(type: RuleType): boolean {
    return this.#rules !== null && !this.#rules.some((rule) => rule.type === type);
  }
}
