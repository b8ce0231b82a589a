/**
 * CRC-32C (Castagnoli), the checksum of the log's segments.
 *
 * Slicing-by-8 in TypeScript: about 2 GB/s on 30 KB payloads and 27 ns for a record header, measured on Node 26. A
 * native package reached 8 GB/s on large payloads but 79 ns on headers; at the 200 MB/s the log aims for, the
 * difference is less than a tenth of a core and not worth a binary per platform. `zlib.crc32` computes another
 * polynomial.
 */

/** The Castagnoli polynomial 0x1EDC6F41 with its bits reversed. */
const POLYNOMIAL = 0x82f63b78;

function firstTable(): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    table[byte] = crc;
  }
  return table;
}

/** The table for a byte that is followed by one more byte than in `previous`. */
function nextTable(previous: Int32Array): Int32Array {
  return previous.map((crc) => (crc >>> 8) ^ (TABLE_0[crc & 255] ?? 0));
}

const TABLE_0 = firstTable();
const TABLE_1 = nextTable(TABLE_0);
const TABLE_2 = nextTable(TABLE_1);
const TABLE_3 = nextTable(TABLE_2);
const TABLE_4 = nextTable(TABLE_3);
const TABLE_5 = nextTable(TABLE_4);
const TABLE_6 = nextTable(TABLE_5);
const TABLE_7 = nextTable(TABLE_6);

/**
 * CRC-32C of `bytes[from, to)` as an unsigned 32-bit number (RFC 3720 appendix B.4: initial value and final xor are all
 * ones, bits reflected).
 */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let crc = -1;
  let at = from;
  // Every index below is in range by construction, which the type checker cannot see; hence the casts.
  for (const last = to - 7; at < last; at += 8) {
    crc ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    crc =
      (TABLE_7[crc & 255] as number) ^
      (TABLE_6[(crc >>> 8) & 255] as number) ^
      (TABLE_5[(crc >>> 16) & 255] as number) ^
      (TABLE_4[crc >>> 24] as number) ^
      (TABLE_3[bytes[at + 4] as number] as number) ^
      (TABLE_2[bytes[at + 5] as number] as number) ^
      (TABLE_1[bytes[at + 6] as number] as number) ^
      (TABLE_0[bytes[at + 7] as number] as number);
  }
  for (; at < to; at += 1) crc = (crc >>> 8) ^ (TABLE_0[(crc ^ (bytes[at] as number)) & 255] as number);
  return ~crc >>> 0;
}
