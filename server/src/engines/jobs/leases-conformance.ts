/** What leases do on whatever engine the state store has; part of the jobs' conformance suite. */

import { expect, test, vi } from "vitest";
import { instantFromMicros, plusMicros, type Instant } from "../../kernel/instant.ts";
import type { StateStore } from "../state-store/index.ts";
import {
  acquireLease,
  LeasedWork,
  LeaseLost,
  releaseLease,
  renewLease,
  requireLease,
  underLease,
  type Lease,
  type LeaseConfig,
} from "./leases.ts";

const START = instantFromMicros(Date.UTC(2026, 0, 1) * 1000);
const TTL_MS = 10_000;

function at(seconds: number): Instant {
  return plusMicros(START, seconds * 1_000_000);
}

/** Registers the tests. */
export function leaseConformance(store: () => StateStore): void {
  const acquire = async (holder: string, seconds: number): Promise<Lease | undefined> =>
    await acquireLease(store().db, { name: "partition/0", holder, ttlMs: TTL_MS, now: at(seconds) });
  const held = async (holder: string, seconds: number): Promise<Lease> => {
    const lease = await acquire(holder, seconds);
    if (lease === undefined) throw new Error(`${holder} does not get the lease`);
    return lease;
  };
  const config = (holder: string, now: () => Instant): LeaseConfig => ({
    db: store().db,
    name: "partition/0",
    holder,
    ttlMs: TTL_MS,
    now,
  });

  test("a lease has one holder until it expires or is released, and its token always rises", async () => {
    const first = await held("a", 0);
    expect(first).toEqual({ name: "partition/0", holder: "a", fencingToken: 1, expiresAt: at(10) });
    expect(await acquire("b", 9.999999)).toBeUndefined();
    expect(await acquire("a", 5)).toBeUndefined();
    const second = await held("b", 10);
    expect(second.fencingToken).toBe(2);
    expect(await renewLease(store().db, first, TTL_MS, at(11))).toBeUndefined();
    await releaseLease(store().db, first, at(11));
    expect(await acquire("a", 11)).toBeUndefined();
    await releaseLease(store().db, second, at(12));
    expect((await held("a", 12)).fencingToken).toBe(3);
  });

  test("a renewed lease lives longer, and an expired one that nobody took can be renewed", async () => {
    const lease = await held("a", 0);
    expect((await renewLease(store().db, lease, TTL_MS, at(5)))?.expiresAt).toBe(at(15));
    expect(await acquire("b", 14)).toBeUndefined();
    expect((await renewLease(store().db, lease, TTL_MS, at(20)))?.expiresAt).toBe(at(30));
    await releaseLease(store().db, lease, at(21));
    expect(await renewLease(store().db, lease, TTL_MS, at(21))).toBeUndefined();
  });

  test("of many that try at once, one gets it", async () => {
    const results = await Promise.all(Array.from({ length: 8 }, async (_, n) => await acquire(`p${n}`, 0)));
    expect(results.filter((lease) => lease !== undefined)).toHaveLength(1);
  });

  test("a write under a lease that passed on is fenced off", async () => {
    const old = await held("a", 0);
    const current = await held("b", 10);
    const write = async (lease: Lease): Promise<void> =>
      await store()
        .db.transaction()
        .execute(async (transaction) => {
          await requireLease(transaction, lease);
          const row = { partition: lease.fencingToken, stored_upto: 1, last_stored_at: START };
          await transaction.insertInto("stored_position").values(row).execute();
        });
    await expect(write(old)).rejects.toThrow(LeaseLost);
    await write(current);
    expect(await store().db.selectFrom("stored_position").select("partition").execute()).toEqual([{ partition: 2 }]);
  });

  test("work under a lease keeps it renewed, shuts others out, and releases it", async () => {
    let now = at(0);
    const result = await underLease({ ...config("a", () => now), renewEveryMs: 1 }, async (lease, lost) => {
      now = at(8);
      await vi.waitUntil(async () => (await expiresAt(store())) === at(18));
      expect(
        await underLease(
          config("b", () => now),
          async () => "b",
        ),
      ).toEqual({ isHeld: false });
      expect(lost.aborted).toBe(false);
      return lease.fencingToken;
    });
    expect(result).toEqual({ isHeld: true, value: 1 });
    expect((await held("b", 8)).fencingToken).toBe(2);
  });

  test("work is told when its lease passed on", async () => {
    let now = at(0);
    await underLease({ ...config("a", () => now), renewEveryMs: 1_000_000 }, async (_, neverRenewed) => {
      now = at(10);
      expect(neverRenewed.aborted).toBe(false);
      const inner = await underLease({ ...config("b", () => now), renewEveryMs: 1 }, async (lease, lost) => {
        await store()
          .db.updateTable("lease")
          .set({ holder: "c", fencing_token: lease.fencingToken + 1 })
          .execute();
        await vi.waitUntil(() => lost.aborted);
        expect(lost.reason).toBeInstanceOf(LeaseLost);
      });
      expect(inner.isHeld).toBe(true);
    });
    const row = await store().db.selectFrom("lease").select("holder").executeTakeFirst();
    expect(row).toEqual({ holder: "c" });
  });

  test("leased work: one service works, the other takes over when it stops", async () => {
    const log: string[] = [];
    const service = (name: string): LeasedWork =>
      new LeasedWork({
        ...config(name, () => START),
        retryEveryMs: 1,
        onError: (error) => log.push(`error ${String(error)}`),
        work: async (_, ending) => {
          log.push(`${name} starts`);
          await new Promise((resolve) => ending.addEventListener("abort", resolve));
          log.push(`${name} ends`);
        },
      });
    const a = service("a");
    const b = service("b");
    const runs = [a.run()];
    await vi.waitUntil(() => log.length === 1);
    runs.push(b.run());
    await a.stop();
    await vi.waitUntil(() => log.length === 3);
    await b.drain();
    await Promise.all(runs);
    expect(log).toEqual(["a starts", "a ends", "b starts", "b ends"]);
  });
}

async function expiresAt(store: StateStore): Promise<Instant | undefined> {
  return (await store.db.selectFrom("lease").select("expires_at").executeTakeFirst())?.expires_at;
}
