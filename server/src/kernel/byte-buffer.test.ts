/** What the byte buffer's shortcuts write is what the plain way writes. */

import { expect, test } from "vitest";
import { ByteBuffer, readInt64 } from "./byte-buffer.ts";

const LENGTHS = [0, 1, 3, 4, 5, 47, 48, 49, 127, 128, 129, 16_383, 16_384, 70_000];

test.each(LENGTHS)("copies %d bytes, wherever they lie", (length) => {
  const source = Uint8Array.from({ length: length + 3 }, (_, index) => (index * 7) % 251);
  const buffer = new ByteBuffer(1);
  buffer.byte(1);
  buffer.copy(source, 2, 2 + length);
  buffer.byte(9);
  expect(buffer.view()).toEqual(Uint8Array.from([1, ...source.subarray(2, 2 + length), 9]));
});

test.each(LENGTHS)("puts the length %d in front of what was written behind it", (length) => {
  const content = Uint8Array.from({ length }, (_, index) => (index * 7) % 251);
  const known = new ByteBuffer(4);
  known.byte(5);
  known.varint(length);
  known.copy(content, 0, length);
  const late = new ByteBuffer(4);
  late.byte(5);
  late.byte(0);
  late.copy(content, 0, length);
  late.prefixLength(1);
  expect(late.view()).toEqual(known.view());
});

test.each([0, 1, 255, 256, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 1.7e15, 2 ** 53 - 1, -1, -(2 ** 32), 1 - 2 ** 53])(
  "writes %d as a signed number of 64 bits",
  (value) => {
    const buffer = new ByteBuffer(1);
    buffer.byte(7);
    buffer.int64(value);
    expect(new DataView(buffer.bytes.buffer).getBigInt64(1, true)).toBe(BigInt(value));
    expect(readInt64(buffer.bytes, 1)).toBe(value);
  },
);

test("an array of someone else's is enlarged by its owner", () => {
  const lent = new Uint8Array(64);
  const sizes: number[] = [];
  const buffer = new ByteBuffer(lent.subarray(0, 2), (bytes, needed) => {
    sizes.push(needed);
    return lent.subarray(0, Math.max(needed, bytes.length * 2));
  });
  for (let value = 0; value < 9; value++) buffer.byte(value);
  expect(sizes).toEqual([3, 5, 9]);
  expect([...lent.subarray(0, 9)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});
