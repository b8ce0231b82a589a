/** The search over a real log, against looking at every record. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EventLog, openEmbeddedLog } from "../../engines/event-log/index.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { firstRetainedOffset } from "./retention.ts";

let directory = "";
let log: EventLog;
const records: { offset: number; count: number; ingestedAt: number }[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tallystick-retention-"));
  log = await openEmbeddedLog({ directory, report: () => undefined });
  for (let index = 0; index < 40; index++) {
    const ingestedAt = instantFromMicros(1_000 * (index + 1));
    const count = 1 + (index % 3);
    const { offset } = await log.append({ count, ingestedAt, payload: Buffer.from(`record ${index}`) });
    records.push({ offset, count, ingestedAt });
  }
});

afterAll(async () => {
  await log.close();
  await rm(directory, { recursive: true });
});

test("keeps everything from the cut-off on and everything that is not stored", async () => {
  const end = log.end(0);
  for (let cutoff = 0; cutoff <= 42_000; cutoff += 500) {
    for (const storedEnd of [0, 1, 17, end - 1, end, end + 5]) {
      const firstYoung = records.find((record) => record.ingestedAt >= cutoff)?.offset ?? end;
      const found = await firstRetainedOffset(log, 0, storedEnd, instantFromMicros(cutoff));
      expect(found).toBe(Math.min(firstYoung, storedEnd));
    }
  }
});
