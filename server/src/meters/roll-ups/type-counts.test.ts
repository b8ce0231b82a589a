/** The law of counts by type: what is said of the events after a vector is never too small, however the steps were joined. */

import fc from "fast-check";
import { expect, test } from "vitest";
import type { EventTypeCount, PositionVector } from "../../engines/event-store/index.ts";
import { TypeCounts } from "./type-counts.ts";

const TYPES = ["a", "b"] as const;

interface Stored {
  readonly type: (typeof TYPES)[number];
  readonly partition: number;
  readonly offset: number;
}

/** Counts as the event store does. */
class Events {
  readonly all: Stored[] = [];
  readonly ends = new Map<number, number>();

  add(partition: number, type: (typeof TYPES)[number]): void {
    const offset = (this.ends.get(partition) ?? -1) + 1;
    this.ends.set(partition, offset);
    this.all.push({ type, partition, offset });
  }

  between(type: string, after: PositionVector, upTo: PositionVector): number {
    const isIn = (vector: PositionVector, { partition, offset }: Stored) => offset <= (vector.get(partition) ?? -1);
    return this.all.filter((event) => event.type === type && isIn(upTo, event) && !isIn(after, event)).length;
  }

  async countByType(after: PositionVector, upTo: PositionVector): Promise<readonly EventTypeCount[]> {
    return TYPES.map((type) => ({ namespace: "n", type, events: this.between(type, after, upTo) })).filter(
      ({ events }) => events > 0,
    );
  }
}

/** A step: how many events of each type come to each of two partitions. */
const steps = fc.array(fc.array(fc.tuple(fc.nat({ max: 1 }), fc.constantFrom(...TYPES)), { maxLength: 4 }), {
  minLength: 1,
  maxLength: 40,
});

test("counts after any vector are never too small, and exact at the vectors of recent steps", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.nat({ max: 40 }), fc.nat({ max: 40 }), async (arrivals, p, q) => {
      const events = new Events();
      const counts = new TypeCounts(events);
      const vectors: PositionVector[] = [new Map()];
      for (const arrival of arrivals) {
        for (const [partition, type] of arrival) events.add(partition, type);
        const upTo = new Map(events.ends);
        expect(await counts.advance(upTo)).toBe(arrival.length > 0);
        vectors.push(upTo);
      }
      for (const type of TYPES) {
        expect(counts.total("n", type)).toBe(events.between(type, new Map(), counts.position));
        for (const vector of vectors) {
          expect(counts.after(vector, "n", type)).toBe(events.between(type, vector, counts.position));
        }
        const anywhere = new Map([
          [0, p],
          [1, q],
        ]);
        expect(counts.after(anywhere, "n", type)).toBeGreaterThanOrEqual(
          events.between(type, anywhere, counts.position),
        );
      }
    }),
  );
});

test("old steps are joined, and the counts stay large enough", async () => {
  const events = new Events();
  const counts = new TypeCounts(events);
  const vectors: PositionVector[] = [];
  for (let step = 0; step < 1_200; step += 1) {
    events.add(step % 3 === 0 ? 1 : 0, step % 5 === 0 ? "b" : "a");
    const upTo = new Map(events.ends);
    await counts.advance(upTo);
    vectors.push(upTo);
  }
  expect(counts.total("n", "a") + counts.total("n", "b")).toBe(1_200);
  const sampled = vectors.filter((_, index) => index % 37 === 0 || index > 1_190);
  const said = sampled.map((vector) => counts.after(vector, "n", "a"));
  const real = sampled.map((vector) => events.between("a", vector, counts.position));
  expect(said.map((count, index) => count >= (real[index] ?? 0))).toEqual(sampled.map(() => true));
  expect(said.at(-1)).toBe(real.at(-1));
  // Joined steps count too many, or nothing would have been joined.
  expect(said.some((count, index) => count > (real[index] ?? 0))).toBe(true);
});

test("counts are kept apart by namespace and type, and what is not new is not asked for", async () => {
  const events = new Events();
  const counts = new TypeCounts(events);
  events.add(0, "a");
  expect(await counts.advance(new Map([[0, 0]]))).toBe(true);
  expect(await counts.advance(new Map([[0, 0]]))).toBe(false);
  expect(await counts.advance(new Map())).toBe(false);
  expect([counts.total("n", "a"), counts.total("m", "a"), counts.total("n", "b")]).toEqual([1, 0, 0]);
});
