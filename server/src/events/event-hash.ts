/**
 * The two hashes of an event: its identity, which decides whether it counts, and its payload hash, which tells a retry
 * from a conflict.
 *
 * - identity = SHA-256(len(namespace) namespace len(source) source len(id) id), each length as 4 bytes big-endian. The
 *   lengths keep `("svc-1", "2")` and `("svc", "1-2")` apart.
 * - payload hash = SHA-256 over the canonical JSON of `{data, subject, time, type}`: names sorted by their UTF-8 bytes,
 *   the last of repeated names, no blanks, numbers in canonical notation, and neither `data` nor `time` when they were
 *   absent or null. `time` is microseconds since the epoch, so another spelling of the same instant is the same payload.
 */

import { hash } from "node:crypto";
import { distinctKeys, type EventBytes, tapeText } from "../engines/event-store/index.ts";
import { ByteBuffer } from "../kernel/byte-buffer.ts";
import { JSON_ARRAY, JSON_ESCAPED_STRING, JSON_NUMBER, JSON_OBJECT, JSON_STRING, JsonTape } from "../kernel/json.ts";
import { canonicalNumberText, isCanonicalNumber } from "../kernel/number-text.ts";
import { DIGEST_BYTES, Sha256Batch } from "./sha256/sha256-batch.ts";

/** Deeper than any limit on ingest, so that what was accepted can always be read. */
const MAX_DEPTH = 1024;

/** Up to so many names the simplest sort is the fastest, because it calls no comparator. */
const INSERTION_SORT_KEYS = 16;

/** Few enough for their messages to stay in the processor's cache, enough for lanes to fill up. */
const EVENTS_HASHED_TOGETHER = 256;
const DIGEST_WORDS = DIGEST_BYTES / 4;

const QUOTE = 0x22;
const COMMA = 0x2c;

/** Computes hashes of events, one at a time; keeps its scratch buffers from one event to the next. */
export class EventHasher {
  readonly #tape = new JsonTape(MAX_DEPTH);
  readonly #scratch = new ByteBuffer(4096);

  /** 32 bytes. */
  identity(namespace: Uint8Array, event: EventBytes): Uint8Array {
    this.#scratch.clear();
    writeIdentity(namespace, event, this.#scratch);
    return hash("sha256", this.#scratch.view(), "buffer");
  }

  /** 32 bytes. */
  payloadHash(event: EventBytes): Uint8Array {
    this.#scratch.clear();
    writePayload(event, this.#tape, this.#scratch);
    return hash("sha256", this.#scratch.view(), "buffer");
  }
}

/** Computes both hashes of many events, in columns. */
export class EventBatchHasher {
  /** Holds the last event's data. */
  readonly tape = new JsonTape(MAX_DEPTH);
  readonly #batch = new Sha256Batch(2 * EVENTS_HASHED_TOGETHER);
  #identities = new Uint32Array(0);
  #payloads = new Uint32Array(0);
  #count = 0;
  #finished = 0;

  /** Starts anew, for up to `capacity` events. */
  start(capacity: number): void {
    this.#identities = new Uint32Array(capacity * DIGEST_WORDS);
    this.#payloads = new Uint32Array(capacity * DIGEST_WORDS);
    this.#count = this.#finished = 0;
  }

  /** Adds an event and leaves its parsed data in `tape`. */
  add(namespace: Uint8Array, event: EventBytes): void {
    const batch = this.#batch;
    if (batch.isFull) this.#finishSome();
    batch.begin();
    writeIdentity(namespace, event, batch.message);
    batch.end();
    batch.begin();
    writePayload(event, this.tape, batch.message);
    batch.end();
    this.#count += 1;
  }

  /** The hashes of all events since `start`, 32 bytes each. */
  finish(): { readonly identities: Uint8Array; readonly payloads: Uint8Array } {
    this.#finishSome();
    const length = this.#count * DIGEST_BYTES;
    const identities = new Uint8Array(this.#identities.buffer, 0, length);
    return { identities, payloads: new Uint8Array(this.#payloads.buffer, 0, length) };
  }

  /** Digests come in turns: identity, payload, identity, payload. */
  #finishSome(): void {
    const { buffer, byteOffset, byteLength } = this.#batch.digests();
    const words = new Uint32Array(buffer, byteOffset, byteLength / 4);
    let to = this.#finished * DIGEST_WORDS;
    for (let from = 0; from < words.length; from += 2 * DIGEST_WORDS) {
      for (let word = 0; word < DIGEST_WORDS; word++) {
        this.#identities[to + word] = words[from + word] ?? 0;
        this.#payloads[to + word] = words[from + DIGEST_WORDS + word] ?? 0;
      }
      to += DIGEST_WORDS;
    }
    this.#finished = this.#count;
  }
}

function writeIdentity(namespace: Uint8Array, event: EventBytes, out: ByteBuffer): void {
  writeLengthPrefixed(namespace, 0, namespace.length, out);
  writeLengthPrefixed(event.bytes, event.sourceStart, event.sourceEnd, out);
  writeLengthPrefixed(event.bytes, event.idStart, event.idEnd, out);
}

function writeLengthPrefixed(bytes: Uint8Array, start: number, end: number, out: ByteBuffer): void {
  const length = end - start;
  for (let shift = 24; shift >= 0; shift -= 8) out.byte((length >>> shift) & 0xff);
  out.copy(bytes, start, end);
}

/** Leaves the event's parsed data in `tape`. */
function writePayload(event: EventBytes, tape: JsonTape, out: ByteBuffer): void {
  if (event.dataEnd > event.dataStart) {
    tape.parse(event.bytes, event.dataStart, event.dataEnd);
    out.ascii('{"data":');
    writeCanonical(tape, 0, out);
    out.byte(COMMA);
  } else {
    out.byte(0x7b);
  }
  out.ascii('"subject":');
  writePlainString(event.bytes, event.subjectStart, event.subjectEnd, out);
  if (event.isTimeGiven) {
    out.ascii(',"time":');
    out.ascii(String(event.time));
  }
  out.ascii(',"type":');
  writePlainString(event.bytes, event.typeStart, event.typeEnd, out);
  out.byte(0x7d);
}

function writeCanonical(tape: JsonTape, index: number, out: ByteBuffer): void {
  const start = tape.starts[index] ?? 0;
  const end = tape.ends[index] ?? 0;
  switch (tape.kinds[index]) {
    case JSON_STRING:
      return writeQuoted(tape.bytes, start, end, out);
    case JSON_ESCAPED_STRING:
      return writeText(JSON.stringify(tapeText(tape, index)), out);
    case JSON_NUMBER:
      return writeNumber(tape, index, out);
    case JSON_ARRAY: {
      out.byte(0x5b);
      const stop = tape.next[index] ?? 0;
      for (let element = index + 1; element < stop; element = tape.next[element] ?? stop) {
        if (element > index + 1) out.byte(COMMA);
        writeCanonical(tape, element, out);
      }
      return out.byte(0x5d);
    }
    case JSON_OBJECT: {
      out.byte(0x7b);
      const keys = sortedKeys(tape, index);
      for (let position = 0; position < keys.length; position++) {
        const key = keys[position] ?? 0;
        if (position > 0) out.byte(COMMA);
        writeCanonical(tape, key, out);
        out.byte(0x3a);
        writeCanonical(tape, key + 1, out);
      }
      return out.byte(0x7d);
    }
    default:
      return out.copy(tape.bytes, start, end);
  }
}

function writeNumber(tape: JsonTape, index: number, out: ByteBuffer): void {
  const start = tape.starts[index] ?? 0;
  const end = tape.ends[index] ?? 0;
  if (isCanonicalNumber(tape.bytes, start, end)) {
    out.copy(tape.bytes, start, end);
  } else {
    const token = tapeText(tape, index);
    out.ascii(canonicalNumberText(token) ?? token);
  }
}

function sortedKeys(tape: JsonTape, index: number): number[] {
  const keys = distinctKeys(tape, index);
  for (const key of keys) if (tape.kinds[key] === JSON_ESCAPED_STRING) return sortedByText(tape, keys);
  if (keys.length > INSERTION_SORT_KEYS) return keys.toSorted((a, b) => compareKeys(tape, a, b));
  for (let sorted = 1; sorted < keys.length; sorted++) {
    const key = keys[sorted] ?? 0;
    let at = sorted;
    for (; at > 0 && compareKeys(tape, keys[at - 1] ?? 0, key) > 0; at--) keys[at] = keys[at - 1] ?? 0;
    keys[at] = key;
  }
  return keys;
}

function sortedByText(tape: JsonTape, keys: number[]): number[] {
  const names = new Map(keys.map((key) => [key, Buffer.from(tapeText(tape, key))]));
  const none = Buffer.alloc(0);
  return keys.toSorted((a, b) => Buffer.compare(names.get(a) ?? none, names.get(b) ?? none));
}

function compareKeys(tape: JsonTape, a: number, b: number): number {
  const startA = tape.starts[a] ?? 0;
  const startB = tape.starts[b] ?? 0;
  const lengthA = (tape.ends[a] ?? 0) - startA;
  const lengthB = (tape.ends[b] ?? 0) - startB;
  for (let at = 0; at < lengthA && at < lengthB; at++) {
    const difference = (tape.bytes[startA + at] ?? 0) - (tape.bytes[startB + at] ?? 0);
    if (difference !== 0) return difference;
  }
  return lengthA - lengthB;
}

/** A string whose bytes may hold quotes and control characters, because it is a decoded attribute. */
function writePlainString(bytes: Uint8Array, start: number, end: number, out: ByteBuffer): void {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x20 || byte === QUOTE || byte === 0x5c) {
      return writeText(JSON.stringify(Buffer.from(bytes.subarray(start, end)).toString()), out);
    }
  }
  writeQuoted(bytes, start, end, out);
}

function writeQuoted(bytes: Uint8Array, start: number, end: number, out: ByteBuffer): void {
  out.byte(QUOTE);
  out.copy(bytes, start, end);
  out.byte(QUOTE);
}

function writeText(text: string, out: ByteBuffer): void {
  const bytes = Buffer.from(text);
  out.copy(bytes, 0, bytes.length);
}
