/**
 * Sums of events by slot, as one side of a comparison has them. Two ledgers whose slots are equal hold the same events.
 *
 * Memory: about a hundred bytes for a thousand events.
 */

import { SLOT_OFFSETS, type SlotSums, slotWeight, SUM_LIMIT } from "../../engines/event-store/index.ts";

interface MutableSums {
  rows: number;
  readonly content: [number, number];
  readonly identity: [number, number];
}

const NOTHING: Omit<SlotSums, "slot"> = { rows: 0, content: [0, 0], identity: [0, 0] };

export class Ledger {
  readonly #slots = new Map<number, MutableSums>();
  readonly #slotOffsets: number;
  #rows = 0;

  /** Slots of `slotOffsets` offsets each; 1 tells every offset apart. */
  constructor(slotOffsets: number = SLOT_OFFSETS) {
    this.#slotOffsets = slotOffsets;
  }

  get rows(): number {
    return this.#rows;
  }

  /** The slots with rows, ascending. */
  get slots(): readonly number[] {
    return [...this.#slots.keys()].toSorted((a, b) => a - b);
  }

  /** What is in the slot; zeros when nothing is. */
  at(slot: number): Omit<SlotSums, "slot"> {
    return this.#slots.get(slot) ?? NOTHING;
  }

  /** Adds an event by the words of its content. */
  addEvent(offset: number, first: number, second: number): void {
    const sums = this.#slotOf(offset);
    sums.content[0] += first;
    sums.content[1] += second;
  }

  /** Adds a claim by the first two words of its identity. */
  addClaim(offset: number, first: number, second: number): void {
    const sums = this.#slotOf(offset);
    const weight = slotWeight(offset);
    sums.identity[0] = (sums.identity[0] + first * weight) % SUM_LIMIT;
    sums.identity[1] = (sums.identity[1] + second * weight) % SUM_LIMIT;
  }

  /** Adds sums of the same slots. */
  addSums({ slot, rows, content, identity }: SlotSums): void {
    const sums = this.#slotOf(slot * this.#slotOffsets, rows);
    for (const index of [0, 1] as const) {
      sums.content[index] += content[index];
      sums.identity[index] = (sums.identity[index] + identity[index]) % SUM_LIMIT;
    }
  }

  #slotOf(offset: number, rows = 1): MutableSums {
    const slot = Math.floor(offset / this.#slotOffsets);
    let sums = this.#slots.get(slot);
    if (sums === undefined) {
      sums = { rows: 0, content: [0, 0], identity: [0, 0] };
      this.#slots.set(slot, sums);
    }
    sums.rows += rows;
    this.#rows += rows;
    return sums;
  }
}

/** The slots in which the sums of `kind` or the numbers of rows differ, ascending. */
export function differingSlots(a: Ledger, b: Ledger, kind: "content" | "identity"): readonly number[] {
  const slots = [...new Set([...a.slots, ...b.slots])].toSorted((x, y) => x - y);
  return slots.filter((slot) => {
    const [one, other] = [a.at(slot), b.at(slot)];
    return one.rows !== other.rows || one[kind].some((sum, index) => sum !== other[kind][index]);
  });
}

/** Whether `many` are the sums of `rows` times what `one` has, on the given side of the ledger. */
export function isRepeated(
  many: Omit<SlotSums, "slot">,
  one: Omit<SlotSums, "slot">,
  kind: "content" | "identity",
): boolean {
  const times = many.rows;
  return many[kind].every((sum, index) => sum === ((one[kind][index] ?? 0) * times) % SUM_LIMIT);
}
