import { expect, test } from "vitest";
import { ChangeWatch, Recent } from "./recent.ts";

test("what was not asked for longest goes first", () => {
  const recent = new Recent<number>(2);
  recent.set("a", 1);
  recent.set("b", 2);
  expect(recent.get("a")).toBe(1);
  recent.set("c", 3);
  expect([recent.get("a"), recent.get("b"), recent.get("c")]).toEqual([1, undefined, 3]);
  recent.set("a", 4);
  expect([recent.get("a"), recent.get("c")]).toEqual([4, 3]);
  recent.forget(["a", "never"]);
  expect([recent.get("a"), recent.get("c")]).toEqual([undefined, 3]);
  recent.clear();
  expect(recent.get("c")).toBeUndefined();
});

test.each<[string, boolean, (watch: ChangeWatch) => { before: () => void; inside: () => void }]>([
  ["no change", true, () => ({ before: () => undefined, inside: () => undefined })],
  [
    "a change that is over",
    true,
    (watch) => ({ before: () => (watch.began(), watch.ended()), inside: () => undefined }),
  ],
  ["a change within", false, (watch) => ({ before: () => undefined, inside: () => (watch.began(), watch.ended()) })],
  ["a change that begins", false, (watch) => ({ before: () => undefined, inside: () => watch.began() })],
  ["a change that ends", false, (watch) => ({ before: () => watch.began(), inside: () => watch.ended() })],
])("%s: a look-up may be remembered: %s", async (_, isQuiet, script) => {
  const watch = new ChangeWatch();
  const { before, inside } = script(watch);
  before();
  const remembered: number[] = [];
  const read = async (): Promise<number> => {
    inside();
    return 1;
  };
  expect(await watch.look(read, (found) => remembered.push(found))).toBe(1);
  expect(remembered).toEqual(isQuiet ? [1] : []);
});
