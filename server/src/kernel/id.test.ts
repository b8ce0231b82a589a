import { describe, expect, test } from "vitest";

import { ManualClock } from "./clock.ts";
import { createUlidSource, isKey, isUlid, parseUlid } from "./id.ts";
import { instantFromMillis } from "./instant.ts";

const example = "01ARYZ6S41TSV4RRFFQ69G5FAV";

describe("ULIDs", () => {
  test("the first ten characters are the time, the rest random", () => {
    const clock = new ManualClock(instantFromMillis(1_469_918_176_385));
    expect(createUlidSource(clock, (count) => new Uint8Array(count))()).toBe("01ARYZ6S410000000000000000");
    expect(createUlidSource(clock, (count) => new Uint8Array(count).fill(255))()).toBe("01ARYZ6S41ZZZZZZZZZZZZZZZZ");
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => i + 16);
    expect(createUlidSource(clock, () => bytes)()).toBe("01ARYZ6S41GHJKMNPQRSTVWXYZ");
  });

  test("increase within a millisecond, when the clock steps back, and when the random part is full", () => {
    const clock = new ManualClock(instantFromMillis(1_000));
    let fill = 0;
    const next = createUlidSource(clock, (count) => new Uint8Array(count).fill(fill));
    const ids = [next(), next()];
    clock.advance(999);
    ids.push(next());
    clock.advance(-5_000_000);
    ids.push(next());
    fill = 31;
    clock.set(instantFromMillis(2_000));
    ids.push(next(), next(), next());
    expect(ids).toEqual([
      "00000000Z80000000000000000",
      "00000000Z80000000000000001",
      "00000000Z80000000000000002",
      "00000000Z80000000000000003",
      "00000001YGZZZZZZZZZZZZZZZZ",
      "00000001YHZZZZZZZZZZZZZZZZ",
      "00000001YJZZZZZZZZZZZZZZZZ",
    ]);
    expect(ids.toSorted()).toEqual(ids);
  });

  test("carry over digits when they count up", () => {
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => (i < 8 ? 0 : 31));
    const next = createUlidSource(new ManualClock(instantFromMillis(0)), () => bytes);
    expect([next(), next()]).toEqual(["000000000000000000ZZZZZZZZ", "00000000000000000100000000"]);
  });

  test("thousands of ids are distinct, ordered and well formed", () => {
    const clock = new ManualClock(instantFromMillis(1_763_000_000_000));
    let seed = 1;
    const next = createUlidSource(clock, (count) =>
      Uint8Array.from({ length: count }, () => (seed = (seed * 48_271) % 2_147_483_647) & 255),
    );
    const ids = Array.from({ length: 5_000 }, (_, i) => {
      if (i % 3 === 0) clock.advance(400);
      return next();
    });
    expect(ids.filter((id) => !isUlid(id))).toEqual([]);
    expect([...new Set(ids)].toSorted()).toEqual(ids);
  });

  test.each([
    [example, example],
    [example.toLowerCase(), example],
    ["01arYZ6S41TSV4RRFFQ69G5FAV", example],
    ["7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"],
    ["81ARYZ6S41TSV4RRFFQ69G5FAV", null],
    ["01ARYZ6S41TSV4RRFFQ69G5FA", null],
    ["01ARYZ6S41TSV4RRFFQ69G5FAVV", null],
    ["01ARYZ6S41TSV4RRFFQ69G5FAI", null],
    ["01ARYZ6S41TSV4RRFFQ69G5FAl", null],
    ["01ARYZ6S41TSV4RRFFQ69G5FAo", null],
    ["01ARYZ6S41TSV4RRFFQ69G5FAU", null],
    [`${example}\n`, null],
    ["", null],
  ])("%j is read as %j", (text, id) => {
    expect(parseUlid(text)).toBe(id);
    expect(isUlid(text)).toBe(id !== null && text === id);
  });
});

describe("keys", () => {
  test.each(["a", "0", "api_requests_total", "gpt4", "a".repeat(64)])("%s is one", (text) => {
    expect(isKey(text)).toBe(true);
  });

  test.each(["", "_a", "a_", "a__b", "A", "a-b", "a b", "é", "a\n", "a".repeat(65)])("%j is none", (text) => {
    expect(isKey(text)).toBe(false);
  });
});
