import { expect, test } from "vitest";
import { ChangeWatch } from "../kernel/recent.ts";
import { Attribution } from "./attribution.ts";
import type { SubjectClaim } from "./customer-store.ts";

const byKey: SubjectClaim = { subject: "s", customerId: "K", by: "key" };
const bySubjectKey: SubjectClaim = { subject: "s", customerId: "S", by: "subjectKey" };

test.each<[string, readonly SubjectClaim[], string | undefined]>([
  ["a key beats a subject key", [byKey, bySubjectKey], "K"],
  ["a key beats a subject key, whichever comes first", [bySubjectKey, byKey], "K"],
  ["a subject key beats nothing", [bySubjectKey], "S"],
  ["nothing is nobody's", [], undefined],
])("%s", async (_, claims, owner) => {
  const attribution = new Attribution(new ChangeWatch(), async () => claims);
  expect((await attribution.ownersOf(["s"])).get("s")).toBe(owner);
  expect(attribution.inMemory("s")).toBe(owner ?? null);
});

test("only what is not in memory is asked for, each subject once, and again when it is forgotten", async () => {
  const asked: (readonly string[])[] = [];
  const attribution = new Attribution(new ChangeWatch(), async (subjects) => {
    asked.push(subjects);
    return [bySubjectKey];
  });
  const owners = new Map([["s", "S"]]);
  expect(await attribution.ownersOf(["s", "t", "s"])).toEqual(owners);
  expect(await attribution.ownersOf(["t", "s"])).toEqual(owners);
  expect(await attribution.ownersOf(["u", "s"])).toEqual(owners);
  attribution.forget(["s"]);
  expect(await attribution.ownersOf(["t", "s"])).toEqual(owners);
  attribution.clear();
  await attribution.ownersOf(["t"]);
  expect(asked).toEqual([["s", "t"], ["u"], ["s"], ["t"]]);
});

test("what was read while a change was under way is answered but not remembered", async () => {
  const watch = new ChangeWatch();
  const attribution = new Attribution(watch, async () => [byKey]);
  await watch.during(async () => {
    expect(await attribution.ownersOf(["s"])).toEqual(new Map([["s", "K"]]));
  });
  expect(attribution.inMemory("s")).toBeUndefined();
});
