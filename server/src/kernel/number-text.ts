/**
 * Texts of numbers, exact to the last digit: canonical notation and fixed-point values, without floats and without a
 * decimal type, because every event value passes through here.
 */

/** Longest plain notation that is written out: an exponent is four characters to send and could ask for gigabytes. */
const MAX_PLAIN_CHARACTERS = 400;

/** What counts as a number: JSON number tokens and, in strings, also `+1`, `.5`, `5.` and leading zeros. */
const NUMERIC = /^([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:[eE]([+-]?[0-9]+))?$/;

/** The number (-1 or 1) * 0.`digits` * 10^`point`; zero has no digits. */
interface ScientificParts {
  readonly isNegative: boolean;
  /** Significant digits, without leading and trailing zeros. */
  readonly digits: string;
  /** How many digits stand before the decimal point; negative: zeros after it; may be infinite. */
  readonly point: number;
}

/**
 * Whether the JSON number token in `bytes[start, end)` is its own canonical text; false also for those of more than 400
 * bytes, which nobody needs to be fast. Nearly all numbers are, and telling so costs less than reading one.
 */
export function isCanonicalNumber(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > MAX_PLAIN_CHARACTERS) return false;
  const first = bytes[start] === 0x2d ? start + 1 : start;
  let hasPoint = false;
  for (let at = first; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0x2e) hasPoint = true;
    else if (byte < 0x30 || byte > 0x39) return false;
  }
  if (hasPoint) return bytes[end - 1] !== 0x30;
  return !(first > start && bytes[first] === 0x30);
}

/**
 * Canonical text of a JSON number token or numeric string: plain decimal, no exponent, no `+`, no leading zeros, no
 * trailing fractional zeros, `-0` is `0`; all digits are kept. Where that would exceed 400 characters the text itself is
 * returned. Returns null when `text` is not a number.
 */
export function canonicalNumberText(text: string): string | null {
  const parts = scientificParts(text);
  if (parts === null) return null;
  const fraction = Math.max(parts.digits.length - parts.point, 0);
  const length = (parts.isNegative ? 1 : 0) + Math.max(parts.point, 1) + (fraction > 0 ? 1 + fraction : 0);
  return length > MAX_PLAIN_CHARACTERS ? text : plainText(parts);
}

/**
 * The number as plain decimal with at most `scale` fractional digits, rounded half away from zero. Returns null when
 * `text` is not a number or its magnitude, after rounding, is not below 10^`integerDigits`.
 */
export function fixedPointText(text: string, scale: number, integerDigits: number): string | null {
  const parts = scientificParts(text);
  if (parts === null) return null;
  const { digits, point, isNegative } = parts;
  if (point > integerDigits) return null;
  // The first dropped digit decides; below it everything rounds to zero.
  if (point < -scale) return "0";
  const kept = point + scale;
  if (digits.length <= kept) return plainText(parts);
  const roundsUp = digits.charCodeAt(kept) >= 0x35;
  const rounded = (BigInt(digits.slice(0, kept)) + (roundsUp ? 1n : 0n)).toString();
  const roundedPoint = rounded.length - scale;
  if (roundedPoint > integerDigits) return null;
  return plainText({ isNegative, digits: trimTrailingZeros(rounded), point: roundedPoint });
}

function scientificParts(text: string): ScientificParts | null {
  const match = NUMERIC.exec(text);
  if (match === null) return null;
  const before = match[2] ?? "";
  const all = before + (match[3] ?? match[4] ?? "");
  const significant = all.replace(/^0+/, "");
  if (significant === "") return { isNegative: false, digits: "", point: 0 };
  return {
    isNegative: match[1] === "-",
    digits: trimTrailingZeros(significant),
    point: before.length - (all.length - significant.length) + Number(match[5] ?? 0),
  };
}

/** Not a regular expression: `/0+$/` takes quadratic time on long runs of zeros inside the number. */
function trimTrailingZeros(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits.charCodeAt(end - 1) === 0x30) end -= 1;
  return digits.slice(0, end);
}

function plainText(parts: ScientificParts): string {
  const { digits, point } = parts;
  if (digits === "") return "0";
  const integer = point > 0 ? digits.slice(0, point).padEnd(point, "0") : "0";
  const fraction = point > 0 ? digits.slice(point) : "0".repeat(-point) + digits;
  const magnitude = fraction === "" ? integer : `${integer}.${fraction}`;
  return parts.isNegative ? `-${magnitude}` : magnitude;
}
