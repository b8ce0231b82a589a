/**
 * Recurring jobs: each runs once per due time, whichever process gets to it.
 *
 * Invariants:
 * 1. Due times of a job are run one after the other, under the job's lease; the next one is decided only when the run of
 *    this one succeeded.
 * 2. A run whose process dies before it is recorded is run again for the same due time: jobs are idempotent per due time.
 */

import type { Kysely } from "kysely";
import { assert } from "../../kernel/assert.ts";
import { laterInstant, plusMicros, type Instant } from "../../kernel/instant.ts";
import type { Database } from "../state-store/index.ts";
import { backOffMs } from "./back-off.ts";
import { requireLease, underLease, type Lease } from "./leases.ts";
import { Loop } from "./service.ts";

export interface RecurringJob {
  /** Unique, and the same in every version: the state of the job is kept under it. */
  readonly name: string;
  /** The due time that follows `instant`, strictly later. */
  readonly next: (instant: Instant) => Instant;
  /** What to do about due times that passed while nothing ran: run each of them in order, or only the first one. */
  readonly missed: "each" | "first";
  /** `lost` is aborted when another process may have taken over. */
  readonly run: (dueAt: Instant, lost: AbortSignal) => Promise<void>;
}

/** Due times at whole multiples of `everyMs` since 1970, the same in every process. */
export function every(everyMs: number): (instant: Instant) => Instant {
  assert(Number.isSafeInteger(everyMs) && everyMs > 0, "a job recurs after a whole number of milliseconds");
  const micros = everyMs * 1000;
  return (instant) => plusMicros(instant, micros - (((instant % micros) + micros) % micros));
}

export interface ScheduleConfig {
  readonly db: Kysely<Database>;
  readonly now: () => Instant;
  /** Unique per process and start. */
  readonly holder: string;
  readonly jobs: readonly RecurringJob[];
  /** Told of failed runs and of a failing store. */
  readonly onError: (error: unknown) => void;
  /** How often to look for due jobs. Default 1 s. */
  readonly pollIntervalMs?: number;
  /** How long a job of a process that died stays reserved. Default 15 s. */
  readonly leaseTtlMs?: number;
}

/** Runs recurring jobs; any number of processes may run one. Jobs of one process run one after the other. */
export class Schedule {
  readonly #config: ScheduleConfig;
  /** Runs what is due until told to end. */
  readonly loop: Loop;

  constructor(config: ScheduleConfig) {
    const names = new Set(config.jobs.map((job) => job.name));
    assert(names.size === config.jobs.length, "the names of recurring jobs are unique");
    this.#config = config;
    this.loop = new Loop({
      step: async () => (await this.runDue()) > 0,
      intervalMs: config.pollIntervalMs ?? 1000,
      onError: config.onError,
    });
  }

  /** Runs each due job once; resolves with how many ran successfully. A job seen for the first time gets its due time. */
  async runDue(): Promise<number> {
    let succeeded = 0;
    for (const job of this.#config.jobs) if (await this.#runIfDue(job)) succeeded += 1;
    return succeeded;
  }

  async #runIfDue(job: RecurringJob): Promise<boolean> {
    const now = this.#config.now();
    // Without the lease: most of the time nothing is due, and reading takes no lock.
    const state = await this.#read(job.name);
    if (state === undefined) await this.#introduce(job, now);
    if (state === undefined || state.try_at > now) return false;
    const outcome = await underLease(
      {
        db: this.#config.db,
        now: this.#config.now,
        name: `job/${job.name}`,
        holder: this.#config.holder,
        ...(this.#config.leaseTtlMs === undefined ? {} : { ttlMs: this.#config.leaseTtlMs }),
      },
      async (lease, lost) => await this.#runLeased(job, lease, lost),
    );
    return outcome.isHeld && outcome.value;
  }

  async #runLeased(job: RecurringJob, lease: Lease, lost: AbortSignal): Promise<boolean> {
    const now = this.#config.now();
    // Again under the lease: another process may have run it since.
    const state = await this.#read(job.name);
    if (state === undefined || state.try_at > now) return false;
    try {
      await job.run(state.due_at, lost);
    } catch (error) {
      this.#config.onError(error);
      await this.#recordFailure(job, lease, state.failures + 1, error);
      return false;
    }
    await this.#recordSuccess(job, lease, state.due_at);
    return true;
  }

  async #read(name: string): Promise<{ due_at: Instant; try_at: Instant; failures: number } | undefined> {
    return await this.#config.db
      .selectFrom("scheduled_job")
      .select(["due_at", "try_at", "failures"])
      .where("name", "=", name)
      .executeTakeFirst();
  }

  async #introduce(job: RecurringJob, now: Instant): Promise<void> {
    const dueAt = job.next(now);
    await this.#config.db
      .insertInto("scheduled_job")
      .values({ name: job.name, due_at: dueAt, try_at: dueAt })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  async #recordSuccess(job: RecurringJob, lease: Lease, dueAt: Instant): Promise<void> {
    const finishedAt = this.#config.now();
    const next = job.next(job.missed === "first" ? laterInstant(dueAt, finishedAt) : dueAt);
    assert(next > dueAt, "the next due time of a job is later than the one before");
    await this.#config.db.transaction().execute(async (transaction) => {
      await requireLease(transaction, lease);
      await transaction
        .updateTable("scheduled_job")
        .set({
          due_at: next,
          try_at: next,
          failures: 0,
          last_error: null,
          last_due_at: dueAt,
          last_finished_at: finishedAt,
        })
        .where("name", "=", job.name)
        .execute();
    });
  }

  async #recordFailure(job: RecurringJob, lease: Lease, failures: number, error: unknown): Promise<void> {
    await this.#config.db.transaction().execute(async (transaction) => {
      await requireLease(transaction, lease);
      await transaction
        .updateTable("scheduled_job")
        .set({
          try_at: plusMicros(this.#config.now(), backOffMs(failures) * 1000),
          failures,
          last_error: error instanceof Error ? error.message : String(error),
        })
        .where("name", "=", job.name)
        .execute();
    });
  }
}
