/**
 * Freshness: the time from an event's acknowledgement until a meter query counts it, as a client sees it. Probes of their
 * own types run one event after the other beside the load; two are enough, because their queries are load as well.
 */

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { MeasuredServer } from "./measured-server.ts";
import { percentile } from "./timing.ts";
import { usage } from "./usage-check.ts";

const PROBES = 2;
/** Often enough for figures of hundreds of milliseconds; twice as often, the probes would take a quarter of a core. */
const POLL_MS = 25;
const VISIBLE_DEADLINE_MS = 60_000;

export interface Freshness {
  readonly freshnessSamples: number;
  readonly freshnessP50Ms: number;
  readonly freshnessP99Ms: number;
}

export async function measureFreshness(server: MeasuredServer, seconds: number): Promise<Freshness> {
  const endMs = performance.now() + seconds * 1000;
  const probes = await Promise.all(Array.from({ length: PROBES }, (_, index) => probe(server, index, endMs)));
  const samples = probes.flat();
  return {
    freshnessSamples: samples.length,
    freshnessP50Ms: percentile(samples, 0.5),
    freshnessP99Ms: percentile(samples, 0.99),
  };
}

async function probe(server: MeasuredServer, index: number, endMs: number): Promise<number[]> {
  const slug = `probe_${index}`;
  const meter = { slug, eventType: slug, aggregation: "COUNT" };
  await server.post("/api/v1/meters", "application/json", JSON.stringify(meter));
  const samplesMs: number[] = [];
  while (performance.now() < endMs) {
    const event = { specversion: "1.0", id: randomUUID(), source: "probe", type: slug, subject: "probe" };
    await server.post("/api/v1/events", "application/cloudevents+json", JSON.stringify(event));
    const acknowledgedMs = performance.now();
    while ((await usage(server, slug)) !== samplesMs.length + 1) {
      if (performance.now() - acknowledgedMs > VISIBLE_DEADLINE_MS)
        throw new Error("a probe event never became visible");
      await delay(POLL_MS);
    }
    samplesMs.push(performance.now() - acknowledgedMs);
  }
  return samplesMs;
}
