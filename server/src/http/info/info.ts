/**
 * What the server tells about itself rather than about a resource: currencies, the progress of long queries, and whether
 * events arrive. Like the version and the metrics it belongs to no module of the field, so it stands beside them here, and
 * gets what it needs as functions.
 */

import {
  debugMetricsRoute,
  getProgressRoute,
  jsonReply,
  listCurrenciesRoute,
  type Operation,
  operation,
  type Progress,
} from "@tallystick/contract";
import { microsPerDay } from "../../kernel/civil.ts";
import type { Clock } from "../../kernel/clock.ts";
import { Fault } from "../../kernel/fault.ts";
import { formatInstant, type Instant, instantInRange } from "../../kernel/instant.ts";
import type { Period } from "../../kernel/period.ts";
import { currencyBodies } from "./currencies.ts";

/** How far a query has got, in rows. */
export interface QueryProgress {
  readonly read: number;
  readonly failed: number;
  readonly total: number;
  readonly updatedAt: Instant;
}

export interface SubjectCount {
  readonly subject: string;
  readonly events: number;
}

export interface InfoOptions {
  readonly clock: Clock;
  /** Stored events whose time lies in the period, by subject. */
  readonly countBySubject: (period: Period) => Promise<readonly SubjectCount[]>;
  /** How far the query with this client id has got; null when it is unknown. */
  readonly progress: (clientId: string) => Promise<QueryProgress | null>;
}

export function infoOperations({ clock, countBySubject, progress }: InfoOptions): readonly Operation[] {
  const currencies = jsonReply(currencyBodies());
  return [
    operation(listCurrenciesRoute, async () => currencies),
    operation(getProgressRoute, async ({ params }) => {
      const found = await progress(params.id);
      if (found !== null) return jsonReply(progressBody(found));
      const message = `no query with the clientId ${JSON.stringify(params.id)} ran in the last five minutes`;
      throw new Fault("not_found", "progress_not_found", message);
    }),
    operation(debugMetricsRoute, async () => {
      const now = clock.now();
      const from = instantInRange(Math.floor(now / microsPerDay) * microsPerDay);
      const counts = await countBySubject({ from, to: instantInRange(from + microsPerDay) });
      return { status: 200, contentType: "text/plain", body: countsText(counts) };
    }),
  ];
}

function progressBody({ read, failed, total, updatedAt }: QueryProgress): Progress {
  return { success: read, failed, total, updatedAt: formatInstant(updatedAt) };
}

/** One counter family in OpenMetrics' text format, in which a family is named without its samples' `_total`. */
function countsText(counts: readonly SubjectCount[]): string {
  const samples = counts.map(
    ({ subject, events }) => `openmeter_events_total{subject="${escaped(subject)}"} ${events}`,
  );
  return [
    "# TYPE openmeter_events counter",
    "# HELP openmeter_events Stored events whose time lies in the current day (UTC).",
    ...samples,
    "",
  ].join("\n");
}

/** A label's value may hold anything; these three characters are escaped. */
function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
