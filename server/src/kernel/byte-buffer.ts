/**
 * A growing byte buffer for encoders. Appends are plain stores into one array, so that encoding an event allocates
 * nothing; `take` hands the bytes over and starts anew.
 */

/** Below this many bytes a loop copies faster than `Uint8Array.set`, which needs a view first. */
const LOOP_COPY_BYTES = 48;

export class ByteBuffer {
  bytes: Uint8Array;
  length = 0;

  constructor(initialBytes: number) {
    this.bytes = new Uint8Array(initialBytes);
  }

  clear(): void {
    this.length = 0;
  }

  /** The bytes written so far, as a view that the next append may overwrite or outgrow. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  /** The bytes written so far, handed over; the buffer continues empty with a new array of the same capacity. */
  take(): Uint8Array {
    const taken = this.view();
    this.bytes = new Uint8Array(this.bytes.length);
    this.length = 0;
    return taken;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.view());
    this.bytes = grown;
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = value;
  }

  copy(source: Uint8Array, start: number, end: number): void {
    const count = end - start;
    this.reserve(count);
    if (count < LOOP_COPY_BYTES) {
      let to = this.length;
      for (let from = start; from < end; from++) this.bytes[to++] = source[from] ?? 0;
    } else {
      this.bytes.set(source.subarray(start, end), this.length);
    }
    this.length += count;
  }

  /** Appends a text of ASCII characters only. */
  ascii(text: string): void {
    this.reserve(text.length);
    let to = this.length;
    for (let at = 0; at < text.length; at++) this.bytes[to++] = text.charCodeAt(at);
    this.length = to;
  }

  /** Unsigned LEB128, as RowBinary writes lengths. */
  varint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
  }

  uint16(value: number): void {
    this.reserve(2);
    this.bytes[this.length++] = value & 0xff;
    this.bytes[this.length++] = (value >>> 8) & 0xff;
  }

  uint32(value: number): void {
    this.reserve(4);
    for (let shift = 0; shift < 32; shift += 8) this.bytes[this.length++] = (value >>> shift) & 0xff;
  }

  /** A safe integer, possibly negative, as a little-endian signed 64-bit number. */
  int64(value: number): void {
    const high = Math.floor(value / 0x1_0000_0000);
    this.uint32(value - high * 0x1_0000_0000);
    this.uint32(high);
  }
}

/** Reads what `ByteBuffer.int64` wrote, if it is a safe integer. */
export function readInt64(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) + (readUint32(bytes, at + 4) | 0) * 0x1_0000_0000;
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
  );
}

export function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}
