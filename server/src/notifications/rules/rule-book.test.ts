/** The rules in memory: never those of before a change, also when the change or the look at it failed. */

import { expect, test } from "vitest";
import { EMBEDDED } from "../../engines/state-store/fixture.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { instantFromMicros } from "../../kernel/instant.ts";
import { NotificationsFixture } from "../conformance/fixture.ts";
import { RuleBook } from "./rule-book.ts";
import { RuleService } from "./rule-service.ts";
import { activeRules } from "./rule-store.ts";
import type { Rule } from "./rule.ts";

function rule(id: string): Rule {
  const at = instantFromMicros(0);
  const thresholds = [{ type: "usage_value", value: Decimal.one } as const];
  const rest = { isDisabled: false, channels: [], features: [], thresholds, metadata: null };
  return { id, type: "entitlements.reset", name: id, ...rest, createdAt: at, updatedAt: at, deletedAt: null };
}

/** A book over reads that the test answers, each on its own. */
function given() {
  const reads: PromiseWithResolvers<readonly Rule[]>[] = [];
  const book = new RuleBook(async () => {
    const read = Promise.withResolvers<readonly Rule[]>();
    reads.push(read);
    return await read.promise;
  });
  const ids = async (): Promise<readonly string[]> => (await book.of("entitlements.reset")).map(({ id }) => id);
  return { book, reads, ids };
}

test("a read that began later wins, whichever ends first", async () => {
  const { book, reads, ids } = given();
  const both = [book.refresh(), book.refresh()];
  reads[1]?.resolve([rule("new")]);
  reads[0]?.resolve([rule("old")]);
  await Promise.all(both);
  expect(await ids()).toEqual(["new"]);
});

test("what was forgotten is read again, and not what a read under way finds", async () => {
  const { book, reads, ids } = given();
  const before = book.refresh();
  book.forget();
  reads[0]?.resolve([rule("old")]);
  await before;
  expect(book.hasNone("invoice.created")).toBe(false);
  const asked = ids();
  reads[1]?.resolve([rule("new")]);
  expect(await asked).toEqual(["new"]);
});

test("a rule acts also when the look after its creation failed", async () => {
  await using cleanup = new AsyncDisposableStack();
  const store = await NotificationsFixture.open(EMBEDDED);
  cleanup.defer(async () => await store.close());
  const channels = [await store.channel()];
  let isGone = false;
  const book = new RuleBook(async () => {
    if (isGone) throw new Error("the store is gone");
    return await activeRules(store.db, "default");
  });
  await book.refresh();
  const { db, clock, newId } = store;
  const features = async () => await Promise.resolve(new Map());
  const service = new RuleService({
    db,
    namespace: "default",
    clock,
    newId,
    book,
    features,
    onChange: () => undefined,
  });
  const draft = { name: "a", isDisabled: false, channels, features: [], thresholds: [], metadata: null };
  isGone = true;
  await expect(service.create({ type: "entitlements.reset", ...draft })).rejects.toThrow("the store is gone");
  isGone = false;
  expect(await book.of("entitlements.reset")).toHaveLength(1);
});
