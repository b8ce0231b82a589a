/**
 * Currencies: which codes exist and how many fractional digits an amount in them has.
 *
 * The table is ISO 4217, list one, kept here because the runtime's own data (`Intl`) follows CLDR, which gives 16 of these
 * currencies other digits (HUF 0, IQD 0) and lacks a few codes. Left out are the codes without a minor unit: metals, bond
 * units, testing. A code that ISO withdraws stays, because amounts booked in it must still be rounded and shown.
 */

import { assert } from "./assert.ts";

/** A unit of money. Two currencies with one code and kind are the same currency. */
export interface Currency {
  readonly kind: "fiat" | "custom";
  /** ISO 4217 for fiat money, such as `USD`; the customer's own code for custom currencies, such as `CREDITS`. */
  readonly code: string;
  /** Fractional digits of a rounded amount: 2 for USD, 0 for JPY. */
  readonly minorDigits: number;
}

/** More digits than any custom currency needs; bounds the size of minor units. */
export const maxCustomMinorDigits = 18;

/** Codes by number of minor digits. Source: ISO 4217 list one of 2024-06-25 with the additions XAD and XCG of 2025. */
const codesByMinorDigits: Readonly<Record<number, string>> = {
  0: `
    BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF`,
  2: `
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
    CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD
    HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG
    SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST
    XAD XCD XCG YER ZAR ZMW ZWG`,
  3: `
    BHD IQD JOD KWD LYD OMR TND`,
  4: `
    CLF UYW`,
};

const fiatByCode: ReadonlyMap<string, Currency> = new Map(
  Object.entries(codesByMinorDigits)
    .flatMap(([digits, codes]) =>
      codes
        .trim()
        .split(/\s+/)
        .map((code) => fiat(code, Number(digits))),
    )
    .toSorted((a, b) => (a.code < b.code ? -1 : 1))
    .map((currency) => [currency.code, currency]),
);

/** All fiat currencies, in the order of their codes. */
export const fiatCurrencies: readonly Currency[] = [...fiatByCode.values()];

/** The fiat currency with this ISO 4217 code (upper case), or null. */
export function fiatCurrency(code: string): Currency | null {
  return fiatByCode.get(code) ?? null;
}

/** A currency that is not money of a state, with its own precision. Asserts that `minorDigits` is from 0 to 18. */
export function customCurrency(code: string, minorDigits: number): Currency {
  const isPrecision = Number.isInteger(minorDigits) && minorDigits >= 0 && minorDigits <= maxCustomMinorDigits;
  assert(isPrecision, "a custom currency has from 0 to 18 minor digits");
  return { kind: "custom", code, minorDigits };
}

function fiat(code: string, minorDigits: number): Currency {
  return { kind: "fiat", code, minorDigits };
}
