import { expect, test } from "vitest";
import { instantFromMicros, plusMicros } from "../../kernel/instant.ts";
import { isOverdue, nextAttempt } from "./retry-schedule.ts";

const NOW = instantFromMicros(1_767_225_600_000_000);
const SECOND = 1_000_000;
const HOUR = 3600 * SECOND;

test.each([
  [1, 5],
  [2, 300],
  [3, 1800],
  [4, 7200],
  [5, 18_000],
  [6, 36_000],
  [7, 36_000],
])("after failure %i: %i seconds, and up to a tenth more", (tries, seconds) => {
  const failed = { tries, startedAt: NOW, retryAfterMs: null };
  expect(nextAttempt(failed, NOW, 0)).toBe(NOW + seconds * SECOND);
  expect(nextAttempt(failed, NOW, 1)).toBe(NOW + seconds * 1.1 * SECOND);
});

test("after the eighth failure it is over", () => {
  expect(nextAttempt({ tries: 8, startedAt: NOW, retryAfterMs: 1000 }, NOW, 0)).toBe("exhausted");
});

test("a receiver may prolong the delay, not shorten it", () => {
  const failed = { tries: 2, startedAt: NOW };
  expect(nextAttempt({ ...failed, retryAfterMs: 1000 }, NOW, 0)).toBe(NOW + 300 * SECOND);
  expect(nextAttempt({ ...failed, retryAfterMs: 600_000 }, NOW, 0)).toBe(NOW + 600 * SECOND);
});

test("never beyond 48 hours after the start", () => {
  const startedAt = plusMicros(NOW, -40 * HOUR);
  expect(nextAttempt({ tries: 6, startedAt, retryAfterMs: null }, NOW, 0)).toBe(NOW + 8 * HOUR);
  expect(isOverdue(startedAt, plusMicros(NOW, 8 * HOUR - 1))).toBe(false);
  expect(isOverdue(startedAt, plusMicros(NOW, 8 * HOUR))).toBe(true);
});
