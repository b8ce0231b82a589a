/**
 * Auditing: comparing what is stored with what should be, in one pass over each side and without moving the events.
 *
 * Both sides add up hashes of their events by *slot*, which is a range of consecutive log offsets. Sums do not depend on the
 * order of events, so each side reads in the order that suits it; where the sums of a slot are equal its events are, up to
 * a chance of 2^-64 for a slot that differs. Here is the side of whoever holds the bytes of an event; `sql/audit.ts` computes the same from stored rows.
 */

import { hash } from "node:crypto";
import { ByteBuffer, readUint32 } from "../../kernel/byte-buffer.ts";
import { JSON_STRING, type JsonTape } from "../../kernel/json.ts";
import type { Period } from "../../kernel/period.ts";
import type { EventBytes, EventPlace } from "./row-block.ts";
import { distinctKeys, tapeText, writeTaggedText } from "./values.ts";

/** Offsets of a slot: sums of so many hashes, each times its place in the slot, stay exact in a JavaScript number. */
export const SLOT_OFFSETS = 1_000;
/** Sums of identities are taken modulo this, so that rows that are stored many times do not make them inexact. */
export const SUM_LIMIT = 2 ** 52;

/** What one side says about the events of a slot. */
export interface SlotSums {
  /** Number of the slot: offset divided by the length of a slot, rounded down. */
  readonly slot: number;
  readonly rows: number;
  /** Sums of the two words of `EventDigest.content`. */
  readonly content: readonly [number, number];
  /** Sums of the first two words of identities, each times `slotWeight` of its offset, modulo `SUM_LIMIT`. */
  readonly identity: readonly [number, number];
}

/** Which rows to add up: offsets of the partition 0 in `[from, to]`, optionally those with times in a period only. */
export interface SlotRange {
  readonly from: number;
  readonly to: number;
  /** 1 tells every offset apart. */
  readonly slotOffsets: number;
  readonly period?: Period;
}

/** An identity with more than one row. */
export interface RepeatedIdentity {
  readonly namespace: string;
  readonly source: string;
  readonly id: string;
  readonly rows: number;
  /** Log offsets of up to five of its rows. */
  readonly offsets: readonly number[];
}

/** What an event store tells an auditor. */
export interface AuditStore {
  /** Periods of whole UTC days that together have all rows, with about `rows` rows each, unless a day has more. */
  periods(rows: number): Promise<readonly { readonly period: Period; readonly rows: number }[]>;
  /** Slots without rows are left out; slots of different periods are to be added up. */
  sums(range: SlotRange): Promise<readonly SlotSums[]>;
  /** Identities with several rows among the `part`-th of `parts` equal shares of all ids. */
  repeatedIdentities(part: number, parts: number): Promise<readonly RepeatedIdentity[]>;
  /** Rows whose log partition is not 0, the only one that the embedded log has. */
  strangeRows(): Promise<number>;
}

/** What an identity's words count in the sums of a slot: it ties the identity to its offset. */
export function slotWeight(offset: number): number {
  return (offset % SLOT_OFFSETS) + 1;
}

/** Computes the words that stand for an event; keeps its scratch buffers from one event to the next. */
export class EventDigest {
  readonly #message = new ByteBuffer(4096);
  readonly #pairs = new ByteBuffer(4096);
  readonly #value = new ByteBuffer(1024);

  /**
   * The first two words of a SHA-256 over everything that the log says of a stored event: its position, its attributes,
   * its instants, its data byte for byte, and the properties that queries read. `tape` holds the parsed data, if any.
   */
  content(
    namespace: Uint8Array,
    event: EventBytes,
    place: Omit<EventPlace, "storedAt">,
    tape: JsonTape,
  ): readonly [number, number] {
    const message = this.#message;
    const { idStart, idEnd, sourceStart, sourceEnd, typeStart, typeEnd, subjectStart, subjectEnd } = event;
    message.clear();
    message.ascii(
      `${place.partition},${place.offset},${event.time},${event.isTimeGiven ? 1 : 0},${place.ingestedAt},` +
        `${namespace.length},${idEnd - idStart},${sourceEnd - sourceStart},${typeEnd - typeStart},` +
        `${subjectEnd - subjectStart},${event.dataEnd - event.dataStart};`,
    );
    message.copy(namespace, 0, namespace.length);
    message.copy(event.bytes, idStart, idEnd);
    message.copy(event.bytes, sourceStart, sourceEnd);
    message.copy(event.bytes, typeStart, typeEnd);
    message.copy(event.bytes, subjectStart, subjectEnd);
    message.copy(event.bytes, event.dataStart, event.dataEnd);
    if (event.dataEnd > event.dataStart) this.#writeProperties(tape);
    const digest = hash("sha256", message.view(), "buffer");
    return [readUint32(digest, 0), readUint32(digest, 4)];
  }

  /** Names and values with their lengths, in the order of these texts: the store may keep properties in any order. */
  #writeProperties(tape: JsonTape): void {
    const pairs = this.#pairs;
    pairs.clear();
    const bounds = distinctKeys(tape, 0).map((key) => {
      const start = pairs.length;
      this.#writeName(tape, key);
      this.#value.clear();
      writeTaggedText(tape, key + 1, this.#value);
      pairs.ascii(`${this.#value.length}:`);
      pairs.copy(this.#value.bytes, 0, this.#value.length);
      return { start, end: pairs.length };
    });
    const bytes = Buffer.from(pairs.bytes.buffer, pairs.bytes.byteOffset, pairs.length);
    bounds.sort((a, b) => bytes.compare(bytes, b.start, b.end, a.start, a.end));
    for (const { start, end } of bounds) this.#message.copy(bytes, start, end);
  }

  #writeName(tape: JsonTape, key: number): void {
    const pairs = this.#pairs;
    const start = tape.starts[key] ?? 0;
    const end = tape.ends[key] ?? 0;
    if (tape.kinds[key] === JSON_STRING) {
      pairs.ascii(`${end - start}:`);
      pairs.copy(tape.bytes, start, end);
      return;
    }
    const name = Buffer.from(tapeText(tape, key));
    pairs.ascii(`${name.length}:`);
    pairs.copy(name, 0, name.length);
  }
}
