/** A remembered feature is never older than the last change. */

import { expect, test } from "vitest";
import type { Feature } from "./feature.ts";
import { RecentFeatures } from "./recent-features.ts";

const feature = (name: string) => ({ id: "1", key: "a", name }) as Feature;

test("what was looked up is remembered until anything changes", async () => {
  const recent = new RecentFeatures();
  recent.remember("a", feature("old"), recent.mark());
  expect(recent.peek("a")).toEqual(feature("old"));
  expect(await recent.changing(async () => recent.peek("a"))).toBeUndefined();
  expect(recent.peek("a")).toBeUndefined();
});

test("a look-up that a change overlaps is not remembered, whichever begins and ends first", async () => {
  const recent = new RecentFeatures();
  const before = recent.mark();
  await recent.changing(async () => {
    const during = recent.mark();
    recent.remember("a", feature("old"), before);
    recent.remember("a", feature("old"), during);
    expect(recent.peek("a")).toBeUndefined();
    await recent.changing(async () => undefined);
    // One of two changes at once is over, the other is not.
    recent.remember("a", feature("old"), recent.mark());
    expect(recent.peek("a")).toBeUndefined();
  });
  recent.remember("a", feature("old"), before);
  expect(recent.peek("a")).toBeUndefined();
  await expect(recent.changing(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  recent.remember("a", feature("new"), recent.mark());
  expect(recent.peek("a")).toEqual(feature("new"));
});
