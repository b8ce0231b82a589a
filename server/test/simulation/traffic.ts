/**
 * Clients of the product under test, and the ledger of what they sent and what was acknowledged.
 *
 * Clients send batches and retry them until they are acknowledged, send acknowledged ones again, and give some up after
 * the first failure. Batches repeat identities, within themselves and across batches, now and then with another payload.
 * The ledger's clock orders what clients saw: a batch acknowledged before another was first sent comes first in the log.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../oracle/random.ts";

export const EVENT_TYPE = "usage";
export const SUBJECTS: readonly string[] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];

/** One of the payloads that an identity was sent with. */
export interface SentEvent {
  readonly source: string;
  readonly id: string;
  /** Tells the payloads of an identity apart; part of the data. */
  readonly variant: number;
  readonly subject: string;
  /** As listings show it; null when the server is to fill it in. */
  readonly time: string | null;
  /** The amount, in hundredths. */
  readonly hundredths: number;
}

export interface SentBatch {
  readonly events: readonly SentEvent[];
  readonly body: string;
  /** Its sender does not try again after a failure, and nobody else uses its identities. */
  readonly isGivenUp: boolean;
  firstSentAt: number;
  /** Infinity until it is acknowledged. */
  firstAcknowledgedAt: number;
  sends: number;
  acknowledgements: number;
}

const SIZES = [1, 1, 2, 5, 20, 60, 200] as const;
const MINUTE_MS = 60_000;
const FIRST_MINUTE_MS = Date.UTC(2026, 0, 1);
/** Events gather in so many minutes, spread over two months. */
const MINUTES = 600;
const MINUTES_APART = 147;
const WIDE_MONTHS = 15;
const RETRY_MS = 15;
/** Longest pause of a client between two batches: three clients then send less than the sink stores. */
const PAUSE_MS = 200;
const BURST_RARITY = 80;
const BURST_BATCHES = 30;
const LARGE_EVENTS = 60;
/** Longer than the product can be away, on a machine that is busy with other things too. */
const DELIVERY_DEADLINE_MS = 150_000;
const REQUEST_TIMEOUT_MS = 15_000;

export class Ledger {
  readonly batches: SentBatch[] = [];
  /** Answers that no client should ever get. */
  readonly problems: string[] = [];
  /** Identities that any batch may carry, by number. */
  readonly #shared: number[] = [];
  readonly #random: Random;
  #clock = 0;
  #identities = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** How many identities were made up so far. */
  get identities(): number {
    return this.#identities;
  }

  makeBatch(): SentBatch {
    const random = this.#random;
    const isGivenUp = random.oneIn(6);
    const isWide = random.oneIn(10);
    const fresh: number[] = [];
    const events = random.list(random.pick(SIZES), (): SentEvent => {
      const pool = isGivenUp || random.oneIn(3) ? fresh : this.#shared;
      if (random.oneIn(4) && pool.length > 0) return sentEvent(random.pick(pool), random.oneIn(5) ? 1 : 0, isWide);
      const identity = this.#identities;
      this.#identities += 1;
      fresh.push(identity);
      return sentEvent(identity, 0, isWide);
    });
    if (!isGivenUp) this.#shared.push(...fresh);
    const batch: SentBatch = {
      events,
      body: `[${events.map(eventText).join(",")}]`,
      isGivenUp,
      firstSentAt: Number.POSITIVE_INFINITY,
      firstAcknowledgedAt: Number.POSITIVE_INFINITY,
      sends: 0,
      acknowledgements: 0,
    };
    this.batches.push(batch);
    return batch;
  }

  acknowledged(): readonly SentBatch[] {
    return this.batches.filter((batch) => batch.acknowledgements > 0);
  }

  sent(batch: SentBatch): void {
    batch.sends += 1;
    batch.firstSentAt = Math.min(batch.firstSentAt, this.#tick());
  }

  confirmed(batch: SentBatch): void {
    batch.acknowledgements += 1;
    batch.firstAcknowledgedAt = Math.min(batch.firstAcknowledgedAt, this.#tick());
  }

  #tick(): number {
    this.#clock += 1;
    return this.#clock;
  }
}

/** A payload is a function of identity, variant and width, so that it can be sent again from any batch. */
function sentEvent(identity: number, variant: number, isWide: boolean): SentEvent {
  // The width belongs to the payload, or an identity would conflict with itself.
  const kind = variant + (isWide ? 2 : 0);
  const mixed = Math.imul(identity * 4 + kind + 1, 0x9e3779b1) >>> 0;
  return {
    source: `source-${identity % 2}`,
    id: `event-${Math.floor(identity / 2)}`,
    variant: kind,
    subject: SUBJECTS[mixed % SUBJECTS.length] ?? "",
    time: timeOf(mixed, isWide),
    hundredths: mixed % 100_000,
  };
}

function timeOf(mixed: number, isWide: boolean): string | null {
  if (mixed % 5 === 0) return null;
  const at = isWide
    ? Date.UTC(2022, mixed % WIDE_MONTHS, 15)
    : FIRST_MINUTE_MS + (mixed % MINUTES) * MINUTES_APART * MINUTE_MS;
  return new Date(at + (mixed % 60) * 1000).toISOString().replace(".000Z", mixed % 3 === 0 ? ".000007Z" : "Z");
}

function eventText(event: SentEvent): string {
  const { source, id, subject, time } = event;
  const head = JSON.stringify({ specversion: "1.0", type: EVENT_TYPE, source, id, subject, ...(time && { time }) });
  return `${head.slice(0, -1)},"data":${dataText(event)}}`;
}

export function dataText({ source, id, variant, hundredths }: SentEvent): string {
  const amount = `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")}`;
  return `{"amount":${amount},"variant":${variant},"key":"${source}/${id}"}`;
}

export interface ClientOptions {
  readonly ledger: Ledger;
  readonly random: Random;
  /** Where the product listens; another address after each restart, null while it starts. */
  readonly url: () => string | null;
  /** As many identities may be made up by now; above, clients send old batches again. */
  readonly identityBudget: () => number;
  readonly signal: AbortSignal;
}

/** Sends until aborted, and then until the batch in hand is acknowledged or given up. */
export async function runClient(options: ClientOptions): Promise<void> {
  const { ledger, random, signal } = options;
  while (!signal.aborted) {
    const old = ledger.acknowledged();
    const isNew = old.length === 0 || (ledger.identities < options.identityBudget() && random.oneIn(2));
    if (isNew) await deliver(options, ledger.makeBatch());
    else if (random.oneIn(BURST_RARITY)) await burst(options, old);
    else await deliver(options, random.pick(old));
    await delay(random.below(PAUSE_MS));
  }
}

/** So many events at once that the sink prepares a batch while the one before it is inserted. */
async function burst(options: ClientOptions, old: readonly SentBatch[]): Promise<void> {
  const large = old.filter((batch) => batch.events.length >= LARGE_EVENTS);
  if (large.length === 0) return;
  await Promise.all(options.random.list(BURST_BATCHES, () => deliver(options, options.random.pick(large))));
}

async function deliver(options: ClientOptions, batch: SentBatch): Promise<void> {
  if (!batch.isGivenUp) {
    const deadlineMs = performance.now() + DELIVERY_DEADLINE_MS;
    while (!(await send(options, batch, REQUEST_TIMEOUT_MS))) {
      if (performance.now() > deadlineMs) {
        options.ledger.problems.push(`a batch was not acknowledged, although it was sent ${batch.sends} times`);
        return;
      }
      await delay(RETRY_MS);
    }
    return;
  }
  // Some clients do not even wait for the answer.
  const isHasty = options.random.oneIn(3);
  await send(options, batch, isHasty ? options.random.below(8) + 1 : REQUEST_TIMEOUT_MS);
}

/** True when the batch was acknowledged. */
async function send({ ledger, url }: ClientOptions, batch: SentBatch, timeoutMs: number): Promise<boolean> {
  const origin = url();
  if (origin === null) return false;
  ledger.sent(batch);
  try {
    const response = await fetch(`${origin}/api/v1/events`, {
      method: "POST",
      headers: { "content-type": "application/cloudevents-batch+json" },
      body: batch.body,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    if (response.status === 204) {
      ledger.confirmed(batch);
      return true;
    }
    if (response.status !== 503) ledger.problems.push(`an ingest request got ${response.status}: ${text}`);
  } catch (error) {
    // The product died, or the client lost patience: whether the batch counts is open.
    if (!(error instanceof Error)) throw error;
  }
  return false;
}
