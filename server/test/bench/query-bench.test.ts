/** The benchmark of queries as a program: on a small history both sides must agree, and everything it promises is there. */

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { figure, markdownTable } from "../../bench/report/markdown.ts";
import { barPlot, linePlot } from "../../bench/report/plot.ts";

const QUERY = fileURLToPath(new URL("../../bench/query.ts", import.meta.url));
const EVENTS = 100_000;

let plots = "";

beforeAll(async () => {
  plots = await mkdtemp(join(tmpdir(), "tallystick-plots-"));
});

afterAll(async () => {
  await rm(plots, { recursive: true });
});

test("compares fourteen questions, one and four at a time, and draws them", async () => {
  const options = ["--events", String(EVENTS), "--repetitions", "4", "--budget", "60", "--plots", plots];
  const child = spawn(process.execPath, [QUERY, ...options], { stdio: ["ignore", "pipe", "pipe"] });
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect(output, errors).not.toBe("");
  const lines = output.split("\n").filter((line) => line.startsWith("{"));
  const comparisons = lines.map((line): Record<string, unknown> => JSON.parse(line)).filter((line) => "ratio" in line);
  expect(comparisons, errors).toHaveLength(28);
  for (const comparison of comparisons) expect(comparison["rows"]).toBeGreaterThan(0);
  expect(output, errors).toMatch(/\| `reference\.om_events` +\| 100,000 /u);
  // One question comes with a new event each time.
  expect(output, errors).toMatch(/\| `tallystick\.events` +\| 100,0[0-9]{2} /u);
  const plot = await readFile(join(plots, `query-${EVENTS}.svg`), "utf8");
  expect(plot.match(/<rect class="f[01]" x="270"/gu)?.length).toBeGreaterThanOrEqual(28);
});

const texts = { title: "A & B", subtitle: "ms", description: '"a" < b' };

test("a bar is as long as its value, and texts cannot break the picture", () => {
  const svg = barPlot({
    ...texts,
    categories: ["<one>", "two"],
    series: [{ name: "here", values: [10, 40] }],
    format: figure,
  });
  const widths = [...svg.matchAll(/<rect class="f0" x="270" y="\d+" width="([\d.]+)"/gu)].map((match) =>
    Number(match[1]),
  );
  // The legend has a box of the same colour at the same place, 11 wide.
  const [short = 0, long = 0] = widths.filter((width) => width > 20);
  expect(long / short).toBeCloseTo(4, 1);
  expect(svg).toContain('<title id="title">A &amp; B</title>');
  expect(svg).toContain("&quot;a&quot; &lt; b");
  expect(svg).toContain("&lt;one&gt;");
  expect(svg).toContain("prefers-color-scheme: dark");
  expect(svg).not.toMatch(/NaN|undefined|Infinity/u);
});

test.each([true, false])("lines keep the order of their values (logarithmic: %s)", (isLogarithmic) => {
  const svg = linePlot({
    ...texts,
    at: [1_000, 10_000],
    series: [
      { name: "rising", values: [2, 200] },
      { name: "level", values: [5, 5] },
    ],
    formatX: String,
    formatY: String,
    isLogarithmic,
  });
  const points = [...svg.matchAll(/points="[\d.]+,([\d.]+) [\d.]+,([\d.]+)"/gu)].map((match) =>
    match.slice(1).map(Number),
  );
  const [[low = 0, high = 0] = [], [level = 0, same = 0] = []] = points;
  expect(low).toBeGreaterThan(level);
  expect(high).toBeLessThan(level);
  expect(same).toBe(level);
  expect(svg).not.toMatch(/NaN|undefined|Infinity/u);
});

test("one size alone can be drawn", () => {
  const lines = { ...texts, at: [1_000], series: [{ name: "only", values: [3] }], formatX: String, formatY: String };
  for (const isLogarithmic of [true, false]) {
    expect(linePlot({ ...lines, isLogarithmic })).not.toMatch(/NaN|undefined|Infinity/u);
  }
});

test("figures have three digits, tables are aligned", () => {
  expect([0.1234, 1.234, 12.34, 123.4, 1234.5].map(figure)).toEqual(["0.123", "1.23", "12.3", "123", "1,235"]);
  expect(markdownTable(["a", "long"], [["value", "1"]])).toBe("| a     | long |\n| ----- | ---- |\n| value | 1    |\n");
});
