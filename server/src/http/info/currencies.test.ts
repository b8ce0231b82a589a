import { currencySchema } from "@tallystick/contract";
import { expect, test } from "vitest";
import { fiatCurrencies } from "../../kernel/currency.ts";
import { currencyBodies } from "./currencies.ts";

test("every currency has a name and a symbol and fits the contract, sorted by code", () => {
  const bodies = currencyBodies();
  expect(bodies.map(({ code }) => code)).toEqual(fiatCurrencies.map(({ code }) => code).toSorted());
  for (const body of bodies) {
    expect(currencySchema.parse(body)).toEqual(body);
    expect(body.symbol).not.toBe("");
    // A name that is the code is one that the runtime does not know: it belongs into the list of new names.
    expect(body.name).not.toBe(body.code);
  }
});

test.each([
  ["USD", "US Dollar", "$", 2],
  ["EUR", "Euro", "€", 2],
  ["JPY", "Japanese Yen", "¥", 0],
  ["HUF", "Hungarian Forint", "Ft", 2],
  ["KWD", "Kuwaiti Dinar", "KWD", 3],
  ["XAD", "Arab Accounting Dinar", "XAD", 2],
])("%s is %s, %s, with %i digits", (code, name, symbol, subunits) => {
  expect(currencyBodies().find((body) => body.code === code)).toEqual({ code, name, symbol, subunits });
});
