/**
 * What the outbox, leases and recurring jobs do, on whatever engine the state store has. Time is a variable of the test;
 * nothing here waits for a clock.
 */

import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { instantFromMicros, plusMicros, type Instant } from "../../kernel/instant.ts";
import { emptyTables, type FixtureEngine, type StateStoreFixture } from "../state-store/fixture.ts";
import type { StateStore } from "../state-store/index.ts";
import { leaseConformance } from "./leases-conformance.ts";
import { appendToOutbox, OutboxDelivery, reviveMessage, type OutboxHandler, type OutboxMessage } from "./outbox.ts";
import { every, Schedule, type RecurringJob } from "./schedule.ts";

/** Registers the suite for one engine. */
export function jobsConformance(engine: FixtureEngine): void {
  describe(`jobs conformance: ${engine.name}`, () => {
    let fixture: StateStoreFixture;
    const store = (): StateStore => fixture.store;
    beforeAll(async () => {
      fixture = await engine.open();
    });
    beforeEach(async () => await emptyTables(fixture.store));
    afterAll(async () => await fixture.close());

    outboxConformance(store);
    leaseConformance(store);
    scheduleConformance(store);
  });
}

const START = instantFromMicros(Date.UTC(2026, 0, 1) * 1000);
const SECOND = 1_000_000;

function at(seconds: number): Instant {
  return plusMicros(START, seconds * SECOND);
}

function ignoreError(): void {}

function outboxConformance(store: () => StateStore): void {
  const append = async (count: number, now: Instant = START): Promise<void> => {
    await store()
      .db.transaction()
      .execute(async (transaction) => {
        const messages = Array.from({ length: count }, (_, n) => ({ topic: "mail", payload: { n } }));
        await appendToOutbox(transaction, messages, now);
      });
  };
  const delivery = (now: () => Instant, handler: OutboxHandler, options: object = {}): OutboxDelivery =>
    new OutboxDelivery({
      db: store().db,
      now,
      handlers: new Map([["mail", handler]]),
      onError: ignoreError,
      ...options,
    });
  const remaining = async (): Promise<readonly { status: string; attempts: number; last_error: string | null }[]> =>
    await store().db.selectFrom("outbox").select(["status", "attempts", "last_error"]).orderBy("id").execute();

  test("a message is delivered once it is committed, and then gone", async () => {
    const delivered: OutboxMessage[] = [];
    const outbox = delivery(
      () => at(1),
      async (message) => void delivered.push(message),
    );
    const rolledBack = store()
      .db.transaction()
      .execute(async (transaction) => {
        await appendToOutbox(transaction, [{ topic: "mail", payload: "never" }], START);
        throw new Error("roll back");
      });
    await expect(rolledBack).rejects.toThrow("roll back");
    expect(await outbox.deliverDue()).toBe(0);
    await append(2);
    expect(await outbox.deliverDue()).toBe(2);
    expect(delivered.map(({ topic, payload, createdAt, attempt }) => ({ topic, payload, createdAt, attempt }))).toEqual(
      [
        { topic: "mail", payload: { n: 0 }, createdAt: START, attempt: 1 },
        { topic: "mail", payload: { n: 1 }, createdAt: START, attempt: 1 },
      ],
    );
    expect(await outbox.deliverDue()).toBe(0);
    expect(await remaining()).toEqual([]);
  });

  test("deliveries side by side share the messages", async () => {
    await append(30);
    const delivered: number[] = [];
    const deliver: OutboxHandler = async (message) => void delivered.push(message.id);
    const both = [delivery(() => at(0), deliver, { batchSize: 7 }), delivery(() => at(0), deliver, { batchSize: 7 })];
    await Promise.all(
      both.map(async (outbox) => {
        while ((await outbox.deliverDue()) > 0);
      }),
    );
    expect(new Set(delivered).size).toBe(30);
    expect(delivered).toHaveLength(30);
  });

  test("a failing message is tried again after 1, 2, 4 seconds, then is dead until it is revived", async () => {
    await append(1);
    let now = at(0);
    const attempts: Instant[] = [];
    const failing: OutboxHandler = async () => {
      attempts.push(now);
      throw new Error("no route");
    };
    const outbox = delivery(() => now, failing, { maxAttempts: 4 });
    for (let second = 0; second <= 10; second += 0.5) {
      now = at(second);
      await outbox.deliverDue();
    }
    expect(attempts).toEqual([at(0), at(1), at(3), at(7)]);
    expect(await remaining()).toEqual([{ status: "dead", attempts: 4, last_error: "no route" }]);
    const { id } = await store().db.selectFrom("outbox").select("id").executeTakeFirstOrThrow();
    expect(await reviveMessage(store().db, id, now)).toBe(true);
    expect(await reviveMessage(store().db, id, now)).toBe(false);
    expect(
      await delivery(
        () => now,
        async () => undefined,
      ).deliverDue(),
    ).toBe(1);
    expect(await remaining()).toEqual([]);
  });

  test("a message whose claimer died is delivered after the claim, and is dead when its attempts are used up", async () => {
    await append(1);
    const started = Promise.withResolvers<void>();
    const stuck = delivery(
      () => at(0),
      async () => {
        started.resolve();
        await new Promise<never>(() => undefined);
      },
      { claimMs: 60_000 },
    );
    void stuck.deliverDue();
    await started.promise;
    const delivered: number[] = [];
    const other = (seconds: number, maxAttempts: number): OutboxDelivery =>
      delivery(
        () => at(seconds),
        async (message) => void delivered.push(message.attempt),
        { maxAttempts },
      );
    expect(await other(59, 2).deliverDue()).toBe(0);
    expect(await other(60, 1).deliverDue()).toBe(0);
    expect(await remaining()).toEqual([{ status: "dead", attempts: 1, last_error: "no attempt came to an end" }]);
    await store().db.updateTable("outbox").set({ status: "pending" }).execute();
    expect(await other(60, 2).deliverDue()).toBe(1);
    expect(delivered).toEqual([2]);
  });

  test("messages of topics without a handler are left alone", async () => {
    await append(1);
    const other = new OutboxDelivery({ db: store().db, now: () => at(9), handlers: new Map(), onError: ignoreError });
    expect(await other.deliverDue()).toBe(0);
    expect(await remaining()).toEqual([{ status: "pending", attempts: 0, last_error: null }]);
  });

  test("as a service: delivers when woken, and drains what is due before it ends", async () => {
    const delivered: number[] = [];
    const first = Promise.withResolvers<void>();
    const outbox = delivery(
      () => at(0),
      async (message) => {
        delivered.push(message.id);
        first.resolve();
      },
      // Longer than any test: only `wake` and `drain` can cause a delivery.
      { pollIntervalMs: 1_000_000, batchSize: 1 },
    );
    const running = outbox.loop.run();
    await append(1);
    outbox.loop.wake();
    await first.promise;
    await append(3);
    await outbox.loop.drain();
    await running;
    expect(delivered).toHaveLength(4);
  });
}

function scheduleConformance(store: () => StateStore): void {
  const schedule = (holder: string, now: () => Instant, jobs: readonly RecurringJob[]): Schedule =>
    new Schedule({ db: store().db, now, holder, jobs, onError: ignoreError });
  const TEN_SECONDS = every(10_000);

  test.each([
    ["each", [at(10), at(20), at(30), at(40)]],
    ["first", [at(10), at(20), at(40)]],
  ] as const)("missed due times: %s", async (missed, want) => {
    let now = at(3);
    const runs: Instant[] = [];
    const job = { name: "job", next: TEN_SECONDS, missed, run: async (dueAt: Instant) => void runs.push(dueAt) };
    const jobs = schedule("one", () => now, [job]);
    for (const second of [3, 9, 10, 10, 35, 35, 35, 41, 41]) {
      now = at(second);
      await jobs.runDue();
    }
    expect(runs).toEqual(want);
  });

  test("a failed run is tried again for the same due time, after a back-off", async () => {
    let now = at(0);
    const runs: (readonly [Instant, Instant])[] = [];
    const run = async (dueAt: Instant): Promise<void> => {
      runs.push([now, dueAt]);
      if (runs.length < 3) throw new Error("not yet");
    };
    const jobs = schedule("one", () => now, [{ name: "job", next: TEN_SECONDS, missed: "each", run }]);
    for (let second = 0; second <= 15; second += 0.5) {
      now = at(second);
      await jobs.runDue();
    }
    expect(runs).toEqual([
      [at(10), at(10)],
      [at(11), at(10)],
      [at(13), at(10)],
    ]);
    const state = await store().db.selectFrom("scheduled_job").selectAll().executeTakeFirstOrThrow();
    expect(state).toEqual({
      name: "job",
      due_at: at(20),
      try_at: at(20),
      failures: 0,
      last_error: null,
      last_due_at: at(10),
      last_finished_at: at(13),
    });
  });

  test("law: however many processes look, and however often, each due time runs exactly once and in order", async () => {
    const steps = fc.array(
      fc.record({ seconds: fc.integer({ min: 0, max: 25 }), processes: fc.integer({ min: 1, max: 3 }) }),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    let law = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (moves) => {
        law += 1;
        let second = 0;
        const runs: Instant[] = [];
        const job: RecurringJob = {
          name: `law ${law}`,
          next: TEN_SECONDS,
          missed: "each",
          run: async (dueAt) => void runs.push(dueAt),
        };
        const processes = ["a", "b", "c"].map((holder) => schedule(holder, () => at(second), [job]));
        await processes[0]?.runDue();
        for (const { seconds, processes: count } of moves) {
          second += seconds;
          await Promise.all(processes.slice(0, count).map(async (process) => await process.runDue()));
        }
        while ((await processes[0]?.runDue()) === 1);
        const want = Array.from({ length: Math.floor(second / 10) }, (_, index) => at(10 * (index + 1)));
        expect(runs).toEqual(want);
      }),
      { numRuns: 15 },
    );
  });
}
