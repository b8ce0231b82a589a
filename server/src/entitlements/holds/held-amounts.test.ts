import fc from "fast-check";
import { expect, test } from "vitest";
import type { PositionVector } from "../../engines/event-store/index.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { HeldAmounts, isStored } from "./held-amounts.ts";
import { type Hold, remainder, type Settling } from "./hold.ts";

const upTo = (offset: number): PositionVector => new Map(offset < 0 ? [] : [[0, offset]]);
const instant = instantFromMicros;

function hold(id: number, amount: number, countsUntil: number, settling: Settling | null = null): Hold {
  return {
    id: `hold-${id}`,
    namespace: "default",
    entitlementId: "e",
    customerId: "c",
    featureKey: "f",
    kind: "lease",
    key: null,
    amount: Decimal.fromInteger(amount),
    used: Decimal.zero,
    status: "held",
    expiresAt: instant(countsUntil),
    countsUntil: instant(countsUntil),
    lastsMicros: 1,
    settling,
    metadata: null,
    createdAt: instant(0),
    endedAt: null,
  };
}

test("an amount that settles counts until its place is part of the balance, and forgetting it changes nothing", () => {
  const held = new HeldAmounts();
  const settling = { amount: Decimal.fromInteger(7), until: { partition: 0, offset: 5 } };
  held.put({ ...hold(1, 7, 100), status: "confirmed", settling }, hold(1, 7, 100));
  const sums = () => [-1, 4, 5, 6].map((offset) => held.heldOf("e", instant(1), upTo(offset)).toText());
  expect(sums()).toEqual(["7", "7", "0", "0"]);
  held.forget(instant(1), upTo(4));
  expect(sums()).toEqual(["7", "7", "0", "0"]);
  held.forget(instant(1), upTo(5));
  expect(held.size).toBe(0);
});

test("law: sums are those of the holds, whatever came before, whenever and up to wherever they are asked for", () => {
  const change = fc.record({
    id: fc.integer({ min: 0, max: 4 }),
    amount: fc.integer({ min: 0, max: 50 }),
    until: fc.integer({ min: 1, max: 40 }),
    settles: fc.option(fc.integer({ min: 0, max: 20 })),
  });
  const reading = fc.record({ at: fc.integer({ min: 0, max: 41 }), offset: fc.integer({ min: -1, max: 20 }) });
  fc.assert(
    fc.property(fc.array(fc.tuple(change, reading), { maxLength: 20 }), (steps) => {
      const held = new HeldAmounts();
      const known = new Map<number, Hold>();
      for (const [{ id, amount, until, settles }, { at, offset }] of steps) {
        const before = known.get(id) ?? null;
        const earlier = before?.settling ?? null;
        const settling =
          settles === null || earlier !== null
            ? earlier
            : { amount: Decimal.fromInteger(3), until: { partition: 0, offset: settles } };
        const after = hold(id, amount, until, settling);
        const expected = held.heldWith(after, before, instant(at), upTo(offset));
        held.put(after, before);
        known.set(id, after);
        const want = [...known.values()].reduce((sum, each) => {
          const live = at < each.countsUntil ? remainder(each) : Decimal.zero;
          const isPending = each.settling !== null && !isStored(each.settling.until, upTo(offset));
          return sum.plus(live).plus(isPending ? (each.settling?.amount ?? Decimal.zero) : Decimal.zero);
        }, Decimal.zero);
        const got = held.heldOf("e", instant(at), upTo(offset));
        expect([got.toText(), expected.toText()]).toEqual([want.toText(), want.toText()]);
      }
    }),
    { numRuns: 300 },
  );
});
