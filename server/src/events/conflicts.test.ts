/** The list of conflicts and how it is forgotten, over a real state store. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStateStore, type StateStore } from "../engines/state-store/index.ts";
import { instantFromMicros } from "../kernel/instant.ts";
import { type ConflictQuery, deleteConflictsBefore, listConflicts } from "./conflicts.ts";

let directory: string;
let store: StateStore;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tallystick-conflicts-"));
  store = await openStateStore({ kind: "embedded", directory });
  // Two arrivals share an instant, as those of two partitions can.
  const seenAt = [100, 200, 200, 300];
  await store.db
    .insertInto("event_conflict")
    .values(
      seenAt.map((at, index) => ({
        namespace: index === 0 ? "other" : "default",
        source: "s\ufffd",
        event_id: `e${index}`,
        first_seen_at: instantFromMicros(1),
        seen_at: instantFromMicros(at),
        first_payload_hash: Buffer.alloc(32, 1),
        payload_hash: Buffer.alloc(32, 255),
        event: `{"id":"e${index}","data":{"n":1.10}}`,
        partition: 0,
        log_offset: index,
      })),
    )
    .execute();
});
afterAll(async () => {
  await store?.close();
  await rm(directory, { recursive: true, force: true });
});

async function ids(query: Partial<ConflictQuery>): Promise<readonly string[]> {
  const { items } = await listConflicts(store.db, { namespace: "default", limit: 100, ...query });
  return items.map((item) => (JSON.parse(item) as { id: string }).id);
}

describe("the list", () => {
  test("newest first, of one namespace, within instants and by identity", async () => {
    expect(await ids({})).toEqual(["e3", "e2", "e1"]);
    expect(await ids({ namespace: "other" })).toEqual(["e0"]);
    expect(await ids({ seenAtFrom: instantFromMicros(200), seenAtTo: instantFromMicros(300) })).toEqual(["e2", "e1"]);
    expect(await ids({ id: "e1", source: "s\0" })).toEqual(["e1"]);
    expect(await ids({ source: "s" })).toEqual([]);
  });

  test("an item has the hashes in hexadecimal and the event's text as it was", async () => {
    const { items } = await listConflicts(store.db, { namespace: "other", limit: 1 });
    expect(items[0]).toContain(`"event":{"id":"e0","data":{"n":1.10}}}`);
    expect(JSON.parse(items[0] ?? "")).toMatchObject({
      firstPayloadHash: "01".repeat(32),
      payloadHash: "ff".repeat(32),
      firstSeenAt: "1970-01-01T00:00:00.000001Z",
      seenAt: "1970-01-01T00:00:00.0001Z",
    });
  });

  test("pages of one, also between arrivals of one instant", async () => {
    const seen: string[] = [];
    for (let cursor: string | undefined, page = 0; page < 5; page++) {
      const next = await listConflicts(store.db, { namespace: "default", limit: 1, cursor });
      seen.push(...next.items.map((item) => (JSON.parse(item) as { id: string }).id));
      if (next.nextCursor === null) break;
      cursor = next.nextCursor;
    }
    expect(seen).toEqual(["e3", "e2", "e1"]);
  });
});

test("old ones are forgotten, counted, and exactly up to the instant", async () => {
  expect(await deleteConflictsBefore(store.db, instantFromMicros(200))).toBe(1);
  expect(await deleteConflictsBefore(store.db, instantFromMicros(300))).toBe(2);
  expect(await ids({})).toEqual(["e3"]);
});
