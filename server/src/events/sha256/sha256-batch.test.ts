/** Digests of the batch are those of `node:crypto`, whatever the lengths, the order and the number of the messages. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Sha256Batch } from "./sha256-batch.ts";

const CAPACITY = 64;

function digestsOf(batch: Sha256Batch, messages: readonly Uint8Array[]): string[] {
  for (const message of messages) {
    batch.begin();
    batch.message.copy(message, 0, message.length);
    batch.end();
  }
  const digests = Buffer.from(batch.digests());
  return messages.map((_, index) => digests.subarray(index * 32, (index + 1) * 32).toString("hex"));
}

const expected = (messages: readonly Uint8Array[]): string[] =>
  messages.map((message) => createHash("sha256").update(message).digest("hex"));

test("every length around the borders of blocks, and beyond the longest that the program takes", () => {
  const batch = new Sha256Batch(CAPACITY);
  const lengths = [
    ...Array.from({ length: 260 }, (_, length) => length),
    2_038,
    2_039,
    2_040,
    2_048,
    70_000,
    1_000_000,
  ];
  for (let at = 0; at < lengths.length; at += 7) {
    const messages = lengths.slice(at, at + 7).map((length) => Buffer.alloc(length, `${length}-`));
    expect(digestsOf(batch, messages)).toEqual(expected(messages));
  }
});

test("any messages, in batches of any size", () => {
  const batch = new Sha256Batch(CAPACITY);
  const message = fc.uint8Array({ maxLength: 300, size: "max" });
  fc.assert(
    fc.property(fc.array(message, { maxLength: CAPACITY, size: "max" }), (messages) => {
      expect(digestsOf(batch, messages)).toEqual(expected(messages));
    }),
    { numRuns: 200 },
  );
});

test("memory grows while messages wait in it", () => {
  const batch = new Sha256Batch(2_000);
  const messages = Array.from({ length: 2_000 }, (_, index) => Buffer.alloc(1_000 + (index % 900), String(index)));
  expect(digestsOf(batch, messages)).toEqual(expected(messages));
});

test("a batch takes no more messages than it has room for", () => {
  const batch = new Sha256Batch(1);
  digestsOf(batch, [Buffer.from("a")]);
  batch.begin();
  batch.end();
  expect(() => batch.begin()).toThrow("more messages than it has room for");
});
