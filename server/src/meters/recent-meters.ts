/**
 * Meters that were looked up lately, because every query begins with its meter and the state store takes a millisecond.
 *
 * Invariant: a meter read before a change is never handed out after it. Whoever changes meters says so before and after the
 * change; a look-up that a change overlaps is not remembered. One server at a time uses a state store.
 */

import type { Meter } from "./meter.ts";

const MAX_REMEMBERED = 10_000;

export class RecentMeters {
  readonly #byName = new Map<string, Meter>();
  #changes = 0;
  #underWay = 0;

  /** The meter by id or slug: remembered, or read by `read`, which resolves with null when there is none. */
  async get(idOrSlug: string, read: () => Promise<Meter | null>): Promise<Meter | null> {
    const known = this.#byName.get(idOrSlug);
    if (known !== undefined) return known;
    const changes = this.#changes;
    const meter = await read();
    if (meter !== null && this.#underWay === 0 && changes === this.#changes) {
      if (this.#byName.size >= MAX_REMEMBERED) this.#byName.clear();
      this.#byName.set(idOrSlug, meter);
    }
    return meter;
  }

  /** Does a change of any meter. */
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
