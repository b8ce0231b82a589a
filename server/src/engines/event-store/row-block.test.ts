/** Row blocks whose rows are left out in part hold exactly the others, as if those alone had been written. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { type Instant, instantFromMicros } from "../../kernel/instant.ts";
import { JsonTape } from "../../kernel/json.ts";
import { encodeEvents, eventBytes, RowBlockWriter } from "./row-block.ts";
import type { StoredEvent } from "./store.ts";

const instant = fc.integer({ min: 0, max: 2 ** 51 }).map((micros): Instant => instantFromMicros(micros));
const text = fc.string({ unit: "grapheme", maxLength: 200, size: "max" });
const event: fc.Arbitrary<StoredEvent> = fc.record({
  namespace: text,
  id: text,
  source: text,
  type: text,
  subject: text,
  time: instant,
  isTimeGiven: fc.boolean(),
  data: fc.option(fc.dictionary(text, fc.jsonValue(), { maxKeys: 5 }).map((data) => JSON.stringify(data))),
  ingestedAt: instant,
  storedAt: instant,
  partition: fc.integer({ min: 0, max: 65_535 }),
  offset: fc.integer({ min: 0, max: 2 ** 48 }),
});

test("a block of the kept rows is the block that only they would have made", () => {
  const writer = new RowBlockWriter(16);
  const tape = new JsonTape(64);
  const rows = fc.array(fc.record({ event, isKept: fc.boolean() }), { maxLength: 12 });
  fc.assert(
    fc.property(rows, (all) => {
      for (const row of all) {
        const bytes = eventBytes(row.event);
        if (bytes.dataEnd > bytes.dataStart) tape.parse(bytes.bytes, bytes.dataStart, bytes.dataEnd);
        writer.add(Buffer.from(row.event.namespace), bytes, row.event, tape);
      }
      expect(writer.rows).toBe(all.length);
      const block = writer.finish((index) => all[index]?.isKept === true);
      const expected = encodeEvents(all.filter((row) => row.isKept).map((row) => row.event));
      expect(block.rows).toBe(expected.rows);
      expect(Buffer.from(block.bytes).equals(expected.bytes)).toBe(true);
    }),
    { numRuns: 300 },
  );
});
