/** Results as Markdown, aligned the way the formatter of the repository aligns tables. */

/** A table; the first column is text, the others are figures. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => (row[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? "").padEnd(width)).join(" | ")} |\n`;
  return line(head) + line(widths.map((width) => "-".repeat(width))) + rows.map(line).join("");
}

/** Three significant digits, thousands separated: `0.123`, `45.6`, `1,230`. */
export function figure(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toFixed(digits);
}

/** A number of events: `100,000` or `10 M`. */
export function eventsText(events: number): string {
  return events >= 1_000_000 && events % 100_000 === 0 ? `${events / 1_000_000} M` : events.toLocaleString("en-US");
}

/** Bytes as megabytes (10^6). */
export function megabytes(bytes: number): string {
  return figure(bytes / 1e6);
}
