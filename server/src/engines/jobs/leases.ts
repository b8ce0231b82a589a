/**
 * Leases: at most one holder of a name at a time, across processes.
 *
 * Invariants:
 * 1. Two live leases of one name never exist by the clock of the store's users; their clocks are kept together by NTP.
 * 2. Every acquisition has a greater fencing token than all before, so clocks matter for liveness only: a writer that
 *    checks its token in the transaction of its writes (`requireLease`) never writes under a lease that passed on.
 */

import { sql, type Kysely, type Transaction } from "kysely";
import { plusMicros, type Instant } from "../../kernel/instant.ts";
import type { Database } from "../state-store/index.ts";
import { Pause, type Service } from "./service.ts";

export interface Lease {
  readonly name: string;
  /** Who holds it, such as host, process number and a random part. */
  readonly holder: string;
  /** 1 for the first holder of the name. */
  readonly fencingToken: number;
  readonly expiresAt: Instant;
}

/** The lease passed on to another holder: whatever relied on it must end without another write. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";

  constructor(name: string) {
    super(`the lease ${name} is held by another process`);
  }
}

export interface LeaseRequest {
  readonly name: string;
  readonly holder: string;
  readonly ttlMs: number;
  readonly now: Instant;
}

/** Takes the lease if it is free or has expired, else undefined. */
export async function acquireLease(db: Kysely<Database>, request: LeaseRequest): Promise<Lease | undefined> {
  const expiresAt = expiry(request.now, request.ttlMs);
  // One statement, so that of two processes one waits for the other's row and then finds the lease taken.
  const row = await db
    .insertInto("lease")
    .values({ name: request.name, holder: request.holder, fencing_token: 1, expires_at: expiresAt })
    .onConflict((conflict) =>
      conflict
        .column("name")
        .doUpdateSet({ holder: request.holder, fencing_token: sql`lease.fencing_token + 1`, expires_at: expiresAt })
        .where("lease.expires_at", "<=", request.now),
    )
    .returning("fencing_token")
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return { name: request.name, holder: request.holder, fencingToken: row.fencing_token, expiresAt };
}

/**
 * Extends the lease to `now + ttlMs`; undefined when it passed on. An expired lease that nobody took meanwhile is
 * extended: its token is still the greatest.
 */
export async function renewLease(
  db: Kysely<Database>,
  lease: Lease,
  ttlMs: number,
  now: Instant,
): Promise<Lease | undefined> {
  const expiresAt = expiry(now, ttlMs);
  const result = await db
    .updateTable("lease")
    .set({ expires_at: expiresAt })
    .where("name", "=", lease.name)
    .where("fencing_token", "=", lease.fencingToken)
    .where("holder", "=", lease.holder)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n ? { ...lease, expiresAt } : undefined;
}

/** Frees the lease at once; without effect when it passed on. */
export async function releaseLease(db: Kysely<Database>, lease: Lease, now: Instant): Promise<void> {
  // The row and its token stay; the holder's name is cleared so that a late renewal finds nothing.
  await db
    .updateTable("lease")
    .set({ expires_at: now, holder: "" })
    .where("name", "=", lease.name)
    .where("fencing_token", "=", lease.fencingToken)
    .where("holder", "=", lease.holder)
    .execute();
}

/**
 * Throws `LeaseLost` unless the lease is still this holder's, and keeps it so until the transaction ends: put it first
 * into every transaction that writes what the lease protects.
 */
export async function requireLease(transaction: Transaction<Database>, lease: Lease): Promise<void> {
  const row = await transaction
    .selectFrom("lease")
    .select("name")
    .where("name", "=", lease.name)
    .where("fencing_token", "=", lease.fencingToken)
    .where("holder", "=", lease.holder)
    .forShare()
    .executeTakeFirst();
  if (row === undefined) throw new LeaseLost(lease.name);
}

export interface LeaseConfig {
  readonly db: Kysely<Database>;
  readonly now: () => Instant;
  readonly name: string;
  /** Unique per process and start. */
  readonly holder: string;
  /** How long the lease outlives a holder that died. Default 15 s. */
  readonly ttlMs?: number;
  /** Default a third of `ttlMs`. */
  readonly renewEveryMs?: number;
}

export type UnderLease<T> = { readonly isHeld: false } | { readonly isHeld: true; readonly value: T };

const DEFAULT_TTL_MS = 15_000;

/**
 * Runs `work` while it holds the lease, renewing it meanwhile, and releases it afterwards; without `work` when somebody
 * else holds it. `lost` is aborted when the lease passed on or could not be renewed before it expired.
 */
export async function underLease<T>(
  config: LeaseConfig,
  work: (lease: Lease, lost: AbortSignal) => Promise<T>,
): Promise<UnderLease<T>> {
  const { db, name, holder, now } = config;
  const ttlMs = config.ttlMs ?? DEFAULT_TTL_MS;
  const lease = await acquireLease(db, { name, holder, ttlMs, now: now() });
  if (lease === undefined) return { isHeld: false };
  const lost = new AbortController();
  const stopRenewing = renewInBackground(config, lease, ttlMs, lost);
  try {
    return { isHeld: true, value: await work(lease, lost.signal) };
  } finally {
    await stopRenewing();
    // A lease that cannot be released now expires by itself; the outcome of the work matters more.
    await releaseLease(db, lease, now()).catch(() => undefined);
  }
}

function renewInBackground(
  config: LeaseConfig,
  lease: Lease,
  ttlMs: number,
  lost: AbortController,
): () => Promise<void> {
  const pause = new Pause();
  const everyMs = config.renewEveryMs ?? ttlMs / 3;
  let isDone = false;
  const renew = async (): Promise<void> => {
    let current = lease;
    for (;;) {
      await pause.wait(everyMs);
      if (isDone) return;
      let renewed: Lease | undefined = current;
      try {
        renewed = await renewLease(config.db, current, ttlMs, config.now());
      } catch {
        // The store may come back before the lease expires; until then it is still ours.
        if (config.now() >= current.expiresAt) renewed = undefined;
      }
      if (renewed === undefined) {
        lost.abort(new LeaseLost(lease.name));
        return;
      }
      current = renewed;
    }
  };
  const renewing = renew();
  return async () => {
    isDone = true;
    pause.wake();
    await renewing;
  };
}

export interface LeasedWorkConfig extends LeaseConfig {
  /** Runs until `ending` is aborted: by `stop` or `drain`, or because the lease was lost. */
  readonly work: (lease: Lease, ending: AbortSignal) => Promise<void>;
  /** Told of failed work and of a failing store. */
  readonly onError: (error: unknown) => void;
  /** How long to wait before trying for the lease again. Default a third of `ttlMs`. */
  readonly retryEveryMs?: number;
}

/** A service that works whenever it holds its lease: one process works, the others stand by. */
export class LeasedWork implements Service {
  readonly #config: LeasedWorkConfig;
  readonly #ending = new AbortController();
  readonly #pause = new Pause();
  #ended: Promise<void> | undefined;

  constructor(config: LeasedWorkConfig) {
    this.#config = config;
  }

  async run(): Promise<void> {
    this.#ended ??= this.#standBy();
    await this.#ended;
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    this.#pause.wake();
    await this.#ended;
  }

  /** The work itself knows what it must finish after `ending`. */
  async drain(): Promise<void> {
    await this.stop();
  }

  async #standBy(): Promise<void> {
    const retryEveryMs = this.#config.retryEveryMs ?? (this.#config.ttlMs ?? DEFAULT_TTL_MS) / 3;
    while (!this.#ending.signal.aborted) {
      try {
        await underLease(this.#config, async (lease, lost) => {
          await this.#config.work(lease, AbortSignal.any([lost, this.#ending.signal]));
        });
      } catch (error) {
        this.#config.onError(error);
      }
      if (!this.#ending.signal.aborted) await this.#pause.wait(retryEveryMs);
    }
  }
}

function expiry(now: Instant, ttlMs: number): Instant {
  return plusMicros(now, Math.ceil(ttlMs * 1000));
}
