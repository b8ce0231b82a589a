/**
 * Why an event yields no value for a meter: the sentence that an event listing shows to whoever sent the event.
 *
 * Invariant: a numeric aggregation explains exactly the events whose value the event store leaves out of it, and
 * UNIQUE_COUNT exactly those that it does not count; `server/test/oracle` compares the two.
 */

import { assert } from "../kernel/assert.ts";
import { canonicalNumberText, fixedPointText } from "../kernel/number-text.ts";
import {
  type Aggregation,
  type JsonPath,
  parseDocument,
  resolvePath,
  VALUE_INTEGER_DIGITS,
  VALUE_SCALE,
} from "../engines/event-store/index.ts";

const MAX_QUOTED_CHARACTERS = 100;

/**
 * The reason why an event with this `data` (JSON text, null when absent) has no value at `valuePath`; null when it has one.
 * COUNT needs no value and never gives a reason; `valuePath` is undefined for COUNT only.
 */
export function explainValue(
  aggregation: Aggregation,
  valuePath: JsonPath | undefined,
  data: string | null,
): string | null {
  if (aggregation === "COUNT") return null;
  assert(valuePath !== undefined, "every meter but COUNT has a value path");
  if (data === null) return "null and missing value property";
  const node = resolvePath(valuePath, parseDocument(data));
  switch (node.kind) {
    case "missing":
      return `missing value property: "${valuePath.text}"`;
    case "null":
      return "value cannot be null";
    case "object":
    case "array":
      return `unsupported value property type: ${node.kind}`;
    case "boolean":
      return aggregation === "UNIQUE_COUNT" ? null : "unsupported value property type: boolean";
    case "number":
      return aggregation === "UNIQUE_COUNT" ? null : explainNumber(node.token);
    case "string":
      return aggregation === "UNIQUE_COUNT" ? null : explainNumber(node.text);
  }
}

function explainNumber(text: string): string | null {
  if (fixedPointText(text, VALUE_SCALE, VALUE_INTEGER_DIGITS) !== null) return null;
  if (canonicalNumberText(text) !== null) return "value out of range";
  if (/^nan$/i.test(text)) return "value cannot be NaN";
  if (/^[+-]?inf(inity)?$/i.test(text)) return "value cannot be infinity";
  return `value cannot be parsed as float64: ${firstCharacters(text)}`;
}

/** Counts code points, of which each takes at most two units, so that no character is cut in half. */
function firstCharacters(text: string): string {
  return Array.from(text.slice(0, 2 * MAX_QUOTED_CHARACTERS))
    .slice(0, MAX_QUOTED_CHARACTERS)
    .join("");
}
