/**
 * Events as bytes in the log: what the client sent, attribute by attribute, and nothing derived from it.
 *
 * A record's payload holds the accepted events of one request:
 *
 *     payload   = version (1 byte, 1) namespace-length (u16) namespace event*
 *     event     = flags (u8; bit 0: a time was given) time (i64, microseconds since the epoch)
 *                 id-length (u16) source-length (u16) type-length (u16) subject-length (u16) data-length (u32)
 *                 id source type subject data
 *
 * Integers are little-endian, texts are UTF-8, `data` is the JSON text as received and has length 0 when it was absent or
 * null. An event without a time of its own carries its ingestion instant.
 */

import type { EventBytes } from "../engines/event-store/index.ts";
import { assert } from "../kernel/assert.ts";
import { type ByteBuffer, readInt64, readUint16, readUint32 } from "../kernel/byte-buffer.ts";
import { type Instant, instantFromMicros } from "../kernel/instant.ts";

const VERSION = 1;
const TIME_GIVEN = 1;
/** Bytes of an event before its texts. */
const HEADER_BYTES = 1 + 8 + 4 * 2 + 4;

/** Starts a payload. */
export function writePayloadHeader(out: ByteBuffer, namespace: Uint8Array): void {
  out.byte(VERSION);
  out.uint16(namespace.length);
  out.copy(namespace, 0, namespace.length);
}

/** Appends an event's header with lengths that `finishEvent` fills in; returns where the event starts. */
export function beginEvent(out: ByteBuffer, time: Instant | null): number {
  const at = out.length;
  out.byte(time === null ? 0 : TIME_GIVEN);
  out.int64(time ?? 0);
  out.reserve(HEADER_BYTES - 9);
  out.length += HEADER_BYTES - 9;
  return at;
}

/** Lengths in the order id, source, type, subject, data. */
export function finishEvent(out: ByteBuffer, at: number, lengths: readonly number[]): void {
  const end = out.length;
  out.length = at + 9;
  for (let i = 0; i < 4; i++) out.uint16(lengths[i] ?? 0);
  out.uint32(lengths[4] ?? 0);
  out.length = end;
}

/** Gives every event that came without a time its ingestion instant: `ingestedAt` plus its index, in microseconds. */
export function stampMissingTimes(out: ByteBuffer, starts: readonly StampPosition[], ingestedAt: Instant): void {
  const end = out.length;
  for (const { at, index } of starts) {
    out.length = at + 1;
    out.int64(ingestedAt + index);
  }
  out.length = end;
}

/** Where an event without a time starts, and which event of the request it is. */
export interface StampPosition {
  readonly at: number;
  readonly index: number;
}

/** Steps through the events of a payload without allocating: its fields describe the current event. */
export class EventReader implements EventBytes {
  readonly bytes: Uint8Array;
  readonly namespace: Uint8Array;
  idStart = 0;
  idEnd = 0;
  sourceStart = 0;
  sourceEnd = 0;
  typeStart = 0;
  typeEnd = 0;
  subjectStart = 0;
  subjectEnd = 0;
  dataStart = 0;
  dataEnd = 0;
  time = instantFromMicros(0);
  isTimeGiven = false;
  #position: number;

  constructor(payload: Uint8Array) {
    assert(payload[0] === VERSION, "a log payload has the version that this program writes");
    this.bytes = payload;
    const namespaceEnd = 3 + readUint16(payload, 1);
    this.namespace = payload.subarray(3, namespaceEnd);
    this.#position = namespaceEnd;
  }

  /** Goes to the next event; false when there is none. */
  next(): boolean {
    const at = this.#position;
    const { bytes } = this;
    if (at >= bytes.length) return false;
    assert(at + HEADER_BYTES <= bytes.length, "a log payload ends at the end of an event");
    this.isTimeGiven = ((bytes[at] ?? 0) & TIME_GIVEN) !== 0;
    this.time = instantFromMicros(readInt64(bytes, at + 1));
    this.idStart = at + HEADER_BYTES;
    this.idEnd = this.sourceStart = this.idStart + readUint16(bytes, at + 9);
    this.sourceEnd = this.typeStart = this.sourceStart + readUint16(bytes, at + 11);
    this.typeEnd = this.subjectStart = this.typeStart + readUint16(bytes, at + 13);
    this.subjectEnd = this.dataStart = this.subjectStart + readUint16(bytes, at + 15);
    this.dataEnd = this.dataStart + readUint32(bytes, at + 17);
    assert(this.dataEnd <= bytes.length, "a log payload ends at the end of an event");
    this.#position = this.dataEnd;
    return true;
  }
}
