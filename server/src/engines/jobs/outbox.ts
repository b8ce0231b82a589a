/**
 * The outbox: notifications that commit together with the state change they announce, and are then delivered.
 *
 * Invariants:
 * 1. A message exists exactly when its transaction committed.
 * 2. Every message is delivered at least once, or is dead after `maxAttempts` attempts and kept until it is revived.
 *    Handlers are therefore idempotent, by `message.id`.
 * 3. Claiming counts as an attempt, so a message that kills its process is dead in the end, too.
 * Messages are not ordered: one that fails does not hold back the others.
 */

import { sql, type Kysely, type Transaction } from "kysely";
import { plusMicros, type Instant } from "../../kernel/instant.ts";
import type { Database, JsonValue } from "../state-store/index.ts";
import { backOffMs } from "./back-off.ts";
import { Loop } from "./service.ts";

export interface NewMessage {
  /** Which handler gets it. */
  readonly topic: string;
  readonly payload: JsonValue;
}

export interface OutboxMessage extends NewMessage {
  readonly id: number;
  readonly createdAt: Instant;
  /** 1 for the first delivery. */
  readonly attempt: number;
}

/** Delivers one message; a rejection has it delivered again after a back-off. */
export type OutboxHandler = (message: OutboxMessage) => Promise<void>;

/** Adds messages to the transaction of the state change that they announce. */
export async function appendToOutbox(
  transaction: Transaction<Database>,
  messages: readonly NewMessage[],
  now: Instant,
): Promise<void> {
  if (messages.length === 0) return;
  const rows = messages.map(({ topic, payload }) => ({
    topic,
    payload: JSON.stringify(payload),
    due_at: now,
    created_at: now,
  }));
  await transaction.insertInto("outbox").values(rows).execute();
}

/** Makes a dead message due again, with all of its attempts; false when there is no such dead message. */
export async function reviveMessage(db: Kysely<Database>, id: number, now: Instant): Promise<boolean> {
  const result = await db
    .updateTable("outbox")
    .set({ status: "pending", attempts: 0, due_at: now })
    .where("id", "=", id)
    .where("status", "=", "dead")
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

export interface OutboxConfig {
  readonly db: Kysely<Database>;
  readonly now: () => Instant;
  /** By topic. Messages of other topics are left to other processes. */
  readonly handlers: ReadonlyMap<string, OutboxHandler>;
  /** Told of failed deliveries and of a failing store. */
  readonly onError: (error: unknown) => void;
  /** Messages claimed, and delivered at the same time, per step. Default 20. */
  readonly batchSize?: number;
  /** A message that is neither delivered nor failed after this long is claimed again. Default 60 s. */
  readonly claimMs?: number;
  /** Default 20, which with the back-off spans half a day. */
  readonly maxAttempts?: number;
  /** How often to look for due messages when not woken. Default 1 s. */
  readonly pollIntervalMs?: number;
}

/** Delivers due messages; any number of processes may run one. */
export class OutboxDelivery {
  readonly #config: OutboxConfig;
  readonly #batchSize: number;
  readonly #claimMs: number;
  readonly #maxAttempts: number;
  /** Delivers until told to end; woken after messages were appended, it does not wait for the next poll. */
  readonly loop: Loop;

  constructor(config: OutboxConfig) {
    this.#config = config;
    this.#batchSize = config.batchSize ?? 20;
    this.#claimMs = config.claimMs ?? 60_000;
    this.#maxAttempts = config.maxAttempts ?? 20;
    this.loop = new Loop({
      step: async () => (await this.deliverDue()) > 0,
      intervalMs: config.pollIntervalMs ?? 1000,
      onError: config.onError,
    });
  }

  /** Claims one batch of due messages and tries to deliver them; resolves with how many it claimed. */
  async deliverDue(): Promise<number> {
    const topics = [...this.#config.handlers.keys()];
    if (topics.length === 0) return 0;
    const messages = await this.#claim(topics, this.#config.now());
    await Promise.all(messages.map(async (message) => await this.#deliver(message)));
    return messages.length;
  }

  async #claim(topics: readonly string[], now: Instant): Promise<readonly OutboxMessage[]> {
    // Whose last attempt neither succeeded nor failed: its process died with it.
    await this.#config.db
      .updateTable("outbox")
      .set({ status: "dead", last_error: sql`coalesce(last_error, 'no attempt came to an end')` })
      .where("status", "=", "pending")
      .where("due_at", "<=", now)
      .where("attempts", ">=", this.#maxAttempts)
      .execute();
    // Oldest first; `skip locked` lets processes claim side by side without waiting for each other.
    const due = this.#config.db
      .selectFrom("outbox")
      .select("id")
      .where("status", "=", "pending")
      .where("due_at", "<=", now)
      .where("topic", "in", topics)
      .orderBy("due_at")
      .orderBy("id")
      .limit(this.#batchSize)
      .forUpdate()
      .skipLocked();
    const claimed = await this.#config.db
      .updateTable("outbox")
      .set({ attempts: sql`attempts + 1`, due_at: plusMillis(now, this.#claimMs) })
      .where("id", "in", due)
      .returning(["id", "topic", "payload", "created_at", "attempts"])
      .execute();
    return claimed.map((row) => ({
      id: row.id,
      topic: row.topic,
      payload: row.payload,
      createdAt: row.created_at,
      attempt: row.attempts,
    }));
  }

  async #deliver(message: OutboxMessage): Promise<void> {
    const handler = this.#config.handlers.get(message.topic);
    if (handler === undefined) return;
    try {
      await handler(message);
    } catch (error) {
      this.#config.onError(error);
      await this.#postpone(message, error);
      return;
    }
    // Delivered is delivered, also when the claim ran out meanwhile and another process is at it again.
    await this.#config.db.deleteFrom("outbox").where("id", "=", message.id).execute();
  }

  async #postpone(message: OutboxMessage, error: unknown): Promise<void> {
    const isDead = message.attempt >= this.#maxAttempts;
    // Only this attempt's claim: a later claimer decides for itself.
    await this.#config.db
      .updateTable("outbox")
      .set({
        status: isDead ? "dead" : "pending",
        due_at: plusMillis(this.#config.now(), backOffMs(message.attempt)),
        last_error: error instanceof Error ? error.message : String(error),
      })
      .where("id", "=", message.id)
      .where("attempts", "=", message.attempt)
      .execute();
  }
}

function plusMillis(instant: Instant, ms: number): Instant {
  return plusMicros(instant, ms * 1000);
}
