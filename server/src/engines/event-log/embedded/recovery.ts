/**
 * Opens a log directory for writing: verifies what is there, cuts a torn tail, refuses damage.
 *
 * A crash can leave the last group of records in any state: the disk writes its sectors in any order, so that a hole
 * may be followed by an intact record of the same group. Damage to records that were already acknowledged looks the
 * same at first sight. Every record therefore carries `durableEnd`, the position up to which the file was on disk when
 * the record was written. If a record behind the first bad byte proves that this byte had been on disk, then something
 * was damaged later: `LogDamaged`. Otherwise nothing at or behind it was ever acknowledged, and it is cut off.
 *
 * What this cannot see is damage inside the very last group when the log was not closed cleanly. After a clean close a
 * seal proves that the last group was on disk, and only the seal itself remains without a witness; it holds no events.
 */

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { LogDamaged } from "../log.ts";
import { readUpTo, writeAll } from "./files.ts";
import type { LogFile, LogFiles } from "./files.ts";
import {
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  isPayloadIntact,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  SYNC_WORD_BYTES,
  segmentBases,
  segmentName,
} from "./format.ts";
import type { RecordHeader, SegmentHeader } from "./format.ts";

const CHUNK_BYTES = 1024 * 1024;
const UNFINISHED_NAME = "next-segment.tmp";

/** The segment that takes the next record, and where. */
export interface ActiveSegment {
  readonly file: LogFile;
  readonly header: SegmentHeader;
  /** Length of the segment; all of it is durable. */
  readonly position: number;
}

export interface RecoveredLog {
  readonly active: ActiveSegment;
  /** One past the offset of the last event. */
  readonly end: number;
  readonly nextIngestedAtMicros: number;
  /** Whether a clean close already put a seal behind the last record. */
  readonly isSealed: boolean;
}

/** A torn tail was cut from `file` at byte `position`. */
export interface TailCut {
  readonly file: string;
  readonly position: number;
  readonly bytes: number;
}

/** A new segment could not be made, and it is unknown whether it will be there after a crash. */
export class SegmentInDoubt extends Error {
  override readonly name = "SegmentInDoubt";
}

/**
 * Creates an empty segment, durably. The file gets its name only once its header is on disk, so that a segment without
 * a good header is always damage. Rejects with `SegmentInDoubt` when the directory may or may not have changed; after
 * any other rejection nothing has happened.
 */
export async function createSegment(
  files: LogFiles,
  directory: string,
  place: Omit<SegmentHeader, "syncWord">,
): Promise<ActiveSegment> {
  const header = { ...place, syncWord: randomBytes(SYNC_WORD_BYTES) };
  const unfinished = join(directory, UNFINISHED_NAME);
  const file = await files.open(unfinished, "create");
  try {
    await writeAll(file, encodeSegmentHeader(header), 0);
    await file.datasync();
  } catch (error) {
    await file.close();
    throw error;
  }
  try {
    await files.rename(unfinished, join(directory, segmentName(header.baseOffset)));
    await files.syncDirectory(directory);
  } catch (error) {
    await file.close();
    throw new SegmentInDoubt(`The directory ${directory} could not be written.`, { cause: error });
  }
  return { file, header, position: SEGMENT_HEADER_BYTES };
}

/** Recovers the log in `directory`, which the caller has locked. Rejects with `LogDamaged`. */
export async function recoverLog(
  files: LogFiles,
  directory: string,
  onTailCut: (cut: TailCut) => void,
): Promise<RecoveredLog> {
  const names = await files.list(directory);
  if (names.includes(UNFINISHED_NAME)) await files.remove(join(directory, UNFINISHED_NAME));
  const bases = segmentBases(names);
  // The process that died may have renamed or removed files without syncing the directory.
  await files.syncDirectory(directory);
  const last = bases.at(-1);
  if (last === undefined) {
    const none = { baseOffset: 0, nextIngestedAtMicros: 0, previousBaseOffset: 0, previousBytes: 0 };
    return { active: await createSegment(files, directory, none), end: 0, nextIngestedAtMicros: 0, isSealed: false };
  }
  await verifyChain(files, directory, bases);
  const path = join(directory, segmentName(last));
  const file = await files.open(path, "write");
  try {
    return await recoverSegment(file, path, onTailCut);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Earlier segments were durable before their successor was created, so its header can vouch for their length. */
async function verifyChain(files: LogFiles, directory: string, bases: readonly number[]): Promise<void> {
  let previous: { readonly base: number; readonly bytes: number } | undefined;
  for (const base of bases) {
    const path = join(directory, segmentName(base));
    const file = await files.open(path, "read");
    try {
      const header = await readSegmentHeader(file, path);
      if (header.baseOffset !== base) {
        throw new LogDamaged(`${path}, byte 24: the header says that the segment starts at ${header.baseOffset}.`);
      }
      if (previous !== undefined && header.previousBaseOffset !== previous.base) {
        throw new LogDamaged(`${path}, byte 40: the segment ${segmentName(header.previousBaseOffset)} is missing.`);
      }
      if (previous !== undefined && header.previousBytes !== previous.bytes) {
        const damaged = join(directory, segmentName(previous.base));
        const at = Math.min(previous.bytes, header.previousBytes);
        throw new LogDamaged(
          `${damaged}, byte ${at}: ${previous.bytes} bytes long instead of ${header.previousBytes}.`,
        );
      }
      previous = { base, bytes: await file.size() };
    } finally {
      await file.close();
    }
  }
}

async function readSegmentHeader(file: LogFile, path: string): Promise<SegmentHeader> {
  const header = decodeSegmentHeader(await readUpTo(file, 0, SEGMENT_HEADER_BYTES));
  if (typeof header === "string") throw new LogDamaged(`${path}, byte 0: ${header}.`);
  return header;
}

async function recoverSegment(file: LogFile, path: string, onTailCut: (cut: TailCut) => void): Promise<RecoveredLog> {
  const header = await readSegmentHeader(file, path);
  const size = await file.size();
  const scan = await scanRecords(file, path, header, size);
  if (scan.position < size) {
    const witness = await latestDurableEnd(file, header.syncWord, scan.position + 1, size);
    if (witness > scan.position) {
      throw new LogDamaged(
        `${path}, byte ${scan.position} (offset ${scan.end}): the record is damaged; a later one shows that ` +
          `everything before byte ${witness} had been stored.`,
      );
    }
    await file.truncate(scan.position);
    onTailCut({ file: path, position: scan.position, bytes: size - scan.position });
  }
  await rewrite(file, scan.durableEnd, scan.position);
  await file.datasync();
  return {
    active: { file, header, position: scan.position },
    end: scan.end,
    nextIngestedAtMicros: scan.nextIngestedAtMicros,
    isSealed: scan.isSealed,
  };
}

/**
 * Writes the last group again, unchanged. Its sync may have failed in the process that wrote it; the kernel then keeps
 * the pages as if they were on disk and a second sync succeeds without doing anything, unless the pages change again.
 */
async function rewrite(file: LogFile, from: number, to: number): Promise<void> {
  for (let position = from; position < to; position += CHUNK_BYTES) {
    await writeAll(file, await readUpTo(file, position, Math.min(CHUNK_BYTES, to - position)), position);
  }
}

interface Scan {
  /** Where the first bad record starts, or the end of the file. */
  position: number;
  end: number;
  nextIngestedAtMicros: number;
  /** What the last good record knew to be durable. */
  durableEnd: number;
  isSealed: boolean;
}

/** Verifies record after record until the end of the file or the first bad one. */
async function scanRecords(file: LogFile, path: string, segment: SegmentHeader, size: number): Promise<Scan> {
  const scan: Scan = {
    position: SEGMENT_HEADER_BYTES,
    end: segment.baseOffset,
    nextIngestedAtMicros: segment.nextIngestedAtMicros,
    durableEnd: SEGMENT_HEADER_BYTES,
    isSealed: false,
  };
  let chunk: Buffer = Buffer.alloc(0);
  let chunkPosition = SEGMENT_HEADER_BYTES;
  const load = async (length: number): Promise<number> => {
    if (scan.position + length > chunkPosition + chunk.length) {
      chunk = await readUpTo(file, scan.position, Math.max(length, Math.min(CHUNK_BYTES, size - scan.position)));
      chunkPosition = scan.position;
    }
    return scan.position - chunkPosition;
  };
  while (scan.position + RECORD_HEADER_BYTES <= size) {
    const headerAt = await load(RECORD_HEADER_BYTES);
    const header = decodeRecordHeader(chunk, headerAt, segment.syncWord);
    if (header === undefined) break;
    const recordBytes = RECORD_HEADER_BYTES + header.payloadBytes;
    if (scan.position + recordBytes > size) break;
    const at = await load(recordBytes);
    if (!isPayloadIntact(chunk, at + RECORD_HEADER_BYTES, header)) break;
    assertInOrder(path, scan, header);
    scan.position += recordBytes;
    scan.end += header.count;
    scan.nextIngestedAtMicros = header.ingestedAtMicros + header.count;
    scan.durableEnd = header.durableEnd;
    scan.isSealed = header.count === 0;
  }
  return scan;
}

/** An intact record in the wrong place is no torn write: nothing but a defect or a foreign hand puts it there. */
function assertInOrder(path: string, scan: Scan, header: RecordHeader): void {
  if (
    header.offset === scan.end &&
    header.ingestedAtMicros >= scan.nextIngestedAtMicros &&
    header.durableEnd <= scan.position &&
    header.durableEnd >= scan.durableEnd
  ) {
    return;
  }
  throw new LogDamaged(`${path}, byte ${scan.position}: the record does not continue the log at offset ${scan.end}.`);
}

/** The greatest `durableEnd` of all record headers that start in `[from, to)`, at whatever byte; 0 without any. */
async function latestDurableEnd(file: LogFile, syncWord: Buffer, from: number, to: number): Promise<number> {
  let latest = 0;
  for (let position = from; position < to; position += CHUNK_BYTES) {
    // Chunks overlap by a header, so that one that straddles the border is found.
    const bytes = await readUpTo(file, position, Math.min(CHUNK_BYTES + RECORD_HEADER_BYTES, to - position));
    for (let at = bytes.indexOf(syncWord); at !== -1; at = bytes.indexOf(syncWord, at + 1)) {
      latest = Math.max(latest, decodeRecordHeader(bytes, at, syncWord)?.durableEnd ?? 0);
    }
  }
  return latest;
}
