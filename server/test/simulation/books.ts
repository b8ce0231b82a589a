/**
 * The oracle of the crash test: what the product shows must follow from what its clients sent and saw acknowledged.
 *
 * Laws: an acknowledged identity is listed exactly once; nothing is listed that nobody sent; the payload listed is one
 * that can have come first; a batch that was given up counts entirely or not at all; every conflict is listed once per
 * arrival; meters say what the listed events add up to. Each check returns sentences about what is wrong.
 */

import { isDeepStrictEqual } from "node:util";
import {
  GROUPING_NAMES,
  type GroupingName,
  type ListedConflict,
  type ListedEvent,
  type ListedItem,
  type MeterName,
  METERS,
  type Snapshot,
} from "./snapshot.ts";
import { dataText, EVENT_TYPE, type Ledger, type SentBatch, type SentEvent } from "./traffic.ts";

/** Conflicts listed per identity at most. */
const CONFLICTS_PER_IDENTITY = 100;

/** An identity as it was sent in one batch. */
interface Arrival {
  readonly batch: SentBatch;
  readonly event: SentEvent;
  /** The first of its identity in the batch; the others lose to it at once. */
  readonly isFirst: boolean;
}

type Arrivals = ReadonlyMap<string, readonly Arrival[]>;

/** What is wrong with the snapshot; nothing when the product is exact. */
export function audit(ledger: Ledger, snapshot: Snapshot): readonly string[] {
  const arrivals = arrivalsOf(ledger);
  const winners = new Map(snapshot.items.map((item) => [keyOf(item.event), item]));
  return [
    ...ledger.problems,
    ...auditListing(arrivals, snapshot.items),
    ...auditAtomicity(ledger, winners),
    ...auditConflicts(arrivals, winners, snapshot.conflicts),
    ...auditMeters(snapshot, winners, arrivals),
    ...auditMade(snapshot),
  ];
}

function keyOf({ source, id }: { readonly source: string; readonly id: string }): string {
  return `${source}/${id}`;
}

function arrivalsOf(ledger: Ledger): Arrivals {
  const arrivals = new Map<string, Arrival[]>();
  for (const batch of ledger.batches) {
    if (batch.sends === 0) continue;
    const seen = new Set<string>();
    for (const event of batch.events) {
      const key = keyOf(event);
      const known = arrivals.get(key) ?? [];
      known.push({ batch, event, isFirst: !seen.has(key) });
      seen.add(key);
      arrivals.set(key, known);
    }
  }
  return arrivals;
}

function auditListing(arrivals: Arrivals, items: readonly ListedItem[]): readonly string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  const instants = new Set<string>();
  for (const { event, ingestedAt } of items) {
    const key = keyOf(event);
    if (seen.has(key)) problems.push(`${key} is listed more than once`);
    seen.add(key);
    if (instants.has(ingestedAt)) problems.push(`${key} has the ingestion instant ${ingestedAt} of another event`);
    instants.add(ingestedAt);
    const sent = arrivals.get(key) ?? [];
    const payload = sent.find((arrival) => isPayload(arrival.event, event, ingestedAt));
    if (payload === undefined) problems.push(`${key} is listed with a payload that nobody sent`);
    else if (!sent.some((arrival) => arrival.event.variant === payload.event.variant && canBeFirst(arrival, sent))) {
      problems.push(`${key} is listed with variant ${payload.event.variant}, but another was acknowledged before`);
    }
  }
  for (const [key, sent] of arrivals) {
    const isAcknowledged = sent.some((arrival) => arrival.batch.acknowledgements > 0);
    if (isAcknowledged && !seen.has(key)) problems.push(`${key} was acknowledged and is lost`);
  }
  return problems;
}

function isPayload(sent: SentEvent, listed: ListedEvent, ingestedAt: string): boolean {
  return (
    listed.data.variant === sent.variant &&
    listed.type === EVENT_TYPE &&
    listed.subject === sent.subject &&
    listed.time === (sent.time ?? ingestedAt) &&
    JSON.stringify(listed.data) === JSON.stringify(JSON.parse(dataText(sent)))
  );
}

/** Whether an arrival can have been the first of its identity in the log, as far as clients know. */
function canBeFirst(arrival: Arrival, sent: readonly Arrival[]): boolean {
  return arrival.isFirst && sent.every(({ batch }) => batch.firstAcknowledgedAt > arrival.batch.firstSentAt);
}

function auditAtomicity(ledger: Ledger, winners: ReadonlyMap<string, ListedItem>): readonly string[] {
  return ledger.batches.flatMap((batch, index) => {
    if (!batch.isGivenUp) return [];
    const keys = new Set(batch.events.map(keyOf));
    const counted = [...keys].filter((key) => winners.has(key)).length;
    return counted === 0 || counted === keys.size ? [] : [`batch ${index}: ${counted} of ${keys.size} events count`];
  });
}

function auditConflicts(
  arrivals: Arrivals,
  winners: ReadonlyMap<string, ListedItem>,
  conflicts: readonly ListedConflict[],
): readonly string[] {
  const problems: string[] = [];
  const listed = new Map<string, number>();
  const instants = new Set<string>();
  for (const conflict of conflicts) {
    const key = keyOf(conflict);
    const variant = `${key} variant ${conflict.event.data.variant}`;
    listed.set(variant, (listed.get(variant) ?? 0) + 1);
    if (instants.has(conflict.seenAt)) problems.push(`a conflict of ${key} is listed twice at ${conflict.seenAt}`);
    instants.add(conflict.seenAt);
    const winner = winners.get(key);
    if (winner?.ingestedAt !== conflict.firstSeenAt) problems.push(`a conflict of ${key} names another first event`);
    if (conflict.firstPayloadHash === conflict.payloadHash) problems.push(`a conflict of ${key} has equal payloads`);
    const sent = arrivals.get(key)?.find((arrival) => arrival.event.variant === conflict.event.data.variant);
    if (sent === undefined || !isPayload(sent.event, conflict.event, conflict.seenAt)) {
      problems.push(`a conflict of ${key} has a payload that nobody sent`);
    }
  }
  for (const [key, sent] of arrivals) {
    const winner = winners.get(key);
    const losers = sent.filter((arrival) => arrival.event.variant !== winner?.event.data.variant);
    if (winner !== undefined && losers.length > 0) problems.push(...auditLosers(key, losers, listed));
  }
  return problems;
}

/** Every acknowledged arrival of a losing payload is listed; one that was not acknowledged may be. */
function auditLosers(key: string, losers: readonly Arrival[], listed: ReadonlyMap<string, number>): readonly string[] {
  const most = losers.reduce((sum, { batch }) => sum + batch.sends, 0);
  if (most > CONFLICTS_PER_IDENTITY) return [];
  return [...new Set(losers.map((arrival) => arrival.event.variant))].flatMap((variant) => {
    const mine = losers.filter((arrival) => arrival.event.variant === variant);
    const atLeast = mine.reduce((sum, { batch }) => sum + batch.acknowledgements, 0);
    const atMost = mine.reduce((sum, { batch }) => sum + batch.sends, 0);
    const count = listed.get(`${key} variant ${variant}`) ?? 0;
    if (count >= atLeast && count <= atMost) return [];
    return [`${key} has ${count} conflicts with variant ${variant}, expected ${atLeast} to ${atMost}`];
  });
}

function auditMeters(
  snapshot: Snapshot,
  winners: ReadonlyMap<string, ListedItem>,
  arrivals: Arrivals,
): readonly string[] {
  return GROUPING_NAMES.flatMap((grouping) => {
    const expected = expectedRows(grouping, winners, arrivals);
    return METERS.flatMap((meter) => {
      const rows = snapshot.rows[meter][grouping];
      const actual = new Map(rows.map((row) => [groupOf(grouping, row.windowStart, row.subject), row.value]));
      const groups = new Set([...expected.keys(), ...actual.keys()]);
      return [...groups].flatMap((group) => {
        const value = expected.get(group)?.[meter];
        return actual.get(group) === value && actual.size === rows.length
          ? []
          : [`meter ${meter} by ${grouping}, ${group}: ${actual.get(group)}, expected ${value}`];
      });
    });
  });
}

/** Meters that were made on the way say what the first ones say, which was compared with the events. */
function auditMade({ made, rows }: Snapshot): readonly string[] {
  return made.flatMap(({ slug, like, rows: actual }) =>
    GROUPING_NAMES.filter((grouping) => !isDeepStrictEqual(actual[grouping], rows[like][grouping])).map(
      (grouping) => `meter ${slug} by ${grouping} differs from the meter ${like}`,
    ),
  );
}

/** What each group of rows adds up to, from the listed events. */
function expectedRows(
  grouping: GroupingName,
  winners: ReadonlyMap<string, ListedItem>,
  arrivals: Arrivals,
): ReadonlyMap<string, Readonly<Record<MeterName, number>>> {
  const groups = new Map<string, { events: number; hundredths: number }>();
  for (const [key, { event }] of winners) {
    const window = event.time.slice(0, grouping === "minute" ? "2026-01-01T00:00".length : "2026-01-01".length);
    const group = groupOf(grouping, window, event.subject);
    const sums = groups.get(group) ?? { events: 0, hundredths: 0 };
    const sent = arrivals.get(key)?.find((arrival) => arrival.event.variant === event.data.variant);
    groups.set(group, { events: sums.events + 1, hundredths: sums.hundredths + (sent?.event.hundredths ?? 0) });
  }
  return new Map(
    [...groups].map(([group, { events, hundredths }]) => [group, { events, amount: hundredths / 100, keys: events }]),
  );
}

function groupOf(grouping: GroupingName, windowStart: string, subject: string | null): string {
  switch (grouping) {
    case "total":
      return "all";
    case "minute":
      return windowStart.slice(0, "2026-01-01T00:00".length);
    case "day and subject":
      return `${windowStart.slice(0, "2026-01-01".length)} ${subject}`;
  }
}
