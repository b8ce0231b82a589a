/**
 * Accepting events: from a request body to a durable log record.
 *
 * Invariants: `accept` resolves only after every event of the request is durable; a request is accepted as a whole or not
 * at all; ingestion instants are strictly increasing in log order, also across restarts and clocks that step back.
 */

import type { EventLog } from "../engines/event-log/index.ts";
import { Fault } from "../kernel/fault.ts";
import type { Clock } from "../kernel/clock.ts";
import { type Instant, instantFromMicros } from "../kernel/instant.ts";
import { stampMissingTimes } from "./event-codec.ts";
import { type BodyShape, EventParser, type IngestLimits, type ParsedEvents, parseInSlices } from "./request-parser.ts";

/** Media types of an ingest request and what their bodies may be. */
const BODY_SHAPES: ReadonlyMap<string, BodyShape> = new Map([
  ["application/json", "either"],
  ["application/cloudevents+json", "single"],
  ["application/cloudevents-batch+json", "batch"],
]);

/** A place in the log. */
export interface LogPosition {
  readonly partition: number;
  readonly offset: number;
}

/** What became of a request. */
export interface AcceptedEvents {
  readonly count: number;
  /** Where the last event lies in the log; null when there was none. */
  readonly last: LogPosition | null;
}

export interface AcceptorOptions {
  readonly log: EventLog;
  readonly namespace: string;
  readonly limits: IngestLimits;
  readonly clock: Clock;
}

export class EventAcceptor {
  readonly limits: IngestLimits;
  readonly #log: EventLog;
  readonly #parser: EventParser;
  readonly #clock: Clock;
  #lastIngestedAt: Instant;

  constructor(options: AcceptorOptions) {
    this.limits = options.limits;
    this.#log = options.log;
    this.#parser = new EventParser(new TextEncoder().encode(options.namespace), options.limits);
    this.#clock = options.clock;
    this.#lastIngestedAt = options.log.lastIngestedAt ?? instantFromMicros(0);
  }

  /**
   * Accepts the events of a body of the given `Content-Type`. Resolves with their number and place once they are durable.
   * Throws the faults of `EventParser`, `invalid_content_type`, and those of the log when it cannot take them.
   */
  async accept(body: Uint8Array, contentType: string | undefined): Promise<AcceptedEvents> {
    const shape = bodyShape(contentType);
    const events = await parseInSlices(this.#parser.parse(body, shape, this.#clock.now()));
    const { count } = events;
    if (count === 0) return { count, last: null };
    const { partition, offset } = await this.#append(events);
    return { count, last: { partition, offset: offset + count - 1 } };
  }

  /** No other append may come between taking the instants and handing the record over: there is no await before it. */
  #append(events: ParsedEvents): Promise<LogPosition> {
    const ingestedAt = instantFromMicros(Math.max(this.#clock.now(), this.#lastIngestedAt + 1));
    this.#lastIngestedAt = instantFromMicros(ingestedAt + events.count - 1);
    stampMissingTimes(events.out, events.withoutTime, ingestedAt);
    return this.#log.append({ count: events.count, ingestedAt, payload: events.out.view() });
  }
}

function bodyShape(contentType: string | undefined): BodyShape {
  const mediaType = (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const shape = BODY_SHAPES.get(mediaType);
  if (shape === undefined) {
    const allowed = [...BODY_SHAPES.keys()].join(", ");
    const found = mediaType === "" ? "none was sent" : JSON.stringify(mediaType);
    throw new Fault("validation", "invalid_content_type", `invalid content type: ${found}; use one of ${allowed}`);
  }
  return shape;
}
