/**
 * Deliveries in the state store.
 *
 * Invariant: whoever takes a delivery gets a number, and only the outcome of the last number decides. So a lease that ran
 * out, or a resend, makes the outcome of the attempt before it a mere entry in the list.
 */

import { type Kysely, sql } from "kysely";
import type { Database, StoredAttempt, StringMap } from "../../engines/state-store/index.ts";
import { type Instant, plusMicros } from "../../kernel/instant.ts";

/** A taken delivery whose process died is taken again after this. */
const LEASE_MICROS = 60_000_000;
const KEPT_ATTEMPTS = 25;

/** A delivery that was taken for an attempt, with everything that the attempt needs. */
export interface TakenDelivery {
  readonly eventId: string;
  readonly channelId: string;
  readonly claim: number;
  /** Attempts since it was started, this one included. */
  readonly tries: number;
  readonly startedAt: Instant;
  readonly payload: string;
  readonly url: string;
  readonly customHeaders: StringMap;
  readonly signingSecret: string;
  readonly formerSecrets: readonly { readonly secret: string; readonly until: number }[];
  readonly isChannelDisabled: boolean;
  readonly isChannelDeleted: boolean;
}

export interface TakeLimits {
  /** Deliveries in all. */
  readonly free: number;
  /** Deliveries per channel, less those that `busy` counts. */
  readonly perChannel: number;
  readonly busy: ReadonlyMap<string, number>;
}

/** Takes what is due, the oldest first, and leases it. */
export async function takeDue(
  db: Kysely<Database>,
  namespace: string,
  now: Instant,
  limits: TakeLimits,
): Promise<readonly TakenDelivery[]> {
  const busy = JSON.stringify(Object.fromEntries(limits.busy));
  // Why: channel by channel, so that many deliveries to a slow receiver do not hide those to the others; `skip locked` lets
  // several servers take side by side.
  const { rows } = await sql<{
    event_id: string;
    channel_id: string;
    claim: number;
    tries: number;
    started_at: Instant;
    payload: string;
    url: string;
    custom_headers: StringMap;
    signing_secret: string;
    former_secrets: TakenDelivery["formerSecrets"];
    is_disabled: boolean;
    is_deleted: boolean;
  }>`
    with due as (
      select one.event_id, one.channel_id
      from notification_channel as channel
      cross join lateral (
        select delivery.event_id, delivery.channel_id, delivery.due_at
        from notification_delivery as delivery
        where delivery.channel_id = channel.id and delivery.due_at <= ${now}
        order by delivery.due_at
        limit greatest(0, ${limits.perChannel}::int - coalesce((${busy}::jsonb ->> channel.id)::int, 0))
        for update skip locked
      ) as one
      where channel.namespace = ${namespace}
      order by one.due_at
      limit ${limits.free}
    )
    update notification_delivery as delivery
    set state = 'SENDING', claim = delivery.claim + 1, tries = delivery.tries + 1,
        due_at = ${plusMicros(now, LEASE_MICROS)}, updated_at = ${now}
    from due
    join notification_event as event on event.id = due.event_id
    join notification_channel as channel on channel.id = due.channel_id
    where delivery.event_id = due.event_id and delivery.channel_id = due.channel_id
    returning delivery.event_id, delivery.channel_id, delivery.claim, delivery.tries, delivery.started_at,
      event.payload, channel.url, channel.custom_headers, channel.signing_secret, channel.former_secrets,
      channel.is_disabled, channel.deleted_at is not null as is_deleted`.execute(db);
  return rows.map((row) => ({
    eventId: row.event_id,
    channelId: row.channel_id,
    claim: row.claim,
    tries: row.tries,
    startedAt: row.started_at,
    payload: row.payload,
    url: row.url,
    customHeaders: row.custom_headers,
    signingSecret: row.signing_secret,
    formerSecrets: row.former_secrets,
    isChannelDisabled: row.is_disabled,
    isChannelDeleted: row.is_deleted,
  }));
}

/** What a taken delivery comes to. */
export interface DeliveryOutcome {
  readonly state: "SENDING" | "SUCCESS" | "FAILED";
  readonly reason: string;
  /** When it is tried again, for `SENDING`. */
  readonly dueAt: Instant | null;
  /** Null when nothing was sent. */
  readonly attempt: StoredAttempt | null;
}

/** Records the outcome of a taken delivery. */
export async function recordOutcome(
  db: Kysely<Database>,
  taken: Pick<TakenDelivery, "eventId" | "channelId" | "claim">,
  { state, reason, dueAt, attempt }: DeliveryOutcome,
  now: Instant,
): Promise<void> {
  const added = JSON.stringify(attempt === null ? [] : [attempt]);
  const isLast = sql<boolean>`claim = ${taken.claim}`;
  // Why: one statement, so that a resend that comes between is either before it or after it.
  await sql`
    update notification_delivery
    set attempts = (select coalesce(jsonb_agg(kept.attempt order by kept.place), '[]')
                    from jsonb_array_elements(${added}::jsonb || attempts) with ordinality as kept (attempt, place)
                    where kept.place <= ${KEPT_ATTEMPTS}),
        state = case when ${isLast} then ${state} else state end,
        reason = case when ${isLast} then ${reason} else reason end,
        due_at = case when ${isLast} then ${dueAt}::bigint else due_at end,
        updated_at = ${now}
    where event_id = ${taken.eventId} and channel_id = ${taken.channelId}`.execute(db);
}

/** Gives a taken delivery back untried, because the server ends: the next start takes it at once. */
export async function giveBack(
  db: Kysely<Database>,
  { eventId, channelId, claim }: Pick<TakenDelivery, "eventId" | "channelId" | "claim">,
  now: Instant,
): Promise<void> {
  // Why: an attempt that this server cut off itself says nothing about the receiver.
  await db
    .updateTable("notification_delivery")
    .set((set) => ({ due_at: now, tries: set("tries", "-", 1), updated_at: now }))
    .where("event_id", "=", eventId)
    .where("channel_id", "=", channelId)
    .where("claim", "=", claim)
    .execute();
}

/** How many deliveries are not finished. */
export async function countUnfinished(db: Kysely<Database>): Promise<number> {
  // Why: a metric; the partial index holds only these rows.
  const { count } = await db
    .selectFrom("notification_delivery")
    .select(({ fn }) => fn.countAll<number>().as("count"))
    .where("due_at", "is not", null)
    .executeTakeFirstOrThrow();
  return count;
}
