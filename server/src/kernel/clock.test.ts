import { expect, test } from "vitest";

import { ManualClock, systemClock } from "./clock.ts";
import { instantFromMillis } from "./instant.ts";

test("the system clock tells the machine's time", () => {
  const before = Date.now();
  const now = systemClock.now();
  const after = Date.now();
  expect(Number.isSafeInteger(now)).toBe(true);
  // Date.now() is floored to the millisecond.
  expect(now).toBeGreaterThanOrEqual(instantFromMillis(before));
  expect(now).toBeLessThan(instantFromMillis(after + 1));
});

test("a manual clock stands still until it is moved", () => {
  const clock = new ManualClock(instantFromMillis(1_000));
  expect([clock.now(), clock.now()]).toEqual([1_000_000, 1_000_000]);
  clock.advance(5);
  expect(clock.now()).toBe(1_000_005);
  clock.set(instantFromMillis(1));
  expect(clock.now()).toBe(1_000);
});
