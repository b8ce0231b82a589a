/**
 * Metrics in Prometheus' format. Names follow its conventions: base units, `_total` for counters. One registry per product,
 * so that tests can run several side by side.
 */

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { EventStore } from "../engines/event-store/index.ts";
import type { SinkReport } from "../events/index.ts";
import type { RequestRecord } from "../http/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Fault } from "../kernel/fault.ts";

/** Buckets from a millisecond to a minute, for everything that someone waits for. */
const LATENCY_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const BATCH_EVENTS = [1, 10, 100, 1_000, 5_000, 10_000, 25_000, 50_000];

/** How far the sink is behind the log. */
export interface LogLag {
  readonly events: number;
  readonly seconds: number;
}

/** What gauges ask at each scrape. */
export interface MetricSources {
  readonly lag: () => LogLag;
  readonly freeBytes: () => number;
}

export class Metrics {
  readonly registry = new Registry();
  readonly #namespace: string;
  readonly #accepted: Counter;
  readonly #rejectedRequests: Counter;
  readonly #rejectedEvents: Counter;
  readonly #duplicates: Counter;
  readonly #conflicts: Counter;
  /** A meter without such events has no series. */
  readonly #invalidValues = new Counter({
    registers: [this.registry],
    name: "tallystick_invalid_values_total",
    help: "Stored events that yield no value for a meter of their type, by meter.",
    labelNames: ["namespace", "meter"],
  });
  readonly #batchEvents: Histogram;
  readonly #batchSeconds: Histogram;
  readonly #querySeconds: Histogram;
  readonly #requestSeconds: Histogram;
  readonly #engineRestarts: Counter;
  readonly #eventStreams: Gauge;

  constructor(namespace: string, sources: MetricSources) {
    const registers = [this.registry];
    const labelled = { registers, labelNames: ["namespace"] };
    this.#namespace = namespace;
    collectDefaultMetrics({ register: this.registry });
    this.#accepted = new Counter({
      ...labelled,
      name: "tallystick_ingest_accepted_total",
      help: "Events acknowledged, duplicates included.",
    });
    this.#rejectedRequests = new Counter({
      registers,
      name: "tallystick_ingest_rejected_requests_total",
      help: "Ingest requests that were refused as a whole, by error code.",
      labelNames: ["code"],
    });
    this.#rejectedEvents = new Counter({
      ...labelled,
      name: "tallystick_ingest_rejected_events_total",
      help: "Events named as invalid in refused ingest requests.",
    });
    this.#duplicates = new Counter({
      ...labelled,
      name: "tallystick_ingest_duplicates_total",
      help: "Events dropped because their source and id were seen before, conflicts included.",
    });
    this.#conflicts = new Counter({
      ...labelled,
      name: "tallystick_ingest_conflicts_total",
      help: "Duplicates whose content differs from the first event's.",
    });
    this.#batchEvents = new Histogram({
      registers,
      name: "tallystick_sink_batch_events",
      help: "Events per batch moved from the log into the event store.",
      buckets: BATCH_EVENTS,
    });
    this.#batchSeconds = new Histogram({
      registers,
      name: "tallystick_sink_batch_duration_seconds",
      help: "Time from the start of a batch to its commit.",
      buckets: LATENCY_SECONDS,
    });
    this.#querySeconds = new Histogram({
      registers,
      name: "tallystick_query_duration_seconds",
      help: "Time the event store takes to answer, by kind of query.",
      labelNames: ["kind"],
      buckets: LATENCY_SECONDS,
    });
    this.#requestSeconds = new Histogram({
      registers,
      name: "tallystick_http_request_duration_seconds",
      help: "Time from the arrival of a request to the end of its answer, by class of status.",
      labelNames: ["method", "status"],
      buckets: LATENCY_SECONDS,
    });
    this.#engineRestarts = new Counter({
      registers,
      name: "tallystick_engine_restarts_total",
      help: "Parts of the product that ended unexpectedly and were started again.",
      labelNames: ["part"],
    });
    this.#eventStreams = new Gauge({
      registers,
      name: "tallystick_event_streams",
      help: "Clients that watch events as they are accepted.",
    });
    this.#askAll(sources);
  }

  #askAll(sources: MetricSources): void {
    for (const unit of ["events", "seconds"] as const) {
      const help = `How far the event store is behind the log, in ${unit}.`;
      this.#ask(`tallystick_log_lag_${unit}`, help, () => sources.lag()[unit]);
    }
    this.#ask("tallystick_storage_free_bytes", "Free space on the disk of the event log.", sources.freeBytes);
  }

  /** Tells how far roll-ups are behind what is stored. */
  watchRollUps(rollUps: { readonly isCaughtUp: boolean; readonly lagEvents: number }): void {
    const lagHelp =
      "Events that are stored and not yet in the roll-ups of their meters, which queries read from events.";
    this.#ask("tallystick_roll_up_lag_events", lagHelp, () => rollUps.lagEvents);
    const currentHelp = "1 when every roll-up is built and has all events, else 0.";
    this.#ask("tallystick_roll_ups_current", currentHelp, () => Number(rollUps.isCaughtUp));
  }

  /** A gauge that asks for its value at each scrape; the registry keeps it. */
  #ask(name: string, help: string, value: () => number): void {
    this.registry.registerMetric(
      new Gauge({
        registers: [],
        name,
        help,
        collect() {
          this.set(value());
        },
      }),
    );
  }

  accepted(events: number): void {
    this.#accepted.inc({ namespace: this.#namespace }, events);
  }

  rejected(error: unknown): void {
    const code = error instanceof Fault ? error.code : "internal";
    this.#rejectedRequests.inc({ code });
    if (code !== "invalid_event" || !(error instanceof Fault)) return;
    const events = new Set(error.fields.map((field) => /^\$(?:\[[0-9]+\])?/.exec(field.field ?? "")?.[0]));
    this.#rejectedEvents.inc({ namespace: this.#namespace }, events.size);
  }

  stored(report: SinkReport): void {
    this.#duplicates.inc({ namespace: this.#namespace }, report.duplicates);
    this.#conflicts.inc({ namespace: this.#namespace }, report.conflicts);
    for (const { namespace, meter, events } of report.invalidValues) {
      this.#invalidValues.inc({ namespace, meter }, events);
    }
    this.#batchEvents.observe(report.to - report.from + 1);
    this.#batchSeconds.observe(report.durationMs / 1000);
  }

  /** A stream lasts as long as its client watches, which says nothing about the time that anyone waits. */
  served(record: RequestRecord): void {
    if (record.isStream) return;
    const status = `${Math.floor(record.status / 100)}xx`;
    this.#requestSeconds.observe({ method: record.method, status }, record.durationMs / 1000);
  }

  streams(open: number): void {
    this.#eventStreams.set(open);
  }

  restarted(part: "event_store" | "sink"): void {
    this.#engineRestarts.inc({ part });
  }

  /** The store with its queries timed. */
  timed(store: EventStore): Pick<EventStore, "queryUsage" | "queryPhaseUsage" | "listEvents" | "listValues"> {
    const time = <Query, Result>(kind: string, run: (query: Query) => Promise<Result>) => {
      return async (query: Query): Promise<Result> => {
        const end = this.#querySeconds.startTimer({ kind });
        try {
          return await run(query);
        } finally {
          end();
        }
      };
    };
    return {
      queryUsage: (query) =>
        time(`usage_${query.meter.aggregation.toLowerCase()}`, store.queryUsage.bind(store))(query),
      queryPhaseUsage: time("phase_usage", store.queryPhaseUsage.bind(store)),
      listEvents: time("event_list", store.listEvents.bind(store)),
      listValues: time("values", store.listValues.bind(store)),
    };
  }
}

/** Tells the lag: events between the log's durable end and the stored position, and since when the first of them waits. */
export class LagTracker {
  readonly #clock: Clock;
  #end = 0;
  #stored = 0;
  #waitingSince: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `end` is one past the last durable offset. */
  durable(end: number): void {
    this.#end = end;
    if (this.#end > this.#stored) this.#waitingSince ??= this.#clock.now();
  }

  /** `next` is the first offset that is not stored, `lastIngestedAt` the ingestion instant of the one before it. */
  stored(next: number, lastIngestedAt: number): void {
    this.#stored = next;
    this.#waitingSince = this.#end > next ? lastIngestedAt : null;
  }

  lag(): LogLag {
    const micros = this.#waitingSince === null ? 0 : Math.max(0, this.#clock.now() - this.#waitingSince);
    return { events: Math.max(0, this.#end - this.#stored), seconds: micros / 1_000_000 };
  }
}
