/**
 * The proof of exactly-once: the product is killed over and over, as a whole and in parts, at every step between the
 * acknowledgement of an event and the commit of its offset, while clients send, retry and give up. In the end nothing
 * acknowledged is lost and nothing counts twice.
 *
 * `CRASH_SEED=<number>` repeats the plan of kills and the clients' choices; the seed is always printed. Timings are the
 * machine's own, so a repeated run is alike but not the same.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assert } from "../../src/kernel/assert.ts";
import { Random } from "../oracle/random.ts";
import { audit } from "./books.ts";
import { MOMENTS, momentName, planKills, TARGETS } from "./kill-plan.ts";
import { ProductProcess } from "./product-process.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";
import { Ledger, runClient } from "./traffic.ts";
import { watchCounts } from "./watcher.ts";

const LEAST_KILLS = 200;
const CLIENTS = 3;
/** Enough new identities for every kill to meet some, few enough to list them all. */
const IDENTITIES_PER_KILL = 60;
const FIRST_IDENTITIES = 1000;
const REPORTED_PROBLEMS = 20;

const seed = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let directory = "";
let product: ProductProcess | undefined;

beforeAll(async () => {
  process.stderr.write(`crash test: CRASH_SEED=${seed}\n`);
  directory = await mkdtemp(join(tmpdir(), "tallystick-crash-"));
});

afterAll(async () => {
  await product?.stop();
  // The engine process ends by itself, a moment after its parent.
  await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

test("no accepted event is lost and none counts twice, whatever is killed and when", { timeout: 600_000 }, async () => {
  const startedMs = performance.now();
  const random = new Random(seed);
  const ledger = new Ledger(random);
  const running = new ProductProcess(directory, random);
  product = running;
  await running.prepare();
  running.start();
  await running.ready();

  const kills = new Map<string, number>();
  let killed = 0;
  const stopping = new AbortController();
  const url = (): string | null => running.url;
  const clients = Array.from({ length: CLIENTS }, (_, index) =>
    runClient({
      ledger,
      random: new Random(seed + 1 + index),
      url,
      identityBudget: () => FIRST_IDENTITIES + IDENTITIES_PER_KILL * killed,
      signal: stopping.signal,
    }),
  );
  const watching = watchCounts({ ledger, url, signal: stopping.signal });
  try {
    for (const kill of planKills(random)) {
      await running.kill(kill);
      killed += 1;
      const name = `${kill.target} ${momentName(kill.moment)}`;
      kills.set(name, (kills.get(name) ?? 0) + 1);
    }
    await running.ready();
  } finally {
    stopping.abort();
  }
  const [counts] = await Promise.all([watching, ...clients]);

  // Requests whose clients lost patience may still be under way; they end with the process.
  await running.restart();
  await running.ready();
  const before = await snapshotOf(running);
  expect(audit(ledger, before).slice(0, REPORTED_PROBLEMS), `CRASH_SEED=${seed}`).toEqual([]);
  await running.restart();
  await running.ready();
  expect(await snapshotOf(running), `after another restart, CRASH_SEED=${seed}`).toEqual(before);

  process.stderr.write(`${summary(kills, ledger, before, counts, performance.now() - startedMs)}\n`);
  expect(killed).toBeGreaterThanOrEqual(LEAST_KILLS);
  const missed = TARGETS.flatMap((target) => MOMENTS.map((moment) => `${target} ${moment}`)).filter(
    (name) => !kills.has(name),
  );
  expect(missed).toEqual([]);
  // A run without duplicates, conflicts and unanswered requests would prove little.
  const { batches } = ledger;
  expect(before.conflicts.length).toBeGreaterThan(0);
  expect(batches.some((batch) => batch.acknowledgements > 1)).toBe(true);
  expect(batches.some((batch) => batch.isGivenUp && batch.acknowledgements === 0)).toBe(true);
});

async function snapshotOf(running: ProductProcess): Promise<Snapshot> {
  assert(running.url !== null, "the product is ready");
  return await takeSnapshot(running.url);
}

function summary(
  kills: ReadonlyMap<string, number>,
  ledger: Ledger,
  snapshot: Snapshot,
  counts: number,
  elapsedMs: number,
): string {
  const total = [...kills.values()].reduce((sum, count) => sum + count, 0);
  const parts = TARGETS.map((target) => {
    const moments = MOMENTS.map((moment) => `${moment} ${kills.get(`${target} ${moment}`) ?? 0}`);
    return `${target}: ${moments.join(", ")}`;
  });
  const acknowledged = ledger.batches.reduce((sum, batch) => sum + batch.acknowledgements * batch.events.length, 0);
  return [
    `crash test: ${total} kills (${parts.join("; ")})`,
    `${snapshot.items.length} events stored of ${acknowledged} acknowledged`,
    `${acknowledged - snapshot.items.length} or more duplicates, ${snapshot.conflicts.length} conflicts listed`,
    `${counts} counts watched`,
    `${Math.round(elapsedMs / 1000)} s`,
    `CRASH_SEED=${seed}`,
  ].join(", ");
}
