/**
 * Accepting events for whoever sends them, with the limits of the configuration. Events are refused while the disk or the
 * backlog of the sink allows no more, and what is refused is counted.
 */

import type { EventLog } from "../engines/event-log/index.ts";
import { type AcceptedEvents, EventAcceptor } from "../events/index.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Config } from "./config.ts";
import type { StorageHealth } from "./health/storage-health.ts";
import type { Metrics } from "./metrics.ts";

/** Accepts the events of a body of the given content type; resolves once they are durable. */
export type AcceptEvents = (body: Uint8Array, contentType: string | undefined) => Promise<AcceptedEvents>;

export interface AcceptanceParts {
  readonly config: Config;
  readonly log: EventLog;
  readonly clock: Clock;
  readonly health: StorageHealth;
  readonly metrics: Metrics;
}

export function createAcceptance({ config, log, clock, health, metrics }: AcceptanceParts): AcceptEvents {
  const { maxPast, maxFuture, ...limits } = config.ingest;
  const acceptor = new EventAcceptor({
    log,
    namespace: config.namespace,
    clock,
    limits: {
      ...limits,
      ...(maxPast === undefined ? {} : { maxPastMicros: maxPast.ms * 1000 }),
      ...(maxFuture === undefined ? {} : { maxFutureMicros: maxFuture.ms * 1000 }),
    },
  });
  return async (body, contentType) => {
    try {
      health.admit();
      const accepted = await acceptor.accept(body, contentType);
      metrics.accepted(accepted.count);
      return accepted;
    } catch (error) {
      metrics.rejected(error);
      throw error;
    }
  };
}
