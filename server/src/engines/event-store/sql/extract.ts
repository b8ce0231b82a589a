/**
 * From a JSONPath to the SQL expressions over `vals` that evaluate it.
 *
 * `scalarAt` yields *tagged text* (see `values.ts`) of the scalar that the path resolves to, and a text without a scalar's
 * tag (empty, or an object or array) otherwise: filters, groups and aggregations treat missing and complex alike.
 * The other functions derive from a tagged text what queries need of it.
 *
 * JSON inside `vals` holds no numbers, only texts, objects and arrays, so ClickHouse's JSON functions cannot lose digits.
 * Array elements are taken from `JSONExtractArrayRaw` rather than by an index argument, because an index argument would
 * also pick the n-th member of an object.
 */

import { assert } from "../../../kernel/assert.ts";
import type { JsonPath, PathStep } from "../json-path.ts";
import { VALUE_SCALE } from "../values.ts";
import type { Binder } from "./fragment.ts";
import { integer } from "./fragment.ts";

/** An array inside an event has far fewer elements; larger indexes are missing, and must not overflow an Int32. */
const MAX_INDEX = 2 ** 31 - 2;

/** First characters of texts that are not a scalar's tagged text. */
const NO_SCALAR = "'', '{', '['";

/** Tagged text of the scalar at `path`, or a text that `hasText` rejects. */
export function scalarAt(binder: Binder, path: JsonPath): string {
  const [first, ...rest] = path.steps;
  assert(first !== undefined, "a JSONPath has at least one step");
  // `data` is always an object, so that an index applies to nothing.
  if (first.kind !== "name") return "''";
  const property = `vals[${binder.text(first.name)}]`;
  return rest.length === 0 ? property : scalarBelow(binder, property, rest, 0);
}

/** `json` is JSON text (or a scalar's tagged text, to which no step applies); `depth` keeps lambda arguments apart. */
function scalarBelow(binder: Binder, json: string, steps: readonly PathStep[], depth: number): string {
  const firstOther = steps.findIndex((step) => step.kind !== "name");
  const names = (firstOther < 0 ? steps : steps.slice(0, firstOther)).flatMap((step) =>
    step.kind === "name" ? [binder.text(step.name)] : [],
  );
  const location = [json, ...names].join(", ");
  const listing = steps[firstOther];
  if (listing === undefined || listing.kind === "name") return `JSONExtractString(${location})`;
  const array = `JSONExtractArrayRaw(${location})`;
  const rest = steps.slice(firstOther + 1);
  const finish = (element: string, at: number): string =>
    rest.length === 0 ? `JSONExtractString(${element})` : scalarBelow(binder, element, rest, at);
  const single = listing.kind === "indexes" && listing.indexes.length === 1 ? listing.indexes[0] : undefined;
  if (single !== undefined) return finish(elementAt(array, single), depth);
  const element = `x${integer(depth)}`;
  const candidates = `arrayMap(${element} -> ${finish(element, depth + 1)}, ${listedElements(array, listing)})`;
  // JSONExtractString yields objects and arrays as JSON text, which is no result here; arrayFirst yields the empty text when
  // nothing matches.
  return `arrayFirst(t -> NOT (${tag("t")} IN (${NO_SCALAR})), ${candidates})`;
}

function elementAt(array: string, index: number): string {
  return index > MAX_INDEX ? "''" : `arrayElement(${array}, ${integer(index + 1)})`;
}

function listedElements(array: string, step: Exclude<PathStep, { kind: "name" }>): string {
  switch (step.kind) {
    case "all":
      return array;
    case "indexes":
      return `[${step.indexes.map((index) => elementAt(array, index)).join(", ")}]`;
    case "range": {
      const to = Math.min(step.to, MAX_INDEX);
      // A negative length would count from the end of the array.
      const length = Math.max(0, to - step.from + 1);
      return length === 0
        ? `arraySlice(${array}, 1, 0)`
        : `arraySlice(${array}, ${integer(step.from + 1)}, ${integer(length)})`;
    }
  }
}

function tag(tagged: string): string {
  return `substring(${tagged}, 1, 1)`;
}

/** Whether the path resolves to a string, number or boolean. */
export function hasText(tagged: string): string {
  return `${tag(tagged)} IN ('#', '=', '~', '"', 't', 'f')`;
}

/** Canonical text as group-by and filters see it: empty for missing and complex, `null` for null. */
export function canonicalText(tagged: string): string {
  return (
    `multiIf(${tag(tagged)} IN (${NO_SCALAR}), '', ` +
    `${tag(tagged)} = '~', substring(${tagged}, position(${tagged}, '|') + 1), substring(${tagged}, 2))`
  );
}

/** The numeric value as `Nullable(Decimal(76, 24))`; null when there is none. */
export function numericValue(tagged: string): string {
  const text =
    `multiIf(${tag(tagged)} IN ('#', '='), substring(${tagged}, 2), ` +
    `${tag(tagged)} = '~', substring(${tagged}, 2, position(${tagged}, '|') - 2), '')`;
  return `toDecimal256OrNull(${text}, ${integer(VALUE_SCALE)})`;
}
