/**
 * Benchmark of access checks while events come in:
 * `npm run bench -- access [--customers 10000] [--rate 20000] [--seconds 20] [--checks 8000] [--connections 16] [--json]`.
 *
 * Makes customers with one metered and two boolean entitlements each on a fresh product; sends events of theirs at `--rate`
 * while one process checks the access of one customer after the other at `--checks` per second (0: as fast as it is
 * answered), and a probe measures how long an acknowledged event takes to be in a balance. In the end the meter must
 * have what was acknowledged, and the balances together what the meter has of their customers; otherwise the figures are worthless, and the benchmark fails. After that
 * the product is started again, to tell how long its balances take to come back into memory.
 */

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { makeCustomers, meteredUsage, totalUsage, usageOf } from "./access/customers.ts";
import type { AccessReport } from "./access/report.ts";
import { type History, PROMPT, subjectKey } from "./history/events.ts";
import { provenance } from "./history/machine.ts";
import { generate } from "./ingest/generate.ts";
import { type CpuSeconds, MeasuredServer } from "./ingest/measured-server.ts";
import { percentile } from "./ingest/timing.ts";

const { values: argv } = parseArgs({
  options: {
    customers: { type: "string", default: "10000" },
    rate: { type: "string", default: "20000" },
    seconds: { type: "string", default: "20" },
    checks: { type: "string", default: "8000" },
    connections: { type: "string", default: "16" },
    json: { type: "boolean", default: false },
    "cpu-prof": { type: "string" },
  },
});

const CLIENT = fileURLToPath(new URL("access/access-client.ts", import.meta.url));
const DAY_MS = 86_400_000;
const BATCH = 100;
const VISIBLE_DEADLINE_MS = 60_000;
const WARM_DEADLINE_MS = 120_000;
const customers = Number(argv.customers);

function tell(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

async function checkAccess(server: MeasuredServer, seconds: number, rate: number): Promise<AccessReport> {
  const options = { address: server.address, seconds, connections: argv.connections, rate, customers };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, [CLIENT, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const output = await text(child.stdout);
  if (output === "") throw new Error("the client ended without a report, see its output above");
  const report: AccessReport = JSON.parse(output);
  return report;
}

/** Waits until as many balances are in memory; returns how long it took. */
async function warmed(server: MeasuredServer): Promise<number> {
  const startedMs = performance.now();
  while ((await server.metric("tallystick_balances_in_memory")) < customers) {
    if (performance.now() - startedMs > WARM_DEADLINE_MS) throw new Error("balances do not come into memory");
    await delay(50);
  }
  return performance.now() - startedMs;
}

/** Milliseconds from an event's acknowledgement until the balance of its customer has it, again and again. */
async function probe(server: MeasuredServer, seconds: number): Promise<{ samplesMs: number[]; tokens: number }> {
  const endMs = performance.now() + seconds * 1000;
  const customer = subjectKey(customers - 1);
  const samplesMs: number[] = [];
  let tokens = 0;
  while (performance.now() < endMs) {
    // Nobody else uses a fraction, so the sum of the probe's own events shows behind the point.
    const event = { specversion: "1.0", id: randomUUID(), source: "probe", type: PROMPT, subject: customer };
    const body = JSON.stringify({ ...event, data: { tokens: 0.001 } });
    await server.post("/api/v1/events", "application/cloudevents+json", body);
    const acknowledgedMs = performance.now();
    tokens += 1;
    while (Math.round((await usageOf(server, customer)) * 1000) % 1000 !== tokens % 1000) {
      if (performance.now() - acknowledgedMs > VISIBLE_DEADLINE_MS) throw new Error("a probe's event never counted");
      await delay(5);
    }
    samplesMs.push(performance.now() - acknowledgedMs);
  }
  return { samplesMs, tokens: tokens / 1000 };
}

/** Usage has three digits behind the point. */
function refuseDifference(what: string, counted: number, expected: number): void {
  if (Math.abs(counted - expected) < 0.000_5) return;
  throw new Error(`${what} counted ${counted}, it should be ${expected}`);
}

/** Events of now at `rate`; one in a hundred is up to a day late. */
function liveHistory(rate: number, seconds: number): History {
  const spanMs = DAY_MS + seconds * 1000;
  return { fromMs: Date.now() - DAY_MS, spanMs, origin: -(rate * DAY_MS) / 1000, events: (rate * spanMs) / 1000 };
}

async function measure(server: MeasuredServer): Promise<Record<string, unknown>> {
  const [rate, seconds, checks] = [Number(argv.rate), Number(argv.seconds), Number(argv.checks)];
  tell(`making ${customers} customers`);
  const makingMs = performance.now();
  await makeCustomers(server, customers, new Date(Date.now() - 2 * DAY_MS));
  const madeSeconds = (performance.now() - makingMs) / 1000;
  // The first check of each customer brings it into memory.
  while ((await server.metric("tallystick_balances_in_memory")) < customers) await checkAccess(server, 2, 0);
  tell(`sending ${rate} events and asking ${checks === 0 ? "as many as possible" : checks} times a second`);
  const cpuBefore = await server.cpuSeconds();
  const history = JSON.stringify(liveHistory(rate, seconds));
  const [sent, access, probed] = await Promise.all([
    generate(server, { batch: BATCH, connections: 8, rate, seconds, history }),
    checkAccess(server, seconds, checks),
    probe(server, seconds),
  ]);
  const cpu = await server.cpuSeconds();
  while ((await server.eventsBehind()) > 0) await delay(20);
  const acknowledged = (sent.tokensByType[0] ?? 0) + probed.tokens;
  const metered = await meteredUsage(server, customers);
  const counted = await totalUsage(server, customers);
  refuseDifference("the meter", metered.all, acknowledged);
  refuseDifference("the balances", counted, metered.ofCustomers);
  const differences = await server.metric("tallystick_balance_differences_total");
  if (differences > 0) throw new Error(`${differences} balances differed from a recomputation`);
  const used = (key: keyof CpuSeconds): number => Math.round(((cpu[key] - cpuBefore[key]) / seconds) * 100) / 100;
  return {
    customers,
    customersMadePerSecond: Math.round(customers / madeSeconds),
    eventsPerSecond: Math.round((sent.events * 1000) / (sent.lastAcknowledgedMs - sent.firstSentMs)),
    ...access,
    freshnessSamples: probed.samplesMs.length,
    freshnessP50Ms: percentile(probed.samplesMs, 0.5),
    freshnessP99Ms: percentile(probed.samplesMs, 0.99),
    rebuilds: await server.metric("tallystick_balance_rebuilds_total"),
    cores: { server: used("server"), httpThread: used("httpThread"), engine: used("engine") },
    peakMemoryMiB: await server.peakMemoryMiB(),
    exact: true,
  };
}

const directory = await mkdtemp(join(tmpdir(), "tallystick-bench-"));
try {
  const server = await MeasuredServer.start(directory, argv["cpu-prof"]);
  let result: Record<string, unknown>;
  try {
    result = await measure(server);
  } finally {
    await server.stop();
  }
  const again = await MeasuredServer.start(directory, undefined);
  try {
    result = { ...result, warmAfterStartMs: Math.round(await warmed(again)) };
  } finally {
    await again.stop();
  }
  process.stdout.write(`${JSON.stringify(result, null, argv.json ? 0 : 2)}\n\n${provenance()}\n`);
} finally {
  await rm(directory, { recursive: true, force: true });
}
