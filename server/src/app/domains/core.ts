/** What every domain of the product is built from: the engines behind their ports, a clock, and where usage stands. */

import type { Kysely } from "kysely";
import type { Logger } from "pino";
import type { EventStore, PositionVector } from "../../engines/event-store/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { CheckedMeter, WatchedUsage } from "../../events/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { UlidSource } from "../../kernel/id.ts";
import type { AcceptEvents } from "../acceptance.ts";
import type { Config } from "../config.ts";
import type { Metrics } from "../metrics.ts";

/** What domains ask of stored events; queries are timed for the metrics. */
export type DomainStore = Pick<
  EventStore,
  "queryUsage" | "queryPhaseUsage" | "listEvents" | "listValues" | "countBySubject" | "progress"
>;

/** What domains ask of the sink, whose reports feed balances in memory and count invalid values. */
export interface UsageFeedControl {
  /** Replaces the usage that reports tell about, for all events that are not durable yet. */
  readonly watch: (usages: readonly WatchedUsage[]) => void;
  /** Replaces the meters for which reports count invalid values, from one of the next batches on. */
  readonly check: (meters: readonly CheckedMeter[]) => void;
  /** One past the last durable offset of the log. */
  readonly logEnd: () => number;
  /** How long the first event that is durable and not stored has waited. */
  readonly lagSeconds: () => number;
}

export interface Core {
  readonly config: Config;
  readonly logger: Logger;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: UlidSource;
  readonly db: Kysely<Database>;
  readonly store: DomainStore;
  readonly metrics: Metrics;
  /** How far events are stored, at this moment; a copy. */
  readonly positions: () => PositionVector;
  readonly feed: UsageFeedControl;
  /** Takes events that did not come by the ingest API. */
  readonly accept: AcceptEvents;
}
