/**
 * Sends what is due: takes deliveries, attempts them side by side, records what came of them.
 *
 * Invariants: no transaction is open while something is sent; at most `concurrency` attempts run, and at most
 * `perChannel` to one channel, so that a slow receiver delays nobody else; whatever is taken is recorded, given back, or
 * taken again when its lease ends.
 */

import type { Kysely } from "kysely";
import { Loop, type Service } from "../../engines/jobs/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { AddressRules } from "../channels/addresses.ts";
import { secretsAt } from "../channels/channel.ts";
import { attemptDelivery, type AttemptOutcome, type Resolve, systemResolve } from "./attempt.ts";
import { type DeliveryOutcome, giveBack, recordOutcome, takeDue, type TakenDelivery } from "./delivery-store.ts";
import { isOverdue, nextAttempt } from "./retry-schedule.ts";
import { signatureHeaders } from "./signature.ts";

/** What became of an attempt, for metrics. */
export type AttemptResult = "success" | "retry" | "failed";

export interface DeliveryWorkerOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly addresses: AddressRules;
  /** For the `user-agent` header. */
  readonly version: string;
  /** From [0, 1), for the jitter of delays. */
  readonly random: () => number;
  readonly onAttempt: (result: AttemptResult) => void;
  /** Told of a failing store. */
  readonly onError: (error: unknown) => void;
  readonly resolve?: Resolve;
  readonly timeoutMs?: number;
  readonly concurrency?: number;
  readonly perChannel?: number;
  /** How often to look for what is due without being woken. */
  readonly pollIntervalMs?: number;
}

const TIMEOUT_MS = 15_000;
const CONCURRENCY = 32;
const PER_CHANNEL = 4;

export class DeliveryWorker implements Service {
  readonly #options: DeliveryWorkerOptions;
  readonly #loop: Loop;
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #busy = new Map<string, number>();

  constructor(options: DeliveryWorkerOptions) {
    this.#options = options;
    this.#loop = new Loop({
      step: async () => await this.#take(),
      intervalMs: options.pollIntervalMs ?? 1000,
      onError: options.onError,
    });
  }

  async run(): Promise<void> {
    await this.#loop.run();
  }

  /** Cuts off what is being sent; it is sent again at the next start. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop.stop();
    await Promise.all(this.#running);
  }

  async drain(): Promise<void> {
    await this.#loop.drain();
    await Promise.all(this.#running);
  }

  /** Something is due: looks at once. */
  wake(): void {
    this.#loop.wake();
  }

  /** Takes what is due and starts to send it. What finds no free place is taken when one is free again. */
  async #take(): Promise<boolean> {
    const { db, namespace, clock, concurrency = CONCURRENCY, perChannel = PER_CHANNEL } = this.#options;
    const free = concurrency - this.#running.size;
    if (free <= 0 || this.#abort.signal.aborted) return false;
    const taken = await takeDue(db, namespace, clock.now(), { free, perChannel, busy: this.#busy });
    for (const delivery of taken) this.#start(delivery);
    return false;
  }

  #start(delivery: TakenDelivery): void {
    const { channelId } = delivery;
    this.#busy.set(channelId, (this.#busy.get(channelId) ?? 0) + 1);
    const running = this.#deliver(delivery)
      .catch(this.#options.onError)
      .finally(() => {
        const others = (this.#busy.get(channelId) ?? 1) - 1;
        if (others === 0) this.#busy.delete(channelId);
        else this.#busy.set(channelId, others);
        this.#running.delete(running);
        // What had to wait for a free place may go now.
        this.#loop.wake();
      });
    this.#running.add(running);
  }

  async #deliver(delivery: TakenDelivery): Promise<void> {
    const { db, clock, onAttempt } = this.#options;
    const refusal = refusalOf(delivery, isOverdue(delivery.startedAt, clock.now()));
    if (refusal !== null) {
      onAttempt("failed");
      const outcome = { state: "FAILED", reason: refusal, dueAt: null, attempt: null } as const;
      await recordOutcome(db, delivery, outcome, clock.now());
      return;
    }
    const at = clock.now();
    const outcome = await this.#attempt(delivery);
    if (!outcome.isSuccess && this.#abort.signal.aborted) {
      await giveBack(db, delivery, clock.now());
      return;
    }
    const { isSuccess, statusCode, body, durationMs } = outcome;
    const attempt = { at, isSuccess, statusCode, body, durationMs, url: delivery.url };
    const next = this.#next(delivery, outcome);
    onAttempt(next.state === "SUCCESS" ? "success" : next.state === "SENDING" ? "retry" : "failed");
    await recordOutcome(db, delivery, { ...next, attempt }, clock.now());
  }

  async #attempt(delivery: TakenDelivery): Promise<AttemptOutcome> {
    const { clock, version, addresses, resolve = systemResolve, timeoutMs = TIMEOUT_MS } = this.#options;
    const { eventId, payload: body, url, customHeaders } = delivery;
    const now = clock.now();
    const headers = {
      "content-type": "application/json",
      "user-agent": `Tallystick-Webhooks/${version}`,
      ...signatureHeaders({ id: `msg_${eventId}`, at: now, body }, secretsAt(delivery, now)),
      ...customHeaders,
    };
    return await attemptDelivery(
      { url, headers, body },
      { addresses, resolve, timeoutMs, clock, signal: this.#abort.signal },
    );
  }

  #next(delivery: TakenDelivery, { isSuccess, retryAfterMs }: AttemptOutcome): Omit<DeliveryOutcome, "attempt"> {
    if (isSuccess) return { state: "SUCCESS", reason: "", dueAt: null };
    const { clock, random } = this.#options;
    const next = nextAttempt({ ...delivery, retryAfterMs }, clock.now(), random());
    if (next === "exhausted") return { state: "FAILED", reason: "attempts exhausted", dueAt: null };
    return { state: "SENDING", reason: "", dueAt: next };
  }
}

/** Why a delivery is not even tried; null when it is. */
function refusalOf(delivery: TakenDelivery, isLate: boolean): string | null {
  if (delivery.isChannelDeleted) return "channel deleted";
  if (delivery.isChannelDisabled) return "channel disabled";
  return isLate ? "not delivered within 48 hours" : null;
}
