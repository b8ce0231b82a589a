/**
 * Freshness: the time from an event's acknowledgement until a meter query counts it, as a client sees it.
 *
 * Events of a type of their own go out at fixed times beside the load, whether or not those before them are visible yet: a
 * probe that waited for one before it sent the next would send fewest when visibility is worst. Queries, one at a time, tell
 * how many of them count; being sent one after the other, the first ones do.
 */

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { MeasuredServer } from "./measured-server.ts";
import { percentile } from "./timing.ts";
import { usage } from "./usage-check.ts";

const SEND_INTERVAL_MS = 20;
/** Pause between two queries; figures are too large by half of it on average. */
const POLL_MS = 30;
const VISIBLE_DEADLINE_MS = 60_000;
const SLUG = "probe";

export interface Freshness {
  readonly freshnessSamples: number;
  readonly freshnessP50Ms: number;
  readonly freshnessP99Ms: number;
}

export async function measureFreshness(server: MeasuredServer, seconds: number): Promise<Freshness> {
  const meter = { slug: SLUG, eventType: SLUG, aggregation: "COUNT" };
  await server.post("/api/v1/meters", "application/json", JSON.stringify(meter));
  const acknowledgedMs: number[] = [];
  const sending = new AbortController();
  const [samples] = await Promise.all([
    visibility(server, acknowledgedMs, sending.signal),
    send(server, acknowledgedMs, seconds * 1000).finally(() => sending.abort()),
  ]);
  return {
    freshnessSamples: samples.length,
    freshnessP50Ms: percentile(samples, 0.5),
    freshnessP99Ms: percentile(samples, 0.99),
  };
}

/** Sends probes for so long, and notes when each was acknowledged. */
async function send(server: MeasuredServer, acknowledgedMs: number[], durationMs: number): Promise<void> {
  const startedMs = performance.now();
  for (let dueMs = startedMs; dueMs < startedMs + durationMs; dueMs += SEND_INTERVAL_MS) {
    await delay(Math.max(0, dueMs - performance.now()));
    const event = { specversion: "1.0", id: randomUUID(), source: SLUG, type: SLUG, subject: SLUG };
    await server.post("/api/v1/events", "application/cloudevents+json", JSON.stringify(event));
    acknowledgedMs.push(performance.now());
  }
}

/** How long each acknowledged probe took to be counted; ends when no more are sent and all are. */
async function visibility(
  server: MeasuredServer,
  acknowledgedMs: readonly number[],
  sent: AbortSignal,
): Promise<number[]> {
  const samplesMs: number[] = [];
  while (!sent.aborted || samplesMs.length < acknowledgedMs.length) {
    const counted = await usage(server, SLUG);
    const nowMs = performance.now();
    for (const atMs of acknowledgedMs.slice(samplesMs.length, counted)) samplesMs.push(nowMs - atMs);
    const oldestMs = acknowledgedMs[samplesMs.length];
    if (oldestMs !== undefined && nowMs - oldestMs > VISIBLE_DEADLINE_MS) {
      throw new Error("a probe event never became visible");
    }
    await delay(POLL_MS);
  }
  return samplesMs;
}
