/** The sink's meters over a real state store: what they are, and when they are read again. */

import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { EMBEDDED, emptyTables, type StateStoreFixture } from "../../engines/state-store/fixture.ts";
import type { CheckedMeter } from "../../events/index.ts";
import { ManualClock } from "../../kernel/clock.ts";
import { createUlidSource } from "../../kernel/id.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { MeterService } from "../../meters/index.ts";
import { SinkMeters } from "./sink-meters.ts";

const clock = new ManualClock(instantFromMicros(1_000_000));
let state: StateStoreFixture;
let meters: MeterService;

beforeAll(async () => {
  state = await EMBEDDED.open();
});
beforeEach(async () => {
  await emptyTables(state.store);
  const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
  meters = new MeterService({ db: state.store.db, namespace: "n", clock, newId, reservedEventTypes: [] });
});
afterAll(async () => {
  await state?.close();
});

async function create(slug: string): Promise<void> {
  await meters.create({ slug, eventType: "t", aggregation: "SUM", valueProperty: "$.v" });
}

/** Whatever the reading of meters meets: how often it happened, and whether it fails. */
function watchedReads(): { readonly db: typeof state.store.db; count: number; isFailing: boolean } {
  const reads = { count: 0, isFailing: false };
  const db = state.store.db.withPlugin({
    transformQuery: ({ node }) => {
      reads.count += 1;
      if (reads.isFailing) throw new Error("the state store does not answer");
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  return Object.assign(reads, { db });
}

test("are the live ones that need a value", async () => {
  await create("sum");
  await create("deleted");
  await meters.delete("deleted");
  await meters.create({ slug: "count", eventType: "t", aggregation: "COUNT" });
  const handed: (readonly CheckedMeter[])[] = [];
  const sinkMeters = new SinkMeters({
    db: state.store.db,
    check: (checked) => handed.push(checked),
    onError: () => undefined,
  });
  await sinkMeters.load();
  expect(handed).toMatchObject([
    [{ slug: "sum", namespace: "n", eventType: "t", aggregation: "SUM", valuePath: { text: "$.v" } }],
  ]);
  expect(sinkMeters.checked()).toBe(handed[0]);
});

test("are read again after changes, once for many, and until it succeeds", async () => {
  const reads = watchedReads();
  const errors: unknown[] = [];
  const sinkMeters = new SinkMeters({
    db: reads.db,
    check: () => undefined,
    onError: (error) => {
      errors.push(error);
      reads.isFailing = false;
    },
  });
  const slugs = (): readonly string[] =>
    sinkMeters
      .checked()
      .map(({ slug }) => slug)
      .toSorted();
  meters.onChange(() => sinkMeters.changed());
  await sinkMeters.load();
  const ended = sinkMeters.loop.run();
  reads.isFailing = true;
  const names = Array.from({ length: 20 }, (_, at) => `m${at + 10}`);
  for (const name of names) await create(name);
  await vi.waitFor(() => expect(slugs()).toEqual(names), { timeout: 20_000, interval: 10 });
  expect(errors).toHaveLength(1);
  await meters.delete("m10");
  await vi.waitFor(() => expect(slugs()).toEqual(names.slice(1)), { timeout: 20_000, interval: 10 });
  await sinkMeters.loop.stop();
  await ended;
  // The first reading, the one that failed, the one after it and the last; on a slow machine creating takes some more.
  expect(reads.count).toBeGreaterThanOrEqual(4);
  expect(reads.count).toBeLessThan(names.length);
});
