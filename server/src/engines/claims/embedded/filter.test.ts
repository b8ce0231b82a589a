import { expect, test } from "vitest";
import { randomFillSync } from "node:crypto";
import { Filter, filterWords, type KeyHashes } from "./filter.ts";

const ASKED = 200_000;

function randomHashes(count: number): KeyHashes {
  return { places: randomFillSync(new Uint32Array(count)), bits: randomFillSync(new Uint32Array(count)) };
}

function addAll(filter: Filter, { places, bits }: KeyHashes): void {
  for (let from = 0; from < places.length; from += 1000) {
    const part = { places: places.subarray(from, from + 1000), bits: bits.subarray(from, from + 1000) };
    filter.add(part, part.places.length);
  }
}

/** How many of the keys may be in the filter, as far as it knows. */
function possible(filter: Filter, hashes: KeyHashes): number {
  const found: number[] = [];
  const indices = Uint32Array.from(hashes.places.keys());
  filter.collectPossible(hashes, indices, 0, indices.length, found);
  return found.length;
}

test.each([1, 127, 1023, 1024, 1025, 100_000])("of %d keys none is ruled out", (count) => {
  const filter = new Filter(new Uint32Array(filterWords(count)));
  const hashes = randomHashes(count);
  addAll(filter, hashes);
  expect(possible(filter, hashes)).toBe(count);
});

test("an empty filter rules out everything", () => {
  expect(possible(new Filter(new Uint32Array(filterWords(1000))), randomHashes(ASKED))).toBe(0);
});

// The bounds are more than five standard deviations away from what the theory of these filters says.
test.each([
  { entries: 1_000_000, share: 0.000_163, bound: 0.0003 },
  { entries: 4_000_001, share: 0.000_42, bound: 0.0007 },
])("$entries keys let $share of other keys through, or hardly more", ({ entries, bound }) => {
  const filter = new Filter(new Uint32Array(filterWords(entries)));
  addAll(filter, randomHashes(entries));
  expect(possible(filter, randomHashes(ASKED))).toBeLessThan(bound * ASKED);
});

test("only the indices of the range are asked, and their order is kept", () => {
  const filter = new Filter(new Uint32Array(filterWords(3000)));
  const hashes = randomHashes(3000);
  addAll(filter, hashes);
  const indices = Uint32Array.from(hashes.places.keys()).toReversed();
  const found: number[] = [];
  filter.collectPossible(hashes, indices, 100, 2500, found);
  expect(found).toEqual([...indices.subarray(100, 2500)]);
});
