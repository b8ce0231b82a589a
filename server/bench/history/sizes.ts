/** What `query` and `growth` do for each number of events: load, fill the reference table, compare, measure. */

import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { MeasuredServer } from "../ingest/measured-server.ts";
import { type Comparison, compareShape } from "./comparison.ts";
import { openDataSet } from "./data-set.ts";
import { historyOfQuarter } from "./events.ts";
import type { ChunkCost } from "./ledger.ts";
import { fillReferenceTable, SqlClient, type TableSize, tableSizes } from "./reference-table.ts";
import { historyShapes } from "./shapes.ts";

export interface SizesOptions {
  /** Numbers of events, separated by commas. */
  readonly events: string;
  /** Where data sets are kept, each in a folder of its own; without it they are deleted. */
  readonly keep: string | undefined;
  /** How many questions are under way at the same time, one series of comparisons for each. */
  readonly concurrencies: readonly number[];
  readonly repetitions: number;
  /** Seconds after which a shape gets no further repetitions. */
  readonly budgetSeconds: number;
}

export interface SizeResult {
  readonly events: number;
  readonly chunks: readonly ChunkCost[];
  readonly comparisons: readonly Comparison[];
  readonly tables: readonly TableSize[];
  /** Bytes per folder of the data directory; `events` holds all tables. */
  readonly disk: Readonly<Record<string, number>>;
  /** Share of the machine's processor time that everything but the benchmark took during the queries, 0 to 1. */
  readonly othersShare: number;
  /** After the queries; that of the load is in its chunks. */
  readonly memoryMiB: { readonly server: number; readonly engine: number };
}

/** Measures each size, the smallest first as given; prints every measurement as a line of JSON. */
export async function measureSizes(options: SizesOptions): Promise<readonly SizeResult[]> {
  const results: SizeResult[] = [];
  for (const events of options.events.split(",").map(Number)) {
    if (!Number.isSafeInteger(events) || events <= 0 || events % 100 !== 0) {
      throw new Error("--events takes numbers of events, multiples of 100, separated by commas");
    }
    const root = options.keep ?? (await mkdtemp(join(tmpdir(), "tallystick-bench-")));
    try {
      results.push(await measureSize(join(root, String(events)), events, options));
    } finally {
      if (options.keep === undefined) await rm(root, { recursive: true, force: true });
    }
  }
  return results;
}

async function measureSize(directory: string, events: number, options: SizesOptions): Promise<SizeResult> {
  const { server, ledger, settledMs } = await openDataSet(directory, historyOfQuarter(events));
  try {
    const sql = new SqlClient(await server.engineSocketPath());
    await fillReferenceTable(sql, events);
    const shapes = await historyShapes(sql);
    const comparisons: Comparison[] = [];
    const othersBefore = await othersSeconds(server);
    const startedMs = performance.now();
    for (const concurrency of options.concurrencies) {
      for (const shape of shapes) {
        const comparison = await compareShape(shape, { ...options, server, sql, concurrency });
        process.stdout.write(`${JSON.stringify({ events, ...comparison })}\n`);
        comparisons.push(comparison);
      }
    }
    const availableSeconds = (availableParallelism() * (performance.now() - startedMs)) / 1000;
    const result = {
      events,
      othersShare: ((await othersSeconds(server)) - othersBefore) / availableSeconds,
      tables: await tableSizes(sql),
      disk: await server.diskBytes(),
      memoryMiB: await server.memoryMiB(),
      chunks: ledger.chunks,
    };
    process.stdout.write(`${JSON.stringify({ settledMs, ...result })}\n`);
    return { ...result, comparisons };
  } finally {
    await server.stop();
  }
}

/** Processor seconds since the start of the machine that neither the product nor this benchmark used. */
async function othersSeconds(server: MeasuredServer): Promise<number> {
  const cpu = await server.cpuSeconds();
  const own = process.cpuUsage();
  return cpu.machine - cpu.server - cpu.engine - (own.user + own.system) / 1_000_000;
}
