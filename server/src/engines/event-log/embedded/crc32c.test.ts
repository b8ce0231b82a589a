/** CRC-32C against published check values and against the bit-by-bit definition. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32c } from "./crc32c.ts";

function bitByBit(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

describe("crc32c", () => {
  // The first is the catalogue's check value; the others are RFC 3720, appendix B.4.
  test.each([
    ["123456789", Buffer.from("123456789"), 0xe3069283],
    ["nothing", Buffer.alloc(0), 0],
    ["32 bytes of zeros", Buffer.alloc(32), 0x8a9136aa],
    ["32 bytes of ones", Buffer.alloc(32, 0xff), 0x62a8ab43],
    ["32 increasing bytes", Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
  ])("%s", (_, bytes, want) => {
    expect(crc32c(bytes)).toBe(want);
  });

  test("equals the definition for any bytes and any range", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(20), fc.nat(20), (bytes, skip, leave) => {
        const from = Math.min(skip, bytes.length);
        const to = Math.max(from, bytes.length - leave);
        expect(crc32c(bytes, from, to)).toBe(bitByBit(bytes.subarray(from, to)));
      }),
    );
  });
});
