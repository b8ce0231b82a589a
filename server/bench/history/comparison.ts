/**
 * Asks both sides every question, in turns, and compares the answers and the times they took.
 *
 * Times are those of a client on the same machine: the product's from the HTTP request to its decoded answer, planning
 * included; the reference's from sending the SQL to the decoded rows, without the service that would stand before it. Both
 * sides are warm: the first rounds are not timed, or it would be the compilers of JavaScript and of ClickHouse's expressions
 * that are compared. Questions about subjects name other ones each time. With 20 repetitions or
 * fewer the p95 is the longest. Any difference between the answers is an error.
 */

import { randomUUID } from "node:crypto";
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import type { MeasuredServer } from "../ingest/measured-server.ts";
import { percentile } from "../ingest/timing.ts";
import { PROMPT } from "./events.ts";
import type { SqlClient } from "./reference-table.ts";
import { type Answer, ourAnswer, referenceAnswer, type Shape } from "./shapes.ts";

export interface ComparisonOptions {
  readonly server: MeasuredServer;
  readonly sql: SqlClient;
  /** Questions per side and shape. */
  readonly repetitions: number;
  /** A shape gets no further repetitions after so long, but `MIN_REPETITIONS` in any case. */
  readonly budgetSeconds: number;
  /** Questions under way at the same time. */
  readonly concurrency: number;
}

/** Milliseconds. */
export interface Times {
  readonly medianMs: number;
  readonly p95Ms: number;
}

export interface Comparison {
  readonly shape: string;
  readonly title: string;
  readonly concurrency: number;
  readonly repetitions: number;
  /** Rows of the largest answer. */
  readonly rows: number;
  readonly ours: Times;
  readonly reference: Times;
  /** How many times as long the reference takes, by medians. */
  readonly ratio: number;
}

interface Timed {
  readonly answer: Answer;
  readonly ms: number;
}

const MIN_REPETITIONS = 5;
const WARM_UP_ROUNDS = 10;
/** A new event takes up to a second to be rolled up. */
const RENEWED_WARM_UP_ROUNDS = 2;
const BEFORE_HISTORY = "2025-06-01T00:00:00Z";
const RENEWAL_POLL_MS = 20;
/** Keeps the variants of different concurrencies apart: more than there are repetitions. */
const FIRST_VARIANT = 1_000;

/** Compares both sides on one shape. */
export async function compareShape(shape: Shape, options: ComparisonOptions): Promise<Comparison> {
  const { repetitions, budgetSeconds, concurrency } = options;
  const agent = new Agent({ keepAlive: true });
  const ask = {
    ours: (variant: number) => askProduct(shape, variant, options.server, agent),
    reference: (variant: number) => askReference(shape, variant, options.sql),
  };
  const times: Record<keyof typeof ask, number[]> = { ours: [], reference: [] };
  let rows = 0;
  const startedMs = performance.now();
  const warmUpRounds = shape.isRenewed === true ? RENEWED_WARM_UP_ROUNDS : WARM_UP_ROUNDS;
  let rounds = -warmUpRounds;
  for (; rounds < Math.ceil(repetitions / concurrency); rounds++) {
    const isLate = performance.now() - startedMs > budgetSeconds * 1000;
    if (isLate && rounds * concurrency >= MIN_REPETITIONS) break;
    // Sides take turns in being the first.
    const sides = rounds % 2 === 0 ? (["ours", "reference"] as const) : (["reference", "ours"] as const);
    const answers: Partial<Record<keyof typeof ask, readonly Timed[]>> = {};
    for (const side of sides) {
      // Each round, the untimed one too, asks about subjects that were not asked about before, which would be remembered.
      const first = FIRST_VARIANT * concurrency + (rounds + warmUpRounds) * concurrency;
      const variants = Array.from({ length: concurrency }, (_, index) => first + index);
      if (side === "ours" && shape.isRenewed === true) await takeInNewEvent(options.server);
      const timed = await Promise.all(variants.map((variant) => ask[side](variant)));
      if (rounds >= 0) times[side].push(...timed.map(({ ms }) => ms));
      answers[side] = timed;
    }
    for (const [index, { answer }] of (answers.ours ?? []).entries()) {
      assertSame(shape, answer, answers.reference?.[index]?.answer ?? new Map());
      rows = Math.max(rows, answer.size);
    }
  }
  agent.destroy();
  // A subject may have no events in a small data set, but not every one of those asked for.
  if (rows === 0) throw new Error(`${shape.name}: nothing but empty answers, which prove nothing; load more events`);
  const [ours, reference] = [timesOf(times.ours), timesOf(times.reference)];
  const ratio = Math.round((reference.medianMs / ours.medianMs) * 1000) / 1000;
  return {
    shape: shape.name,
    title: shape.title,
    concurrency,
    repetitions: times.ours.length,
    rows,
    ours,
    reference,
    ratio,
  };
}

/** Sends an event from before the history, and waits until the roll-ups have it. */
async function takeInNewEvent(server: MeasuredServer): Promise<void> {
  const event = { specversion: "1.0", id: randomUUID(), source: "renewal", type: PROMPT, time: BEFORE_HISTORY };
  const body = JSON.stringify({ ...event, subject: "renewal", data: { user: "renewal" } });
  await server.post("/api/v1/events", "application/cloudevents+json", body);
  while ((await server.eventsBehind()) > 0 || !(await server.isRolledUp())) await delay(RENEWAL_POLL_MS);
}

function timesOf(samplesMs: number[]): Times {
  return { medianMs: percentile(samplesMs, 0.5), p95Ms: percentile(samplesMs, 0.95) };
}

async function askProduct(shape: Shape, variant: number, server: MeasuredServer, agent: Agent): Promise<Timed> {
  const { meter, body } = shape.ours(variant);
  const startedMs = performance.now();
  const answer = await new Promise<string>((resolve, reject) => {
    const path = `${server.url}/api/v1/meters/${meter}/query`;
    const sent = request(
      path,
      { agent, method: "POST", headers: { "content-type": "application/json" } },
      (response) => {
        text(response).then((text) => {
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${shape.name}: ${response.statusCode} ${text}`));
        }, reject);
      },
    );
    sent.on("error", reject);
    sent.end(JSON.stringify(body));
  });
  const decoded = ourAnswer(shape, answer);
  return { answer: decoded, ms: performance.now() - startedMs };
}

async function askReference(shape: Shape, variant: number, sql: SqlClient): Promise<Timed> {
  const startedMs = performance.now();
  const answer = referenceAnswer(shape, await sql.rows(shape.reference(variant)));
  return { answer, ms: performance.now() - startedMs };
}

function assertSame(shape: Shape, ours: Answer, reference: Answer): void {
  for (const key of new Set([...ours.keys(), ...reference.keys()])) {
    // Without GROUP BY, SQL answers a row of zeros about nothing. No event is worth zero, so that this hides no difference.
    const [left, right] = [ours.get(key) ?? 0, reference.get(key) ?? 0];
    if (left === right && Number.isSafeInteger(left)) continue;
    throw new Error(`${shape.name}: ${left} here and ${right} in the reference table for "${key}"`);
  }
}
