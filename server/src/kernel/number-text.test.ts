/** Tables and laws for the texts of numbers. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalNumberText, fixedPointText } from "./number-text.ts";

describe("canonical text", () => {
  test.each([
    ["1.50", "1.5"],
    ["1e3", "1000"],
    ["1E-7", "0.0000001"],
    ["-0", "0"],
    ["-0.0e5", "0"],
    ["0.10", "0.1"],
    ["100", "100"],
    ["-100e-2", "-1"],
    ["123.456e2", "12345.6"],
    ["9007199254740993", "9007199254740993"],
    ["0.1234567890123456789", "0.1234567890123456789"],
    ["+1", "1"],
    [".5", "0.5"],
    ["5.", "5"],
    ["007", "7"],
    ["1e399", `1${"0".repeat(399)}`],
    ["1e400", "1e400"],
    ["-1e399", "-1e399"],
    ["1e-398", `0.${"0".repeat(397)}1`],
    ["1e-399", "1e-399"],
    ["1e999999999999999999999", "1e999999999999999999999"],
  ])("%s is %s", (text, expected) => expect(canonicalNumberText(text)).toBe(expected));

  test.each(["", "abc", " 7 ", "1,000", "1_000", "0x10", "NaN", "Infinity", ".", "e5", "1e", "--1", "1.2.3"])(
    "%j is no number",
    (text) => expect(canonicalNumberText(text)).toBeNull(),
  );
});

describe("fixed point", () => {
  test.each([
    ["1.5", "1.5"],
    ["1e3", "1000"],
    ["0.1234567890123456789012345", "0.123456789012345678901235"],
    ["0.1234567890123456789012344", "0.123456789012345678901234"],
    ["-0.1234567890123456789012345", "-0.123456789012345678901235"],
    ["0.0000000000000000000000005", "0.000000000000000000000001"],
    ["-0.0000000000000000000000004", "0"],
    ["0.9999999999999999999999999", "1"],
    ["1e-999999", "0"],
    [`0.${"3".repeat(500)}`, "0.333333333333333333333333"],
    ["9".repeat(38), "9".repeat(38)],
    [`${"9".repeat(38)}.9999999999999999999999999`, null],
    ["1e38", null],
    ["1e999999", null],
    ["abc", null],
  ])("%s is %s", (text, expected) => expect(fixedPointText(text, 24, 38)).toBe(expected));

  test("agrees with integer arithmetic", () => {
    const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 45 });
    fc.assert(
      fc.property(fc.boolean(), digits, fc.integer({ min: -40, max: 12 }), (isNegative, list, exponent) => {
        const integer = BigInt(list.join(""));
        // |integer * 10^exponent| * 10^24, rounded half away from zero.
        const shift = BigInt(Math.abs(exponent + 24));
        const scaled =
          exponent + 24 >= 0 ? integer * 10n ** shift : (2n * integer + 10n ** shift) / (2n * 10n ** shift);
        const text = fixedPointText(`${isNegative ? "-" : ""}${integer}e${exponent}`, 24, 38);
        if (scaled >= 10n ** 62n) return expect(text).toBeNull();
        const [whole = "", fraction = ""] = (text ?? "").replace("-", "").split(".");
        expect(BigInt(whole + fraction.padEnd(24, "0"))).toBe(scaled);
        expect(text?.startsWith("-")).toBe(isNegative && scaled > 0n);
      }),
    );
  });
});
