import { expect, test } from "vitest";
import { ManualClock } from "../../kernel/clock.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { QueryWatch, type QueryWatchOptions } from "./query-watch.ts";
import type { RunningQuery } from "./sql/running-queries.ts";

const START = instantFromMicros(1_767_225_600_000_000);
const MINUTE = 60_000_000;

/** A watch over an engine that says of every label what `readings` hold for it. */
function watchOver(options: Partial<QueryWatchOptions> = {}) {
  const clock = new ManualClock(START);
  const readings = new Map<string, Omit<RunningQuery, "label">>();
  const looks: (readonly string[])[] = [];
  const watch = new QueryWatch({
    clock,
    prefix: "test",
    look: async (labels) => {
      looks.push(labels);
      return [...readings].map(([label, reading]) => ({ label, ...reading }));
    },
    ...options,
  });
  /** Starts a query that ends when told to. */
  const start = (name: string) => {
    const end = Promise.withResolvers<number | null>();
    let label = "";
    const run = watch.watch(name, async (given) => {
      label = given;
      return { found: `found ${name}`, rowsRead: await end.promise };
    });
    return { label, end, run };
  };
  return { clock, readings, looks, watch, start };
}

test("a query goes from unknown to planned to done", async () => {
  const { clock, readings, watch, start } = watchOver();
  expect(await watch.progress("a")).toBeNull();
  const query = start("a");
  expect(await watch.progress("a")).toEqual({ read: 0, failed: 0, total: 1, updatedAt: START });
  clock.advance(MINUTE);
  readings.set(query.label, { read: 30, planned: 100 });
  expect(await watch.progress("a")).toEqual({ read: 30, failed: 0, total: 100, updatedAt: START + MINUTE });
  readings.set(query.label, { read: 110, planned: 100 });
  expect(await watch.progress("a")).toMatchObject({ read: 110, total: 110 });
  query.end.resolve(90);
  expect(await query.run).toBe("found a");
  expect(await watch.progress("a")).toEqual({ read: 90, failed: 0, total: 90, updatedAt: START + MINUTE });
});

test("a query that does not tell what it read has read what was planned", async () => {
  const { readings, watch, start } = watchOver();
  const query = start("a");
  readings.set(query.label, { read: 30, planned: 100 });
  await watch.progress("a");
  query.end.resolve(null);
  await query.run;
  expect(await watch.progress("a")).toMatchObject({ read: 100, failed: 0, total: 100 });
});

test("a failed query counts what it did not read as failed", async () => {
  const { readings, watch, start } = watchOver();
  const query = start("a");
  readings.set(query.label, { read: 30, planned: 100 });
  await watch.progress("a");
  query.end.reject(new Error("broken"));
  await expect(query.run).rejects.toThrow("broken");
  expect(await watch.progress("a")).toMatchObject({ read: 30, failed: 70, total: 100 });
});

test("a query that fails after its last row has failed all the same", async () => {
  const { readings, watch, start } = watchOver();
  const query = start("a");
  readings.set(query.label, { read: 100, planned: 100 });
  await watch.progress("a");
  query.end.reject(new Error("broken"));
  await expect(query.run).rejects.toThrow("broken");
  expect(await watch.progress("a")).toMatchObject({ read: 100, failed: 1, total: 101 });
});

test("an end is known for five minutes", async () => {
  const { clock, watch, start } = watchOver();
  const query = start("a");
  query.end.resolve(7);
  await query.run;
  clock.advance(5 * MINUTE - 1);
  expect(await watch.progress("a")).toMatchObject({ read: 7 });
  clock.advance(1);
  expect(await watch.progress("a")).toBeNull();
});

test("a running query is known however long it runs", async () => {
  const { clock, watch, start } = watchOver();
  const query = start("a");
  clock.advance(60 * MINUTE);
  expect(await watch.progress("a")).toMatchObject({ total: 1 });
  query.end.resolve(1);
  await query.run;
});

test("only the last so many ends are known", async () => {
  const { watch, start } = watchOver({ maxEnded: 2 });
  for (const name of ["a", "b", "a", "c"]) {
    const query = start(name);
    query.end.resolve(1);
    await query.run;
  }
  expect(await watch.progress("b")).toBeNull();
  expect(await watch.progress("c")).not.toBeNull();
  expect(await watch.progress("a")).not.toBeNull();
});

test("a newer query takes the name of an older one, also when that ends later", async () => {
  const { watch, start } = watchOver();
  const [older, newer] = [start("a"), start("a")];
  expect(newer.label).not.toBe(older.label);
  older.end.resolve(5);
  await older.run;
  expect(await watch.progress("a")).toMatchObject({ read: 0, total: 1 });
  newer.end.resolve(6);
  await newer.run;
  expect(await watch.progress("a")).toMatchObject({ read: 6, total: 6 });
});

test("many who ask are answered by one look; nobody who asks after the end causes one", async () => {
  const { looks, watch, start } = watchOver();
  const queries = [start("a"), start("b")];
  await Promise.all(["a", "b", "a", "a"].map((name) => watch.progress(name)));
  expect(looks).toEqual([queries.map((query) => query.label)]);
  await watch.progress("a");
  expect(looks).toHaveLength(2);
  for (const query of queries) query.end.resolve(1);
  await Promise.all(queries.map((query) => query.run));
  await watch.progress("a");
  expect(looks).toHaveLength(2);
});

test.each([
  ["does not answer in time", () => new Promise<never>(() => undefined)],
  ["fails", () => Promise.reject(new Error("gone"))],
])("an engine that %s leaves the numbers as they are", async (_, look) => {
  const { watch, start } = watchOver({ look, lookTimeoutMs: 1 });
  const query = start("a");
  expect(await watch.progress("a")).toEqual({ read: 0, failed: 0, total: 1, updatedAt: START });
  query.end.resolve(3);
  await query.run;
  expect(await watch.progress("a")).toMatchObject({ read: 3, total: 3 });
});

test("numbers that arrive after the end do not undo it", async () => {
  const looked = Promise.withResolvers<readonly RunningQuery[]>();
  const { watch, start } = watchOver({ look: () => looked.promise });
  const query = start("a");
  const asked = watch.progress("a");
  query.end.resolve(90);
  await query.run;
  looked.resolve([{ label: query.label, read: 30, planned: 100 }]);
  expect(await asked).toMatchObject({ read: 90, total: 90 });
  expect(await watch.progress("a")).toMatchObject({ read: 90, total: 90 });
});
