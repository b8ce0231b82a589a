/** Times that processes of one machine can compare, and statistics of durations. */

/** Milliseconds since the epoch with the precision of the monotonic clock. */
export function epochMs(): number {
  return performance.timeOrigin + performance.now();
}

/** The value below which `share` (0 to 1) of the values lie, rounded to microseconds; sorts `values`. */
export function percentile(values: number[], share: number): number {
  values.sort((a, b) => a - b);
  const value = values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
  return Math.round(value * 1000) / 1000;
}
