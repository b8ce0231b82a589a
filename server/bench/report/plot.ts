/**
 * Plots as SVG text: bars that compare series by category, and lines over a number. No library: a plot is a page of shapes.
 *
 * Readable in light and dark (the image follows the reader's scheme), without colour (every bar has its figure, every line
 * its name at its end), and to screen readers (title and description).
 */

export interface Series {
  readonly name: string;
  readonly values: readonly number[];
}

interface PlotTexts {
  readonly title: string;
  /** What the axis counts, with its unit; below the title. */
  readonly subtitle: string;
  /** The finding in a sentence, for those who cannot see the picture. */
  readonly description: string;
}

export interface BarPlot extends PlotTexts {
  readonly categories: readonly string[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
}

export interface LinePlot extends PlotTexts {
  /** Positions of the values, ascending. */
  readonly at: readonly number[];
  readonly series: readonly Series[];
  readonly formatX: (value: number) => string;
  readonly formatY: (value: number) => string;
  /** Logarithmic in both directions; from zero otherwise. */
  readonly isLogarithmic: boolean;
}

const WIDTH = 760;
const LABEL_WIDTH = 270;
const FIGURE_WIDTH = 80;
const HEAD_HEIGHT = 78;
const BAR_HEIGHT = 11;
const GROUP_GAP = 10;
const COLORS = 4;
/** Both schemes' first two colours differ in lightness, too, so that they stay apart in grey. */
const STYLE = `
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e } .rule { stroke: #d1d9e0 }
  .f0 { fill: #0b6e99 } .f1 { fill: #e08a00 } .f2 { fill: #5c7a29 } .f3 { fill: #a8328e }
  .s0 { stroke: #0b6e99 } .s1 { stroke: #e08a00 } .s2 { stroke: #5c7a29 } .s3 { stroke: #a8328e }
  text { font: 12px system-ui, sans-serif } .title { font-size: 16px; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #f0f6fc } .soft { fill: #9198a1 } .rule { stroke: #3d444d }
    .f0 { fill: #58b8e0 } .f1 { fill: #f5b041 } .f2 { fill: #a3c95c } .f3 { fill: #e07ccb }
    .s0 { stroke: #58b8e0 } .s1 { stroke: #f5b041 } .s2 { stroke: #a3c95c } .s3 { stroke: #e07ccb }
  }`;

/** Horizontal bars from zero, grouped by category, each with its figure. */
export function barPlot(plot: BarPlot): string {
  const { categories, series, format } = plot;
  const groupHeight = series.length * BAR_HEIGHT + GROUP_GAP;
  const longest = Math.max(...series.flatMap(({ values }) => values));
  const scale = (WIDTH - LABEL_WIDTH - FIGURE_WIDTH) / longest;
  const groups = categories.map((category, row) => {
    const top = HEAD_HEIGHT + row * groupHeight;
    const middle = top + (series.length * BAR_HEIGHT) / 2 + 4;
    const bars = series.map(({ values }, index) => {
      const value = values[row] ?? 0;
      const y = top + index * BAR_HEIGHT;
      const width = Math.max(1, value * scale);
      return (
        `<rect class="f${index % COLORS}" x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT - 1}" rx="1"/>` +
        `<text class="soft" x="${(LABEL_WIDTH + width + 5).toFixed(1)}" y="${y + BAR_HEIGHT - 2}" style="font-size:10px">${escaped(format(value))}</text>`
      );
    });
    const label = `<text class="ink" x="${LABEL_WIDTH - 8}" y="${middle}" text-anchor="end">${escaped(category)}</text>`;
    return label + bars.join("");
  });
  const height = HEAD_HEIGHT + categories.length * groupHeight + 6;
  return page(plot, height, legend(series) + groups.join("\n"));
}

/** Lines with dots, their names at their ends. */
export function linePlot(plot: LinePlot): string {
  const { at, series, formatX, formatY, isLogarithmic } = plot;
  const [left, right, top, bottom] = [70, WIDTH - 190, HEAD_HEIGHT, HEAD_HEIGHT + 260];
  const values = series.flatMap((line) => line.values);
  const x = axis(at, left, right, isLogarithmic);
  const y = axis(values, bottom, top, isLogarithmic);
  const rules = y.ticks.map((tick) => {
    const height = y.place(tick).toFixed(1);
    const line = `<line class="rule" x1="${left}" x2="${right}" y1="${height}" y2="${height}"/>`;
    return `${line}<text class="soft" x="${left - 8}" y="${y.place(tick) + 4}" text-anchor="end">${escaped(formatY(tick))}</text>`;
  });
  const marks = (at.length <= 6 ? at : x.ticks).map(
    (tick) =>
      `<text class="soft" x="${x.place(tick).toFixed(1)}" y="${bottom + 20}" text-anchor="middle">${escaped(formatX(tick))}</text>`,
  );
  const ends = spread(series.map((line) => y.place(line.values.at(-1) ?? 0)));
  const lines = series.map((line, index) => {
    const points = line.values.map((value, position) => [x.place(at[position] ?? 0), y.place(value)] as const);
    const path = points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
    const color = index % COLORS;
    const dots = points.map(
      ([px, py]) => `<circle class="f${color}" cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="3"/>`,
    );
    const name = `<text class="f${color}" x="${right + 10}" y="${((ends[index] ?? 0) + 4).toFixed(1)}">${escaped(line.name)}</text>`;
    return `<polyline class="s${color}" points="${path}" fill="none" stroke-width="2"/>${dots.join("")}${name}`;
  });
  return page(plot, bottom + 36, [...rules, ...marks, ...lines].join("\n"));
}

interface Axis {
  readonly ticks: readonly number[];
  place(value: number): number;
}

/** Maps values to pixels from `start` to `end`, with ticks at round numbers. */
function axis(values: readonly number[], start: number, end: number, isLogarithmic: boolean): Axis {
  const most = Math.max(...values);
  if (isLogarithmic) {
    const [first, last] = [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(most))];
    const decades = Math.max(1, last - first);
    const ticks = Array.from({ length: decades + 1 }, (_, index) => 10 ** (first + index));
    return { ticks, place: (value) => start + ((Math.log10(value) - first) / decades) * (end - start) };
  }
  const rough = most / 4;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * magnitude).find((size) => size >= rough) ?? rough;
  const count = Math.ceil(most / step);
  const ticks = Array.from({ length: count + 1 }, (_, index) => index * step);
  return { ticks, place: (value) => start + (value / (count * step)) * (end - start) };
}

/** Moves labels down until each has a line of its own. */
function spread(heights: readonly number[]): readonly number[] {
  const placed = [...heights];
  const order = heights.map((_, index) => index).toSorted((a, b) => (heights[a] ?? 0) - (heights[b] ?? 0));
  let next = Number.NEGATIVE_INFINITY;
  for (const index of order) {
    placed[index] = Math.max(heights[index] ?? 0, next);
    next = (placed[index] ?? 0) + 15;
  }
  return placed;
}

function legend(series: readonly Series[]): string {
  let x = LABEL_WIDTH;
  return series
    .map(({ name }, index) => {
      const entry =
        `<rect class="f${index % COLORS}" x="${x}" y="54" width="11" height="11" rx="1"/>` +
        `<text class="ink" x="${x + 16}" y="64">${escaped(name)}</text>`;
      x += 40 + name.length * 7;
      return entry;
    })
    .join("");
}

function page({ title, subtitle, description }: PlotTexts, height: number, content: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title description">
<title id="title">${escaped(title)}</title>
<desc id="description">${escaped(description)}</desc>
<style>${STYLE}
</style>
<rect class="paper" width="${WIDTH}" height="${height}" rx="6"/>
<text class="ink title" x="16" y="26">${escaped(title)}</text>
<text class="soft" x="16" y="45">${escaped(subtitle)}</text>
${content}
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
