/**
 * Benchmark of everything at once, as in a working day:
 * `npm run bench -- mixed [--events 1000000] [--rate 40000] [--seconds 30] [--clients 4] [--pause 250] [--plots DIR]`.
 *
 * Loads 30 days of usage into a fresh product at full speed, which tells the greatest rate that it can keep up; then sends
 * half of that (or `--rate`), in batches of 100, while clients look at dashboards and probes measure how long an
 * acknowledged event takes to be in a query. It fails when the product does not count exactly what it acknowledged.
 */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type DataSet, openDataSet, PROMPT_METERS, tell } from "./history/data-set.ts";
import { type History, subjectKey } from "./history/events.ts";
import { provenance } from "./history/machine.ts";
import { measureFreshness } from "./ingest/freshness.ts";
import { generate } from "./ingest/generate.ts";
import type { CpuSeconds, MeasuredServer } from "./ingest/measured-server.ts";
import { epochMs, percentile } from "./ingest/timing.ts";
import { usage } from "./ingest/usage-check.ts";
import { figure, markdownTable } from "./report/markdown.ts";
import { barPlot } from "./report/plot.ts";

const { values: argv } = parseArgs({
  options: {
    events: { type: "string", default: "1000000" },
    rate: { type: "string" },
    seconds: { type: "string", default: "30" },
    clients: { type: "string", default: "4" },
    pause: { type: "string", default: "250" },
    plots: { type: "string" },
  },
});

const BATCH = 100;
const CONNECTIONS = 16;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const VISIBLE_DEADLINE_MS = 120_000;

/** What a dashboard shows, with the request's body at an instant. */
const PANELS: Readonly<Record<string, (nowMs: number, turn: number) => Record<string, unknown>>> = {
  "30 days by day, all subjects": (nowMs) => ({ from: isoDay(nowMs - 30 * DAY_MS), windowSize: "DAY" }),
  "30 days by day, one subject": (nowMs, turn) => ({
    from: isoDay(nowMs - 30 * DAY_MS),
    windowSize: "DAY",
    subject: [subjectKey(turn * 7919)],
  }),
  "last hour by minute": (nowMs) => ({
    from: new Date(Math.floor(nowMs / MINUTE_MS - 60) * MINUTE_MS).toISOString(),
    windowSize: "MINUTE",
  }),
};

function isoDay(ms: number): string {
  return new Date(Math.floor(ms / DAY_MS) * DAY_MS).toISOString();
}

/** Asks one panel after the other, with pauses, until `endMs` of the monotonic clock; adds each latency to its panel's. */
async function watchDashboard(
  server: MeasuredServer,
  client: number,
  endMs: number,
  latenciesMs: Map<string, number[]>,
): Promise<void> {
  for (let turn = client; performance.now() < endMs; turn++) {
    const [title = "", panel] = Object.entries(PANELS)[turn % 3] ?? [];
    const startedMs = performance.now();
    const body = JSON.stringify(panel?.(Date.now(), turn));
    await server.post(`/api/v1/meters/${PROMPT_METERS.tokens}/query`, "application/json", body);
    latenciesMs.set(title, [...(latenciesMs.get(title) ?? []), performance.now() - startedMs]);
    await delay(Number(argv.pause));
  }
}

/** Events per second, end to end, of the median chunk of the load. */
function greatestRate({ ledger }: DataSet): number {
  const rates = ledger.chunks.map(({ events, seconds }) => events / seconds).toSorted((a, b) => a - b);
  return rates[Math.floor(rates.length / 2)] ?? 0;
}

/** Events of now at `rate`, continuing the numbers of the events before `first`; one in a hundred is up to a day late. */
function liveHistory(first: number, rate: number, seconds: number): History {
  const spanMs = DAY_MS + seconds * 1000;
  return {
    fromMs: Date.now() - DAY_MS,
    spanMs,
    origin: first - (rate * DAY_MS) / 1000,
    events: (rate * spanMs) / 1000,
  };
}

async function measureLive(dataSet: DataSet) {
  const { server, ledger } = dataSet;
  const seconds = Number(argv.seconds);
  const rate = Math.round(Number(argv.rate ?? greatestRate(dataSet) / 2));
  tell(`sending ${rate} events a second for ${seconds} seconds`);
  const latenciesMs = new Map<string, number[]>();
  const cpuBefore = await server.cpuSeconds();
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1000;
  const history = JSON.stringify(liveHistory(ledger.loaded, rate, seconds));
  const load = { batch: BATCH, connections: CONNECTIONS, rate, seconds, first: ledger.loaded, history };
  const clients = Array.from({ length: Number(argv.clients) }, (_, index) =>
    watchDashboard(server, index, endMs, latenciesMs),
  );
  const [report, freshness] = await Promise.all([
    generate(server, load),
    measureFreshness(server, seconds),
    ...clients,
  ]);
  const deadlineMs = epochMs() + VISIBLE_DEADLINE_MS;
  while ((await server.eventsBehind()) > 0) {
    if (epochMs() > deadlineMs) throw new Error("acknowledged events did not become visible");
    await delay(20);
  }
  const cpu = await server.cpuSeconds();
  const elapsedSeconds = (performance.now() - startedMs) / 1000;
  const expected = (ledger.tokensByType[0] ?? 0) + (report.tokensByType[0] ?? 0);
  const counted = await usage(server, PROMPT_METERS.tokens);
  if (counted !== expected) throw new Error(`the sum is ${counted}, ${expected} were acknowledged`);
  const used = (key: keyof CpuSeconds): number => (cpu[key] - cpuBefore[key]) / elapsedSeconds;
  return {
    greatestRate: Math.round(greatestRate(dataSet)),
    rate,
    eventsPerSecond: Math.round((report.events * 1000) / (report.lastAcknowledgedMs - report.firstSentMs)),
    ingestP50Ms: report.latencyP50Ms,
    ingestP99Ms: report.latencyP99Ms,
    ...freshness,
    panels: [...latenciesMs].map(([title, samples]) => ({
      title,
      queries: samples.length,
      p50Ms: percentile(samples, 0.5),
      p99Ms: percentile(samples, 0.99),
    })),
    /** Cores in use, of all that there are. */
    cores: {
      server: used("server"),
      eventStore: used("engine"),
      loadGenerator: report.cpuSeconds / elapsedSeconds,
      others: used("machine") - used("server") - used("engine") - report.cpuSeconds / elapsedSeconds,
      available: availableParallelism(),
    },
    peakMemoryMiB: await server.peakMemoryMiB(),
  };
}

function markdown(result: Awaited<ReturnType<typeof measureLive>>): string {
  const { cores, peakMemoryMiB } = result;
  const rows = [
    ["ingest, request of 100 events", figure(result.ingestP50Ms), figure(result.ingestP99Ms)],
    [
      `acknowledged until in a query (${result.freshnessSamples} samples)`,
      figure(result.freshnessP50Ms),
      figure(result.freshnessP99Ms),
    ],
    ...result.panels.map(({ title, p50Ms, p99Ms }) => [`query: ${title}`, figure(p50Ms), figure(p99Ms)]),
  ];
  return (
    `${result.eventsPerSecond.toLocaleString("en-US")} events/s (greatest: ${result.greatestRate.toLocaleString("en-US")}), ` +
    `${argv.clients} clients with ${result.panels.reduce((sum, { queries }) => sum + queries, 0)} queries in ${argv.seconds} s. ` +
    `Cores of ${cores.available}: server ${figure(cores.server)}, event store ${figure(cores.eventStore)}, load generator ` +
    `${figure(cores.loadGenerator)}, others ${figure(cores.others)}. Peak memory: server ${peakMemoryMiB.server} MiB, event ` +
    `store ${peakMemoryMiB.engine} MiB.\n\n${markdownTable(["ms", "p50", "p99"], rows)}`
  );
}

async function writePlot(folder: string, result: Awaited<ReturnType<typeof measureLive>>): Promise<void> {
  const rows = [
    { title: "ingest of 100 events", p50Ms: result.ingestP50Ms, p99Ms: result.ingestP99Ms },
    { title: "acknowledged until in a query", p50Ms: result.freshnessP50Ms, p99Ms: result.freshnessP99Ms },
    ...result.panels,
  ];
  const svg = barPlot({
    title: `Latencies at ${result.rate.toLocaleString("en-US")} events/s with ${argv.clients} dashboards`,
    subtitle: "Milliseconds; shorter is better",
    description: rows.map((row) => `${row.title}: median ${figure(row.p50Ms)}, p99 ${figure(row.p99Ms)}`).join(". "),
    categories: rows.map(({ title }) => title),
    series: [
      { name: "p50", values: rows.map(({ p50Ms }) => p50Ms) },
      { name: "p99", values: rows.map(({ p99Ms }) => p99Ms) },
    ],
    format: figure,
  });
  await writeFile(join(folder, "mixed.svg"), svg);
}

const directory = await mkdtemp(join(tmpdir(), "tallystick-bench-"));
try {
  const history = { fromMs: Date.now() - 30 * DAY_MS, spanMs: 30 * DAY_MS, origin: 0, events: Number(argv.events) };
  const dataSet = await openDataSet(directory, history);
  try {
    const result = await measureLive(dataSet);
    process.stdout.write(`${JSON.stringify(result)}\n\n${provenance()}\n\n${markdown(result)}`);
    if (argv.plots !== undefined) await writePlot(argv.plots, result);
  } finally {
    await dataSet.server.stop();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
