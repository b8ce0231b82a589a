/** Back-off after failures: doubles from one second up to one hour. */

import { assert } from "../../kernel/assert.ts";

const FIRST_MS = 1000;
const LONGEST_MS = 3_600_000;

/** How long to wait after the `failures`-th failure in a row, in milliseconds: 1 s, 2 s, 4 s, … 1 h. */
export function backOffMs(failures: number): number {
  assert(Number.isInteger(failures) && failures >= 1, "back-off follows at least one failure");
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));
}
