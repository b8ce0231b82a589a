/**
 * The bytes of a segment file: one segment header, then records. `FORMAT.md` describes the same for people who write
 * another reader; the two change together, and any change raises `FORMAT_VERSION`.
 *
 * Invariants:
 * 1. A header that decodes was written by this log, for this segment: each carries a checksum and the segment's random
 *    sync word, which no client knows, so that no payload can contain bytes that pass for a record.
 * 2. `durableEnd` of a record never lies after the record: everything before it was on disk when the record was
 *    written.
 *    This is what tells a torn tail from damage.
 */

import { assert } from "../../../kernel/assert.ts";
import { crc32c } from "./crc32c.ts";

export const FORMAT_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 64;
export const RECORD_HEADER_BYTES = 48;
export const SYNC_WORD_BYTES = 8;

/** Longest payload: what a single buffer and a 32-bit length can hold with room to spare. */
export const MAX_PAYLOAD_BYTES = 1 << 30;

const MAGIC = Buffer.from("TALLYLOG", "latin1");
const SEGMENT_SUFFIX = ".log";
const TWO_TO_32 = 2 ** 32;

export interface SegmentHeader {
  /** Offset of the first event in the segment. */
  readonly baseOffset: number;
  /** Eight random bytes that start every record of the segment. */
  readonly syncWord: Buffer;
  /** Smallest ingestion instant that the first record may have; 0 when no event was ever written before. */
  readonly nextIngestedAtMicros: number;
  /** Base offset and final length of the segment before this one; a length of 0 says that there was none. */
  readonly previousBaseOffset: number;
  readonly previousBytes: number;
}

export interface RecordHeader {
  readonly offset: number;
  /** How many events the record has; 0 marks a seal, which a clean close writes behind the last record. */
  readonly count: number;
  readonly ingestedAtMicros: number;
  readonly payloadBytes: number;
  /** Position in the file up to which everything was on disk when this record was written. */
  readonly durableEnd: number;
  readonly payloadCrc: number;
}

/** File name of the segment that starts at `baseOffset`: 20 digits, so that names sort like offsets. */
export function segmentName(baseOffset: number): string {
  return String(baseOffset).padStart(20, "0") + SEGMENT_SUFFIX;
}

/** Base offsets of the segments among the directory's file names, ascending; other files are ignored. */
export function segmentBases(names: readonly string[]): number[] {
  return names
    .filter((name) => /^\d{20}\.log$/.test(name))
    .map((name) => Number(name.slice(0, 20)))
    .toSorted((a, b) => a - b);
}

function putCount(bytes: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "numbers in the log are non-negative safe integers");
  bytes.writeUInt32LE(value % TWO_TO_32, at);
  bytes.writeUInt32LE(Math.floor(value / TWO_TO_32), at + 4);
}

function countAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * TWO_TO_32;
}

/** The header as the first `SEGMENT_HEADER_BYTES` of a segment file. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  header.syncWord.copy(bytes, 16);
  putCount(bytes, header.baseOffset, 24);
  putCount(bytes, header.nextIngestedAtMicros, 32);
  putCount(bytes, header.previousBaseOffset, 40);
  putCount(bytes, header.previousBytes, 48);
  bytes.writeUInt32LE(crc32c(bytes, 0, 60), 60);
  return bytes;
}

/** The header, or in words what is wrong with `bytes`. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | string {
  if (bytes.length < SEGMENT_HEADER_BYTES) return "the segment header is incomplete";
  if (!bytes.subarray(0, 8).equals(MAGIC)) return "the file does not start like a segment";
  const version = bytes.readUInt32LE(8);
  if (version !== FORMAT_VERSION)
    return `the segment has format version ${version}, this program reads ${FORMAT_VERSION}`;
  if (bytes.readUInt32LE(60) !== crc32c(bytes, 0, 60)) return "the checksum of the segment header is wrong";
  return {
    baseOffset: countAt(bytes, 24),
    syncWord: Buffer.from(bytes.subarray(16, 16 + SYNC_WORD_BYTES)),
    nextIngestedAtMicros: countAt(bytes, 32),
    previousBaseOffset: countAt(bytes, 40),
    previousBytes: countAt(bytes, 48),
  };
}

/** Writes a record header at `at`; the payload follows it at `at + RECORD_HEADER_BYTES`. */
export function encodeRecordHeader(bytes: Buffer, at: number, syncWord: Buffer, header: RecordHeader): void {
  syncWord.copy(bytes, at);
  bytes.writeUInt32LE(header.payloadBytes, at + 8);
  bytes.writeUInt32LE(header.count, at + 12);
  putCount(bytes, header.offset, at + 16);
  putCount(bytes, header.ingestedAtMicros, at + 24);
  putCount(bytes, header.durableEnd, at + 32);
  bytes.writeUInt32LE(header.payloadCrc, at + 40);
  bytes.writeUInt32LE(crc32c(bytes, at, at + 44), at + 44);
}

/** The record header at `at`, or undefined when there is no intact header of this segment. */
export function decodeRecordHeader(bytes: Buffer, at: number, syncWord: Buffer): RecordHeader | undefined {
  if (at + RECORD_HEADER_BYTES > bytes.length) return undefined;
  if (syncWord.compare(bytes, at, at + SYNC_WORD_BYTES) !== 0) return undefined;
  if (bytes.readUInt32LE(at + 44) !== crc32c(bytes, at, at + 44)) return undefined;
  return {
    offset: countAt(bytes, at + 16),
    count: bytes.readUInt32LE(at + 12),
    ingestedAtMicros: countAt(bytes, at + 24),
    payloadBytes: bytes.readUInt32LE(at + 8),
    durableEnd: countAt(bytes, at + 32),
    payloadCrc: bytes.readUInt32LE(at + 40),
  };
}

/** Whether the payload that starts at `at` is the one that `header` describes; `bytes` must hold all of it. */
export function isPayloadIntact(bytes: Buffer, at: number, header: RecordHeader): boolean {
  return crc32c(bytes, at, at + header.payloadBytes) === header.payloadCrc;
}
