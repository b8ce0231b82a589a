/**
 * Compares what the server counts with what it acknowledged: a COUNT and a SUM meter for every event type of the load.
 *
 * Invariant: everything acknowledged, over all runs on a server, is counted exactly once; anything else is an error.
 */

import { setTimeout as delay } from "node:timers/promises";
import { EVENT_TYPES, type LoadReport } from "./load.ts";
import type { MeasuredServer } from "./measured-server.ts";
import { epochMs } from "./timing.ts";

const VISIBLE_DEADLINE_MS = 120_000;
/**
 * A look makes the server count all events of a type, so looks become rarer the longer the wait: 50 a second took 2 to 4 of
 * 21 µs of processor time per event. A pause of 2 % of the wait so far makes the result late by as much at most.
 */
const PAUSE_SHARE = 0.02;
const LEAST_PAUSE_MS = 20;

export class UsageCheck {
  readonly #server: MeasuredServer;
  readonly #counts = EVENT_TYPES.map(() => 0);
  readonly #tokens = EVENT_TYPES.map(() => 0);

  private constructor(server: MeasuredServer) {
    this.#server = server;
  }

  /** Creates the meters. */
  static async create(server: MeasuredServer): Promise<UsageCheck> {
    for (const [index, eventType] of EVENT_TYPES.entries()) {
      const count = { slug: `count_${index}`, eventType, aggregation: "COUNT" };
      const sum = { slug: `sum_${index}`, eventType, aggregation: "SUM", valueProperty: "$.tokens" };
      for (const meter of [count, sum]) await server.post("/api/v1/meters", "application/json", JSON.stringify(meter));
    }
    return new UsageCheck(server);
  }

  /** From now on the server must count these events too. */
  expect(report: LoadReport): void {
    for (const index of EVENT_TYPES.keys()) {
      this.#counts[index] = (this.#counts[index] ?? 0) + (report.countByType[index] ?? 0);
      this.#tokens[index] = (this.#tokens[index] ?? 0) + (report.tokensByType[index] ?? 0);
    }
  }

  /**
   * Polls until all expected events are visible and returns when that was, in milliseconds since the epoch. Types take
   * turns in the load, so the first type is nearly always complete when all are: polling it alone spares the server 49
   * queries per look. A type that is found incomplete afterwards moves the instant.
   */
  async waitUntilVisible(): Promise<number> {
    const startedMs = epochMs();
    const deadlineMs = startedMs + VISIBLE_DEADLINE_MS;
    let visibleMs = startedMs;
    for (const [index, expected] of this.#counts.entries()) {
      let wasWaiting = index === 0;
      for (;;) {
        const counted = await usage(this.#server, `count_${index}`);
        if (counted === expected) break;
        if (counted > expected) throw new Error(`${counted} events of type ${index} for ${expected} acknowledged`);
        if (epochMs() > deadlineMs) throw new Error(`${counted} of ${expected} events of type ${index} became visible`);
        wasWaiting = true;
        await delay(Math.max(LEAST_PAUSE_MS, (epochMs() - startedMs) * PAUSE_SHARE));
      }
      if (wasWaiting) visibleMs = epochMs();
    }
    return visibleMs;
  }

  /** The totals of all types, after comparing each; throws when one differs. */
  async exactness(): Promise<{ readonly count: number; readonly tokens: number }> {
    for (const index of EVENT_TYPES.keys()) {
      const [count, sum] = [await usage(this.#server, `count_${index}`), await usage(this.#server, `sum_${index}`)];
      if (count !== this.#counts[index] || sum !== this.#tokens[index]) {
        throw new Error(
          `type ${index}: COUNT ${count} and SUM ${sum}, but ${this.#counts[index]} and ${this.#tokens[index]} acknowledged`,
        );
      }
    }
    const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
    return { count: total(this.#counts), tokens: total(this.#tokens) };
  }
}

/** The value of a meter over all time, or from an instant on; 0 when there is nothing. */
export async function usage(server: MeasuredServer, slug: string, from?: string): Promise<number> {
  const answer = await server.get(`/api/v1/meters/${slug}/query${from === undefined ? "" : `?from=${from}`}`);
  if (typeof answer !== "object" || answer === null || !("data" in answer) || !Array.isArray(answer.data)) {
    throw new Error(`not the answer of a meter query: ${JSON.stringify(answer)}`);
  }
  const row: unknown = answer.data[0];
  return typeof row === "object" && row !== null && "value" in row ? Number(row.value) : 0;
}
