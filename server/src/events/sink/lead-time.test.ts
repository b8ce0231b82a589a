/** When the next batch is prepared while one is being inserted. */

import { expect, test } from "vitest";
import { LeadTime } from "./lead-time.ts";

const LIMIT = 50_000;

function after(insertMs: number, prepareMs: number, events: number): LeadTime {
  const lead = new LeadTime();
  lead.inserted(insertMs);
  lead.prepared(prepareMs, events);
  return lead;
}

test("the first batch is prepared at once, because nothing is known", () => {
  expect(new LeadTime().waitMs(100, LIMIT)).toBe(0);
});

test("the batch is ready a little before the insert is over", () => {
  // 2,000 events take 20 ms, with the margin 30, and 20 a millisecond arrive: 65.4 ms later there are 2,308 events, which
  // take 34.6 ms.
  expect(after(100, 20, 2_000).waitMs(1_000, LIMIT)).toBeCloseTo(65.38);
});

test("the more events wait, the sooner preparing begins, and at once when it takes as long as the insert", () => {
  const lead = after(100, 20, 2_000);
  expect(lead.waitMs(5_000, LIMIT)).toBeCloseTo(19.23);
  expect(lead.waitMs(10_000, LIMIT)).toBe(0);
  expect(after(4, 0.1, 100).waitMs(10, LIMIT)).toBe(0);
});

test("a full batch does not wait, however slow inserts are", () => {
  expect(after(60_000, 1, 50_000).waitMs(LIMIT, LIMIT)).toBe(0);
  expect(after(60_000, 1, 50_000).waitMs(LIMIT - 1, LIMIT)).toBeGreaterThan(0);
});
