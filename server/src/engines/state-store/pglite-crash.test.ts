import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { expect, test } from "vitest";
import { instantFromMicros } from "../../kernel/instant.ts";
import { makeEmbeddedDirectory } from "./fixture.ts";
import { openStateStore } from "./index.ts";

const ROUNDS = 10;
/** A round takes half a second on a machine of its own; on a crowded one, several. */
const TIMEOUT_MS = 180_000;
const SEED = Number(process.env["TALLYSTICK_TEST_SEED"] ?? 20261120);

/** What one life of the writer reported before it was killed. */
interface Life {
  /** Pairs that the writer found when it opened. */
  readonly found: number;
  /** Pairs whose commit it had confirmed. */
  readonly confirmed: number;
}

/** Lets the writer open and confirm `commits` more pairs, then kills it without warning, in the middle of its work. */
async function liveAndDie(directory: string, commits: number): Promise<Life> {
  const child: ChildProcessByStdio<null, Readable, null> = spawn(
    process.execPath,
    [join(import.meta.dirname, "crash-writer.ts"), directory],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = once(child, "exit");
  let found: number | undefined;
  let confirmed = 0;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const count = Number(line);
      found ??= count;
      confirmed = count;
      if (confirmed >= found + commits) break;
    }
  } finally {
    child.kill("SIGKILL");
  }
  await exited;
  if (found === undefined) throw new Error("the writer ended before it opened the store");
  return { found, confirmed };
}

/** A small deterministic generator (mulberry32), so that a failing run can be repeated by its seed. */
function randomIntegers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

test(
  `kill -9 at any moment loses no commit and tears no transaction (seed ${SEED})`,
  async () => {
    const random = randomIntegers(SEED);
    const directory = await makeEmbeddedDirectory();
    try {
      let confirmed = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        const life = await liveAndDie(directory, random(40));
        expect(life.found, `pairs found in round ${round}`).toBeGreaterThanOrEqual(confirmed);
        confirmed = life.confirmed;
      }
      const store = await openStateStore({ kind: "embedded", directory });
      const rows = await store.db.selectFrom("stored_position").selectAll().orderBy("partition").execute();
      await store.close();
      const pairs = rows.length / 2;
      expect(pairs).toBeGreaterThanOrEqual(confirmed);
      const want = Array.from({ length: rows.length }, (_, index) => ({
        partition: index,
        stored_upto: Math.floor(index / 2),
        last_stored_at: instantFromMicros(index),
      }));
      expect(rows).toEqual(want);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);
