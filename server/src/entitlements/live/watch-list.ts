/**
 * The usage that the sink is asked to tell about. The list only grows while meters stay as they are: usage that nobody
 * needs any more costs little, and a balance may come back.
 *
 * Invariant: from the offset that `add` returns on, the sink's reports tell about the usage. The sink takes the list before
 * it learns that any later event is durable.
 */

import type { WatchedUsage } from "../../events/index.ts";

export interface WatchListOptions {
  /** Hands the list to the sink. */
  readonly watch: (usages: readonly WatchedUsage[]) => void;
  /** One past the last durable offset. */
  readonly logEnd: () => number;
}

interface Entry {
  readonly usage: WatchedUsage;
  readonly meterId: string;
  readonly from: number;
}

export class WatchList {
  readonly #options: WatchListOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: WatchListOptions) {
    this.#options = options;
  }

  usages(): readonly WatchedUsage[] {
    return [...this.#entries.values()].map(({ usage }) => usage);
  }

  /** Watches all of them; returns the first offset from which on that holds. */
  addAll(wanted: readonly { readonly usage: WatchedUsage; readonly meterId: string }[]): number {
    const added = wanted.filter(({ usage }) => !this.#entries.has(usage.key));
    const end = this.#options.logEnd();
    for (const { usage, meterId } of added) this.#entries.set(usage.key, { usage, meterId, from: end });
    if (added.length > 0) this.#options.watch(this.usages());
    return wanted.reduce((from, { usage }) => Math.max(from, this.#entries.get(usage.key)?.from ?? end), 0);
  }

  /** Forgets the usage of a meter that has changed. */
  removeMeter(meterId: string): void {
    for (const [key, entry] of this.#entries) if (entry.meterId === meterId) this.#entries.delete(key);
    this.#options.watch(this.usages());
  }
}
