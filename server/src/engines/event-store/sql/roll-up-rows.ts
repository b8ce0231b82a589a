/** How rows of roll-ups are selected and read. */

import { outerBuckets } from "../roll-ups/buckets.ts";
import type { LevelPart } from "../roll-ups/cover.ts";
import { levelNumber, type RollUp } from "../roll-ups/roll-up.ts";
import { periodsCondition, type TextSubject } from "./filters.ts";
import { allOf, anyOf, integer } from "./fragment.ts";

/**
 * The group text at `index` of a row. Rows hold canonical texts behind a mark, `=` when the path resolves to a string,
 * number or boolean and `-` otherwise, because filters can ask for that.
 */
export function rollUpGroup(index: number): TextSubject {
  const marked = `r.group_texts[${integer(index + 1)}]`;
  return { text: `substring(${marked}, 2)`, exists: `startsWith(${marked}, '=')` };
}

/** Rows of these parts that count. The table is called `r`. */
export function rollUpCondition(rollUp: RollUp, parts: readonly LevelPart[]): string {
  const levels = parts.map(({ level, periods }) =>
    allOf([
      `r.level = ${integer(levelNumber(level))}`,
      periodsCondition("r.bucket", periods),
      ...rollUp.rebuilt.map(({ period, replaces }) => {
        const buckets = periodsCondition("r.bucket", [outerBuckets(level.grain, period)]);
        return `NOT (${allOf([isOneOfChunks(replaces), buckets])})`;
      }),
    ]),
  );
  return allOf([`r.roll_up = ${integer(rollUp.id)}`, anyOf(levels), isOneOfChunks(rollUp.chunks)]);
}

/** Rows of these chunks. */
export function isOneOfChunks(chunks: readonly number[]): string {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return `r.chunk = ${integer(only)}`;
  return chunks.length === 0 ? "0" : `r.chunk IN (${chunks.map(integer).join(", ")})`;
}
