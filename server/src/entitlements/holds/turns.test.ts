import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

test("work under one name happens one after the other, whatever became of the work before; other names do not wait", async () => {
  const turns = new Turns();
  const log: string[] = [];
  const gate = Promise.withResolvers<void>();
  const work =
    (name: string, wait: Promise<void>, isFailing = false) =>
    async () => {
      log.push(`${name} begins`);
      await wait;
      log.push(`${name} ends`);
      if (isFailing) throw new Error(name);
      return name;
    };
  const done = Promise.resolve();
  const first = turns.take("a", work("first", gate.promise, true));
  const second = turns.take("a", work("second", done));
  const third = turns.take("a", work("third", done));
  await expect(turns.take("b", work("other", done))).resolves.toBe("other");
  expect(log).toEqual(["first begins", "other begins", "other ends"]);
  gate.resolve();
  await expect(first).rejects.toThrow("first");
  await expect(Promise.all([second, third])).resolves.toEqual(["second", "third"]);
  expect(log.slice(3)).toEqual(["first ends", "second begins", "second ends", "third begins", "third ends"]);
});
