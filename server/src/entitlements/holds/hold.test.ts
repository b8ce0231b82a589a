import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Decimal } from "../../kernel/decimal.ts";
import { instantFromMicros, plusMicros } from "../../kernel/instant.ts";
import {
  confirmed,
  endOf,
  type Hold,
  lease,
  lengthOfTime,
  released,
  remainder,
  renewed,
  reported,
  requireSameAmount,
  reservation,
  returned,
  type Standing,
  statusAt,
} from "./hold.ts";

const START = instantFromMicros(Date.UTC(2026, 0, 1) * 1000);
const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;
const GRACE = 10 * SECOND;
const HERE = { partition: 0, offset: 41 };
const THERE = { partition: 0, offset: 57 };

const d = (value: number | string): Decimal => Decimal.of(String(value));
const at = (seconds: number) => plusMicros(START, seconds * SECOND);

function standing(balance: number | string, held: number | string = 0, isSoftLimit = false): Standing {
  return { balance: d(balance), held: d(held), available: d(balance).minus(d(held)), isSoftLimit };
}

const origin = {
  id: "hold",
  namespace: "default",
  entitlementId: "entitlement",
  customerId: "customer",
  featureKey: "tokens",
  at: START,
  lastsMicros: 5 * MINUTE,
};

function reserve(amount: number | string, left: Standing = standing(1000)): Hold {
  const draft = { amount: d(amount), lastsMicros: origin.lastsMicros, key: "k", metadata: null };
  return reservation(origin, draft, left);
}

function lend(amount: number, minAmount: number, left: Standing): Hold {
  const draft = { amount: d(amount), minAmount: d(minAmount), lastsMicros: 30 * SECOND };
  return lease({ ...origin, lastsMicros: 30 * SECOND }, draft, left, GRACE);
}

/** The code of the fault that is thrown. */
function faultOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return (error as { code: unknown }).code;
  }
  return "no fault";
}

describe("reserving", () => {
  test.each<[string, number | string, Standing, string | null]>([
    ["less than there is", 40, standing(100), null],
    ["all there is", 100, standing(100), null],
    ["more than there is", "100.000000000000000001", standing(100), "insufficient_balance"],
    ["what others hold", 41, standing(100, 60), "insufficient_balance"],
    ["what others leave", 40, standing(100, 60), null],
    ["from an empty balance", "0.1", standing(0), "insufficient_balance"],
    ["more than there is, softly", 1000, standing(0, 500, true), null],
    ["nothing", 0, standing(100), "amount_must_be_positive"],
    ["nothing, softly", 0, standing(100, 0, true), "amount_must_be_positive"],
  ])("%s", (_, amount, left, fault) => {
    expect(faultOf(() => reserve(amount, left))).toBe(fault ?? "no fault");
    if (fault === null) expect(remainder(reserve(amount, left))).toEqual(d(amount));
  });

  test("a refusal says what there is, never below zero", () => {
    expect(() => reserve(5, standing(3, 10))).toThrow(
      expect.objectContaining({
        kind: "conflict",
        message: expect.stringContaining("only 0 is available: the balance is 3 and 10 of it is held"),
        fields: [expect.objectContaining({ field: "$.amount" })],
      }),
    );
    try {
      reserve("9007199254740993.5", standing("9007199254740993"));
    } catch (error) {
      expect(JSON.stringify((error as { extensions: unknown }).extensions)).toBe(
        '{"balance":9007199254740993,"held":0,"available":9007199254740993,"requested":9007199254740993.5}',
      );
    }
  });

  test("a repeated key must ask for the same amount, however it is written", () => {
    const made = reserve("40.50");
    expect(() => requireSameAmount(made, d("40.5"))).not.toThrow();
    expect(faultOf(() => requireSameAmount(made, d(40)))).toBe("reservation_key_reused");
  });
});

describe("the end of a reservation", () => {
  test("comes by the clock, to the microsecond", () => {
    const made = reserve(40);
    expect(statusAt(made, plusMicros(made.expiresAt, -1))).toBe("held");
    expect(endOf(made, plusMicros(made.expiresAt, -1))).toBeNull();
    expect(statusAt(made, made.expiresAt)).toBe("expired");
    expect(endOf(made, made.expiresAt)).toBe(at(300));
  });

  type Step = "confirm" | "release";
  test.each<[string, readonly (readonly [Step, number])[], string]>([
    ["confirmed", [["confirm", 1]], "confirmed"],
    [
      "confirmed again",
      [
        ["confirm", 1],
        ["confirm", 400],
      ],
      "confirmed",
    ],
    ["released", [["release", 1]], "released"],
    [
      "released again",
      [
        ["release", 1],
        ["release", 400],
      ],
      "released",
    ],
    ["released when it had expired", [["release", 300]], "expired"],
    ["confirmed when it had expired", [["confirm", 300]], "reservation_not_held"],
    [
      "confirmed when it was released",
      [
        ["release", 1],
        ["confirm", 2],
      ],
      "reservation_not_held",
    ],
    [
      "released when it was confirmed",
      [
        ["confirm", 1],
        ["release", 2],
      ],
      "reservation_not_held",
    ],
  ])("%s", (_, steps, want) => {
    let hold = reserve(40);
    let now = START;
    const fault = faultOf(() => {
      for (const [step, seconds] of steps) {
        now = at(seconds);
        hold = step === "confirm" ? confirmed(hold, d(38), HERE, now) : released(hold, now);
      }
    });
    expect(fault === "no fault" ? statusAt(hold, now) : fault).toBe(want);
  });

  test("what was confirmed settles behind the event, whole, whatever the work took", () => {
    expect(confirmed(reserve(40), d(38), HERE, at(1))).toMatchObject({
      used: d(38),
      settling: { amount: d(40), until: HERE },
      endedAt: at(1),
    });
    expect(confirmed(reserve(40), d(50), null, at(1))).toMatchObject({ used: d(50), settling: null });
  });
});

describe("leases", () => {
  test.each<[string, number, number, Standing, number | string]>([
    ["all that is asked for", 50, 0, standing(100), 50],
    ["what is available", 50, 10, standing(100, 70), 30],
    ["exactly the least", 50, 30, standing(100, 70), 30],
    ["less than the least", 50, 31, standing(100, 70), "insufficient_balance"],
    ["nothing, which is enough", 50, 0, standing(100, 120), 0],
    ["everything, softly", 50, 50, standing(0, 0, true), 50],
    ["a least above the most", 50, 51, standing(100), "invalid_min_amount"],
    ["nothing asked for", 0, 0, standing(100), "amount_must_be_positive"],
  ])("%s", (_, amount, minAmount, left, want) => {
    const fault = faultOf(() => lend(amount, minAmount, left));
    expect(fault === "no fault" ? lend(amount, minAmount, left).amount : fault).toEqual(
      typeof want === "number" ? d(want) : want,
    );
  });

  test("count until the grace is over, and can be renewed until then", () => {
    const made = lend(50, 0, standing(100));
    expect([made.expiresAt, made.countsUntil]).toEqual([at(30), at(40)]);
    expect(statusAt(made, at(39.999999))).toBe("held");
    expect(faultOf(() => reported(made, d(1), HERE, at(39.999999)))).toBe("no fault");
    expect(faultOf(() => reported(made, d(1), HERE, at(40)))).toBe("lease_not_held");
  });

  test("what is reported is held until its events count; the rest of the grant stays", () => {
    const first = reported(lend(50, 0, standing(100)), d(20), HERE, at(1));
    expect([remainder(first), first.settling]).toEqual([d(30), { amount: d(20), until: HERE }]);
    const second = reported(first, d(25), THERE, at(2));
    expect([remainder(second), second.settling]).toEqual([d(25), { amount: d(25), until: THERE }]);
    expect(reported(second, d(25), THERE, at(3))).toEqual(second);
    expect(faultOf(() => reported(second, d(24), THERE, at(3)))).toBe("consumed_decreased");
  });

  test("more than was granted may be reported; no more than was granted was held", () => {
    const over = reported(lend(50, 0, standing(100)), d(70), HERE, at(1));
    expect([remainder(over), over.settling?.amount]).toEqual([Decimal.zero, d(50)]);
    expect(reported(over, d(80), THERE, at(2)).settling).toEqual(over.settling);
  });

  test("renewing lends on top, and never shortens what was promised", () => {
    const made = reported(lend(50, 0, standing(100)), d(20), HERE, at(1));
    const renew = (lastsMicros: number | null, amount = 40) =>
      renewed(made, { consumed: d(20), amount: d(amount), lastsMicros }, standing(100, 70), {
        at: at(5),
        graceMicros: GRACE,
      });
    expect(renew(null)).toMatchObject({ amount: d(80), expiresAt: at(35), countsUntil: at(45) });
    expect(renew(SECOND, 0)).toMatchObject({
      amount: d(50),
      expiresAt: at(30),
      countsUntil: at(40),
      lastsMicros: SECOND,
    });
  });

  test("returned, only what was used is still held", () => {
    const ended = returned(reported(lend(50, 0, standing(100)), d(20), HERE, at(1)), at(1));
    expect([remainder(ended), ended.settling?.amount, statusAt(ended, at(99))]).toEqual([
      Decimal.zero,
      d(20),
      "returned",
    ]);
    expect(faultOf(() => reported(ended, d(30), HERE, at(2)))).toBe("lease_not_held");
  });

  test("law: whatever is reported in whatever steps, used and held are together what was granted", () => {
    const steps = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 6 });
    fc.assert(
      fc.property(steps, (uses) => {
        let hold = lend(100, 0, standing(100));
        let total = 0;
        for (const [index, use] of uses.entries()) {
          total += use;
          hold = reported(hold, d(total), { partition: 0, offset: index }, at(1));
          expect(remainder(hold).plus(hold.settling?.amount ?? Decimal.zero)).toEqual(d(100));
        }
      }),
    );
  });
});

test.each<[string, number | null]>([
  ["PT1S", SECOND],
  ["PT0.999999S", null],
  ["PT90.5S", 90.5 * SECOND],
  ["PT24H", 24 * 60 * MINUTE],
  ["P1D", 24 * 60 * MINUTE],
  ["PT23H59M60S", 24 * 60 * MINUTE],
  ["PT24H0.000001S", null],
  ["P1M", null],
  ["-PT5M", null],
  ["5 minutes", null],
  ["", null],
])("%s as a length of time", (text, want) => {
  const read = () => lengthOfTime(text, "expiresIn", "PT1S", "PT24H");
  if (want === null) expect(faultOf(read)).toBe("invalid_duration");
  else expect(read()).toBe(want);
});
