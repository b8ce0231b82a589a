/** How eagerly the upkeep of roll-ups works. Tests are more eager than a product, so that they see all of it in seconds. */

export interface RollUpPace {
  /** A meter with fewer events is read from events, which takes a few milliseconds. */
  readonly minEvents: number;
  /** Pause between two looks at what there is to do. */
  readonly intervalMs: number;
  /** How soon a new or changed meter is noticed; until then, and while it is built, it is read from events. */
  readonly metersTtlMs: number;
  /** How often rows to delete and parts to compare are looked for. */
  readonly tidyIntervalMs: number;
  /** The upkeep that is not urgent may take this part of the time. */
  readonly shareOfTime: number;
  /** Urgent upkeep may take this part of the time while events arrive, so that inserts and queries have the rest. */
  readonly urgentShareOfTime: number;
  /** How long a meter whose upkeep failed waits, so that it does not keep the others from theirs. */
  readonly retryMs: number;
  /** Deleting rewrites parts of the table, so it waits for so many chunks to delete. */
  readonly minDeletedChunks: number;
}

export const USUAL_PACE: RollUpPace = {
  minEvents: 20_000,
  intervalMs: 1_000,
  metersTtlMs: 5_000,
  tidyIntervalMs: 60_000,
  shareOfTime: 0.1,
  urgentShareOfTime: 0.25,
  retryMs: 10_000,
  minDeletedChunks: 32,
};
