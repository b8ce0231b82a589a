/** The payload format: what is written is read back, and the bytes are those that the format promises. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteBuffer } from "../kernel/byte-buffer.ts";
import { instantFromMicros } from "../kernel/instant.ts";
import {
  beginEvent,
  EventReader,
  finishEvent,
  type StampPosition,
  stampMissingTimes,
  writePayloadHeader,
} from "./event-codec.ts";

interface Sample {
  readonly time: number | null;
  /** id, source, type, subject, data. */
  readonly parts: readonly Uint8Array[];
}

function encode(namespace: Uint8Array, events: readonly Sample[], ingestedAt: number, initialBytes = 4): Uint8Array {
  const out = new ByteBuffer(initialBytes);
  const withoutTime: StampPosition[] = [];
  writePayloadHeader(out, namespace);
  events.forEach(({ time, parts }, index) => {
    const at = beginEvent(out, time === null ? null : instantFromMicros(time));
    if (time === null) withoutTime.push({ at, index });
    for (const part of parts) out.copy(part, 0, part.length);
    finishEvent(
      out,
      at,
      parts.map(({ length }) => length),
    );
  });
  stampMissingTimes(out, withoutTime, instantFromMicros(ingestedAt));
  return out.view();
}

test("the bytes of a payload are those of the documented format", () => {
  const parts = ["i", "so", "typ", "subj", "{}"].map((text) => Buffer.from(text));
  const payload = encode(Buffer.from("ns"), [{ time: 0x01_02_03_04_05_06, parts }], 0);
  const header = [1, 2, 0, 0x6e, 0x73];
  const event = [1, 6, 5, 4, 3, 2, 1, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 2, 0, 0, 0];
  expect([...payload]).toEqual([...header, ...event, ...Buffer.from("isotypsubj{}")]);
});

test("an event without a time carries its ingestion instant, and says that it is not its own", () => {
  const parts = [1, 2, 3, 4, 0].map((length) => new Uint8Array(length));
  const payload = encode(
    Buffer.from("n"),
    [null, 5, null].map((time) => ({ time, parts })),
    1_000,
  );
  const reader = new EventReader(payload);
  const times: [number, boolean][] = [];
  while (reader.next()) times.push([reader.time, reader.isTimeGiven]);
  expect(times).toEqual([
    [1_000, false],
    [5, true],
    [1_002, false],
  ]);
});

test("lengths that take all of their bytes are read back", () => {
  const parts = [0x1234, 0x2345, 0x3456, 0xffff, 0x12345].map((length) => new Uint8Array(length));
  const reader = new EventReader(encode(new Uint8Array(0x0123), [{ time: 1, parts }], 0));
  expect(reader.next()).toBe(true);
  expect([reader.idEnd - reader.idStart, reader.sourceEnd - reader.sourceStart]).toEqual([0x1234, 0x2345]);
  expect([reader.typeEnd - reader.typeStart, reader.subjectEnd - reader.subjectStart]).toEqual([0x3456, 0xffff]);
  expect([reader.dataEnd - reader.dataStart, reader.namespace.length]).toEqual([0x12345, 0x0123]);
  expect(reader.next()).toBe(false);
});

test("a payload of another version, or one that is cut off, is not read", () => {
  const parts = [1, 1, 1, 1, 8].map((length) => new Uint8Array(length));
  const payload = encode(Buffer.from("n"), [{ time: 1, parts }], 0);
  expect(() => new EventReader(Uint8Array.of(2, ...payload.subarray(1)))).toThrow("version");
  for (let length = 5; length < payload.length; length++) {
    expect(() => new EventReader(payload.subarray(0, length)).next(), `${length} bytes`).toThrow("ends at the end");
  }
});

const part = (max: number) => fc.uint8Array({ maxLength: max });
const sample = fc.record({
  time: fc.option(fc.integer({ min: 0, max: 7_258_118_399_999_999 })),
  parts: fc.tuple(part(40), part(30), part(20), part(30), part(100)),
});

test("what is written is read back", () => {
  fc.assert(
    fc.property(part(64), fc.array(sample, { maxLength: 5 }), fc.nat(), (namespace, events, ingestedAt) => {
      const reader = new EventReader(encode(namespace, events, ingestedAt));
      expect([...reader.namespace]).toEqual([...namespace]);
      for (const [index, { time, parts }] of events.entries()) {
        expect(reader.next()).toBe(true);
        const found = [
          reader.bytes.subarray(reader.idStart, reader.idEnd),
          reader.bytes.subarray(reader.sourceStart, reader.sourceEnd),
          reader.bytes.subarray(reader.typeStart, reader.typeEnd),
          reader.bytes.subarray(reader.subjectStart, reader.subjectEnd),
          reader.bytes.subarray(reader.dataStart, reader.dataEnd),
        ];
        expect(found.map((bytes) => [...bytes])).toEqual(parts.map((bytes) => [...bytes]));
        expect([reader.time, reader.isTimeGiven]).toEqual([time ?? ingestedAt + index, time !== null]);
      }
      expect(reader.next()).toBe(false);
    }),
  );
});
