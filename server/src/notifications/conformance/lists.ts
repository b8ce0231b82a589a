/** The pages of lists, on every state store: one behind the other they are the whole list, in a total order. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FixtureEngine } from "../../engines/state-store/fixture.ts";
import type { ListPageQuery } from "../list-store.ts";
import { insertRule, listRules } from "../rules/rule-store.ts";
import type { Rule } from "../rules/rule.ts";
import { NotificationsFixture } from "./fixture.ts";

const PAGE_SIZE = 2;
const ALL = { includeDeleted: false, includeDisabled: true, features: undefined, channels: undefined };

/** Registers the suite for one engine. */
export function listsConformance(engine: FixtureEngine): void {
  describe(`lists on ${engine.name}`, () => {
    let given: NotificationsFixture;

    beforeAll(async () => {
      given = await NotificationsFixture.open(engine);
    });
    beforeEach(async () => {
      await given.empty();
    });
    afterAll(async () => {
      await given.close();
    });

    /** A stored rule. Its instants are `createdAt` and `updatedAt` microseconds after the start. */
    const stored = async (type: Rule["type"], createdAt: number, updatedAt: number): Promise<string> => {
      const id = given.newId();
      const texts = { name: "rule", isDisabled: false, channels: [], features: [], thresholds: [], metadata: null };
      const times = { createdAt: given.at(createdAt), updatedAt: given.at(updatedAt), deletedAt: null };
      await given.db
        .transaction()
        .execute(async (tx) => await insertRule(tx, "default", { id, type, ...texts, ...times }));
      return id;
    };
    const pagesOf = async (orderBy: ListPageQuery["orderBy"], order: ListPageQuery["order"]) => {
      const query = { ...ALL, orderBy, order, pageSize: PAGE_SIZE };
      const pages = [1, 2, 3, 4].map((page) => listRules(given.db, "default", { ...query, page }));
      return await Promise.all(pages);
    };

    test.each<[orderBy: ListPageQuery["orderBy"], order: ListPageQuery["order"], expected: string]>([
      ["id", "ASC", "01 23 4 "],
      ["id", "DESC", "43 21 0 "],
      ["type", "ASC", "13 02 4 "],
      ["type", "DESC", "42 03 1 "],
      ["createdAt", "ASC", "34 01 2 "],
      ["createdAt", "DESC", "21 04 3 "],
      ["updatedAt", "ASC", "02 41 3 "],
      ["updatedAt", "DESC", "31 42 0 "],
    ])("by %s, %s: what is equal is ordered by id, and each page tells how many there are", async (by, order, want) => {
      const ids = [
        await stored("entitlements.reset", 2, 3),
        await stored("entitlements.balance.threshold", 2, 4),
        await stored("entitlements.reset", 2, 3),
        await stored("entitlements.balance.threshold", 1, 4),
        await stored("entitlements.reset", 1, 3),
      ];
      const pages = await pagesOf(by, order);
      expect(pages.map(({ items }) => items.map(({ id }) => ids.indexOf(id)).join("")).join(" ")).toBe(want);
      expect(pages.map(({ totalCount }) => totalCount)).toEqual([5, 5, 5, 5]);
    });
  });
}
