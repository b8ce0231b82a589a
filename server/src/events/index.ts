/** Events: accepting, storing, listing and watching them. */

export { type AcceptedEvents, EventAcceptor, type LogPosition } from "./accept.ts";
export { EventReader } from "./event-codec.ts";
export { usageOfEvents } from "./feed/extractor.ts";
export type { CheckedMeter, InvalidValues } from "./feed/invalid-values.ts";
export { isWatchable, type UsageFeed, type WatchedUsage } from "./feed/usage-feed.ts";
export { EventBatchHasher, EventHasher } from "./event-hash.ts";
export { deleteConflictsBefore } from "./conflicts.ts";
export { eventOperations } from "./http.ts";
export { type EventExplanation, EventListing } from "./listing.ts";
export type { IngestLimits } from "./request-parser.ts";
export { firstRetainedOffset } from "./sink/retention.ts";
export { Sink, type SinkOptions, type SinkReport, type SinkStep } from "./sink/sink.ts";
export { EventTail } from "./tail/tail.ts";
export { textFilter } from "./wire-filter.ts";
