/** `kill -9` at any moment loses nothing that was acknowledged. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { crashCount, crashPayload } from "./crash-writer.ts";
import { openEmbeddedLog } from "./embedded-log.ts";
import type { EmbeddedLogReport } from "./embedded-log.ts";
import { seededRandom } from "./seeded-random.ts";

const ROUNDS = 15;

/** Runs a writer and kills it once it has acknowledged `records` records; what it acknowledged, offset to instant. */
async function writeAndKill(directory: string, records: number): Promise<Map<number, number>> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "crash-writer.ts"), directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const acknowledged = new Map<number, number>();
  for await (const line of createInterface(child.stdout)) {
    // The kill can cut the last line short; only a line that ends in a full stop is whole.
    const whole = /^(\d+) (\d+)\.$/.exec(line);
    if (whole !== null) acknowledged.set(Number(whole[1]), Number(whole[2]));
    if (acknowledged.size >= records && !child.killed) child.kill("SIGKILL");
  }
  const [code, signal] = await exited;
  expect([code, signal]).toEqual([null, "SIGKILL"]);
  return acknowledged;
}

test("every acknowledged record survives kill -9, offsets stay consecutive", { timeout: 60_000 }, async () => {
  const seed = Date.now() % 2 ** 31;
  const random = seededRandom(seed);
  const directory = await mkdtemp(join(tmpdir(), "tallystick-crash-"));
  const acknowledged = new Map<number, number>();
  const reports: EmbeddedLogReport[] = [];
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const more = await writeAndKill(directory, 1 + Math.floor(random() * 200));
      for (const [offset, micros] of more) acknowledged.set(offset, micros);
      const log = await openEmbeddedLog({ directory, report: (report) => reports.push(report) });
      const found = new Map<number, number>();
      for (let offset = 0; offset < log.end(0);) {
        for (const record of await log.read(0, offset, { events: 10_000, bytes: 1_000_000 })) {
          expect(record.offset, `seed ${seed}`).toBe(offset);
          expect(record.count, `seed ${seed}`).toBe(crashCount(record.ingestedAt));
          expect(Buffer.compare(record.payload, crashPayload(record.ingestedAt)), `seed ${seed}`).toBe(0);
          found.set(record.offset, record.ingestedAt);
          offset += record.count;
        }
      }
      for (const [offset, micros] of acknowledged) expect(found.get(offset), `seed ${seed}`).toBe(micros);
      await log.close();
    }
    expect(acknowledged.size).toBeGreaterThan(ROUNDS);
    expect(reports.every((report) => report.kind === "tail_cut")).toBe(true);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
