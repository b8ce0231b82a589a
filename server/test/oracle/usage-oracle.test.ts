/**
 * The oracle: for random events, meters and queries the real event store answers exactly what the reference answers.
 *
 * `ORACLE_SEED=<number>` repeats a run, `ORACLE_WORLDS=<number>` makes it longer; the seed is always printed. The
 * reference receives the same blocks in another order, so that the order and batching of ingestion are put to the test
 * as well.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type ChdbEngine,
  createEventStore,
  encodeEvents,
  type EventStore,
  parseDocument,
  resolvePath,
  startChdbEngine,
} from "../../src/engines/event-store/index.ts";
import { numericValue, propertyText } from "../../src/engines/event-store/reference-values.ts";
import { ReferenceStore } from "../../src/engines/event-store/reference.ts";
import { assert } from "../../src/kernel/assert.ts";
import { explainValue } from "../../src/meters/index.ts";
import { compare, type Question } from "./comparison.ts";
import { randomWorld, type World } from "./random-events.ts";
import { paths, randomListQuery, randomUsageQuery, randomValuesQuery } from "./random-queries.ts";
import { Random } from "./random.ts";

const seed = Number(process.env["ORACLE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const worldCount = Number(process.env["ORACLE_WORLDS"] ?? 10);
const usageQueriesPerWorld = 180;
const otherQueriesPerWorld = 20;
/** Queries under way at a time: as many as the embedded engine has sessions. */
const concurrency = 4;

const offsets = new Map<number, number>();

function nextOffset(partition: number): number {
  const offset = offsets.get(partition) ?? 0;
  offsets.set(partition, offset + 1);
  return offset;
}

function worldOf(random: Random, index: number): World {
  return randomWorld(random, `oracle-${seed}-${index}`, nextOffset);
}

let dataDirectory: string | undefined;
let engine: ChdbEngine | undefined;
let opened: EventStore | undefined;

beforeAll(async () => {
  process.stderr.write(`oracle: ORACLE_SEED=${seed}\n`);
  dataDirectory = await mkdtemp(join(tmpdir(), "tallystick-oracle-"));
  engine = await startChdbEngine({ dataDirectory });
  opened = createEventStore({ endpoint: { kind: "embedded", socketPath: engine.socketPath } });
  await opened.migrate();
});

afterAll(async () => {
  await opened?.close();
  await engine?.stop();
  if (dataDirectory !== undefined) await rm(dataDirectory, { recursive: true, force: true });
});

test.each(Array.from({ length: worldCount }, (_, index) => index))(
  `world %i of seed ${seed}: the store equals the reference`,
  async (index) => {
    assert(opened !== undefined, "tests run after the store was opened");
    const store = opened;
    const random = new Random(seed + index);
    const world = worldOf(random, index);
    const reference = await fill(random, world, store);
    const questions: Question[] = [
      ...random.list(usageQueriesPerWorld, () => ({ kind: "usage", query: randomUsageQuery(random, world) }) as const),
      ...random.list(otherQueriesPerWorld, () => ({ kind: "list", query: randomListQuery(random, world) }) as const),
      ...random.list(
        otherQueriesPerWorld,
        () => ({ kind: "values", query: randomValuesQuery(random, world) }) as const,
      ),
    ];
    const iterator = questions.values();
    const reports: string[] = [];
    const work = async () => {
      for (const question of iterator) {
        const report = await compare(reference, store, question, world.events);
        if (report !== null) reports.push(report);
        if (reports.length > 0) return;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    // One difference is enough to work on; the message is the whole report.
    if (reports[0] !== undefined) expect.fail(`ORACLE_SEED=${seed}, world ${index}: ${reports[0]}`);
  },
);

/** Stores the events as several blocks, in different orders in the two stores. */
async function fill(random: Random, world: World, store: EventStore): Promise<EventStore> {
  const blockCount = random.between(1, 4);
  const parts = Array.from({ length: blockCount }, (_, part) =>
    world.events.filter((_, index) => index % blockCount === part),
  );
  const blocks = parts
    .filter((events) => events.length > 0)
    .map((events, part) => ({ block: encodeEvents(random.shuffled(events)), token: `${world.namespace}/${part}` }));
  const reference = new ReferenceStore();
  for (const { block, token } of random.shuffled(blocks)) await reference.insert(block, token);
  for (const { block, token } of random.shuffled(blocks)) await store.insert(block, token);
  return reference;
}

test("an event is explained exactly when it yields no value", () => {
  const random = new Random(seed);
  const documents = Array.from({ length: 20 }, (_, index) => worldOf(random, index)).flatMap((world) =>
    world.events.map((event) => event.data),
  );
  let explained = 0;
  const wrong: string[] = [];
  for (const data of documents) {
    const document = data === null ? null : parseDocument(data);
    for (const path of paths) {
      const node = document === null ? ({ kind: "missing" } as const) : resolvePath(path, document);
      const hasNumber = explainValue("SUM", path, data) === null;
      const hasText = explainValue("UNIQUE_COUNT", path, data) === null;
      if (!hasNumber) explained += 1;
      if (hasNumber !== (numericValue(node) !== null)) wrong.push(`SUM of ${path.text} in ${data}`);
      if (hasText !== propertyText(node).isPresent) wrong.push(`UNIQUE_COUNT of ${path.text} in ${data}`);
    }
  }
  expect(wrong).toEqual([]);
  // Both kinds of events must occur, or the law says nothing.
  expect(explained).toBeGreaterThan(0);
  expect(explained).toBeLessThan(documents.length * paths.length);
});
