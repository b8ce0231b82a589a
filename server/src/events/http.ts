/** Events over HTTP: decode, call the verb, encode. Ingest itself takes raw bytes and is called by the server directly. */

import {
  listEventConflictsRoute,
  listEventsRoute,
  listEventsV2Route,
  type Operation,
  operation,
  type OperationReply,
} from "@tallystick/contract";
import type { Kysely } from "kysely";
import type { Database } from "../engines/state-store/index.ts";
import { Fault } from "../kernel/fault.ts";
import { type Instant, instantTextError, parseInstant } from "../kernel/instant.ts";
import { listConflicts } from "./conflicts.ts";
import type { EventListing } from "./listing.ts";
import { textFilter, timeFilter } from "./wire-filter.ts";

export interface EventOperationsOptions {
  readonly listing: EventListing;
  readonly db: Kysely<Database>;
  readonly namespace: string;
  /** The subjects of these customers; throws a fault when one is unknown. */
  readonly subjectsOfCustomers: (customerIds: readonly string[]) => Promise<readonly string[]>;
}

export function eventOperations(options: EventOperationsOptions): readonly Operation[] {
  const { listing, db, namespace, subjectsOfCustomers } = options;
  return [
    operation(listEventsRoute, async ({ query }) => {
      const subjects = query.customerId === undefined ? undefined : await subjectsOfCustomers(query.customerId);
      const items = await listing.recent({
        from: instant("from", query.from),
        to: instant("to", query.to),
        ingestedAtFrom: instant("ingestedAtFrom", query.ingestedAtFrom),
        ingestedAtTo: instant("ingestedAtTo", query.ingestedAtTo),
        id: query.id,
        subject: query.subject,
        subjects,
        limit: query.limit,
        watchAs: query.clientId,
      });
      return textReply(`[${items.join(",")}]`);
    }),
    operation(listEventsV2Route, async ({ query }) => {
      const { id, source, subject, type, time, ingestedAt, customerId } = query.filter ?? {};
      const subjects = customerId?.$in ? await subjectsOfCustomers(customerId.$in) : undefined;
      const page = await listing.page({
        ...(id === undefined ? {} : { id: textFilter(id, "filter.id") }),
        ...(source === undefined ? {} : { source: textFilter(source, "filter.source") }),
        ...(subject === undefined ? {} : { subject: textFilter(subject, "filter.subject") }),
        ...(type === undefined ? {} : { type: textFilter(type, "filter.type") }),
        ...(time === undefined ? {} : { time: timeFilter(time, "filter.time") }),
        ...(ingestedAt === undefined ? {} : { ingestedAt: timeFilter(ingestedAt, "filter.ingestedAt") }),
        ...(subjects === undefined ? {} : { subjects }),
        ...(query.clientId === undefined ? {} : { watchAs: query.clientId }),
        limit: query.limit,
        cursor: query.cursor,
      });
      return pageReply(page);
    }),
    operation(listEventConflictsRoute, async ({ query }) => {
      const page = await listConflicts(db, {
        namespace,
        source: query.source,
        id: query.id,
        seenAtFrom: instant("seenAtFrom", query.seenAtFrom),
        seenAtTo: instant("seenAtTo", query.seenAtTo),
        limit: query.limit,
        cursor: query.cursor,
      });
      return pageReply(page);
    }),
  ];
}

function pageReply(page: { readonly items: readonly string[]; readonly nextCursor: string | null }): OperationReply {
  const next = page.nextCursor === null ? "" : `,"nextCursor":${JSON.stringify(page.nextCursor)}`;
  return textReply(`{"items":[${page.items.join(",")}]${next}}`);
}

function textReply(body: string): OperationReply {
  return { status: 200, contentType: "application/json", body };
}

function instant(name: string, text: string | undefined): Instant | undefined {
  if (text === undefined) return undefined;
  const parsed = parseInstant(text);
  if (parsed === null) {
    const message = `"${name}" ${instantTextError(text)}`;
    throw new Fault("validation", "invalid_time", message, {
      fields: [{ code: "invalid_time", message, field: `$.${name}` }],
    });
  }
  return parsed;
}
