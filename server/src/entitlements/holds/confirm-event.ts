/**
 * The event that confirms a reservation: what it says by default, and that it counts where the reservation held.
 *
 * Invariant: its identity is by default that of the reservation, so a confirmation that is repeated after any failure
 * counts once. An event that could not count for the entitlement is refused before anything happens, because the amount
 * would be given to others while the usage goes nowhere.
 */

import type { StoredEvent } from "../../engines/event-store/index.ts";
import { isWatchable, type LogPosition, usageOfEvents, type WatchedUsage } from "../../events/index.ts";
import { Fault, type FieldError } from "../../kernel/fault.ts";
import { type Instant, parseInstant } from "../../kernel/instant.ts";
import { JsonDepthError } from "../../kernel/json.ts";
import type { Hold } from "./hold.ts";

/** `source` of events that name none. */
const DEFAULT_SOURCE = "tallystick/reservations";

/** Members of a CloudEvent, as far as the caller sent them. */
export type EventDraft = Readonly<Record<string, unknown>>;

/** What an event has to be to count for an entitlement. */
export interface EventTarget {
  /** The meter of the feature, and the feature's filters. */
  readonly usage: Pick<WatchedUsage, "meter" | "filters">;
  /** The customer's subject when the event names none; null: it has none. */
  readonly subject: string | null;
}

export interface ConfirmEventOptions {
  /** What events of the hold's entitlement are like. */
  readonly target: (hold: Hold) => Promise<EventTarget>;
  readonly now: () => Instant;
  /** The id of the customer whose usage the subject is, or null. */
  readonly ownerOf: (subject: string) => Promise<string | null>;
  /** Accepts one event, as if it had been sent to the API by itself; resolves with its place when it is durable. */
  readonly accept: (event: EventDraft) => Promise<LogPosition>;
}

/** Accepts the event of a confirmation. Faults: `event_does_not_count`, those of accepting, with fields under `$.event`. */
export async function acceptConfirmation(
  options: ConfirmEventOptions,
  hold: Hold,
  draft: EventDraft,
): Promise<LogPosition> {
  const target = await options.target(hold);
  const event: EventDraft = {
    specversion: "1.0",
    id: hold.id,
    source: DEFAULT_SOURCE,
    type: target.usage.meter.eventType,
    ...(target.subject === null ? {} : { subject: target.subject }),
    ...draft,
  };
  const errors = await mismatches(options, hold, target, event);
  const [first] = errors;
  if (first !== undefined) throw new Fault("validation", "event_does_not_count", first.message, { fields: errors });
  try {
    return await options.accept(event);
  } catch (error) {
    throw error instanceof Fault ? underEvent(error) : error;
  }
}

async function mismatches(
  { ownerOf, now }: ConfirmEventOptions,
  hold: Hold,
  { usage }: EventTarget,
  { type, subject, time, data }: EventDraft,
): Promise<readonly FieldError[]> {
  const errors: FieldError[] = [];
  const add = (field: string, message: string) => errors.push({ code: "event_does_not_count", message, field });
  const { eventType, valuePath } = usage.meter;
  if (typeof type === "string" && type !== eventType) {
    const wanted = JSON.stringify(eventType);
    add(
      "$.event.type",
      `event.type must be ${wanted}, which the meter of the feature counts, not ${JSON.stringify(type)}`,
    );
  }
  if (typeof subject === "string" && subject !== "" && (await ownerOf(subject)) !== hold.customerId) {
    add("$.event.subject", `event.subject must be a subject of the customer, ${JSON.stringify(subject)} is none`);
  }
  const at = (typeof time === "string" ? parseInstant(time) : null) ?? now();
  if (!counts(usage, at, data)) {
    const value = valuePath === undefined ? "" : `, with a value at ${JSON.stringify(valuePath.text)}`;
    add(
      "$.event.data",
      `event.data and event.time must be such that the feature's meter and filters count them${value}`,
    );
  }
  return errors;
}

/** Whether an event of the meter's type counts; true as well where only the event store, or accepting it, can tell. */
function counts({ meter, filters }: EventTarget["usage"], time: Instant, data: unknown): boolean {
  if (![...filters.values()].every(isWatchable)) return true;
  const event: StoredEvent = {
    namespace: meter.namespace,
    id: "",
    source: "",
    type: meter.eventType,
    subject: "",
    time,
    isTimeGiven: true,
    data: data === undefined || data === null ? null : JSON.stringify(data),
    ingestedAt: time,
    storedAt: time,
    partition: 0,
    offset: 0,
  };
  try {
    return usageOfEvents({ key: "", meter, filters }, [event]).values.length > 0;
  } catch (error) {
    if (error instanceof JsonDepthError) return true;
    throw error;
  }
}

/** Names the fields where the client sent them. */
function underEvent({ kind, code, message, fields, retryAfterSeconds, cause }: Fault): Fault {
  return new Fault(kind, code, message, {
    fields: fields.map(({ field, ...rest }) => ({ ...rest, field: `$.event${(field ?? "$").slice(1)}` })),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    cause,
  });
}
