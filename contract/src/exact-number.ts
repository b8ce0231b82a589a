/**
 * JSON numbers without rounding, in both directions.
 *
 * Amounts of entitlements, grants and thresholds travel as JSON numbers, and a JavaScript number holds only 15 to 17 digits
 * of them. So a request body is read with `parseJsonExactly`, which keeps the text of every number that a double cannot hold;
 * `exactNumberSchema` makes decimal text of either form; and an answer contains `exactNumber(text)`, which `JSON.stringify`
 * writes as the number with exactly these digits.
 *
 * Invariants: a number that a double holds exactly arrives as an ordinary number, so that all other schemas are none the
 * wiser; text from `exactNumberSchema` is canonical (no exponent, no superfluous zeros, no `-0`).
 */
import { z } from "@hono/zod-openapi";

/** Digits before the point that an amount may have; values of events have no more either. */
const MAX_INTEGER_DIGITS = 38;
/** Digits after the point that an amount may have; values of events keep no more either. */
const MAX_FRACTION_DIGITS = 24;

/** The only numbers that a double may not hold have sixteen digits or an exponent; bodies without any are parsed faster. */
const MAY_BE_INEXACT = /[0-9][0-9.]{15}|[0-9][eE]/;

const NUMBER_TOKEN = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;

/** What the language offers and its type declarations do not know yet: the source text of numbers, and raw JSON. */
interface ExactJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): object;
}

const exactJson = JSON as unknown as ExactJson;

/** A JSON number that no double holds exactly. `JSON.stringify` writes its text. */
export class ExactNumber {
  /** The number as it was written, a JSON number token. */
  readonly source: string;

  constructor(source: string) {
    this.source = source;
  }

  toJSON(): object {
    return exactJson.rawJSON(this.source);
  }
}

/** An answer's body in which each number may also be one that no double holds. */
export type ExactBody<Body> = Body extends number
  ? number | ExactNumber
  : Body extends object
    ? { [Key in keyof Body]: ExactBody<Body[Key]> }
    : Body;

/** The number with this canonical text, for an answer: `JSON.stringify` writes all of its digits. */
export function exactNumber(text: string): ExactNumber {
  return new ExactNumber(text);
}

/** As `JSON.parse`, but numbers that a double cannot hold become an `ExactNumber`. Throws a `SyntaxError`. */
export function parseJsonExactly(text: string): unknown {
  if (!MAY_BE_INEXACT.test(text)) return JSON.parse(text);
  return exactJson.parse(text, (_key, value, { source }) => {
    if (typeof value !== "number" || source === undefined) return value;
    return isHeldByDouble(value, source) ? value : new ExactNumber(source);
  });
}

interface ExactNumberOptions {
  readonly description: string;
  readonly example?: number;
  /** States in the document, and checks, that the number is not negative. */
  readonly minimum?: 0;
  readonly default?: number;
  readonly deprecated?: boolean;
}

/** A JSON number of a request, as canonical decimal text; at most 38 digits before and 24 after the point. */
export function exactNumberSchema({ minimum, ...documentation }: ExactNumberOptions) {
  return z
    .unknown()
    .transform((input, context) => {
      const parts = typeof input === "number" || input instanceof ExactNumber ? partsOf(input) : null;
      const message = parts === null ? `must be a number${notThat(input)}` : rangeError(parts, minimum);
      if (parts !== null && message === null) return textOf(parts);
      context.addIssue({ code: "custom", message: message ?? "" });
      return z.NEVER;
    })
    .openapi({
      type: "number",
      format: "double",
      ...(minimum === undefined ? {} : { minimum }),
      ...documentation,
    });
}

/** (-1 or 1) * 0.`digits` * 10^`point`; zero has no digits. */
interface NumberParts {
  readonly isNegative: boolean;
  /** Without leading and trailing zeros. */
  readonly digits: string;
  readonly point: number;
}

function isHeldByDouble(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return false;
  const double = partsOf(value);
  const written = partsOfText(source);
  return double?.digits === written?.digits && (double?.digits === "" || double?.point === written?.point);
}

function partsOf(input: number | ExactNumber): NumberParts | null {
  return partsOfText(typeof input === "number" ? String(input) : input.source);
}

/** Null when the text is no number. */
function partsOfText(text: string): NumberParts | null {
  const match = NUMBER_TOKEN.exec(text);
  if (match === null) return null;
  const [, sign, whole = "", fraction = "", exponent = "0"] = match;
  const all = whole + fraction;
  const significant = all.replace(/^0+/, "");
  if (significant === "") return { isNegative: false, digits: "", point: 0 };
  let end = significant.length;
  // Not a regular expression: `/0+$/` takes quadratic time on long runs of zeros inside the number.
  while (significant.charCodeAt(end - 1) === 0x30) end -= 1;
  const point = whole.length - (all.length - significant.length) + Number(exponent);
  return { isNegative: sign === "-", digits: significant.slice(0, end), point };
}

function rangeError({ isNegative, digits, point }: NumberParts, minimum: 0 | undefined): string | null {
  if (minimum !== undefined && isNegative) return `must be at least ${minimum}`;
  if (point <= MAX_INTEGER_DIGITS && digits.length - point <= MAX_FRACTION_DIGITS) return null;
  return `must have at most ${MAX_INTEGER_DIGITS} digits before and ${MAX_FRACTION_DIGITS} after the point`;
}

function textOf({ isNegative, digits, point }: NumberParts): string {
  if (digits === "") return "0";
  const whole = point > 0 ? digits.slice(0, point).padEnd(point, "0") : "0";
  const fraction = point > 0 ? digits.slice(point) : "0".repeat(-point) + digits;
  return `${isNegative ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

function notThat(input: unknown): string {
  if (input === undefined) return "; it is missing";
  if (typeof input === "string") return `, not the text ${JSON.stringify(input.slice(0, 40))}; send it without quotes`;
  if (input === null || typeof input === "boolean") return `, not ${String(input)}`;
  return Array.isArray(input) ? ", not an array" : ", not an object";
}
