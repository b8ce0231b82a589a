/**
 * Currencies in the words of people: names and symbols for the codes of the kernel.
 *
 * Which codes exist and how many digits they have is the kernel's table, because amounts depend on it. Names and symbols are
 * the runtime's (CLDR, English), because nothing depends on them; the runtime is pinned, so they are the same everywhere.
 */

import type { Currency as CurrencyBody } from "@tallystick/contract";
import { fiatCurrencies } from "../../kernel/currency.ts";

/** Codes that are newer than the runtime's data. */
const NEW_NAMES: ReadonlyMap<string, string> = new Map([["XAD", "Arab Accounting Dinar"]]);

/** All currencies of ISO 4217 that amounts can be in, by code. */
export function currencyBodies(): readonly CurrencyBody[] {
  const names = new Intl.DisplayNames("en", { type: "currency" });
  return fiatCurrencies.map(({ code, minorDigits }) => ({
    code,
    name: NEW_NAMES.get(code) ?? names.of(code) ?? code,
    symbol: symbolOf(code),
    subunits: minorDigits,
  }));
}

/** The short symbol, such as `$` for all dollars; the code where there is none. */
function symbolOf(code: string): string {
  const format = new Intl.NumberFormat("en", { style: "currency", currency: code, currencyDisplay: "narrowSymbol" });
  return format.formatToParts(0).find(({ type }) => type === "currency")?.value ?? code;
}
