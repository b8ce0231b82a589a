/**
 * Benchmark of growth: what an event, a query, memory and disk cost after so many events.
 * `npm run bench -- growth [--events 1000000,10000000,50000000] [--keep DIR] [--plots DIR] [--repetitions 20] [--budget 20]`.
 *
 * Each number of events is a product of its own with the same three months of usage, so that answers about all subjects have
 * the same size and only the events behind them grow; answers about one subject fill up until every window has events. The load is that of `query`, over HTTP: with `--keep`, both share data
 * sets, and an interrupted load goes on. Prints JSON lines, then Markdown; `--plots` writes SVG.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Comparison } from "./history/comparison.ts";
import { tell } from "./history/data-set.ts";
import type { ChunkCost } from "./history/ledger.ts";
import { provenance } from "./history/machine.ts";
import { REFERENCE_TABLE, type TableSize } from "./history/reference-table.ts";
import { measureSizes, type SizeResult } from "./history/sizes.ts";
import { eventsText, figure, markdownTable, megabytes } from "./report/markdown.ts";
import { linePlot, type Series } from "./report/plot.ts";

const { values: argv } = parseArgs({
  options: {
    events: { type: "string", default: "1000000,10000000,50000000" },
    keep: { type: "string" },
    plots: { type: "string" },
    repetitions: { type: "string", default: "20" },
    budget: { type: "string", default: "20" },
  },
});

const MILLION = 1_000_000;
/** The cost of an event at the end of a load is that of this share of its chunks, at least of a million events. */
const END_SHARE = 0.1;
/** Shapes of the plot: one whose answer covers all subjects, one about a single subject. */
const PLOTTED = ["sum-by-day", "subject-by-day"];

interface EventCost {
  readonly perSecond: number;
  readonly micros: number;
  readonly engineMicros: number;
  /** Share of the machine's used time that others used, 0 to 1. */
  readonly othersShare: number;
}

/** Costs per event over chunks. */
function eventCost(chunks: readonly ChunkCost[]): EventCost {
  const total = (key: keyof ChunkCost): number => chunks.reduce((sum, chunk) => sum + chunk[key], 0);
  const events = total("events");
  return {
    perSecond: events / total("seconds"),
    micros: (total("cpuSeconds") / events) * 1_000_000,
    engineMicros: (total("engineCpuSeconds") / events) * 1_000_000,
    othersShare: total("othersCpuSeconds") / (total("cpuSeconds") + total("othersCpuSeconds")),
  };
}

/** The last tenth, a million events at least. */
function lastChunks({ events, chunks }: SizeResult): readonly ChunkCost[] {
  const from = events - Math.max(MILLION, events * END_SHARE);
  return chunks.filter((chunk) => chunk.total - chunk.events >= from);
}

function firstMillion({ chunks }: SizeResult): readonly ChunkCost[] {
  return chunks.filter(({ total }) => total <= MILLION);
}

/** Those millions of a load in which merges already cost what they do later; none of a load that is not longer. */
function secondToFifthMillion({ events, chunks }: SizeResult): readonly ChunkCost[] {
  return events <= 5 * MILLION ? [] : chunks.filter((chunk) => chunk.total > MILLION && chunk.total <= 5 * MILLION);
}

function row(title: string, results: readonly SizeResult[], cell: (result: SizeResult) => string): readonly string[] {
  return [title, ...results.map(cell)];
}

function costRows(results: readonly SizeResult[]): readonly (readonly string[])[] {
  const cost = (result: SizeResult): EventCost => eventCost(lastChunks(result));
  const earlier = (chunks: readonly ChunkCost[], key: "perSecond" | "micros"): string =>
    chunks.length === 0 ? "" : figure(eventCost(chunks)[key]);
  const perMillion = (bytes: number, { events }: SizeResult): string => megabytes((bytes / events) * 1_000_000);
  const names = [...new Set(results.flatMap(({ tables }) => tables.map(({ table }) => table)))];
  const size = (tables: readonly TableSize[], name: string): number =>
    tables.find(({ table }) => table === name)?.bytes ?? 0;
  return [
    row("events/s end to end, first million", results, (result) => earlier(firstMillion(result), "perSecond")),
    row("– 2nd to 5th million", results, (result) => earlier(secondToFifthMillion(result), "perSecond")),
    row("– last tenth (1 M at least)", results, (result) => figure(cost(result).perSecond)),
    row("processor time per event, µs, first million", results, (result) => earlier(firstMillion(result), "micros")),
    row("– 2nd to 5th million", results, (result) => earlier(secondToFifthMillion(result), "micros")),
    row("– last tenth", results, (result) => figure(cost(result).micros)),
    row("of which the event store, last tenth", results, (result) => figure(cost(result).engineMicros)),
    row("share of other programs, last tenth, %", results, (result) => figure(cost(result).othersShare * 100)),
    row("memory at the end of the load, MiB: server", results, ({ chunks }) => String(chunks.at(-1)?.serverMiB ?? 0)),
    row("– event store", results, ({ chunks }) => String(chunks.at(-1)?.engineMiB ?? 0)),
    row("memory after the queries, MiB: server", results, ({ memoryMiB }) => String(memoryMiB.server)),
    row("– event store", results, ({ memoryMiB }) => String(memoryMiB.engine)),
    ...names
      .toSorted((a, b) => Number(a === REFERENCE_TABLE) - Number(b === REFERENCE_TABLE))
      .filter((name) => results.some(({ tables }) => size(tables, name) >= 1_000_000))
      .map((name) =>
        row(`MB per million events: \`${name}\``, results, (result) => perMillion(size(result.tables, name), result)),
      ),
    row("MB per million events: claims", results, (result) => perMillion(result.disk["claims"] ?? 0, result)),
    row("MB per million events: log, for a day", results, (result) => perMillion(result.disk["log"] ?? 0, result)),
    row("MB in all: state", results, ({ disk }) => megabytes(disk["state"] ?? 0)),
  ];
}

function queryRows(results: readonly SizeResult[]): readonly (readonly string[])[] {
  return (results[0]?.comparisons ?? []).map(({ shape, title }) =>
    row(title, results, (result) => {
      const comparison = comparisonOf(result, shape);
      return comparison === undefined
        ? ""
        : `${figure(comparison.ours.medianMs)} : ${figure(comparison.reference.medianMs)}`;
    }),
  );
}

function comparisonOf(result: SizeResult, shape: string): Comparison | undefined {
  return result.comparisons.find((comparison) => comparison.shape === shape);
}

function markdown(results: readonly SizeResult[]): string {
  const sizes = results.map(({ events }) => eventsText(events));
  return [
    markdownTable(["events", ...sizes], costRows(results)),
    markdownTable(
      ["median, ms: Tallystick : reference", ...sizes],
      [
        ...queryRows(results),
        row("share of other programs in the time, %", results, ({ othersShare }) => figure(othersShare * 100)),
      ],
    ),
  ].join("\n");
}

function queryPlot(results: readonly SizeResult[]): string {
  const series: readonly Series[] = PLOTTED.flatMap((shape) => {
    const medians = (side: "ours" | "reference"): readonly number[] =>
      results.map((result) => comparisonOf(result, shape)?.[side].medianMs ?? 0);
    const subject = shape === "sum-by-day" ? "all subjects" : "one subject";
    return [
      { name: `Tallystick, ${subject}`, values: medians("ours") },
      { name: `reference, ${subject}`, values: medians("reference") },
    ];
  });
  const ends = series.map(({ name, values }) => `${name}: ${values.map(figure).join(", ")} ms`);
  return linePlot({
    title: "SUM by day of a month, by the number of stored events",
    subtitle: "Milliseconds, median of warm queries; both axes logarithmic",
    description: `${results.map(({ events }) => eventsText(events)).join(", ")} events. ${ends.join("; ")}`,
    at: results.map(({ events }) => events),
    series,
    formatX: eventsText,
    formatY: String,
    isLogarithmic: true,
  });
}

function ingestPlot(chunks: readonly ChunkCost[]): string {
  const costs = chunks.map((chunk) => eventCost([chunk]));
  const [first = 0, last = 0] = [costs[0]?.micros, costs.at(-1)?.micros];
  return linePlot({
    title: "Processor time of an event, by the number of stored events",
    subtitle: "Microseconds per event, acceptance to visibility, background merges included",
    description: `${figure(first)} µs at the beginning, ${figure(last)} µs at the end, of which the event store ${figure(costs.at(-1)?.engineMicros ?? 0)} µs`,
    at: chunks.map(({ total }) => total),
    series: [
      { name: "server and event store", values: costs.map(({ micros }) => micros) },
      { name: "event store alone", values: costs.map(({ engineMicros }) => engineMicros) },
    ],
    formatX: eventsText,
    formatY: String,
    isLogarithmic: false,
  });
}

const results = await measureSizes({
  events: argv.events,
  keep: argv.keep,
  concurrencies: [1],
  repetitions: Number(argv.repetitions),
  budgetSeconds: Number(argv.budget),
});
process.stdout.write(`\n${provenance()}\n\n${markdown(results)}`);
if (argv.plots !== undefined) {
  const largest = results.toSorted((a, b) => a.events - b.events).at(-1);
  await writeFile(join(argv.plots, "growth-queries.svg"), queryPlot(results));
  await writeFile(join(argv.plots, "growth-ingest.svg"), ingestPlot(largest?.chunks ?? []));
  tell(`wrote growth-queries.svg and growth-ingest.svg to ${argv.plots}`);
}
