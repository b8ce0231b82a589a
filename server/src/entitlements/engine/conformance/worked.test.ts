/** The worked cases, each a small diary: grants, usage, resets, and what a reading shows. Times are hours after the start. */

import { describe, expect, test } from "vitest";

import { Decimal } from "../../../kernel/decimal.ts";
import { formatInstant } from "../../../kernel/instant.ts";
import type { Grant } from "../grant.ts";
import { expiryOf } from "../grant.ts";
import { initialState, run } from "../run.ts";
import type { Segment } from "../run.ts";
import type { Reset, Terms } from "../terms.ts";
import { periodAt } from "../usage-periods.ts";
import { valueInPhase, valueOf } from "../value.ts";
import type { UsageEvent } from "./fixtures.ts";
import { at, decimal, duration, grantOf, hour, line, runEvents, start, termsOf, valueAt } from "./fixtures.ts";

const DAY = 24;

function rollover(min: number, max: number): Partial<Grant> {
  return { minRollover: decimal(min), maxRollover: decimal(max) };
}

function every(interval: string, anchor = start): Partial<Grant> {
  return { recurrence: { interval: duration(interval), anchor } };
}

function reset(hours: number, preserveOverage = false): Reset {
  return { at: hour(hours), anchor: hour(hours), preserveOverage };
}

function used(...amounts: readonly (readonly [hours: number, value: number])[]): readonly UsageEvent[] {
  return amounts.map(([hours, value]) => ({ at: hour(hours), value }));
}

interface Row {
  readonly grants: readonly Grant[];
  readonly resets?: readonly Reset[];
  readonly events: readonly UsageEvent[];
  readonly readAt: number;
  /** balance / overage / usage / total available */
  readonly shows: string;
}

const rows: readonly (readonly [string, Row])[] = [
  [
    "1 lower priority burns first",
    {
      grants: [grantOf("b", "100", { priority: 2 }), grantOf("a", "100")],
      events: used([1, 120]),
      readAt: DAY,
      shows: "80 / 0 / 120 / 200",
    },
  ],
  [
    "2 earlier expiry burns first",
    {
      grants: [
        grantOf("late", "100", { expiresAt: expiryOf(start, "YEAR", 100) }),
        grantOf("soon", "100", { expiresAt: expiryOf(start, "DAY", 30) }),
      ],
      events: used([1, 120]),
      readAt: DAY,
      shows: "80 / 0 / 120 / 200",
    },
  ],
  [
    "3 a refill is charged with the overage",
    {
      grants: [grantOf("a", "100", every("P1D"))],
      events: used([1, 120]),
      readAt: DAY + 1,
      shows: "80 / 0 / 120 / 200",
    },
  ],
  [
    "4 usage before a grant takes effect is covered by it",
    {
      grants: [grantOf("a", "100", { effectiveAt: hour(2) })],
      events: used([1, 25], [3, 25]),
      readAt: DAY,
      shows: "50 / 0 / 50 / 100",
    },
  ],
  [
    "5 voiding forfeits what is left",
    {
      grants: [grantOf("a", "100", { voidedAt: hour(1) })],
      events: used([59 / 60, 50], [61 / 60, 50]),
      readAt: DAY,
      shows: "0 / 50 / 100 / 50",
    },
  ],
  [
    "6 what rolls over is limited",
    {
      grants: [grantOf("a", "100", rollover(0, 50))],
      resets: [reset(5)],
      events: used([1, 10]),
      readAt: DAY,
      shows: "50 / 0 / 0 / 50",
    },
  ],
  [
    "7 preserved overage burns what rolled over",
    {
      grants: [grantOf("a", "100", rollover(50, 50))],
      resets: [reset(5, true)],
      events: used([1, 10], [2, 100]),
      readAt: DAY,
      shows: "40 / 0 / 0 / 50",
    },
  ],
  [
    "8 preserved overage beyond what rolled over stays",
    {
      grants: [
        grantOf("a", "1000", { priority: 1, effectiveAt: hour(2), ...rollover(0, 1000) }),
        grantOf("b", "1000", { priority: 3, effectiveAt: hour(2), ...rollover(500, 500) }),
      ],
      resets: [reset(5, true)],
      events: used([1 / 60, 2600]),
      readAt: DAY,
      shows: "0 / 100 / 0 / 500",
    },
  ],
  [
    "9 after the first reset",
    {
      grants: [
        grantOf("a", "1000", { priority: 1, ...rollover(0, 1000) }),
        grantOf("b", "1000", { priority: 3, ...rollover(0, 100) }),
      ],
      resets: [reset(5)],
      events: used([1, 600]),
      readAt: 5,
      shows: "500 / 0 / 0 / 500",
    },
  ],
  [
    "9 after the second",
    {
      grants: [
        grantOf("a", "1000", { priority: 1, ...rollover(0, 1000) }),
        grantOf("b", "1000", { priority: 3, ...rollover(0, 100) }),
        grantOf("c", "1000", { priority: 1, effectiveAt: hour(6), createdAt: hour(6), ...rollover(0, 1000) }),
      ],
      resets: [reset(5), reset(10)],
      events: used([1, 600], [7, 300]),
      readAt: 10,
      shows: "1200 / 0 / 0 / 1200",
    },
  ],
  [
    "10 a refill counts as available again",
    {
      grants: [grantOf("a", "100", every("P1D"))],
      events: used([1, 100], [DAY + 1, 90], [2 * DAY + 1, 80]),
      readAt: 3 * DAY,
      shows: "100 / 0 / 270 / 370",
    },
  ],
  [
    "10 and an hour earlier not yet",
    {
      grants: [grantOf("a", "100", every("P1D"))],
      events: used([1, 100], [DAY + 1, 90], [2 * DAY + 1, 80]),
      readAt: 3 * DAY - 1,
      shows: "20 / 0 / 270 / 290",
    },
  ],
  [
    "14 a refill at the reset is charged with preserved overage",
    {
      grants: [grantOf("a", "100", { ...every("P1D"), ...rollover(50, 50) })],
      resets: [reset(DAY, true)],
      events: used([1, 110]),
      readAt: DAY,
      shows: "90 / 0 / 0 / 100",
    },
  ],
  [
    "15 a grant that starts at the reading is charged at once",
    {
      grants: [grantOf("a", "100"), grantOf("b", "50", { effectiveAt: hour(3) })],
      events: used([1, 130]),
      readAt: 3,
      shows: "20 / 0 / 130 / 150",
    },
  ],
  [
    "16 a late event changes every value after it",
    {
      grants: [grantOf("a", "100"), grantOf("b", "50", { effectiveAt: hour(3) })],
      events: used([1, 130], [0.5, 5]),
      readAt: 3,
      shows: "15 / 0 / 135 / 150",
    },
  ],
  [
    "negative usage is a credit that later usage consumes first",
    {
      grants: [grantOf("a", "100"), grantOf("b", "50", { priority: 2, effectiveAt: hour(3) })],
      events: used([1, -30], [4, 50]),
      readAt: 5,
      shows: "130 / 0 / 20 / 150",
    },
  ],
  [
    "a reset drops a credit, even one that preserves overage",
    {
      grants: [grantOf("a", "100", rollover(0, 100))],
      resets: [reset(5, true)],
      events: used([1, -30], [6, 50]),
      readAt: 7,
      shows: "50 / 0 / 50 / 100",
    },
  ],
  [
    "an event stamped now counts at once",
    { grants: [grantOf("a", "100")], events: used([1.001, 30]), readAt: 1.0005, shows: "70 / 0 / 30 / 100" },
  ],
  [
    "an event after the minute that is read does not",
    { grants: [grantOf("a", "100")], events: used([1, 30]), readAt: 1, shows: "100 / 0 / 0 / 100" },
  ],
];

function termsOfRow({ grants, resets = [] }: Row): Terms {
  return termsOf({ grants, resets });
}

function segmentsOfRow(name: string): readonly Segment[] {
  const row = rows.find(([title]) => title.startsWith(name))?.[1];
  if (row === undefined) throw new Error(`no case ${name}`);
  const terms = termsOfRow(row);
  return runEvents(terms, initialState(terms), hour(row.readAt), { kind: "SUM", events: row.events }).segments;
}

const sum = (balances: ReadonlyMap<string, Decimal>) =>
  [...balances.values()].reduce((a, b) => a.plus(b), Decimal.zero);

/** kind overage+balance -> overage+balance, usage */
function told({ kind, balancesAtStart, balancesAtEnd, overageAtStart, overage, usage }: Segment): string {
  const [from, to] = [sum(balancesAtStart), sum(balancesAtEnd)];
  return line`${kind} ${from} -${overageAtStart} -> ${to} -${overage}, used ${usage}`;
}

describe("worked cases", () => {
  test.each(rows)("%s", (_, row) => {
    const value = valueAt(termsOfRow(row), hour(row.readAt), { kind: "SUM", events: row.events });
    expect(line`${value.balance} / ${value.overage} / ${value.usage} / ${value.totalAvailableGrantAmount}`).toBe(
      row.shows,
    );
  });

  test("4: its second segment begins with the whole grant and the overage", () => {
    expect(segmentsOfRow("4").map(told)).toEqual(["usage 0 -0 -> 0 -25, used 25", "usage 100 -25 -> 50 -0, used 25"]);
  });

  test("6: usage, rollover, usage", () => {
    expect(segmentsOfRow("6").map(told)).toEqual([
      "usage 100 -0 -> 90 -0, used 10",
      "rollover 50 -0 -> 50 -0, used 0",
      "usage 50 -0 -> 50 -0, used 0",
    ]);
  });

  test("7: the rollover burns the preserved overage", () => {
    const [, rolled] = segmentsOfRow("7");
    expect(rolled && told(rolled)).toBe("rollover 50 -10 -> 40 -0, used 0");
    expect(rolled?.grantUsages).toEqual([{ grantId: "a", usage: decimal(10) }]);
  });

  test("a reset that preserves nothing forgives the overage", () => {
    const terms = termsOf({ grants: [grantOf("a", "100", rollover(0, 50))], resets: [reset(5)] });
    const metered = { kind: "SUM" as const, events: used([1, 130]) };
    const { segments } = runEvents(terms, initialState(terms), hour(6), metered);
    expect(segments.map(told)).toEqual([
      "usage 100 -0 -> 0 -30, used 130",
      "rollover 0 -30 -> 0 -0, used 0",
      "usage 0 -0 -> 0 -0, used 0",
    ]);
  });

  test("8 and 9: what each grant keeps", () => {
    const [, , rolled] = segmentsOfRow("8");
    expect([...(rolled?.balancesAtStart ?? [])].map(String)).toEqual(["a,0", "b,500"]);
    expect([...(segmentsOfRow("9 after the second").at(-1)?.balancesAtStart ?? [])].map(String)).toEqual([
      "a,100",
      "c,1000",
      "b,100",
    ]);
  });

  test("14: the refill comes after the rollover, and a zero-length segment charges it", () => {
    expect(segmentsOfRow("14").map(told)).toEqual([
      "usage 100 -0 -> 0 -10, used 110",
      "rollover 50 -10 -> 50 -10, used 0",
      "usage 100 -10 -> 90 -0, used 0",
    ]);
  });

  test("11: a gauge", () => {
    const grants = [
      grantOf("g2", "100", { createdAt: hour(-2) }),
      grantOf("g1", "50", { expiresAt: hour(1), createdAt: hour(-3) }),
      grantOf("g3", "75", { effectiveAt: hour(1), createdAt: hour(-1) }),
    ];
    const terms = termsOf({ grants, gauge: true });
    const metered = { kind: "LATEST" as const, events: used([0, 15], [1, 30], [2, 10], [3, 20]) };
    const { state, segments } = runEvents(terms, initialState(terms), hour(3), metered);
    const value = valueOf(terms, state);
    expect([value.balance, value.usage, value.totalAvailableGrantAmount].map(String)).toEqual(["165", "10", "175"]);
    expect(segments.map(told)).toEqual(["usage 150 -0 -> 135 -0, used 15", "usage 175 -0 -> 165 -0, used 10"]);
    expect([...value.grantBalances].map(String)).toEqual(["g2,90", "g3,75"]);
  });

  test("13: states that do not fit the terms are refused", () => {
    const terms = termsOf({ grants: [grantOf("a", "100")] });
    const state = initialState(terms);
    const none = () => Decimal.zero;
    const run10 = (changed: Partial<typeof state>) => () => run(terms, { ...state, ...changed }, hour(10), none);
    expect(run10({ balances: new Map() })).toThrow("a state has the balance of every active grant");
    const unknown = new Map([...state.balances, ["b", Decimal.one]]);
    expect(run10({ balances: unknown })).toThrow("a state has balances of known grants only");
    expect(run10({ at: hour(-1) })).toThrow("not older than the measuring");
    expect(run10({ at: hour(11) })).toThrow("does not go back");
    const early = termsOf({ resets: [reset(0)] });
    expect(() => initialState(early)).toThrow("a reset lies after measureUsageFrom");
    const twice = termsOf({ resets: [reset(1), reset(1)] });
    expect(() => initialState(twice)).toThrow("after the reset before it");
  });

  test("17: the same amount after every monthly reset", () => {
    const measureUsageFrom = at("2024-01-31T00:00:00Z");
    const terms = termsOf({
      measureUsageFrom,
      usagePeriod: { interval: duration("P1M"), anchor: measureUsageFrom },
      grants: [grantOf("a", "100", { effectiveAt: measureUsageFrom, ...rollover(100, 100) })],
    });
    const events = [
      { at: at("2024-02-10T00:00:00Z"), value: 30 },
      { at: at("2024-03-05T00:00:00Z"), value: 40 },
    ];
    const balance = (text: string) => valueAt(terms, at(text), { kind: "SUM", events }).balance.toText();
    expect([balance("2024-02-28T23:59:00Z"), balance("2024-03-01T00:00:00Z"), balance("2024-03-06T00:00:00Z")]).toEqual(
      ["70", "100", "60"],
    );
    const { from, to } = periodAt(terms, at("2024-03-01T00:00:00Z"));
    expect([from, to].map(formatInstant)).toEqual(["2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z"]);
  });
});

describe("conversion", () => {
  const sixths = { grants: [grantOf("a", "1"), grantOf("b", "2", { priority: 2 })] };

  test("dividing rounds nothing before it is shown", () => {
    const terms = termsOf({ ...sixths, conversion: { operation: "divide", factor: Decimal.of("3") } });
    const state = initialState(terms);
    expect(valueInPhase(terms, state, Decimal.of("2")).balance.toText()).toBe("2.333333333333333333333333");
    const third = valueInPhase(terms, state, Decimal.of("4"));
    expect([...third.grantBalances].map(String)).toEqual(["a,0", "b,1.666666666666666666666667"]);
    expect(third.usage.toText()).toBe("1.333333333333333333333333");
    expect(third.totalAvailableGrantAmount.toText()).toBe("3");
    // Nine units are three: three thirds are used up exactly, and not a hair of access is left.
    const all = valueInPhase(terms, state, Decimal.of("9"));
    expect([all.hasAccess, all.balance.toText(), all.overage.toText()]).toEqual([false, "0", "0"]);
    expect(valueInPhase(terms, state, Decimal.of("8.999999999999999999999999")).hasAccess).toBe(true);
  });

  test("multiplying is exact", () => {
    const terms = termsOf({ ...sixths, conversion: { operation: "multiply", factor: Decimal.of("0.001") } });
    const value = valueInPhase(terms, initialState(terms), Decimal.of("1234.5"));
    expect([value.balance, value.usage].map(String)).toEqual(["1.7655", "1.2345"]);
  });
});
