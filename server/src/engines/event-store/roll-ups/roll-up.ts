/**
 * Roll-ups: what a meter makes of stored events, kept ready by bucket of time so that a query need not read the events.
 *
 * A roll-up belongs to one version of one meter. It has one or more *levels*: the same events by buckets of a certain length
 * (in UTC), with or without subjects and group-by values. Its rows were written in *chunks*; together, the chunks that count hold every event
 * up to the coverage exactly once, on every level. Rows of other chunks are invisible: half written, or replaced.
 */

import type { Period } from "../../../kernel/period.ts";
import type { MeterView, PositionVector, WindowSize } from "../store.ts";

/**
 * Length of buckets, aligned in UTC. Buckets of a microsecond are the event times themselves: such a level has about as many
 * rows as there are events, small ones in the order of subjects, and answers for one subject within any bounds.
 */
export type Grain = "MICROSECOND" | WindowSize;

export interface RollUpLevel {
  readonly grain: Grain;
  /** Whether rows tell subjects apart; queries that filter or group by subject need it. */
  readonly bySubject: boolean;
  /** Whether rows tell group-by values apart; queries that filter or group by them need it. */
  readonly byGroups: boolean;
}

/** A part of the roll-up that was computed again: there, chunks written before do not count. */
export interface Rebuilt {
  readonly period: Period;
  /** The chunk that counts in the buckets that the period touches. */
  readonly chunk: number;
  /** The chunks that do not count there any more. */
  readonly replaces: readonly number[];
}

/** What a query needs to know of a roll-up. */
export interface RollUp {
  readonly id: number;
  /** The group-by keys of the meter in the order in which rows hold their texts. */
  readonly groupKeys: readonly string[];
  readonly levels: readonly RollUpLevel[];
  /** Every event at or before it is in the chunks. */
  readonly coverage: PositionVector;
  readonly chunks: readonly number[];
  /** Periods whose buckets must not be used until they are rebuilt. */
  readonly stale: readonly Period[];
  readonly rebuilt: readonly Rebuilt[];
}

/** Events to be added to a roll-up as one chunk. */
export interface Fold {
  readonly rollUp: Pick<RollUp, "id" | "groupKeys" | "levels">;
  readonly meter: MeterView;
  readonly chunk: number;
  /** Exclusive. */
  readonly after: PositionVector;
  /** Inclusive. */
  readonly upTo: PositionVector;
  /** Only events of the buckets that this period touches; on each level its own buckets. */
  readonly period?: Period;
}

/** How many rows a level would have for the events that were looked at. */
export interface LevelSize extends RollUpLevel {
  /** Rows; for UNIQUE_COUNT the members of all sets. */
  readonly rows: number;
}

export interface EventTypeCount {
  readonly namespace: string;
  readonly type: string;
  readonly events: number;
}

export interface MonthCount {
  readonly month: Period;
  readonly events: number;
}

/** What an event store does for roll-ups. Only stores that gain from roll-ups have it. */
export interface RollUpStore {
  /** Writes the chunk's rows and returns how many; whether they count is for the caller to decide afterwards. */
  fold(fold: Fold): Promise<number>;
  /** Writes one chunk that holds what the roll-up's chunks hold now, without reading events; returns its rows. */
  mergeChunks(rollUp: RollUp, chunks: readonly number[], into: number): Promise<number>;
  /** Brings into memory what queries of late need of this state of the roll-up, before they are offered it. Never rejects. */
  prepare(rollUp: RollUp): Promise<void>;
  /** Deletes rows for good. */
  deleteChunks(chunks: readonly number[]): Promise<void>;
  /** How many rows each chunk has. */
  chunkRows(): Promise<ReadonlyMap<number, number>>;
  /** Events after one vector and up to another, by type. */
  countByType(after: PositionVector, upTo: PositionVector): Promise<readonly EventTypeCount[]>;
  /** The meter's events by UTC month. */
  countByMonth(meter: MeterView, upTo: PositionVector): Promise<readonly MonthCount[]>;
  /** What each level but those by the microsecond would cost, estimated over the meter's events of the period. */
  estimateLevels(meter: MeterView, period: Period, upTo: PositionVector): Promise<readonly LevelSize[]>;
  /**
   * Buckets of the level that differ from what the events say, as texts for people, at most `limit` of them; only those that
   * begin in the period, whose bounds are bounds of buckets.
   */
  differences(
    rollUp: RollUp,
    meter: MeterView,
    level: RollUpLevel,
    period: Period,
    limit: number,
  ): Promise<readonly RollUpDifference[]>;
}

export interface RollUpDifference {
  readonly bucket: Period;
  readonly subject: string;
  readonly groups: readonly string[];
}

/** Finest first. */
export const GRAINS: readonly Grain[] = ["MICROSECOND", "MINUTE", "HOUR", "DAY", "MONTH"];

/** All levels that can be: the finest first, and among those of one grain the one that tells most apart. */
export const LEVELS: readonly RollUpLevel[] = GRAINS.flatMap((grain) => [
  { grain, bySubject: true, byGroups: true },
  { grain, bySubject: true, byGroups: false },
  { grain, bySubject: false, byGroups: true },
  { grain, bySubject: false, byGroups: false },
]);

export function isSameLevel(a: RollUpLevel, b: RollUpLevel): boolean {
  return a.grain === b.grain && a.bySubject === b.bySubject && a.byGroups === b.byGroups;
}

/** The number that stands for a level in rows. */
export function levelNumber(level: RollUpLevel): number {
  return LEVELS.findIndex((each) => isSameLevel(each, level));
}
