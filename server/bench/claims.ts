/**
 * Benchmark of the embedded claims: `node server/bench/claims.ts [--identities 5000000] [--batch 50000]`.
 *
 * Claims random identities in batches until there are as many as asked for, and prints one JSON line per doubling: what a
 * new identity cost since the previous line, what a re-sent one costs, the longest time the event loop was held, memory and
 * disk. `claimNs` is the elapsed time of `claim`, `threadCpuNs` the processor time of the thread that claims, `processCpuNs`
 * that of the whole process (merging included), all per identity. Random identities are made outside the measured time.
 */

import { randomFillSync } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { IDENTITY_BYTES, openEmbeddedClaims } from "../src/engines/claims/index.ts";
import type { ClaimRequest, Claims } from "../src/engines/claims/index.ts";

const { values: argv } = parseArgs({
  options: { identities: { type: "string", default: "5000000" }, batch: { type: "string", default: "50000" } },
});
const total = Number(argv.identities);
const batchSize = Number(argv.batch);

/** Accumulated costs of claims, in milliseconds. */
class Meter {
  identities = 0;
  elapsedMs = 0;
  threadMs = 0;
  processMs = 0;

  async claim(claims: Claims, request: ClaimRequest): Promise<void> {
    const thread = process.threadCpuUsage();
    const whole = process.cpuUsage();
    const startedAt = performance.now();
    await claims.claim(request);
    this.elapsedMs += performance.now() - startedAt;
    const threadUsed = process.threadCpuUsage(thread);
    const wholeUsed = process.cpuUsage(whole);
    this.threadMs += (threadUsed.user + threadUsed.system) / 1000;
    this.processMs += (wholeUsed.user + wholeUsed.system) / 1000;
    this.identities += request.count;
  }

  perIdentity(): Record<string, number> {
    const perIdentityNs = (ms: number): number => Math.round((ms * 1e6) / this.identities);
    return {
      claimNs: perIdentityNs(this.elapsedMs),
      threadCpuNs: perIdentityNs(this.threadMs),
      processCpuNs: perIdentityNs(this.processMs),
    };
  }
}

function randomRequest(offset: number): ClaimRequest {
  const identities = randomFillSync(new Uint8Array(batchSize * IDENTITY_BYTES));
  const offsets = new Float64Array(batchSize).map((_, index) => offset + index);
  return { partition: 0, count: batchSize, identities, fingerprints: new Uint8Array(batchSize * 8), offsets };
}

/** Claims every sample again in full and returns what that cost. */
async function measureDuplicates(claims: Claims, samples: readonly ClaimRequest[]): Promise<Record<string, number>> {
  const meter = new Meter();
  for (const sample of samples) await meter.claim(claims, sample);
  return meter.perIdentity();
}

async function diskUse(directory: string): Promise<{ bytes: number; runs: number }> {
  const names = await readdir(directory);
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size));
  return {
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    runs: names.filter((name) => name.startsWith("run")).length,
  };
}

const directory = await mkdtemp(join(tmpdir(), "claims-bench-"));
try {
  const claims = await openEmbeddedClaims({ directory });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let meter = new Meter();
  let report = Math.min(total, 250_000);
  const samples: ClaimRequest[] = [];
  for (let claimed = 0; claimed < total;) {
    const request = randomRequest(claimed);
    // The monitor counts from the beginning of the current turn of the event loop, which made the identities.
    await setImmediate();
    delay.enable();
    await meter.claim(claims, request);
    delay.disable();
    claimed += batchSize;
    if (claimed < report) continue;
    samples.push(request);
    const { bytes, runs } = await diskUse(directory);
    const line = {
      identities: claimed,
      new: meter.perIdentity(),
      duplicate: await measureDuplicates(claims, samples),
      longestHoldMs: Math.round(delay.max / 1e4) / 100,
      holdP99Ms: Math.round(delay.percentile(99) / 1e4) / 100,
      bufferMegabytes: Math.round(process.memoryUsage().arrayBuffers / 1e6),
      rssMegabytes: Math.round(process.memoryUsage().rss / 1e6),
      diskBytesPerIdentity: Math.round((bytes / claimed) * 10) / 10,
      runs,
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    meter = new Meter();
    delay.reset();
    report = Math.min(total, report * 2);
  }
  await claims.close();
} finally {
  await rm(directory, { recursive: true });
}
