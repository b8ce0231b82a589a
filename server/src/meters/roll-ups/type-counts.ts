/**
 * How many events of each type are stored, in all and after the coverage of a roll-up, without asking the store again and
 * again: it is asked for the events since the last time, and remembers the counts of the last few hundred times.
 */

import type { PositionVector, RollUpStore } from "../../engines/event-store/index.ts";

interface Step {
  readonly after: PositionVector;
  readonly upTo: PositionVector;
  readonly counts: ReadonlyMap<string, number>;
}

/** Steps that are older than this many are added up into one. */
const MAX_STEPS = 512;

export class TypeCounts {
  readonly #store: Pick<RollUpStore, "countByType">;
  #steps: Step[] = [];
  #totals = new Map<string, number>();
  #position: PositionVector = new Map();

  constructor(store: Pick<RollUpStore, "countByType">) {
    this.#store = store;
  }

  /** Up to where events are counted. */
  get position(): PositionVector {
    return this.#position;
  }

  /** Counts what is new up to the vector; false when there is nothing. */
  async advance(upTo: PositionVector): Promise<boolean> {
    const after = this.#position;
    if ([...upTo].every(([partition, offset]) => offset <= (after.get(partition) ?? -1))) return false;
    const rows = await this.#store.countByType(after, upTo);
    const counts = new Map(rows.map(({ namespace, type, events }) => [keyOf(namespace, type), events]));
    for (const [key, events] of counts) this.#totals.set(key, (this.#totals.get(key) ?? 0) + events);
    this.#steps.push({ after, upTo, counts });
    if (this.#steps.length > MAX_STEPS) this.#steps = [...joined(this.#steps.slice(0, -1)), ...this.#steps.slice(-1)];
    this.#position = upTo;
    return true;
  }

  total(namespace: string, type: string): number {
    return this.#totals.get(keyOf(namespace, type)) ?? 0;
  }

  /** Events of the type after the vector and up to `position`; may count too many, never too few. */
  after(coverage: PositionVector, namespace: string, type: string): number {
    const key = keyOf(namespace, type);
    let events = 0;
    for (const step of this.#steps) {
      const isCovered = [...step.upTo].every(([partition, offset]) => offset <= (coverage.get(partition) ?? -1));
      if (!isCovered) events += step.counts.get(key) ?? 0;
    }
    return events;
  }
}

function keyOf(namespace: string, type: string): string {
  return JSON.stringify([namespace, type]);
}

function joined(steps: readonly Step[]): readonly Step[] {
  const [first] = steps;
  const last = steps.at(-1);
  if (first === undefined || last === undefined) return [];
  const counts = new Map<string, number>();
  for (const step of steps) {
    for (const [key, events] of step.counts) counts.set(key, (counts.get(key) ?? 0) + events);
  }
  return [{ after: first.after, upTo: last.upTo, counts }];
}
