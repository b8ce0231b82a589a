import { describe, expect, test } from "vitest";

import type { Instant } from "../../kernel/instant.ts";
import { formatInstant } from "../../kernel/instant.ts";
import { at, duration, grantOf, hour } from "./conformance/fixtures.ts";
import type { ExpirationUnit } from "./grant.ts";
import { compareBurnOrder, endOfGrant, expiryOf, isGrantActive, nextRecurrence } from "./grant.ts";

const shown = (instant: Instant | null) => (instant === null ? null : formatInstant(instant));

describe("expiry", () => {
  test.each<[string, ExpirationUnit, number, string]>([
    ["2024-01-31T00:00:00Z", "MONTH", 1, "2024-03-02T00:00:00Z"],
    ["2023-01-31T08:30:00Z", "MONTH", 1, "2023-03-03T08:30:00Z"],
    ["2024-02-29T00:00:00Z", "YEAR", 1, "2025-03-01T00:00:00Z"],
    ["2024-02-29T00:00:00Z", "YEAR", 4, "2028-02-29T00:00:00Z"],
    ["2024-12-31T23:59:00Z", "MONTH", 2, "2025-03-03T23:59:00Z"],
    ["2024-05-31T00:00:00Z", "MONTH", 12, "2025-05-31T00:00:00Z"],
    ["1969-01-31T00:00:00Z", "MONTH", 13, "1970-03-03T00:00:00Z"],
    ["2024-02-28T12:00:00Z", "DAY", 2, "2024-03-01T12:00:00Z"],
    ["2024-02-28T12:00:00Z", "WEEK", 1, "2024-03-06T12:00:00Z"],
    ["2024-02-28T12:00:00Z", "HOUR", 1000, "2024-04-10T04:00:00Z"],
    ["2024-01-01T00:00:00Z", "YEAR", 100, "2124-01-01T00:00:00Z"],
  ])("%s and %s x %i is %s", (effectiveAt, unit, count, expected) => {
    expect(formatInstant(expiryOf(at(effectiveAt), unit, count))).toBe(expected);
  });

  test("beyond the range of instants is refused", () => {
    expect(() => expiryOf(at("2024-01-01T00:00:00Z"), "YEAR", 1000)).toThrow("between the years 1684 and 2255");
  });
});

describe("the end", () => {
  test("is the earliest of expiry, voiding and deletion, floored to the minute", () => {
    const expiring = grantOf("a", "1", { expiresAt: hour(5) });
    expect(shown(endOfGrant(grantOf("a", "1")))).toBeNull();
    expect(endOfGrant(expiring)).toBe(hour(5));
    expect(endOfGrant({ ...expiring, voidedAt: hour(3) })).toBe(hour(3));
    expect(endOfGrant({ ...expiring, voidedAt: hour(6), deletedAt: hour(4.0001) })).toBe(hour(4));
  });

  test("is exclusive, the start inclusive", () => {
    const grant = grantOf("a", "1", { effectiveAt: hour(1), expiresAt: hour(2) });
    const active = [hour(1) - 1, hour(1), hour(2) - 1, hour(2)].map((time) => isGrantActive(grant, time as Instant));
    expect(active).toEqual([false, true, true, false]);
    expect(isGrantActive({ ...grant, voidedAt: hour(1) }, hour(1))).toBe(false);
  });
});

describe("the burn order", () => {
  test.each([
    ["priority", { priority: 0 }, { priority: 1, expiresAt: hour(1), createdAt: hour(-9) }],
    ["expiry", { expiresAt: hour(1) }, { expiresAt: hour(2), createdAt: hour(-9) }],
    ["some expiry before none", { expiresAt: hour(1000) }, { expiresAt: null, createdAt: hour(-9) }],
    ["creation", { createdAt: hour(-9), id: "z" }, { createdAt: hour(-8), id: "a" }],
    ["id", { id: "a" }, { id: "b" }],
  ])("goes by %s", (_, first, second) => {
    const [a, b] = [grantOf("m", "1", first), grantOf("m", "1", second)];
    expect(compareBurnOrder(a, b)).toBeLessThan(0);
    expect(compareBurnOrder(b, a)).toBeGreaterThan(0);
    expect(compareBurnOrder(a, a)).toBe(0);
  });
});

describe("the next recurrence", () => {
  const daily = grantOf("a", "1", { recurrence: { interval: duration("P1D"), anchor: hour(6) } });

  test.each([
    ["a point counts at its own instant", daily, hour(6), hour(6)],
    ["and no longer a microsecond later", daily, (hour(6) + 1) as Instant, hour(30)],
    ["not before the grant starts", { ...daily, effectiveAt: hour(40) }, hour(1), hour(54)],
    ["not at or after its end", { ...daily, voidedAt: hour(30) }, hour(7), null],
    ["before its end", { ...daily, voidedAt: hour(31) }, hour(7), hour(30)],
    ["none without recurrence", grantOf("a", "1"), hour(1), null],
  ])("%s", (_, grant, now, expected) => {
    expect(shown(nextRecurrence(grant, now))).toBe(shown(expected));
  });
});
