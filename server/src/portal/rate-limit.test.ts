/** How often a token may ask, and that memory stays bounded. */

import { expect, test } from "vitest";
import { instantFromMicros } from "../kernel/instant.ts";
import { RateLimit } from "./rate-limit.ts";

const at = (seconds: number) => instantFromMicros(1_767_225_600_000_000 + seconds * 1_000_000);

test("a minute begins with the first request and allows so many", () => {
  const limit = new RateLimit(2);
  const asked: readonly (readonly [string, number, number])[] = [
    ["a", 0, 0],
    ["a", 10, 0],
    ["a", 10.5, 50],
    ["b", 10.5, 0],
    ["a", 59.999, 1],
    ["a", 60, 0],
    ["a", 61, 0],
    ["a", 61, 59],
    ["b", 69, 0],
    ["b", 69, 2],
    ["b", 70.5, 0],
    // The clock was set back.
    ["a", 5, 0],
    ["a", 5, 0],
    ["a", 5, 60],
  ];
  for (const [token, seconds, wait] of asked)
    expect([token, seconds, limit.count(token, at(seconds))]).toEqual([token, seconds, wait]);
});

test("a token that goes on asking does not keep those after it", () => {
  const limit = new RateLimit(1, 3);
  const times: readonly (readonly [string, number])[] = [
    ["a", 0],
    ["b", 2],
    ["a", 61],
    ["c", 62],
  ];
  for (const [token, seconds] of times) expect(limit.count(token, at(seconds))).toBe(0);
  expect(limit.size).toBe(2);
});

test("minutes that are over are forgotten, and the oldest when there are too many", () => {
  const limit = new RateLimit(1, 3);
  for (const token of ["a", "b", "c"]) expect(limit.count(token, at(0))).toBe(0);
  expect(limit.count("d", at(1))).toBe(0);
  expect(limit.size).toBe(3);
  expect(limit.count("b", at(1))).toBe(59);
  // "a" was forgotten and starts anew, at the cost of "b".
  expect(limit.count("a", at(1))).toBe(0);
  expect(limit.count("c", at(2))).toBe(58);
  expect(limit.count("e", at(100))).toBe(0);
  expect(limit.size).toBe(1);
});
