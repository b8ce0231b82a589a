/** What makes events, on every state store: thresholds once per crossing, every reset point once, and nothing else. */

import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { FixtureEngine } from "../../engines/state-store/fixture.ts";
import { Decimal } from "../../kernel/decimal.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { StoredEvent } from "../events/event-store.ts";
import type { Threshold } from "../thresholds/selection.ts";
import { ThresholdEvaluator } from "../thresholds/evaluator.ts";
import { Residency } from "../watch/residency.ts";
import { watchChange, watchReset } from "../watch/watch-store.ts";
import { Watcher } from "../watch/watcher.ts";
import { TestBalances } from "./balances.ts";
import { HOUR, NotificationsFixture, SECOND, START } from "./fixture.ts";

const TYPE = "entitlements.balance.threshold";

function percent(...values: readonly number[]): readonly Threshold[] {
  return values.map((value) => ({ type: "usage_percentage", value: Decimal.fromInteger(value) }));
}

/** Registers the suite for one engine. */
export function triggersConformance(engine: FixtureEngine): void {
  describe(`triggers on ${engine.name}`, () => {
    let given: NotificationsFixture;
    let balances: TestBalances;
    let skipped = 0;
    let positions: ReadonlyMap<number, number>;

    beforeAll(async () => {
      given = await NotificationsFixture.open(engine);
    });
    beforeEach(async () => {
      await given.empty();
      balances = new TestBalances(() => given.clock.now());
      skipped = 0;
      positions = new Map([[0, 0]]);
    });
    afterAll(async () => {
      await given.close();
      expect(given.errors).toEqual([]);
    });

    const evaluator = (): ThresholdEvaluator =>
      new ThresholdEvaluator({
        ...basics(),
        onEvents: () => undefined,
        onRead: () => undefined,
      });
    const basics = () => ({
      db: given.db,
      namespace: "default",
      clock: given.clock,
      newId: given.newId,
      book: given.book,
      source: balances,
      onError: (error: unknown) => void given.errors.push(error),
    });
    const watcher = (): Watcher =>
      new Watcher({
        ...basics(),
        evaluator: evaluator(),
        onEvents: () => undefined,
        onSkipped: (count) => {
          skipped += count;
        },
      });
    /** Looks until nothing is due. */
    const look = async (one = watcher()): Promise<void> => {
      while (await one.look());
    };
    const evaluate = async (one: ThresholdEvaluator, ...ids: readonly string[]): Promise<void> =>
      await one.evaluate(new Map(ids.map((id) => [id, given.clock.now()])));
    const list = async (ruleId?: string): Promise<readonly StoredEvent[]> =>
      (
        await given.events.list({
          ...EVERYTHING,
          rules: ruleId === undefined ? undefined : [ruleId],
        })
      ).items;
    const told = async (ruleId?: string): Promise<readonly unknown[]> =>
      (await list(ruleId)).map(({ payload }) => {
        const { data } = JSON.parse(payload) as {
          data: { entitlement: { id: string }; threshold?: { value: number } };
        };
        return data.threshold === undefined ? data.entitlement.id : [data.entitlement.id, data.threshold.value];
      });
    const change = async (id: string): Promise<void> =>
      await given.db.transaction().execute(async (tx) => await watchChange(tx, "default", id, given.clock.now()));
    const reset = async (id: string, point: Instant): Promise<void> =>
      await given.db
        .transaction()
        .execute(async (tx) => await watchReset(tx, "default", id, { point, at: given.clock.now() }));

    test("thresholds fire once per crossing, through restarts, and again in the next period", async () => {
      balances.add("e");
      const rule = await given.rule([await given.channel()], { type: TYPE, thresholds: percent(75, 90) });
      const steps: readonly [usage: number, total: number][] = [
        [80, 100],
        [85, 100],
        [95, 100],
        [95, 200],
        [190, 200],
      ];
      let one = evaluator();
      for (const [index, [usage, total]] of steps.entries()) {
        balances.use("e", usage, total);
        // Half of the evaluations are by a process that remembers nothing.
        if (index % 2 === 1) one = evaluator();
        await evaluate(one, "e", "unknown");
        await evaluate(one, "e");
      }
      expect(await told(rule)).toEqual([
        ["e", 75],
        ["e", 90],
        ["e", 90],
      ]);
      given.clock.advance(HOUR);
      balances.use("e", 76);
      await evaluate(one, "e");
      expect(await told(rule)).toHaveLength(4);
      const [first] = await list(rule);
      expect(first?.annotations).toMatchObject({
        "event.balance.dedupe.hash": first?.dedupe_key,
        "event.feature.key": "key_of_e",
      });
    });

    test("concurrent evaluations by processes that know nothing of each other tell once", async () => {
      balances.add("e");
      balances.use("e", 120);
      await given.rule([await given.channel()], { type: TYPE, thresholds: percent(50, 100) });
      await Promise.all(Array.from({ length: 6 }, async () => await evaluate(evaluator(), "e")));
      expect(await told()).toEqual([["e", 100]]);
    });

    test("a batch that crosses nothing costs no statement", async () => {
      balances.add("e");
      await given.rule([await given.channel()], { type: TYPE, thresholds: percent(50) });
      const queries: string[] = [];
      const one = new ThresholdEvaluator({
        ...basics(),
        db: given.db.withPlugin({
          transformQuery: ({ node }) => {
            queries.push(node.kind);
            return node;
          },
          transformResult: async ({ result }) => result,
        }),
        onEvents: () => undefined,
        onRead: () => undefined,
      });
      await evaluate(one, "e");
      expect(queries).toHaveLength(1);
      for (let usage = 0; usage <= 50; usage += 10) {
        balances.use("e", usage);
        await evaluate(one, "e");
      }
      expect(queries).toHaveLength(1);
      balances.use("e", 51);
      await evaluate(one, "e");
      expect(queries.length).toBeGreaterThan(1);
      expect(await told()).toEqual([["e", 50]]);
    });

    test("only rules that act, watch the feature and were there before tell", async () => {
      balances.add("a");
      balances.add("b");
      given.features.set("key_of_a", { id: "id-of-a", key: "key_of_a" });
      const channels = [await given.channel()];
      const draft = { type: TYPE, thresholds: percent(50) } as const;
      const all = await given.rule(channels, draft);
      const ofA = await given.rule(channels, { ...draft, features: ["key_of_a"] });
      const disabled = await given.rule(channels, { ...draft, isDisabled: true });
      const deleted = await given.rule(channels, draft);
      await given.rules.delete(deleted);
      given.clock.advance(SECOND);
      const later = await given.rule(channels, draft);
      balances.use("a", 60);
      balances.use("b", 60);
      const causes = new Map([
        ["a", START],
        ["b", START],
      ]);
      await evaluator().evaluate(causes);
      expect(await told(all)).toHaveLength(2);
      expect(await told(ofA)).toEqual([["a", 50]]);
      for (const silent of [disabled, deleted, later]) expect(await told(silent)).toEqual([]);
    });

    test("what is over or has not begun is not evaluated", async () => {
      balances.add("over", { activeTo: given.at(SECOND) });
      balances.add("future", { activeFrom: given.at(HOUR) });
      given.clock.advance(SECOND);
      await given.rule([await given.channel()], { type: TYPE, thresholds: percent(50) });
      for (const id of ["over", "future"]) balances.use(id, 60);
      await evaluate(evaluator(), "over", "future");
      expect(await told()).toEqual([]);
    });

    test("as a service: what is touched is evaluated, together and with failures repeated", async () => {
      balances.add("e");
      await given.rule([await given.channel()], { type: TYPE, thresholds: percent(50) });
      const one = evaluator();
      const running = one.loop.run();
      balances.use("e", 60);
      one.touch(["e", "e"], given.clock.now());
      await vi.waitFor(async () => expect(await told()).toEqual([["e", 50]]), { timeout: 10_000 });
      expect(one.isIdle).toBe(true);
      await one.loop.stop();
      await running;
    });

    test("law: another rule never changes what a rule tells", async () => {
      const usages = fc.array(fc.integer({ min: 0, max: 130 }), { minLength: 1, maxLength: 6 });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(usages, async (values) => {
          run += 1;
          const tell = async (id: string, hasOthers: boolean): Promise<readonly unknown[]> => {
            balances.add(id);
            given.features.set(`key_of_${id}`, { id: `id-of-${id}`, key: `key_of_${id}` });
            const channels = [await given.channel()];
            const draft = { type: TYPE, features: [`key_of_${id}`] } as const;
            const rule = await given.rule(channels, { ...draft, thresholds: percent(50, 100) });
            if (hasOthers) {
              await given.rule(channels, { ...draft, thresholds: percent(50, 100, 20) });
              await given.rule(channels, { type: "entitlements.reset", features: draft.features });
            }
            const one = evaluator();
            for (const usage of values) {
              balances.use(id, usage);
              await evaluate(one, id);
            }
            return (await told(rule)).map((each) => (each as readonly unknown[])[1]);
          };
          expect(await tell(`alone${run}`, false)).toEqual(await tell(`others${run}`, true));
        }),
        { numRuns: 5 },
      );
    });

    test("changes and boundaries are evaluated when they come, also by a process that was down", async () => {
      balances.add("e");
      await change("e");
      await given.rule([await given.channel()], { type: TYPE, thresholds: percent(50) });
      balances.use("e", 60);
      balances.boundaries("e", [given.at(60 * SECOND), given.at(120 * SECOND)]);
      given.clock.advance(SECOND);
      await change("e");
      await look();
      expect(await told()).toEqual([["e", 50]]);
      balances.use("e", 60, 200);
      given.clock.set(given.at(59 * SECOND));
      await look();
      balances.use("e", 60, 100);
      given.clock.set(given.at(60 * SECOND));
      await look();
      // The boundary of 60 s saw the same value as before; nothing had looked in between.
      expect(await told()).toHaveLength(1);
      balances.use("e", 10);
      given.clock.set(given.at(120 * SECOND));
      await look();
      balances.use("e", 60);
      await change("e");
      await look();
      expect(await told()).toHaveLength(2);
    });

    test("law: every reset point since the rule's creation is told once, oldest first", async () => {
      balances.add("e");
      await change("e");
      given.clock.set(given.at(HOUR / 2));
      const channels = [await given.channel()];
      const rule = await given.rule(channels);
      await look();
      expect(await told()).toEqual([]);
      given.clock.set(given.at(3 * HOUR));
      const both = [watcher(), watcher()];
      await Promise.all(both.map(async (one) => await look(one)));
      await look();
      const events = await list(rule);
      expect(events.map(({ payload }) => dataOf(payload).entitlement.at - START)).toEqual([HOUR, 2 * HOUR, 3 * HOUR]);
      expect(events.map(({ created_at: at }) => at)).toEqual([given.clock.now(), given.clock.now(), given.clock.now()]);
      const second = await given.rule(channels);
      given.clock.set(given.at(4 * HOUR));
      await look();
      expect([(await told(rule)).length, (await told(second)).length]).toEqual([4, 1]);
    });

    test("a reset point that waits is told by the rules that were there when it came, and by no later one", async () => {
      balances.add("e");
      await change("e");
      const channels = [await given.channel()];
      const early = await given.rule(channels);
      await look();
      given.clock.set(given.at(1.5 * HOUR));
      const late = await given.rule(channels);
      await look();
      expect([(await told(early)).length, (await told(late)).length]).toEqual([1, 0]);
    });

    test("a reset in the minute in which the entitlement began is told", async () => {
      balances.add("e", { activeFrom: given.at(20 * SECOND) });
      given.clock.set(given.at(20 * SECOND));
      await change("e");
      await given.rule([await given.channel()]);
      await look();
      given.clock.advance(SECOND);
      await reset("e", START);
      await look();
      expect(await told()).toEqual(["e"]);
    });

    test("what is exceeded when a rule is made is told at the next usage and not before", async () => {
      balances.add("e");
      balances.use("e", 60);
      await change("e");
      const channels = [await given.channel()];
      await given.rule(channels, { type: TYPE, thresholds: percent(99) });
      const one = evaluator();
      const residency = new Residency({ ...basics(), evaluator: one, positions: () => positions });
      const round = async (): Promise<void> => {
        const { warmed } = balances;
        residency.ruleActs();
        await vi.waitFor(() => expect(balances.warmed).toBeGreaterThan(warmed), { timeout: 10_000 });
      };
      const services = [one.loop.run(), residency.run()];
      await round();
      await round();
      balances.isLive = false;
      const rule = await given.rule(channels, { type: TYPE, thresholds: percent(50) });
      // A round begins only when what the one before it found was looked at.
      await round();
      await round();
      expect(await told(rule)).toEqual([]);
      positions = new Map([[0, 1]]);
      await vi.waitFor(async () => expect(await told(rule)).toEqual([["e", 50]]), { timeout: 10_000 });
      await one.loop.stop();
      await residency.stop();
      await Promise.all(services);
    });

    test("a manual reset is told, at an automatic reset point once", async () => {
      balances.add("e");
      await change("e");
      const rule = await given.rule([await given.channel()]);
      given.clock.set(given.at(90));
      // Its point is the minute's begin, before the rule's creation; the command came after it.
      given.clock.set(given.at(30 * SECOND));
      await reset("e", START);
      await look();
      expect(await told(rule)).toHaveLength(1);
      given.clock.set(given.at(HOUR));
      await look();
      await reset("e", given.at(HOUR));
      await look();
      expect(await told(rule)).toHaveLength(2);
    });

    test("a reset that was asked for while one before it waits comes after it", async () => {
      balances.add("e");
      await change("e");
      await given.rule([await given.channel()]);
      await look();
      given.clock.set(given.at(2 * HOUR));
      await reset("e", given.at(2 * HOUR));
      await look();
      expect((await list()).map(({ payload }) => dataOf(payload).entitlement.at - START)).toEqual([HOUR, 2 * HOUR]);
    });

    test("a reset that is asked for while the one before it is being told is told as well", async () => {
      balances.add("e");
      await change("e");
      await given.rule([await given.channel()]);
      await look();
      given.clock.set(given.at(2 * HOUR));
      // The schedule says nothing of what is asked for only now.
      balances.onceRead = async () => {
        balances.resets = [given.at(HOUR + 60 * SECOND)];
        await reset("e", given.at(HOUR + 60 * SECOND));
      };
      await look();
      const points = (await list()).map(({ payload }) => dataOf(payload).entitlement.at - START);
      expect(points).toEqual([HOUR, HOUR + 60 * SECOND, 2 * HOUR]);
    });

    test("a change that is committed while the one before it is being looked at is looked at as well", async () => {
      balances.add("e");
      await given.rule([await given.channel()], { type: TYPE, thresholds: percent(50, 90) });
      balances.use("e", 60);
      await change("e");
      given.clock.set(given.at(SECOND));
      // After the value was read.
      balances.onceFacts = async () => {
        balances.use("e", 95);
        await change("e");
      };
      await look();
      await look();
      expect(await told()).toEqual([
        ["e", 50],
        ["e", 90],
      ]);
    });

    test("a rule that was changed since it was read tells what it says now", async () => {
      balances.add("e");
      await change("e");
      const channels = [await given.channel()];
      const threshold = await given.rule(channels, { type: TYPE, thresholds: percent(50) });
      const other = await given.rule(channels, { type: TYPE, thresholds: percent(50) });
      const onReset = await given.rule(channels);
      await look();
      // Not through the service, which lets the book know at once.
      await given.rewrite(threshold, { thresholds: percent(90) });
      for (const id of [other, onReset]) await given.rewrite(id, { features: [{ ref: "x", id: "x", key: "x" }] });
      balances.use("e", 60);
      await evaluate(evaluator(), "e");
      given.clock.set(given.at(HOUR));
      await look();
      expect(await told()).toEqual([]);
    });

    test("reset points of more than 48 hours ago are counted and skipped", async () => {
      balances.add("e");
      await change("e");
      const rule = await given.rule([await given.channel()]);
      await look();
      given.clock.set(given.at(50 * HOUR));
      await look();
      expect(skipped).toBe(1);
      expect(await told(rule)).toHaveLength(49);
    });

    test("what has ended is not reset any more, what begins later is from then on", async () => {
      balances.add("over", { activeTo: given.at(HOUR) });
      balances.add("later", { activeFrom: given.at(90 * 60 * SECOND) });
      await change("over");
      await change("later");
      await given.rule([await given.channel()]);
      given.clock.set(given.at(3 * HOUR));
      await look();
      expect(await told()).toEqual(["later", "later"]);
    });

    test("what is evaluated without being in memory is brought there", async () => {
      balances.add("e");
      balances.isLive = false;
      await given.rule([await given.channel()], { type: TYPE, thresholds: percent(50) });
      const residency: Residency = new Residency({ ...basics(), evaluator: evaluator(), positions: () => positions });
      const onRead = (id: string): void => residency.read(id, positions);
      const one = new ThresholdEvaluator({ ...basics(), onEvents: () => undefined, onRead });
      await evaluate(one, "e");
      expect(balances.warmed).toBe(1);
    });

    test("usage of what is not in memory is noticed, and what comes into memory is looked at once more", async () => {
      balances.add("e");
      balances.isLive = false;
      await change("e");
      const one = evaluator();
      const residency = new Residency({ ...basics(), evaluator: one, positions: () => positions });
      const services = [one.loop.run(), residency.run()];
      await given.rule([await given.channel()], { type: TYPE, thresholds: percent(50, 100) });
      balances.use("e", 60);
      residency.ruleActs();
      await vi.waitFor(async () => expect(await given.book.of(TYPE)).toHaveLength(1), { timeout: 10_000 });
      positions = new Map([[0, 1]]);
      await vi.waitFor(async () => expect(await told()).toEqual([["e", 50]]), { timeout: 10_000 });
      balances.use("e", 110);
      balances.isLive = true;
      positions = new Map([[0, 2]]);
      await vi.waitFor(async () => expect(await told()).toHaveLength(2), { timeout: 10_000 });
      await one.loop.stop();
      await residency.stop();
      await Promise.all(services);
    });
  });
}

function dataOf(payload: string): { readonly entitlement: { readonly at: number } } {
  return (JSON.parse(payload) as { data: { entitlement: { at: number } } }).data;
}

const EVERYTHING = {
  from: undefined,
  to: undefined,
  features: undefined,
  subjects: undefined,
  rules: undefined,
  channels: undefined,
  orderBy: "id",
  order: "ASC",
  page: 1,
  pageSize: 1000,
} as const;
