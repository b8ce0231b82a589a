/**
 * Benchmark of meter queries against a table without roll-ups:
 * `npm run bench -- query [--events 1000000,10000000,50000000] [--keep DIR] [--plots DIR] [--repetitions 40] [--budget 30]`.
 *
 * For each number of events it loads three months of usage into the product over HTTP (`history/data-set.ts`), copies the
 * same events into the reference table in the same ClickHouse process, and asks both sides the same questions in turns, one
 * and four at a time. It fails when an answer differs. With `--keep` the data stays in DIR, and another run uses it again;
 * an interrupted load goes on. Prints a line of JSON per measurement and then the tables as Markdown; `--plots` writes SVG.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Comparison } from "./history/comparison.ts";
import { tell } from "./history/data-set.ts";
import { provenance } from "./history/machine.ts";
import { measureSizes, type SizeResult } from "./history/sizes.ts";
import { eventsText, figure, markdownTable, megabytes } from "./report/markdown.ts";
import { barPlot } from "./report/plot.ts";

const { values: argv } = parseArgs({
  options: {
    events: { type: "string", default: "1000000,10000000,50000000" },
    keep: { type: "string" },
    plots: { type: "string" },
    repetitions: { type: "string", default: "40" },
    budget: { type: "string", default: "30" },
  },
});

const CONCURRENCIES = [1, 4];

function markdown({ events, comparisons, tables, memoryMiB, othersShare }: SizeResult): string {
  const alone = comparisons.filter(({ concurrency }) => concurrency === 1);
  const rows = alone.map((single) => {
    const four = comparisons.find(({ shape, concurrency }) => shape === single.shape && concurrency > 1) ?? single;
    const pair = ({ medianMs, p95Ms }: Comparison["ours"]): string => `${figure(medianMs)} / ${figure(p95Ms)}`;
    const times = [single.ours, single.reference].map(pair);
    return [
      single.title,
      ...times,
      `${figure(single.ratio)}×`,
      ...[four.ours, four.reference].map(pair),
      `${figure(four.ratio)}×`,
    ];
  });
  const head = ["ms: median / p95", "Tallystick", "reference", "ratio", "4 at a time", "reference", "ratio"];
  const sizes = tables.map((table) => [
    `\`${table.table}\``,
    table.rows.toLocaleString("en-US"),
    String(table.parts),
    megabytes(table.bytes),
    figure(table.bytes / events),
  ]);
  return [
    `### ${eventsText(events)} events\n`,
    markdownTable(head, rows),
    markdownTable(["table", "rows", "parts", "MB", "bytes per event"], sizes),
    `Memory after the queries: server ${memoryMiB.server} MiB, event store ${memoryMiB.engine} MiB. ` +
      `Other programs took ${figure(othersShare * 100)} % of the processor time meanwhile.\n`,
  ].join("\n");
}

async function writePlots(folder: string, results: readonly SizeResult[]): Promise<void> {
  for (const { events, comparisons } of results) {
    const alone = comparisons.filter(({ concurrency }) => concurrency === 1);
    const slowest = alone.toSorted((a, b) => b.ratio - a.ratio);
    const svg = barPlot({
      title: `Meter queries over ${eventsText(events)} events`,
      subtitle: "Milliseconds, median of warm queries, one at a time; shorter is better",
      description: slowest
        .map(({ title, ratio }) => `${title}: the reference takes ${figure(ratio)} times as long`)
        .join(". "),
      categories: alone.map(({ title }) => title),
      series: [
        { name: "Tallystick", values: alone.map(({ ours }) => ours.medianMs) },
        { name: "reference table", values: alone.map(({ reference }) => reference.medianMs) },
      ],
      format: figure,
    });
    const file = join(folder, `query-${events}.svg`);
    await writeFile(file, svg);
    tell(`wrote ${file}`);
  }
}

const results = await measureSizes({
  events: argv.events,
  keep: argv.keep,
  concurrencies: CONCURRENCIES,
  repetitions: Number(argv.repetitions),
  budgetSeconds: Number(argv.budget),
});
const tables = results.map(markdown).join("\n");
process.stdout.write(`\n${provenance()}\n\n${tables}`);
if (argv.plots !== undefined) await writePlots(argv.plots, results);
