/**
 * From a request body to a log payload: every rule for events is checked here, so that whatever is in the log can be
 * stored. A body is taken as a whole or not at all, and all of its bad events are named at once.
 */

import { isUtf8 } from "node:buffer";
import { ByteBuffer } from "../kernel/byte-buffer.ts";
import { Fault, type FieldError } from "../kernel/fault.ts";
import { type Instant, parseInstant } from "../kernel/instant.ts";
import {
  JSON_ESCAPED_STRING,
  JSON_NULL,
  JSON_NUMBER,
  JSON_OBJECT,
  JSON_STRING,
  JsonDepthError,
  JsonSyntaxError,
  JsonTape,
  skipBlanks,
  unescapeInto,
} from "../kernel/json.ts";
import { beginEvent, finishEvent, type StampPosition, writePayloadHeader } from "./event-codec.ts";

/** What a request may hold; see the `ingest` section of the configuration. */
export interface IngestLimits {
  readonly maxBodyBytes: number;
  readonly maxEvents: number;
  readonly maxEventBytes: number;
  readonly maxAttributeBytes: number;
  readonly maxDepth: number;
  /** How far in the past and in the future an event's time may lie, in microseconds; no bound when absent. */
  readonly maxPastMicros?: number;
  readonly maxFutureMicros?: number;
}

/** Whether the body must be one event, must be an array, or may be either. */
export type BodyShape = "single" | "batch" | "either";

/** The events of a request, encoded for the log except for the instants that only the append decides. */
export interface ParsedEvents {
  readonly count: number;
  readonly out: ByteBuffer;
  readonly withoutTime: readonly StampPosition[];
}

/** 2200-01-01T00:00:00Z: event times lie between the epoch and here. */
const TIME_LIMIT = 7_258_118_400_000_000;
/** What some languages' clients send for a time that was never set. */
const ZERO_TIME = "0001-01-01T00:00:00Z";
/** Bodies are parsed in slices of about this size, so that a large one does not hold up the event loop. */
const SLICE_BYTES = 256 * 1024;

const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;

const encoder = new TextEncoder();
/** Attribute names in the order of `Attributes`' fields. */
const ATTRIBUTES = [
  "id",
  "source",
  "type",
  "subject",
  "data",
  "time",
  "specversion",
  "datacontenttype",
  "dataschema",
] as const;
const ATTRIBUTE_BYTES = ATTRIBUTES.map((name) => encoder.encode(name));
const ALL_ATTRIBUTES: readonly number[] = [...ATTRIBUTES.keys()];
/** Indexes of the attributes whose names have as many bytes as the position says; a name is looked up among those alone. */
const ATTRIBUTES_BY_LENGTH: readonly (readonly number[])[] = Array.from({ length: 16 }, (_, length) =>
  ATTRIBUTES.flatMap((name, attribute) => (name.length === length ? [attribute] : [])),
);
const VERSIONS = ["1.0", "0.3"].map((version) => encoder.encode(version));
const [ID, SOURCE, TYPE, SUBJECT, DATA, TIME, SPECVERSION, DATACONTENTTYPE, DATASCHEMA] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
/** Written to the log in this order. */
const TEXT_ATTRIBUTES = [ID, SOURCE, TYPE, SUBJECT] as const;

/** Parses the bodies of one namespace's requests. */
export class EventParser {
  readonly #namespace: Uint8Array;
  readonly #limits: IngestLimits;
  /** Holds one event at a time and nothing between two slices, so that bodies under way at once can share it. */
  readonly #tape: JsonTape;

  constructor(namespace: Uint8Array, limits: IngestLimits) {
    this.#namespace = namespace;
    this.#limits = limits;
    // The event itself is one level, its data is the next.
    this.#tape = new JsonTape(limits.maxDepth + 1);
  }

  /**
   * Parses a body, yielding after each slice so that the caller can let other work run. Returns the events; throws a
   * `Fault` that lists every bad event. `now` bounds event times where the limits say so.
   */
  *parse(body: Uint8Array, shape: BodyShape, now: Instant): Generator<void, ParsedEvents> {
    if (!isUtf8(body)) throw new Fault("validation", "invalid_json", "invalid JSON: the body is not valid UTF-8");
    const batch = new BatchParser(body, this.#tape, this.#namespace, this.#limits, now);
    try {
      return yield* parseBody(body, shape, batch);
    } catch (error) {
      if (error instanceof JsonSyntaxError) {
        throw new Fault("validation", "invalid_json", `invalid JSON: ${error.message}`, { fields: batch.errors });
      }
      throw error;
    }
  }
}

function* parseBody(body: Uint8Array, shape: BodyShape, batch: BatchParser): Generator<void, ParsedEvents> {
  let pos = skipBlanks(body, 0, body.length);
  if (body[pos] !== OPEN_BRACKET) {
    if (shape === "batch") throw new Fault("validation", "invalid_event", "invalid event: the body must be an array");
    pos = batch.event(pos, "$");
    expectEnd(body, pos);
    return batch.finish();
  }
  if (shape === "single") throw new Fault("validation", "invalid_event", "invalid event: the body must be one object");
  pos = skipBlanks(body, pos + 1, body.length);
  let sliceEnd = pos + SLICE_BYTES;
  for (let isMore = body[pos] !== CLOSE_BRACKET; isMore;) {
    pos = skipBlanks(body, batch.event(pos, `$[${batch.seen}]`), body.length);
    isMore = body[pos] === COMMA;
    if (isMore) pos += 1;
    if (pos > sliceEnd) {
      sliceEnd = pos + SLICE_BYTES;
      yield;
    }
  }
  if (body[pos] !== CLOSE_BRACKET) throw new JsonSyntaxError(`expected "," or "]"`, pos);
  expectEnd(body, pos + 1);
  if (batch.seen === 0 && shape === "either") {
    throw new Fault("validation", "invalid_event", "invalid event: no events found");
  }
  return batch.finish();
}

function expectEnd(body: Uint8Array, pos: number): void {
  const end = skipBlanks(body, pos, body.length);
  if (end < body.length) throw new JsonSyntaxError("text after the end of the JSON value", end);
}

class BatchParser {
  /** Events looked at, good and bad. */
  seen = 0;
  readonly errors: FieldError[] = [];
  readonly #body: Uint8Array;
  readonly #limits: IngestLimits;
  readonly #now: Instant;
  readonly #tape: JsonTape;
  readonly #out: ByteBuffer;
  readonly #withoutTime: StampPosition[] = [];
  /** Tape index of each attribute's value in the current event; 0 when it is absent. */
  readonly #values = new Int32Array(ATTRIBUTES.length);
  readonly #lengths: number[] = [0, 0, 0, 0, 0];
  #path = "$";

  constructor(body: Uint8Array, tape: JsonTape, namespace: Uint8Array, limits: IngestLimits, now: Instant) {
    this.#body = body;
    this.#limits = limits;
    this.#now = now;
    this.#tape = tape;
    this.#out = new ByteBuffer(body.length + 64);
    writePayloadHeader(this.#out, namespace);
  }

  finish(): ParsedEvents {
    if (this.errors.length > 0) {
      const [first] = this.errors;
      const more =
        this.errors.length > 1 ? ` (and ${this.errors.length - 1} more, see extensions.validationErrors)` : "";
      throw new Fault("validation", "invalid_event", `invalid event: ${first?.field}: ${first?.message}${more}`, {
        fields: this.errors,
      });
    }
    return { count: this.seen, out: this.#out, withoutTime: this.#withoutTime };
  }

  /** Checks and encodes the event at `from`; returns the position after it. */
  event(from: number, path: string): number {
    this.#path = path;
    if (this.seen === this.#limits.maxEvents) {
      const message = `too many events: a request may hold ${this.#limits.maxEvents} (ingest.maxEvents); split the batch`;
      throw new Fault("validation", "too_many_events", message);
    }
    const end = this.#parse(from);
    const index = this.seen++;
    const tape = this.#tape;
    if (tape.kinds[0] !== JSON_OBJECT) {
      this.#error("", "an event must be an object");
      return end;
    }
    const size = end - (tape.starts[0] ?? 0);
    if (size > this.#limits.maxEventBytes) {
      this.#error(
        "",
        `the event is ${size} bytes long, the limit is ${this.#limits.maxEventBytes} (ingest.maxEventBytes)`,
      );
    }
    this.#findAttributes();
    for (const attribute of TEXT_ATTRIBUTES) this.#checkText(attribute);
    this.#checkSpecVersion();
    this.#checkData();
    const time = this.#time();
    if (this.errors.length === 0) this.#write(index, time);
    return end;
  }

  #parse(from: number): number {
    try {
      return this.#tape.parse(this.#body, from, this.#body.length);
    } catch (error) {
      if (!(error instanceof JsonDepthError)) throw error;
      // The end of the event is unknown, so the events after it cannot be checked.
      this.#error(".data", `nested deeper than ${this.#limits.maxDepth} levels (ingest.maxDepth)`);
      this.finish();
      throw error;
    }
  }

  #findAttributes(): void {
    const tape = this.#tape;
    const values = this.#values.fill(0);
    const end = tape.next[0] ?? 0;
    for (let key = 1; key < end; key = tape.next[key + 1] ?? end) {
      const length = (tape.ends[key] ?? 0) - (tape.starts[key] ?? 0);
      const isPlain = tape.kinds[key] === JSON_STRING;
      for (const attribute of isPlain ? (ATTRIBUTES_BY_LENGTH[length] ?? []) : ALL_ATTRIBUTES) {
        const name = ATTRIBUTE_BYTES[attribute];
        if (name !== undefined && tape.equals(key, name)) {
          values[attribute] = key + 1;
          break;
        }
      }
    }
  }

  #checkText(attribute: number): void {
    const name = ATTRIBUTES[attribute];
    const value = this.#values[attribute] ?? 0;
    if (value === 0) return this.#error(`.${name}`, `"${name}" is required: send a non-empty string`);
    const kind = this.#tape.kinds[value];
    const length = (this.#tape.ends[value] ?? 0) - (this.#tape.starts[value] ?? 0);
    if ((kind !== JSON_STRING && kind !== JSON_ESCAPED_STRING) || length === 0) {
      return this.#error(`.${name}`, `"${name}" must be a non-empty string`);
    }
    if (length > this.#limits.maxAttributeBytes && this.#textBytes(value).length > this.#limits.maxAttributeBytes) {
      this.#error(
        `.${name}`,
        `"${name}" is longer than ${this.#limits.maxAttributeBytes} bytes (ingest.maxAttributeBytes)`,
      );
    }
  }

  #checkSpecVersion(): void {
    const value = this.#values[SPECVERSION] ?? 0;
    if (value === 0) return this.#error(".specversion", `"specversion" is required: send "1.0"`);
    const kind = this.#tape.kinds[value];
    const isText = kind === JSON_STRING || kind === JSON_ESCAPED_STRING;
    if (!isText || !VERSIONS.some((version) => this.#tape.equals(value, version))) {
      this.#error(".specversion", `"specversion" must be "1.0"`);
    }
  }

  #checkData(): void {
    const contentType = this.#optionalText(DATACONTENTTYPE);
    if (contentType !== null && contentType !== "application/json") {
      this.#error(".datacontenttype", `"datacontenttype" must be "application/json", null or absent`);
    }
    const schema = this.#optionalText(DATASCHEMA);
    if (schema !== null && (schema === undefined || schema === "")) {
      this.#error(".dataschema", `"dataschema" must be a non-empty string, null or absent`);
    }
    const data = this.#values[DATA] ?? 0;
    const kind = this.#tape.kinds[data];
    if (data !== 0 && kind !== JSON_OBJECT && kind !== JSON_NULL) {
      this.#error(".data", `"data" must be an object, null or absent; wrap a single ${kindName(kind)} in an object`);
    }
  }

  /** The event's time; null when it came without one. */
  #time(): Instant | null {
    const text = this.#optionalText(TIME);
    if (text === null || text === ZERO_TIME) return null;
    const time = text === undefined ? null : parseInstant(text);
    if (time === null) {
      this.#error(".time", `"time" must be an RFC 3339 date-time with offset, such as "2026-01-31T12:00:00Z"`);
      return null;
    }
    const { maxPastMicros, maxFutureMicros } = this.#limits;
    if (time < 0 || time >= TIME_LIMIT) {
      this.#error(".time", "event time out of range: it must lie in the years 1970 to 2199");
    } else if (maxPastMicros !== undefined && time < this.#now - maxPastMicros) {
      this.#error(".time", "event time out of range: it lies further in the past than ingest.maxPast allows");
    } else if (maxFutureMicros !== undefined && time > this.#now + maxFutureMicros) {
      this.#error(".time", "event time out of range: it lies further in the future than ingest.maxFuture allows");
    }
    return time;
  }

  /** The attribute's text; null when it is null or absent, undefined when it is no string. */
  #optionalText(attribute: number): string | null | undefined {
    const value = this.#values[attribute] ?? 0;
    const kind = this.#tape.kinds[value];
    if (value === 0 || kind === JSON_NULL) return null;
    if (kind !== JSON_STRING && kind !== JSON_ESCAPED_STRING) return undefined;
    const bytes = this.#textBytes(value);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  }

  #textBytes(value: number): Uint8Array {
    const tape = this.#tape;
    const start = tape.starts[value] ?? 0;
    const end = tape.ends[value] ?? 0;
    if (tape.kinds[value] === JSON_STRING) return this.#body.subarray(start, end);
    const text = new Uint8Array(end - start);
    return text.subarray(0, unescapeInto(this.#body, start, end, text, 0));
  }

  #write(index: number, time: Instant | null): void {
    const out = this.#out;
    const tape = this.#tape;
    const at = beginEvent(out, time);
    if (time === null) this.#withoutTime.push({ at, index });
    for (const attribute of TEXT_ATTRIBUTES) {
      const value = this.#values[attribute] ?? 0;
      const start = tape.starts[value] ?? 0;
      const end = tape.ends[value] ?? 0;
      const before = out.length;
      if (tape.kinds[value] === JSON_STRING) {
        out.copy(this.#body, start, end);
      } else {
        out.reserve(end - start);
        out.length = unescapeInto(this.#body, start, end, out.bytes, before);
      }
      this.#lengths[attribute] = out.length - before;
    }
    const data = this.#values[DATA] ?? 0;
    const hasData = data !== 0 && tape.kinds[data] === JSON_OBJECT;
    const dataStart = hasData ? (tape.starts[data] ?? 0) : 0;
    const dataEnd = hasData ? (tape.ends[data] ?? 0) : 0;
    out.copy(this.#body, dataStart, dataEnd);
    this.#lengths[DATA] = dataEnd - dataStart;
    finishEvent(out, at, this.#lengths);
  }

  #error(field: string, message: string): void {
    this.errors.push({ code: "invalid_event", message, field: this.#path + field });
  }
}

function kindName(kind: number | undefined): string {
  if (kind === JSON_STRING || kind === JSON_ESCAPED_STRING) return "string";
  return kind === JSON_NUMBER ? "number" : "value";
}

/** Runs the parser to its end; large bodies let other work run between slices. */
export async function parseInSlices(parser: Generator<void, ParsedEvents>): Promise<ParsedEvents> {
  for (;;) {
    const step = parser.next();
    if (step.done === true) return step.value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
