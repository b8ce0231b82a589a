import { describe, expect, test } from "vitest";

import { InvariantViolation } from "./assert.ts";
import { customCurrency, fiatCurrencies, fiatCurrency } from "./currency.ts";

describe("fiat currencies", () => {
  test.each([
    ["USD", 2],
    ["EUR", 2],
    ["HUF", 2],
    ["IDR", 2],
    ["JPY", 0],
    ["KRW", 0],
    ["UGX", 0],
    ["KWD", 3],
    ["IQD", 3],
    ["CLF", 4],
    ["UYW", 4],
  ])("%s has %i minor digits", (code, minorDigits) => {
    expect(fiatCurrency(code)).toEqual({ kind: "fiat", code, minorDigits });
  });

  test.each(["", "usd", "XTS", "XAU", "ABC", "USDT", "constructor"])("%j is none", (code) => {
    expect(fiatCurrency(code)).toBeNull();
  });

  test("the table lists each code once, in order", () => {
    const codes = fiatCurrencies.map((currency) => currency.code);
    expect(codes).toHaveLength(168);
    expect(codes).toEqual([...new Set(codes)].toSorted());
    expect(codes.filter((code) => !/^[A-Z]{3}$/.test(code))).toEqual([]);
  });

  test("agrees with the runtime about the currencies for which CLDR follows ISO", () => {
    const cldrDigits = (code: string) =>
      new Intl.NumberFormat("en", { style: "currency", currency: code }).resolvedOptions().maximumFractionDigits;
    const differing = fiatCurrencies.filter(({ code, minorDigits }) => cldrDigits(code) !== minorDigits);
    // CLDR shows no minor unit for currencies whose coins went out of use; ISO 4217 still has it.
    expect(differing.filter(({ code }) => cldrDigits(code) !== 0)).toEqual([]);
    expect(fiatCurrencies.length - differing.length).toBeGreaterThan(140);
  });
});

describe("custom currencies", () => {
  test("carry their own precision", () => {
    expect(customCurrency("CREDITS", 4)).toEqual({ kind: "custom", code: "CREDITS", minorDigits: 4 });
  });

  test.each([-1, 19, 1.5, Number.NaN])("%d minor digits are refused", (minorDigits) => {
    expect(() => customCurrency("CREDITS", minorDigits)).toThrow(InvariantViolation);
  });
});
