/**
 * A running product with a history of so many events in it, loaded over HTTP as clients would, in chunks.
 *
 * Invariant: when it is handed over, the product counts exactly the events of the history, type by type, and has nothing
 * left to do: what it merges or compacts in the background has ended, or the deadline for that has passed and is told.
 */

import { mkdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { generate } from "../ingest/generate.ts";
import type { LoadReport } from "../ingest/load.ts";
import { type CpuSeconds, MeasuredServer } from "../ingest/measured-server.ts";
import { epochMs } from "../ingest/timing.ts";
import { usage } from "../ingest/usage-check.ts";
import { type History, HISTORY_TYPES, PROMPT } from "./events.ts";
import { type ChunkCost, type Ledger, readLedger, withChunk, writeLedger } from "./ledger.ts";

/** Meters of the type that the queries ask about. */
export const PROMPT_METERS = {
  tokens: `${PROMPT}_tokens`,
  count: `${PROMPT}_count`,
  users: `${PROMPT}_users`,
  latest: `${PROMPT}_latest`,
} as const;

/** Before the first event of any history; what comparisons send besides lies before it. */
const HISTORY_FROM = "2025-12-01T00:00:00Z";
const BATCH = 100;
const CONNECTIONS = 16;
const MAX_CHUNK = 1_000_000;
const MIN_CHUNK = 100_000;
const CHUNKS = 10;
const VISIBLE_DEADLINE_MS = 600_000;
const POLL_MS = 20;
/** The product counts as idle when it used less than this share of a core between two looks. */
const IDLE_SHARE = 0.1;
const IDLE_LOOK_MS = 2_000;
const IDLE_DEADLINE_MS = 900_000;

export interface DataSet {
  readonly server: MeasuredServer;
  readonly ledger: Ledger;
  /** How long the background work took after the last event, or null when it went on beyond the deadline. */
  readonly settledMs: number | null;
}

/** Says what a long benchmark is doing; results alone go to standard output. */
export function tell(text: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}

/** Starts the product in `directory` and loads what is missing of the history. Whoever gets the data set stops its server. */
export async function openDataSet(directory: string, history: History): Promise<DataSet> {
  await mkdir(directory, { recursive: true });
  let ledger = await readLedger(directory, history);
  const server = await MeasuredServer.start(directory, undefined);
  try {
    await createMeters(server);
    const chunkEvents = Math.min(MAX_CHUNK, Math.max(MIN_CHUNK, Math.ceil(history.events / CHUNKS / BATCH) * BATCH));
    while (ledger.loaded < history.events) {
      const events = Math.min(chunkEvents, history.events - ledger.loaded);
      const { report, chunk } = await loadChunk(server, history, ledger.loaded, events);
      ledger = withChunk(ledger, report, chunk);
      await writeLedger(directory, ledger);
      tell(`${ledger.loaded} of ${history.events} events, ${Math.round(events / chunk.seconds)} a second`);
    }
    const settledMs = await settle(server);
    if (settledMs === null) tell("the product is still busy in the background; going on");
    await assertExact(server, ledger);
    return { server, ledger, settledMs };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** A SUM meter per type, and on `prompt` one of each other kind; all that do not exist yet. */
async function createMeters(server: MeasuredServer): Promise<void> {
  const existing = await server.get("/api/v1/meters");
  const slugs = new Set(Array.isArray(existing) ? existing.map((meter: { slug: string }) => meter.slug) : []);
  const tokens = { valueProperty: "$.tokens", groupBy: { model: "$.model" } };
  const meters = [
    ...HISTORY_TYPES.map((type) => ({ slug: `${type}_tokens`, eventType: type, aggregation: "SUM", ...tokens })),
    { slug: PROMPT_METERS.count, eventType: PROMPT, aggregation: "COUNT", groupBy: tokens.groupBy },
    { slug: PROMPT_METERS.users, eventType: PROMPT, aggregation: "UNIQUE_COUNT", valueProperty: "$.user" },
    { slug: PROMPT_METERS.latest, eventType: PROMPT, aggregation: "LATEST", valueProperty: "$.tokens" },
  ];
  for (const meter of meters) {
    if (!slugs.has(meter.slug)) await server.post("/api/v1/meters", "application/json", JSON.stringify(meter));
  }
}

async function loadChunk(
  server: MeasuredServer,
  history: History,
  first: number,
  events: number,
): Promise<{ report: LoadReport; chunk: ChunkCost }> {
  const before = await server.cpuSeconds();
  const load = { batch: BATCH, connections: CONNECTIONS, first, events, history: JSON.stringify(history) };
  const report = await generate(server, load);
  const deadlineMs = epochMs() + VISIBLE_DEADLINE_MS;
  while ((await server.eventsBehind()) > 0) {
    if (epochMs() > deadlineMs) throw new Error("acknowledged events did not become visible");
    await delay(POLL_MS);
  }
  const visibleMs = epochMs();
  const after = await server.cpuSeconds();
  const used = (key: keyof CpuSeconds): number => after[key] - before[key];
  const { server: serverMiB, engine: engineMiB } = await server.memoryMiB();
  const chunk = {
    total: first + events,
    events,
    seconds: (visibleMs - report.firstSentMs) / 1000,
    acknowledgedSeconds: (report.lastAcknowledgedMs - report.firstSentMs) / 1000,
    latencyP50Ms: report.latencyP50Ms,
    latencyP99Ms: report.latencyP99Ms,
    cpuSeconds: used("server") + used("engine"),
    engineCpuSeconds: used("engine"),
    othersCpuSeconds: used("machine") - used("server") - used("engine") - report.cpuSeconds,
    serverMiB,
    engineMiB,
  };
  return { report, chunk };
}

/** Waits until roll-ups are current and the product does nothing any more; returns how long that took, null when it did not come to rest. */
async function settle(server: MeasuredServer): Promise<number | null> {
  const startedMs = performance.now();
  let before = await server.cpuSeconds();
  while (performance.now() - startedMs < IDLE_DEADLINE_MS) {
    await delay(IDLE_LOOK_MS);
    const after = await server.cpuSeconds();
    const used = after.server + after.engine - before.server - before.engine;
    const isRolledUp = await server.isRolledUp();
    if (isRolledUp && used < (IDLE_SHARE * IDLE_LOOK_MS) / 1000)
      return Math.round(performance.now() - startedMs - IDLE_LOOK_MS);
    before = after;
  }
  return null;
}

/** Compares the product's sums of all types with what the load generator was acknowledged, and the count of `prompt`. */
async function assertExact(server: MeasuredServer, ledger: Ledger): Promise<void> {
  const counted = await usage(server, PROMPT_METERS.count, HISTORY_FROM);
  if (counted !== ledger.countByType[0]) {
    throw new Error(`${counted} events of ${PROMPT} are counted, ${ledger.countByType[0]} were acknowledged`);
  }
  for (const [index, type] of HISTORY_TYPES.entries()) {
    const sum = await usage(server, `${type}_tokens`, HISTORY_FROM);
    if (sum === ledger.tokensByType[index]) continue;
    throw new Error(`SUM of ${type} is ${sum}, ${ledger.tokensByType[index]} were acknowledged`);
  }
}
