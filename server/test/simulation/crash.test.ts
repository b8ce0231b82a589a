/**
 * The proof of exactly-once: the product is killed over and over, as a whole and in parts, at every step between the
 * acknowledgement of an event and the commit of its offset, while clients send, retry and give up. In the end nothing
 * acknowledged is lost and nothing counts twice.
 *
 * Meanwhile meters are made and changed, so that old events are being rolled up, and images of the data directory are taken
 * as for backups. In the end roll-ups answer, every part agrees with every other, and so they do in a backup.
 *
 * `CRASH_SEED=<number>` repeats the plan of kills and the clients' choices; the seed is always printed. Timings are the
 * machine's own, so a repeated run is alike but not the same.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assert } from "../../src/kernel/assert.ts";
import { takeBackup } from "../../src/app/backup/backup.ts";
import { restoreBackup } from "../../src/app/backup/restore.ts";
import { verifyDataDirectory } from "../../src/app/verify/verify.ts";
import { Random } from "../oracle/random.ts";
import { audit } from "./books.ts";
import { type ImageCounts, takeImages } from "./image-taker.ts";
import { MOMENTS, momentName, planKills, TARGETS } from "./kill-plan.ts";
import { makeMeters } from "./meter-maker.ts";
import { ProductProcess } from "./product-process.ts";
import { METERS, type Snapshot, takeSnapshot } from "./snapshot.ts";
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

test("no accepted event is lost and none counts twice, whatever is killed and when", { timeout: 900_000 }, async () => {
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
  const { signal } = stopping;
  const { dataDirectory } = running;
  const watching = watchCounts({ ledger, url, signal });
  const making = makeMeters({ ledger, random: new Random(seed + 101), url, signal });
  const imaging = takeImages({ ledger, random: new Random(seed + 102), dataDirectory, signal });
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
  const [counts, changes, images] = await Promise.all([watching, making, imaging, ...clients]);

  // Requests whose clients lost patience may still be under way; they end with the process.
  await running.restart();
  await running.ready();
  const offered = await running.rolledUp();
  const before = await snapshotOf(running);
  expect(audit(ledger, before).slice(0, REPORTED_PROBLEMS), `CRASH_SEED=${seed}`).toEqual([]);
  await running.restart();
  await running.ready();
  expect(await snapshotOf(running), `after another restart, CRASH_SEED=${seed}`).toEqual(before);
  await expectSound(running);

  process.stderr.write(`${summary(kills, ledger, before, { counts, changes, images, offered }, startedMs)}\n`);
  expect(killed).toBeGreaterThanOrEqual(LEAST_KILLS);
  const missed = TARGETS.flatMap((target) => MOMENTS.map((moment) => `${target} ${moment}`)).filter(
    (name) => !kills.has(name),
  );
  expect(missed).toEqual([]);
  // Unless roll-ups answer, nothing is proved about them. No two events have the same key, so there they do not pay.
  const paying = before.made.filter(({ like }) => like !== "keys").map(({ slug }) => slug);
  expect(offered).toEqual(expect.arrayContaining(["events", "amount", ...paying]));
  expect(before.made.length).toBeGreaterThan(0);
  expect(images.held).toBeGreaterThan(0);
  expect(images.interrupted).toBeGreaterThan(0);
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

/** The parts of the data directory agree with each other, and so do those of a backup of it. Ends the product. */
async function expectSound(running: ProductProcess): Promise<void> {
  const { dataDirectory } = running;
  const backup = join(directory, "backup");
  const restored = join(directory, "restored");
  const { signal } = new AbortController();
  await takeBackup({ dataDirectory, target: backup, hasPostgres: false, productVersion: "simulation", signal });
  await running.stop();
  await restoreBackup({ source: backup, dataDirectory: restored, signal });
  for (const place of [dataDirectory, restored]) {
    const { checks } = await verifyDataDirectory({ dataDirectory: place });
    const unsound = checks.filter(({ status }) => status !== "clean");
    expect(unsound, `${place === restored ? "of the backup" : "in the end"}, CRASH_SEED=${seed}`).toEqual([]);
  }
}

/** What happened besides the kills. */
interface Meanwhile {
  /** How often the number of events was asked for. */
  readonly counts: number;
  /** How often meters were made, changed or deleted. */
  readonly changes: number;
  readonly images: ImageCounts;
  readonly offered: readonly string[];
}

function summary(
  kills: ReadonlyMap<string, number>,
  ledger: Ledger,
  snapshot: Snapshot,
  { counts, changes, images, offered }: Meanwhile,
  startedMs: number,
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
    `${changes} changes of meters, ${offered.length} of ${METERS.length + snapshot.made.length} meters rolled up`,
    `${images.held} images held, ${images.interrupted} interrupted`,
    `${Math.round((performance.now() - startedMs) / 1000)} s`,
    `CRASH_SEED=${seed}`,
  ].join(", ");
}
