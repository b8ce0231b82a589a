import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import fc from "fast-check";
import { expect, test } from "vitest";
import { requestOf } from "./conformance.ts";
import { openEmbeddedClaims } from "./index.ts";

const SUBJECT = new URL("crash-subject.ts", import.meta.url).pathname;
const ROUNDS = 15;

/** Lets the subject claim from `first` on, kills it after `answers` answers, and returns the last number it answered. */
async function claimUntilKilled(directory: string, first: number, answers: number): Promise<number> {
  const subject = spawn(process.execPath, [SUBJECT, directory, String(first)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(subject, "exit");
  let answered = first;
  let seen = 0;
  for await (const line of createInterface({ input: subject.stdout })) {
    answered = Number(line);
    seen++;
    if (seen === answers) subject.kill("SIGKILL");
  }
  const [, signal] = await exited;
  expect(signal).toBe("SIGKILL");
  return answered;
}

test("everything answered is there after kill -9 at any moment", { timeout: 120_000 }, async () => {
  const law = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: ROUNDS, maxLength: ROUNDS });
  await fc.assert(
    fc.asyncProperty(law, async (rounds) => {
      const directory = await mkdtemp(join(tmpdir(), "claims-crash-"));
      let answered = 0;
      for (const answers of rounds) {
        answered = await claimUntilKilled(directory, answered, answers);
        const claims = await openEmbeddedClaims({ directory });
        const count = await claims.count();
        expect(count).toBeGreaterThanOrEqual(answered);
        const asked = Array.from({ length: answered }, (_, number) => {
          return { identity: createHash("sha256").update(String(number)).digest(), offset: 0, payload: 0 };
        });
        const { partitions, offsets } = await claims.claim(requestOf(7, asked));
        expect(partitions.every((partition) => partition === 0)).toBe(true);
        expect(offsets.every((offset, number) => offset === number)).toBe(true);
        expect(await claims.count()).toBe(count);
        await claims.close();
      }
      await rm(directory, { recursive: true });
    }),
    { numRuns: 1, endOnFailure: true },
  );
});
