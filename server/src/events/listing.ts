/**
 * Listing stored events, newest first, with what is wrong with them in the eyes of the current meters and customers.
 */

import type {
  EventListQuery,
  EventStore,
  ListPosition,
  PositionVector,
  StoredEvent,
} from "../engines/event-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Fault } from "../kernel/fault.ts";
import { formatInstant, type Instant, instantFromMicros, parseInstant } from "../kernel/instant.ts";
import { eventJson } from "./event-json.ts";

/** The v1 list looks at most this far back: 32 days, in microseconds. */
const MAX_AGE_MICROS = 32 * 24 * 3600 * 1_000_000;

/** What the present meters and customers make of an event. */
export interface EventExplanation {
  /** Id of the customer that the event belongs to; null when it belongs to none. */
  readonly customerId: string | null;
  /** Why the event yields nothing somewhere, one sentence each. */
  readonly reasons: readonly string[];
}

/** Explains a whole page of events at once, in their order. */
export type EventExplainer = (events: readonly StoredEvent[]) => Promise<readonly EventExplanation[]>;

export interface EventListingOptions {
  readonly store: Pick<EventStore, "listEvents">;
  readonly namespace: string;
  readonly clock: Clock;
  /** How far events are stored, at this moment. */
  readonly positions: () => PositionVector;
  readonly explain: EventExplainer;
}

/** Conditions of the v1 list. */
export interface RecentEvents {
  readonly from?: Instant | undefined;
  readonly to?: Instant | undefined;
  readonly ingestedAtFrom?: Instant | undefined;
  readonly ingestedAtTo?: Instant | undefined;
  /** Part of the id. */
  readonly id?: string | undefined;
  readonly subject?: string | undefined;
  /** Events of these subjects only; none when it is empty. */
  readonly subjects?: readonly string[] | undefined;
  readonly limit: number;
  readonly watchAs?: string | undefined;
}

/** Conditions of the v2 list. */
export type EventPageQuery = Pick<
  EventListQuery,
  "id" | "source" | "subject" | "type" | "time" | "ingestedAt" | "subjects" | "limit" | "watchAs"
> & { readonly cursor?: string | undefined };

export interface EventPage {
  /** JSON texts of the items. */
  readonly items: readonly string[];
  readonly nextCursor: string | null;
}

export class EventListing {
  readonly #options: EventListingOptions;

  constructor(options: EventListingOptions) {
    this.#options = options;
  }

  /** Events of the last 32 days, newest first, as JSON texts. Fault: `invalid_period`. */
  async recent(query: RecentEvents): Promise<readonly string[]> {
    const oldest = instantFromMicros(this.#options.clock.now() - MAX_AGE_MICROS);
    const from = query.from ?? oldest;
    refuseIf(from < oldest, "from", "from must not be more than 32 days ago; use GET /api/v2/events for older events");
    refuseIf(
      query.ingestedAtFrom !== undefined && query.ingestedAtFrom < oldest,
      "ingestedAtFrom",
      "ingestedAtFrom must not be more than 32 days ago; use GET /api/v2/events for older events",
    );
    refuseIf(query.to !== undefined && query.to < from, "to", "to must not be before from");
    refuseIf(
      query.ingestedAtTo !== undefined && query.ingestedAtTo < (query.ingestedAtFrom ?? query.ingestedAtTo),
      "ingestedAtTo",
      "ingestedAtTo must not be before ingestedAtFrom",
    );
    const events = await this.#list({
      time: between(from, query.to),
      ...(query.ingestedAtFrom === undefined && query.ingestedAtTo === undefined
        ? {}
        : { ingestedAt: between(query.ingestedAtFrom, query.ingestedAtTo) }),
      ...(query.id === undefined || query.id === ""
        ? {}
        : { id: { op: "like", pattern: `%${escapeLike(query.id)}%` } }),
      ...(query.subject === undefined ? {} : { subject: { op: "eq", value: query.subject } }),
      ...(query.subjects === undefined ? {} : { subjects: query.subjects }),
      limit: query.limit,
      ...(query.watchAs === undefined ? {} : { watchAs: query.watchAs }),
    });
    return await this.#items(events);
  }

  /** One page of all events, newest first. Fault: `invalid_cursor`. */
  async page(query: EventPageQuery): Promise<EventPage> {
    const { cursor, ...conditions } = query;
    const after = cursor === undefined ? undefined : parseCursor(cursor);
    const events = await this.#list({ ...conditions, ...(after === undefined ? {} : { after }) });
    const last = events.at(-1);
    const isFull = last !== undefined && events.length === query.limit;
    return { items: await this.#items(events), nextCursor: isFull ? formatCursor(last) : null };
  }

  async #list(conditions: Omit<EventListQuery, "namespace" | "sort" | "upTo">): Promise<readonly StoredEvent[]> {
    const { store, namespace, positions } = this.#options;
    const sort = { by: "time", direction: "desc" } as const;
    return await store.listEvents({ ...conditions, namespace, sort, upTo: positions() });
  }

  async #items(events: readonly StoredEvent[]): Promise<readonly string[]> {
    const explanations = await this.#options.explain(events);
    return events.map((event, index) => {
      const { customerId = null, reasons = [] } = explanations[index] ?? {};
      const validationError = reasons.join("\n");
      const rest = JSON.stringify({
        ...(customerId === null ? {} : { customerId }),
        ...(validationError === "" ? {} : { validationError }),
        ingestedAt: formatInstant(event.ingestedAt),
        storedAt: formatInstant(event.storedAt),
      });
      return `{"event":${eventJson(event)},${rest.slice(1)}`;
    });
  }
}

function between(from: Instant | undefined, to: Instant | undefined): NonNullable<EventListQuery["time"]> {
  return {
    op: "and",
    filters: [
      ...(from === undefined ? [] : [{ op: "gte", value: from } as const]),
      ...(to === undefined ? [] : [{ op: "lt", value: to } as const]),
    ],
  };
}

function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, (character) => `\\${character}`);
}

function refuseIf(isWrong: boolean, field: string, message: string): void {
  if (!isWrong) return;
  throw new Fault("validation", "invalid_period", message, {
    fields: [{ code: "invalid_period", message, field: `$.${field}` }],
  });
}

/** base64 of `<time>,<partition>-<offset>`, the place in the listing with its full precision. */
function formatCursor(event: StoredEvent): string {
  const row = `${String(event.partition).padStart(5, "0")}-${String(event.offset).padStart(20, "0")}`;
  return Buffer.from(`${formatInstant(event.time)},${row}`).toString("base64url");
}

function parseCursor(cursor: string): ListPosition {
  const [time = "", row = ""] = Buffer.from(cursor, "base64url").toString("latin1").split(",");
  const match = /^([0-9]{5})-([0-9]{20})$/.exec(row);
  const sortValue = parseInstant(time);
  if (match === null || sortValue === null) {
    const message = "the cursor is not one that this list returned: pass nextCursor of the page before, unchanged";
    throw new Fault("validation", "invalid_cursor", message, {
      fields: [{ code: "invalid_cursor", message, field: "$.cursor" }],
    });
  }
  return { sortValue, partition: Number(match[1]), offset: Number(match[2]) };
}
