/** Meters over a real state store: seeding, versions, and what two changes at once leave behind. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStateStore, type StateStore } from "../engines/state-store/index.ts";
import { ManualClock } from "../kernel/clock.ts";
import { createUlidSource } from "../kernel/id.ts";
import { instantFromMicros } from "../kernel/instant.ts";
import { MeterService, type SeededMeter } from "./service.ts";

const clock = new ManualClock(instantFromMicros(1_000_000));
let directory: string;
let store: StateStore;
let meters: MeterService;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tallystick-meters-"));
  store = await openStateStore({ kind: "embedded", directory });
  meters = serviceOf("default");
});
afterAll(async () => {
  await store?.close();
  await rm(directory, { recursive: true, force: true });
});

function serviceOf(namespace: string): MeterService {
  const newId = createUlidSource(clock, (count) => crypto.getRandomValues(new Uint8Array(count)));
  return new MeterService({ db: store.db, namespace, clock, newId, reservedEventTypes: [/^reserved$/u] });
}

describe("seeding", () => {
  const seed: SeededMeter = {
    slug: "seeded",
    eventType: "a",
    aggregation: "SUM",
    valueProperty: " $.n ",
    groupBy: { x: "$.x", y: "$.y" },
  };

  test("creates what is missing and leaves alone what agrees", async () => {
    await meters.seed([seed]);
    const created = await meters.get("seeded");
    expect(created).toMatchObject({ name: "seeded", valueProperty: "$.n", version: 1 });
    await meters.seed([{ ...seed, groupBy: { y: "$.y", x: "$.x" } }]);
    expect(await meters.get("seeded")).toEqual(created);
  });

  test.each<readonly [keyof SeededMeter, Partial<SeededMeter>]>([
    ["name", { name: "Other" }],
    ["description", { description: "Other" }],
    ["aggregation", { aggregation: "MAX" }],
    ["eventType", { eventType: "b" }],
    ["valueProperty", { valueProperty: "$.m" }],
    ["groupBy", { groupBy: { x: "$.x" } }],
    ["groupBy", { groupBy: { x: "$.x", y: "$.z" } }],
    ["groupBy", { groupBy: { x: "$.x", z: "$.y" } }],
  ])("refuses another %s", async (field, change) => {
    await expect(meters.seed([{ ...seed, ...change }])).rejects.toThrow(
      `meter "seeded" exists with another ${field} than the configuration gives it`,
    );
  });

  test("names the meter that cannot be created, and why", async () => {
    const wrong = { ...seed, slug: "broken", valueProperty: "tokens", eventType: "reserved" };
    const sentence = /meter "broken" of the configuration cannot be created: .*reserved.*invalid JSONPath: tokens/;
    await expect(meters.seed([wrong])).rejects.toThrow(sentence);
  });
});

test("only a change of groupBy makes a new version", async () => {
  await meters.create({ slug: "versions", eventType: "a", aggregation: "COUNT", groupBy: { a: "$.a", b: "$.b" } });
  clock.advance(5);
  const renamed = await meters.update("versions", { name: "New", groupBy: { b: "$.b", a: "$.a" } });
  expect(renamed).toMatchObject({ version: 1, name: "New", updatedAt: clock.now() });
  expect((await meters.update("versions", { groupBy: { a: "$.a" } })).version).toBe(2);
  expect((await meters.update("versions", {})).version).toBe(3);
  expect(await meters.get("versions")).toMatchObject({ version: 3, groupBy: {}, name: "versions" });
});

test("changes at once are one after the other", async () => {
  await meters.create({ slug: "racing", eventType: "a", aggregation: "COUNT" });
  const keys = ["a", "b", "c", "d"];
  await Promise.all(keys.map((key) => meters.update("racing", { groupBy: { [key]: "$.x" } })));
  expect((await meters.get("racing")).version).toBe(1 + keys.length);
});

test("namespaces do not see each other", async () => {
  const other = serviceOf("other");
  const draft = { slug: "shared", eventType: "a", aggregation: "COUNT" } as const;
  const mine = await meters.create(draft);
  await other.create(draft);
  await expect(other.get(mine.id)).rejects.toMatchObject({ code: "meter_not_found" });
  await other.delete("shared");
  expect((await meters.get("shared")).deletedAt).toBeNull();
});

test("meters of event types are the living ones by slug; a type with NUL has none", async () => {
  for (const slug of ["of_b", "of_a", "of_gone"]) await meters.create({ slug, eventType: "of", aggregation: "COUNT" });
  await meters.delete("of_gone");
  const found = await meters.ofEventTypes(["of", "of\0", "nothing"]);
  expect(found.map(({ slug }) => slug)).toEqual(["of_a", "of_b"]);
  expect(await meters.ofEventTypes(["of\0"])).toEqual([]);
});

test.each<readonly [string, Partial<SeededMeter> & { readonly metadata?: Readonly<Record<string, string>> }]>([
  ["$.name", { name: "a\0" }],
  ["$.eventType", { eventType: "a\ud800" }],
  ["$.metadata.a", { metadata: { a: "\ud800" } }],
  ["$.metadata.\ud83d", { metadata: { "\ud83d": "\ude00" } }],
])("texts that the store cannot hold are refused in %s", async (field, part) => {
  const refused = meters.create({ slug: "unstorable", eventType: "a", aggregation: "COUNT", ...part });
  await expect(refused).rejects.toMatchObject({
    code: "invalid_meter",
    fields: expect.arrayContaining([expect.objectContaining({ field })]),
  });
});
