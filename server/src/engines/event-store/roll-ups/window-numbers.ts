/** The numbers of windows as `sql/window-columns.ts` computes them, for instants in memory. Pure. */

import { civilFromDays } from "../../../kernel/civil.ts";
import type { WindowSize } from "../store.ts";
import { MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, type OffsetSegments } from "../windows.ts";

/** For an instant in microseconds: the number of its window, and the UTC offset where the window is part of one. */
export function windowNumbers(
  size: WindowSize,
  { starts, offsets }: OffsetSegments,
): (micros: number) => readonly [number, number] {
  let segment = 0;
  const offsetAt = (micros: number): number => {
    // Neighbouring instants mostly share a segment.
    if ((starts[segment] ?? 0) > micros) segment = 0;
    while ((starts[segment + 1] ?? Infinity) <= micros) segment += 1;
    return offsets[segment] ?? 0;
  };
  return (micros) => {
    const offset = offsetAt(micros);
    const local = micros + offset;
    switch (size) {
      case "MINUTE":
        return [Math.floor(local / MICROS_PER_MINUTE), offset];
      case "HOUR":
        return [Math.floor(local / MICROS_PER_HOUR), offset];
      case "DAY":
        return [Math.floor(local / MICROS_PER_DAY), 0];
      case "MONTH": {
        const { year, month } = civilFromDays(Math.floor(local / MICROS_PER_DAY));
        return [year * 100 + month, 0];
      }
    }
  };
}
