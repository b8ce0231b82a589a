/**
 * Row blocks: events on their way into the event store, encoded in ClickHouse's Native format, which is the values of one
 * column after the other: the server takes columns in with half the work that rows cost it. The sink writes a block
 * straight from log bytes; the store passes it through without looking inside.
 */

import { ByteBuffer, readInt64 } from "../../kernel/byte-buffer.ts";
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
  readonly #columns: Columns;
  #rows = 0;
  #pairs = 0;

  /** Each column begins with so many bytes. */
  constructor(initialBytes: number) {
    const column = (): ByteBuffer => new ByteBuffer(initialBytes);
    this.#columns = {
      namespace: column(),
      type: column(),
      subject: column(),
      source: column(),
      id: column(),
      time: column(),
      time_given: column(),
      data: column(),
      vals: { ends: column(), names: column(), values: column() },
      ingested_at: column(),
      stored_at: column(),
      log_partition: column(),
      log_offset: column(),
    };
  }

  get rows(): number {
    return this.#rows;
  }

  /**
   * Appends one event. `tape` holds the event's parsed `data`, an object; it is not looked at when the event has none.
   */
  add(namespace: Uint8Array, event: EventBytes, place: EventPlace, tape: JsonTape): void {
    const columns = this.#columns;
    const { bytes } = event;
    writeString(columns.namespace, namespace, 0, namespace.length);
    writeString(columns.type, bytes, event.typeStart, event.typeEnd);
    writeString(columns.subject, bytes, event.subjectStart, event.subjectEnd);
    writeString(columns.source, bytes, event.sourceStart, event.sourceEnd);
    writeString(columns.id, bytes, event.idStart, event.idEnd);
    columns.time.int64(event.time);
    columns.time_given.byte(event.isTimeGiven ? 1 : 0);
    writeString(columns.data, bytes, event.dataStart, event.dataEnd);
    if (event.dataEnd > event.dataStart) this.#values(tape);
    columns.vals.ends.int64(this.#pairs);
    columns.ingested_at.int64(place.ingestedAt);
    columns.stored_at.int64(place.storedAt);
    columns.log_partition.uint16(place.partition);
    columns.log_offset.int64(place.offset);
    this.#rows += 1;
  }

  /** The rows for which `isKept` holds, by their index, as a block; the writer continues empty. */
  finish(isKept: (row: number) => boolean = () => true): RowBlock {
    const kept = Array.from({ length: this.#rows }, (_, row) => isKept(row));
    const rows = kept.reduce((sum, each) => sum + (each ? 1 : 0), 0);
    if (rows < kept.length) keepRows(this.#columns, kept);
    const bytes = nativeBlock(this.#columns, rows);
    for (const buffer of Object.values(this.#columns).flatMap(buffersOf)) buffer.clear();
    this.#rows = this.#pairs = 0;
    return { rows, bytes };
  }

  #values(tape: JsonTape): void {
    const { names, values } = this.#columns.vals;
    const keys = distinctKeys(tape, 0);
    for (const key of keys) {
      if (tape.kinds[key] === JSON_STRING) {
        writeString(names, tape.bytes, tape.starts[key] ?? 0, tape.ends[key] ?? 0);
      } else {
        const name = Buffer.from(tapeText(tape, key), "utf8");
        writeString(names, name, 0, name.length);
      }
      const at = values.length;
      values.byte(0);
      writeTaggedText(tape, key + 1, values);
      values.prefixLength(at);
    }
    this.#pairs += keys.length;
  }
}

/** A column of maps: how many pairs there are up to the end of each row, and the pairs themselves as two columns. */
interface MapColumn {
  readonly ends: ByteBuffer;
  readonly names: ByteBuffer;
  readonly values: ByteBuffer;
}

type ColumnName = (typeof EVENT_COLUMNS)[number][0];
type Columns = Readonly<Record<Exclude<ColumnName, "vals">, ByteBuffer>> & { readonly vals: MapColumn };

/** The parts of a column, in the order in which the format has them. */
function buffersOf(column: ByteBuffer | MapColumn): readonly ByteBuffer[] {
  return column instanceof ByteBuffer ? [column] : [column.ends, column.names, column.values];
}

/** The block in ClickHouse's Native format: names, types and values of one column after the other. */
function nativeBlock(columns: Columns, rows: number): Uint8Array {
  const parts: Uint8Array[] = [];
  const put = (write: (head: ByteBuffer) => void): void => {
    const head = new ByteBuffer(64);
    write(head);
    parts.push(head.view());
  };
  put((head) => {
    head.varint(EVENT_COLUMNS.length);
    head.varint(rows);
  });
  for (const [name, type] of EVENT_COLUMNS) {
    put((head) => {
      writeAscii(head, name);
      // Dictionaries are left to the server: ready-made ones would spare it 0.2 µs per row at most.
      writeAscii(head, type.replaceAll("LowCardinality(String)", "String"));
    });
    for (const buffer of buffersOf(columns[name])) parts.push(buffer.view());
  }
  return Buffer.concat(parts);
}

/** Takes the rows that are not kept out of all columns. Rare: they are duplicates. */
function keepRows(columns: Columns, kept: readonly boolean[]): void {
  const { ends, names, values } = columns.vals;
  const pairs: boolean[] = [];
  const counts = kept.map((isKept, row) => {
    const count = readInt64(ends.bytes, row * 8) - pairs.length;
    for (let pair = 0; pair < count; pair++) pairs.push(isKept);
    return count;
  });
  ends.clear();
  let total = 0;
  kept.forEach((isKept, row) => {
    if (isKept) ends.int64((total += counts[row] ?? 0));
  });
  for (const pairColumn of [names, values]) keepValues(pairColumn, pairs, stringEnd);
  for (const [name, type] of EVENT_COLUMNS) {
    if (name === "vals") continue;
    const width = FIXED_BYTES.get(type);
    keepValues(columns[name], kept, width === undefined ? stringEnd : (_, at) => at + width);
  }
}

/** Bytes of a value, for types whose values all have the same number of them. */
const FIXED_BYTES: ReadonlyMap<string, number> = new Map([
  ["DateTime64(6, 'UTC')", 8],
  ["UInt64", 8],
  ["UInt16", 2],
  ["Bool", 1],
]);

function keepValues(
  column: ByteBuffer,
  kept: readonly boolean[],
  endOf: (bytes: Uint8Array, at: number) => number,
): void {
  const { bytes } = column;
  let length = 0;
  let start = 0;
  for (const isKept of kept) {
    const end = endOf(bytes, start);
    if (isKept) {
      bytes.copyWithin(length, start, end);
      length += end - start;
    }
    start = end;
  }
  column.length = length;
}

function stringEnd(bytes: Uint8Array, at: number): number {
  let length = 0;
  let position = at;
  for (let unit = 1; ; unit *= 0x80) {
    const byte = bytes[position++] ?? 0;
    length += (byte & 0x7f) * unit;
    if (byte < 0x80) return position + length;
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

function writeString(column: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
  column.varint(end - start);
  column.copy(bytes, start, end);
}

function writeAscii(head: ByteBuffer, text: string): void {
  head.varint(text.length);
  head.ascii(text);
}
