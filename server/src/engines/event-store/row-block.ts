/**
 * Row blocks: events on their way into the event store, encoded as ClickHouse RowBinary in the column order of
 * `EVENT_COLUMNS`. The sink writes a block straight from log bytes; the store passes it through without looking inside.
 */

import { ByteBuffer } from "../../kernel/byte-buffer.ts";
import type { Instant } from "../../kernel/instant.ts";
import { JSON_STRING, JsonTape } from "../../kernel/json.ts";
import type { RowBlock, StoredEvent } from "./store.ts";
import { distinctKeys, tapeText, writeTaggedText } from "./values.ts";

/** Columns of the `events` table in the order in which a row block carries them, with their ClickHouse types. */
export const EVENT_COLUMNS = [
  ["namespace", "LowCardinality(String)"],
  ["type", "LowCardinality(String)"],
  ["subject", "String"],
  ["source", "LowCardinality(String)"],
  ["id", "String"],
  ["time", "DateTime64(6, 'UTC')"],
  ["time_given", "Bool"],
  // JSON text as received; the empty string stands for absent.
  ["data", "String"],
  // See values.ts.
  ["vals", "Map(LowCardinality(String), String)"],
  ["ingested_at", "DateTime64(6, 'UTC')"],
  ["stored_at", "DateTime64(6, 'UTC')"],
  ["log_partition", "UInt16"],
  ["log_offset", "UInt64"],
] as const;

/** An event whose attributes are UTF-8 byte ranges `[start, end)` of one array. */
export interface EventBytes {
  readonly bytes: Uint8Array;
  readonly idStart: number;
  readonly idEnd: number;
  readonly sourceStart: number;
  readonly sourceEnd: number;
  readonly typeStart: number;
  readonly typeEnd: number;
  readonly subjectStart: number;
  readonly subjectEnd: number;
  /** The JSON text of `data`; an empty range when it is absent. */
  readonly dataStart: number;
  readonly dataEnd: number;
  readonly time: Instant;
  readonly isTimeGiven: boolean;
}

/** Where and when the event was taken in. */
export interface EventPlace {
  readonly ingestedAt: Instant;
  readonly storedAt: Instant;
  readonly partition: number;
  readonly offset: number;
}

/** Builds row blocks; one writer is reused for all batches of a sink. */
export class RowBlockWriter {
  readonly #block: ByteBuffer;
  readonly #value = new ByteBuffer(4096);
  /** Where each row ends in the block. */
  readonly #ends: number[] = [];

  constructor(initialBytes: number) {
    this.#block = new ByteBuffer(initialBytes);
  }

  get rows(): number {
    return this.#ends.length;
  }

  /**
   * Appends one event. `tape` holds the event's parsed `data`, an object; it is not looked at when the event has none.
   */
  add(namespace: Uint8Array, event: EventBytes, place: EventPlace, tape: JsonTape): void {
    const block = this.#block;
    const { bytes } = event;
    writeString(block, namespace, 0, namespace.length);
    writeString(block, bytes, event.typeStart, event.typeEnd);
    writeString(block, bytes, event.subjectStart, event.subjectEnd);
    writeString(block, bytes, event.sourceStart, event.sourceEnd);
    writeString(block, bytes, event.idStart, event.idEnd);
    block.int64(event.time);
    block.byte(event.isTimeGiven ? 1 : 0);
    writeString(block, bytes, event.dataStart, event.dataEnd);
    if (event.dataEnd > event.dataStart) this.#values(tape);
    else block.varint(0);
    block.int64(place.ingestedAt);
    block.int64(place.storedAt);
    block.uint16(place.partition);
    block.int64(place.offset);
    this.#ends.push(block.length);
  }

  /** The rows for which `isKept` holds, by their index, handed over; the writer continues empty. */
  finish(isKept: (row: number) => boolean = () => true): RowBlock {
    const bytes = this.#block.bytes;
    let rows = 0;
    let length = 0;
    let start = 0;
    this.#ends.forEach((end, row) => {
      if (isKept(row)) {
        if (length !== start) bytes.copyWithin(length, start, end);
        length += end - start;
        rows += 1;
      }
      start = end;
    });
    this.#ends.length = 0;
    return { rows, bytes: this.#block.take().subarray(0, length) };
  }

  #values(tape: JsonTape): void {
    const keys = distinctKeys(tape, 0);
    this.#block.varint(keys.length);
    for (const key of keys) {
      if (tape.kinds[key] === JSON_STRING) {
        writeString(this.#block, tape.bytes, tape.starts[key] ?? 0, tape.ends[key] ?? 0);
      } else {
        const name = Buffer.from(tapeText(tape, key), "utf8");
        writeString(this.#block, name, 0, name.length);
      }
      this.#value.clear();
      writeTaggedText(tape, key + 1, this.#value);
      writeString(this.#block, this.#value.bytes, 0, this.#value.length);
    }
  }
}

/** A stored event as bytes, for hashing and encoding it again. */
export function eventBytes(event: StoredEvent): EventBytes {
  const parts = [event.id, event.source, event.type, event.subject, event.data ?? ""].map((text) => Buffer.from(text));
  const ends: number[] = [];
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.length);
  const [idEnd = 0, sourceEnd = 0, typeEnd = 0, subjectEnd = 0, dataEnd = 0] = ends;
  return {
    bytes: Buffer.concat(parts),
    idStart: 0,
    idEnd,
    sourceStart: idEnd,
    sourceEnd,
    typeStart: sourceEnd,
    typeEnd,
    subjectStart: typeEnd,
    subjectEnd,
    dataStart: subjectEnd,
    dataEnd,
    time: event.time,
    isTimeGiven: event.isTimeGiven,
  };
}

/** Encodes whole events; for tests and tools, the sink writes from log bytes. `data` must be an object's JSON text. */
export function encodeEvents(events: readonly StoredEvent[]): RowBlock {
  const writer = new RowBlockWriter(1024);
  const tape = new JsonTape(1024);
  for (const event of events) {
    const bytes = eventBytes(event);
    if (bytes.dataEnd > bytes.dataStart) tape.parse(bytes.bytes, bytes.dataStart, bytes.dataEnd);
    writer.add(Buffer.from(event.namespace), bytes, event, tape);
  }
  return writer.finish();
}

function writeString(block: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
  block.varint(end - start);
  block.copy(bytes, start, end);
}
