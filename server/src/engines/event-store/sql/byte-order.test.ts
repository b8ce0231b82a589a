/** The order of texts equals the order of their UTF-8 bytes. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { compareUtf8 } from "./byte-order.ts";

test("compareUtf8 orders like the UTF-8 bytes", () => {
  const text = fc.string({ unit: fc.constantFrom("", "a", "b", "é", "\uE000", "\uFFFD", "😀", "𐀀") });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
    { numRuns: 500 },
  );
});
