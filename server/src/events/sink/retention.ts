/** Which events the log may forget: those that are stored and were ingested long enough ago. */

import type { EventLogReader } from "../../engines/event-log/index.ts";
import type { Instant } from "../../kernel/instant.ts";

/**
 * The first offset that must stay in the log: that of the first record ingested at or after `cutoff`, but never one that is
 * not stored, which is `storedEnd` and later. Records are in the order of their ingestion, so it is found by halving.
 */
export async function firstRetainedOffset(
  log: EventLogReader,
  partition: number,
  storedEnd: number,
  cutoff: Instant,
): Promise<number> {
  let low = log.start(partition);
  let high = Math.max(low, Math.min(storedEnd, log.end(partition)));
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await log.read(partition, middle, { events: 1, bytes: 1 });
    if (record !== undefined && record.ingestedAt < cutoff) low = Math.min(record.offset + record.count, high);
    else high = Math.min(record?.offset ?? middle, middle);
  }
  return low;
}
