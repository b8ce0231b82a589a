/**
 * Benchmark of ingest, from the client's request to the event in a query:
 * `npm run bench -- ingest [--batch 100] [--seconds 15] [--connections 16] [--warm-up 3] [--rate 2000] [--rest 0] [--json] [--cpu-prof DIR]`.
 *
 * Starts the product as users do, on an empty directory; a load generator in its own process sends unique events as fast as
 * it is answered. Then the same product, at a moderate rate, tells how long an acknowledged event takes to become visible.
 * All counts and sums of all event types are compared with what the generator was acknowledged: a figure of a run that
 * lost or repeated an event would be worthless, and the benchmark fails.
 *
 * Without `--batch` it measures batches of 100 and single events, each on its own server. `--json` prints one line per
 * measurement instead of indented JSON.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { measureFreshness } from "./ingest/freshness.ts";
import { generate } from "./ingest/generate.ts";
import type { LoadReport } from "./ingest/load.ts";
import { type CpuSeconds, MeasuredServer } from "./ingest/measured-server.ts";
import { UsageCheck } from "./ingest/usage-check.ts";

const { values: argv } = parseArgs({
  options: {
    batch: { type: "string" },
    seconds: { type: "string", default: "15" },
    connections: { type: "string" },
    "warm-up": { type: "string", default: "3" },
    rate: { type: "string", default: "2000" },
    rest: { type: "string", default: "0" },
    json: { type: "boolean", default: false },
    "cpu-prof": { type: "string" },
  },
});

const SINGLE_CONNECTIONS = 64;
const BATCH_CONNECTIONS = 16;
/** Moderate load comes in requests of so many events at most, or in more when that would be over 500 requests a second. */
const MODERATE_BATCH = 10;
const MODERATE_REQUESTS_PER_SECOND = 500;

type Load = Readonly<Record<"seconds" | "connections" | "batch" | "rate", number>>;

/** One measurement on a fresh server. */
async function measure(batch: number): Promise<Record<string, unknown>> {
  const directory = await mkdtemp(join(tmpdir(), "tallystick-bench-"));
  const server = await MeasuredServer.start(directory, argv["cpu-prof"]);
  const connections = Number(argv.connections ?? (batch === 1 ? SINGLE_CONNECTIONS : BATCH_CONNECTIONS));
  const full: Load = { seconds: Number(argv.seconds), connections, batch, rate: 0 };
  try {
    const check = await UsageCheck.create(server);
    check.expect(await generate(server, { ...full, seconds: Number(argv["warm-up"]) }));
    await check.waitUntilVisible();
    const diskBefore = await server.diskBytes();
    const cpuBefore = await server.cpuSeconds();
    const report = await generate(server, full);
    check.expect(report);
    const visibleMs = await check.waitUntilVisible();
    const cpu = await server.cpuSeconds();
    const disk = await server.diskBytes();
    await delay(Number(argv.rest) * 1000);
    const rate = Number(argv.rate);
    const moderateBatch = Math.max(MODERATE_BATCH, Math.ceil(rate / MODERATE_REQUESTS_PER_SECOND));
    const moderate: Load = { ...full, batch: Math.min(batch, moderateBatch), rate };
    const [freshness, moderateReport] = await Promise.all([
      measureFreshness(server, moderate.seconds),
      generate(server, moderate),
    ]);
    check.expect(moderateReport);
    await check.waitUntilVisible();
    return {
      batch,
      connections,
      ...throughput(report, visibleMs),
      ...processorTime(cpuBefore, cpu, report, visibleMs),
      peakMemoryMiB: await server.peakMemoryMiB(),
      diskBytesPerMillionEvents: perMillion(diskBefore, disk, report.events),
      moderateLoad: { eventsPerSecond: rate, ...freshness },
      exact: await check.exactness(),
    };
  } finally {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

function throughput(report: LoadReport, visibleMs: number): Record<string, number> {
  const acknowledgedSeconds = (report.lastAcknowledgedMs - report.firstSentMs) / 1000;
  const visibleSeconds = (visibleMs - report.firstSentMs) / 1000;
  return {
    events: report.events,
    bytesPerEvent: Math.round(report.bodyBytes / report.events),
    requestsPerSecond: Math.round(report.requests / acknowledgedSeconds),
    eventsPerSecondAcknowledged: Math.round(report.events / acknowledgedSeconds),
    eventsPerSecondEndToEnd: Math.round(report.events / visibleSeconds),
    latencyP50Ms: report.latencyP50Ms,
    latencyP99Ms: report.latencyP99Ms,
    lastVisibleAfterMs: Math.round(visibleMs - report.lastAcknowledgedMs),
  };
}

/**
 * Processor time from the first request to the last event's visibility. `others` is what everything else on the machine
 * used: without a look at it, figures from a shared machine say nothing. The cost per event is what remains comparable.
 */
function processorTime(before: CpuSeconds, after: CpuSeconds, report: LoadReport, visibleMs: number) {
  const used = (key: keyof CpuSeconds): number => after[key] - before[key];
  const seconds = {
    server: used("server"),
    httpThread: used("httpThread"),
    engine: used("engine"),
    loadGenerator: report.cpuSeconds,
    others: used("machine") - used("server") - used("engine") - report.cpuSeconds,
    available: (availableParallelism() * (visibleMs - report.firstSentMs)) / 1000,
  };
  const rounded = Object.entries(seconds).map(([name, value]) => [name, Math.round(value * 100) / 100]);
  const microsPerEvent = ((seconds.server + seconds.engine) / report.events) * 1_000_000;
  return { cpuSeconds: Object.fromEntries(rounded), serverCpuMicrosPerEvent: Math.round(microsPerEvent * 10) / 10 };
}

function perMillion(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
  events: number,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([folder, bytes]) => [
      folder,
      Math.round(((bytes - (before[folder] ?? 0)) / events) * 1_000_000),
    ]),
  );
}

for (const batch of argv.batch === undefined ? [100, 1] : [Number(argv.batch)]) {
  process.stdout.write(`${JSON.stringify(await measure(batch), null, argv.json ? 0 : 2)}\n`);
}
