/** Answers of the engine in memory: what is kept and let go. */

import { expect, test } from "vitest";
import type { Statement } from "../sql/fragment.ts";
import { KeptAnswers } from "./kept-answers.ts";

const statement = (sql: string, params: Statement["params"] = {}): Statement => ({ sql, params });

/** An engine that answers with the number of times that it was asked. */
function engine(cells = 1): { readonly asked: () => number; readonly load: () => Promise<number[][]> } {
  let count = 0;
  return {
    asked: () => count,
    load: async () => {
      count += 1;
      await Promise.resolve();
      return Array.from({ length: cells }, () => [count]);
    },
  };
}

test("the same statement is asked once", async () => {
  const kept = new KeptAnswers();
  const { asked, load } = engine();
  expect(await kept.answer(statement("a"), load)).toEqual([[1]]);
  expect(await kept.answer(statement("a"), load)).toEqual([[1]]);
  expect(asked()).toBe(1);
});

test("another text, parameter or setting is another statement", async () => {
  const kept = new KeptAnswers();
  const { load } = engine();
  expect(await kept.answer(statement("a", { p0: "x" }), load)).toEqual([[1]]);
  expect(await kept.answer(statement("b", { p0: "x" }), load)).toEqual([[2]]);
  expect(await kept.answer(statement("a", { p0: "y" }), load)).toEqual([[3]]);
  expect(await kept.answer({ ...statement("a", { p0: "x" }), settings: { max_threads: 1 } }, load)).toEqual([[4]]);
});

test("a failure is not kept", async () => {
  const kept = new KeptAnswers();
  await expect(kept.answer(statement("a"), () => Promise.reject(new Error("down")))).rejects.toThrow("down");
  expect(await kept.answer(statement("a"), engine().load)).toEqual([[1]]);
});

test("what is longest unused goes when there is too much, and what is too large is not kept", async () => {
  const kept = new KeptAnswers();
  const { asked, load } = engine(4_000);
  const first = statement("first");
  await kept.answer(first, load);
  for (let index = 0; index < 48; index += 1) await kept.answer(statement(`${index}`), load);
  await kept.answer(first, load);
  expect(asked()).toBe(49);
  await kept.answer(statement("more"), load);
  await kept.answer(statement("most"), load);
  await kept.answer(first, load);
  expect(asked()).toBe(51);
  await kept.answer(statement("0"), load);
  expect(asked()).toBe(52);
  const large = engine(5_001);
  for (let turn = 0; turn < 2; turn += 1) await kept.answer(statement("large"), large.load);
  expect(large.asked()).toBe(2);
});
