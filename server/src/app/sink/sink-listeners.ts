/** What the main thread does about the sink's reports: moves the positions, then tells the domains. */

import type { CheckedMeter, SinkReport, WatchedUsage } from "../../events/index.ts";
import { systemClock } from "../../kernel/clock.ts";
import type { Domains } from "../domains/domains.ts";
import type { LagTracker } from "../metrics.ts";

/** What the rest of the product learns of the sink, and asks of it. */
export interface SinkListeners {
  readonly watched: () => readonly WatchedUsage[];
  readonly checked: () => readonly CheckedMeter[];
  readonly committed: (report: SinkReport) => void;
  readonly recovered: (partition: number, next: number) => void;
}

/** Moves the positions first, because whoever hears of a batch may ask about it at once. */
export function sinkListeners(positions: Map<number, number>, lag: LagTracker, domains: () => Domains): SinkListeners {
  return {
    watched: () => domains().watched(),
    checked: () => domains().checked(),
    committed: (report) => {
      positions.set(report.partition, report.to);
      lag.stored(report.to + 1, report.lastIngestedAt);
      domains().stored(report);
    },
    recovered: (partition, next) => {
      // The thread before this one may have ended between a commit and its report.
      if (next <= (positions.get(partition) ?? -1) + 1) return;
      positions.set(partition, next - 1);
      lag.stored(next, systemClock.now());
      domains().skipped();
    },
  };
}
