/**
 * Features that were looked up lately: access checks name one each, and must not wait for the state store.
 *
 * Invariant: a feature read before a change is never handed out after it. Whoever changes features says so before and after
 * the change; a look-up that a change overlaps is not remembered. One server at a time uses a state store.
 */

import type { Feature } from "./feature.ts";

const MAX_REMEMBERED = 10_000;

export class RecentFeatures {
  readonly #byName = new Map<string, Feature>();
  #changes = 0;
  #underWay = 0;

  /** The feature by id or key if it was looked up since the last change. */
  peek(idOrKey: string): Feature | undefined {
    return this.#byName.get(idOrKey);
  }

  /** Marks the moment before a look-up, for `remember`. */
  mark(): number {
    return this.#changes;
  }

  /** Remembers what was looked up after `mark` was taken, unless a change overlapped the look-up. */
  remember(idOrKey: string, feature: Feature, mark: number): void {
    if (this.#underWay > 0 || mark !== this.#changes) return;
    if (this.#byName.size >= MAX_REMEMBERED) this.#byName.clear();
    this.#byName.set(idOrKey, feature);
  }

  /** Does a change of any feature. */
  async changing<T>(change: () => Promise<T>): Promise<T> {
    this.#underWay += 1;
    this.#forget();
    try {
      return await change();
    } finally {
      this.#underWay -= 1;
      this.#forget();
    }
  }

  #forget(): void {
    this.#changes += 1;
    this.#byName.clear();
  }
}
