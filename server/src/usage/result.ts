/**
 * Meter query results as text: JSON and CSV. Values are written from their exact decimal text; a JSON number or a CSV cell
 * never passes through a float.
 */

import type { MeterQueryRequest } from "@tallystick/contract";
import type { UsageQuery, UsageRow } from "../engines/event-store/index.ts";
import { formatInstant } from "../kernel/instant.ts";

/** Fractional digits that a CSV value has at least. */
const CSV_SCALE = 6;

/** The JSON body; `from`, `to` and `windowSize` echo what the request named. */
export function usageJson(request: MeterQueryRequest, query: UsageQuery, rows: readonly UsageRow[]): string {
  const head = {
    ...(query.from === undefined ? {} : { from: formatInstant(query.from) }),
    ...(query.to === undefined ? {} : { to: formatInstant(query.to) }),
    ...(request.windowSize === undefined ? {} : { windowSize: request.windowSize }),
  };
  const start = JSON.stringify(head).slice(0, -1);
  return `${start}${start === "{" ? "" : ","}"data":[${rows.map((row) => rowJson(query, row)).join(",")}]}`;
}

function rowJson(query: UsageQuery, row: UsageRow): string {
  const rest = JSON.stringify({
    windowStart: formatInstant(row.windowStart),
    windowEnd: formatInstant(row.windowEnd),
    subject: row.subject,
    ...(row.customerId === null ? {} : { customerId: row.customerId }),
    groupBy: Object.fromEntries(query.groupBy.map((key, index) => [key, row.groups[index] ?? ""])),
  });
  return `{"value":${row.value},${rest.slice(1)}`;
}

/**
 * The CSV body, with a header line and `\n` line ends. `customer_id` follows the subject where rows carry it. `subjectNames`
 * are the names of those subjects that exist as entities, none by default: if there are any, each subject is followed by its name, or by the
 * subject again if it has none, so that the column always says something.
 */
export function usageCsv(
  query: UsageQuery,
  rows: readonly UsageRow[],
  subjectNames: ReadonlyMap<string, string> = new Map(),
): string {
  const isNamed = query.groupBySubject && subjectNames.size > 0;
  const header = [
    "window_start",
    "window_end",
    ...(query.groupBySubject ? ["subject"] : []),
    ...(isNamed ? ["subject_display_name"] : []),
    ...(query.groupByCustomer ? ["customer_id"] : []),
    ...query.groupBy,
    "value",
  ];
  const lines = rows.map((row) => [
    formatInstant(row.windowStart),
    formatInstant(row.windowEnd),
    ...(query.groupBySubject ? [row.subject ?? ""] : []),
    ...(isNamed ? [subjectNames.get(row.subject ?? "") ?? row.subject ?? ""] : []),
    ...(query.groupByCustomer ? [row.customerId ?? ""] : []),
    ...row.groups,
    csvValue(row.value),
  ]);
  return [header, ...lines].map((cells) => `${cells.map(csvCell).join(",")}\n`).join("");
}

/** Pads to six fractional digits; more are kept. */
function csvValue(value: string): string {
  const [integer = "0", fraction = ""] = value.split(".");
  return `${integer}.${fraction.padEnd(CSV_SCALE, "0")}`;
}

/** Quotes a cell where RFC 4180 asks for it. */
function csvCell(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
