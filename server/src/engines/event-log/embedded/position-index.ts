/**
 * Sparse indexes from offsets to file positions, one per segment, filled by whoever scans the segment.
 *
 * Memory is bounded: one entry per `SPACING_BYTES` of a segment, and only the `MAX_SEGMENTS` most recently used
 * segments keep theirs (64 segments of 64 MiB cost about 2 MiB). What was forgotten is found again by scanning.
 */

const SPACING_BYTES = 64 * 1024;
const MAX_SEGMENTS = 64;

/** A record starts at `position` and its first event has `offset`. */
export interface IndexEntry {
  readonly offset: number;
  readonly position: number;
}

/** Index of the last entry whose offset is at most `offset`, -1 when there is none. */
function floorIndex(entries: readonly IndexEntry[], offset: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle];
    if (entry !== undefined && entry.offset <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export class PositionIndex {
  readonly #segments = new Map<number, IndexEntry[]>();

  /** The nearest known record at or before `offset` in the segment; undefined when only its start is known. */
  floor(segment: number, offset: number): IndexEntry | undefined {
    const entries = this.#segments.get(segment);
    return entries?.[floorIndex(entries, offset)];
  }

  /** Remembers a record, unless another one nearby is known already. */
  note(segment: number, entry: IndexEntry): void {
    const entries = this.#touched(segment);
    const before = floorIndex(entries, entry.offset);
    const previous = entries[before]?.position ?? 0;
    const next = entries[before + 1]?.position ?? Number.POSITIVE_INFINITY;
    if (entry.position - previous < SPACING_BYTES || next - entry.position < SPACING_BYTES) return;
    entries.splice(before + 1, 0, entry);
  }

  #touched(segment: number): IndexEntry[] {
    const entries = this.#segments.get(segment) ?? [];
    // A map keeps insertion order: moving what is used to the back leaves the least recently used in front.
    this.#segments.delete(segment);
    this.#segments.set(segment, entries);
    const oldest = this.#segments.keys().next().value;
    if (this.#segments.size > MAX_SEGMENTS && oldest !== undefined) this.#segments.delete(oldest);
    return entries;
  }
}
