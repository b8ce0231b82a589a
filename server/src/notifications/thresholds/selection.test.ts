/** Which threshold is told: the shared cases, and a table of edges. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Decimal } from "../../kernel/decimal.ts";
import { isExceeded, selectThreshold, type Threshold, thresholdKey, type ThresholdType } from "./selection.ts";

interface Case {
  readonly id: string;
  readonly thresholds: readonly { readonly type: ThresholdType; readonly value: string }[];
  readonly value: Readonly<Record<"balance" | "usage" | "overage" | "totalAvailableGrantAmount", string | null>>;
  readonly expect: Readonly<Record<"usage" | "balance", { readonly type: string; readonly value: string } | null>>;
}

const path = new URL("../../../test/cases/notification_thresholds.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(path, "utf8")) as { readonly cases: readonly Case[] };

function valueOf(balance: string, usage: string, total: string) {
  return { balance: Decimal.of(balance), usage: Decimal.of(usage), totalAvailableGrantAmount: Decimal.of(total) };
}

function threshold(type: ThresholdType, value: string): Threshold {
  return { type, value: Decimal.of(value) };
}

test.each(cases)("case $id", ({ thresholds, value, expect: wanted }) => {
  const all = thresholds.map(({ type, value: text }) => threshold(type, text));
  const seen = valueOf(value.balance ?? "0", value.usage ?? "0", value.totalAvailableGrantAmount ?? "0");
  for (const family of ["usage", "balance"] as const) {
    const selected = selectThreshold(all, seen, family);
    const shown = selected === null ? null : { type: selected.type, value: selected.value.toText() };
    expect(shown, family).toEqual(wanted[family]);
  }
});

test.each<[ThresholdType, string, [string, string, string], boolean]>([
  ["usage_value", "10", ["0", "10", "0"], false],
  ["usage_value", "10", ["0", "10.000000000000000000000001", "0"], true],
  ["NUMBER", "9007199254740993", ["0", "9007199254740992", "0"], false],
  ["NUMBER", "9007199254740993", ["0", "9007199254740994", "0"], true],
  ["usage_percentage", "100", ["0", "30", "30"], false],
  ["usage_percentage", "100", ["0", "30.1", "30"], true],
  ["usage_percentage", "33.3", ["0", "9.99", "30"], false],
  ["PERCENT", "33.3", ["0", "9.991", "30"], true],
  ["usage_percentage", "1", ["0", "5", "0"], false],
  ["balance_value", "0", ["0", "5", "5"], true],
  ["balance_value", "0", ["0.1", "5", "5.1"], false],
  ["balance_value", "5", ["5", "5", "10"], false],
  ["balance_value", "5", ["4.9", "5", "10"], true],
  ["balance_value", "5", ["0", "5", "0"], false],
])("%s %s at balance, usage, total %j: %s", (type, value, [balance, usage, total], wanted) => {
  expect(isExceeded(threshold(type, value), valueOf(balance, usage, total))).toBe(wanted);
});

test("a percentage wins over an amount at the same usage, in whatever order they are written", () => {
  const both = [threshold("usage_value", "15"), threshold("usage_percentage", "50")];
  const value = valueOf("14", "16", "30");
  for (const thresholds of [both, both.toReversed()]) {
    expect(selectThreshold(thresholds, value, "usage")?.type).toBe("usage_percentage");
  }
});

test("old names mean the same as new ones", () => {
  expect(thresholdKey(threshold("NUMBER", "10.0"))).toBe(thresholdKey(threshold("usage_value", "10")));
  expect(thresholdKey(threshold("PERCENT", "10"))).toBe(thresholdKey(threshold("usage_percentage", "10")));
  expect(thresholdKey(threshold("balance_value", "10"))).not.toBe(thresholdKey(threshold("usage_value", "10")));
});
