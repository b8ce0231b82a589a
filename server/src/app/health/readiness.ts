/**
 * Readiness: whether this server should get requests. It should when its engines answer and events can be stored; the fault
 * says which of them is not so. An engine that gives no answer in time is one that does not answer.
 */

import { setTimeout as delay } from "node:timers/promises";
import { Fault } from "../../kernel/fault.ts";

/** As long as an engine may take to answer; whoever asks waits for ten seconds or so. */
const ANSWER_WITHIN_MS = 5_000;

export interface ReadinessProbes {
  readonly pingEventStore: () => Promise<void>;
  readonly pingStateStore: () => Promise<void>;
  /** Whether the event store's process is there. */
  readonly isEngineReady: () => boolean;
  /** Why events cannot be stored; null when they can. */
  readonly unreadiness: () => Fault | null;
}

/** Resolves when the server is ready; rejects with the fault that says why it is not. */
export async function checkReadiness(probes: ReadinessProbes): Promise<void> {
  const pings = [inTime(probes.pingEventStore()), inTime(probes.pingStateStore())];
  const [eventStore, stateStore] = await Promise.allSettled(pings);
  const reason = probes.unreadiness();
  if (reason !== null) throw reason;
  const silent: string[] = [];
  if (eventStore?.status === "rejected" || !probes.isEngineReady()) silent.push("event store");
  if (stateStore?.status === "rejected") silent.push("state store");
  if (silent.length === 0) return;
  const message = `not ready: the ${silent.join(" and the ")} does not answer`;
  throw new Fault("unavailable", "not_ready", message, { retryAfterSeconds: 1 });
}

async function inTime(ping: Promise<void>): Promise<void> {
  const done = new AbortController();
  const late = delay(ANSWER_WITHIN_MS, undefined, { signal: done.signal, ref: false }).then(() => {
    throw new Error("no answer in time");
  });
  // Once called off it rejects, and nobody listens any more.
  late.catch(() => undefined);
  try {
    await Promise.race([ping, late]);
  } finally {
    done.abort();
  }
}
