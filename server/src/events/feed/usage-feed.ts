/**
 * What the sink tells about the usage in a batch, for whoever keeps balances in memory: which usage is watched, and the
 * columns of a feed. Plain data, because both cross a thread's border by structured clone.
 *
 * Invariant: the feeds of consecutive batches, added up, are exactly the usage of the stored events between them. Events
 * that lost their identity are not in it, replayed ones are in it again under the same offsets.
 */

import type { MeterView, TextFilter } from "../../engines/event-store/index.ts";

/** One meter under one set of filters. */
export interface WatchedUsage {
  /** Names the usage in feeds; the same key always stands for the same definition. */
  readonly key: string;
  /** SUM, COUNT, UNIQUE_COUNT or LATEST. */
  readonly meter: MeterView;
  /** By group-by key of the meter; all must hold. None of them has patterns, see `isWatchable`. */
  readonly filters: ReadonlyMap<string, TextFilter>;
}

/**
 * Usage by watched usage, subject and minute, one entry per place in the columns; a minute may have several, because events
 * are added up only as far as that costs less than handing them over:
 *
 * - SUM and COUNT: the sum of values, the number of events;
 * - UNIQUE_COUNT: a value;
 * - LATEST: the value of the last event.
 */
export interface UsageFeed {
  /** The keys of the watched usage that the batch has. */
  readonly keys: readonly string[];
  /** Places in `keys`. */
  readonly watched: readonly number[];
  readonly subjects: readonly string[];
  /** Microseconds: the event's time for LATEST, else the start of its minute. */
  readonly times: readonly number[];
  /** LATEST: when the event was ingested, microseconds; else 0. */
  readonly arrivals: readonly number[];
  /** LATEST: the event's offset; else 0. */
  readonly offsets: readonly number[];
  /** The canonical text of the decimal; of UNIQUE_COUNT the value's text. */
  readonly values: readonly string[];
}

/** Whether the sink can tell which events pass the filter: patterns follow the event store's tables of letters. */
export function isWatchable(filter: TextFilter): boolean {
  switch (filter.op) {
    case "and":
    case "or":
      return filter.filters.every(isWatchable);
    case "like":
    case "nlike":
    case "ilike":
    case "nilike":
    case "contains":
    case "ncontains":
      return false;
    default:
      return true;
  }
}
