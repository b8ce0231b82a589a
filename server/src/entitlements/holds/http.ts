/** Reservations and leases over HTTP: decode, call the verb, encode. Amounts are exact in both directions. */

import {
  confirmReservationRoute,
  createLeaseRoute,
  createReservationRoute,
  exactNumber,
  getReservationRoute,
  jsonReply,
  listReservationsRoute,
  type Operation,
  operation,
  releaseReservationRoute,
  renewLeaseRoute,
  returnLeaseRoute,
} from "@tallystick/contract";
import { isStorableText } from "../../engines/state-store/index.ts";
import { Decimal } from "../../kernel/decimal.ts";
import { Fault } from "../../kernel/fault.ts";
import { formatInstant, type Instant } from "../../kernel/instant.ts";
import { sliceOfPage } from "../../kernel/page.ts";
import { acceptConfirmation, type ConfirmEventOptions } from "./confirm-event.ts";
import { endOf, type Hold, lengthOfTime, shownAvailable, type Standing, statusAt } from "./hold.ts";
import type { HoldAnswer, HoldService, ValueWithHolds } from "./hold-service.ts";

export interface HoldOperationsOptions {
  readonly holds: HoldService;
  readonly events: ConfirmEventOptions;
  readonly now: () => Instant;
}

export function holdOperations(options: HoldOperationsOptions): readonly Operation[] {
  return [...reservationOperations(options), ...leaseOperations(options.holds)];
}

function reservationOperations({ holds, events, now }: HoldOperationsOptions): readonly Operation[] {
  return [
    operation(createReservationRoute, async ({ params, body }) => {
      const { hold, standing, at, isNew } = await holds.reserve(params, {
        amount: Decimal.of(body.amount),
        lastsMicros: lengthOfTime(body.expiresIn, "expiresIn", "PT1S", "PT24H"),
        key: storable(body.key, "key"),
        metadata: storableMetadata(body.metadata),
      });
      return jsonReply({ ...reservationBody(hold, at), ...standingBody(standing) }, isNew ? 201 : 200);
    }),
    operation(listReservationsRoute, async ({ params, query }) => {
      const { page, pageSize, status = null } = query;
      const { items, totalCount, at } = await holds.list(params, { status, ...sliceOfPage(query) });
      return jsonReply({ totalCount, page, pageSize, items: items.map((hold) => reservationBody(hold, at)) });
    }),
    operation(getReservationRoute, async ({ params }) =>
      jsonReply(reservationBody(await holds.find(params, params.reservationId, "reservation"), now())),
    ),
    operation(confirmReservationRoute, async ({ params, body }) => {
      const hold = await holds.find(params, params.reservationId, "reservation");
      // First the event: usage is never refused, whatever became of the reservation.
      const position = body.event === undefined ? null : await acceptConfirmation(events, hold, body.event);
      const amount = body.amount === undefined ? null : Decimal.of(body.amount);
      return jsonReply(valueBody(await holds.confirm(hold, amount, position)));
    }),
    operation(releaseReservationRoute, async ({ params }) =>
      jsonReply(valueBody(await holds.release(params, params.reservationId))),
    ),
  ];
}

function leaseOperations(holds: HoldService): readonly Operation[] {
  const ttlMicros = (text: string): number => lengthOfTime(text, "ttl", "PT1S", "PT10M");
  return [
    operation(createLeaseRoute, async ({ params, body }) => {
      const draft = {
        amount: Decimal.of(body.amount),
        minAmount: Decimal.of(body.minAmount ?? "0"),
        lastsMicros: ttlMicros(body.ttl),
      };
      return jsonReply(leaseBody(await holds.lease(params, draft)), 201);
    }),
    operation(renewLeaseRoute, async ({ params, body }) => {
      const renewal = {
        consumed: Decimal.of(body.consumed),
        amount: Decimal.of(body.amount ?? "0"),
        lastsMicros: body.ttl === undefined ? null : ttlMicros(body.ttl),
      };
      return jsonReply(leaseBody(await holds.renew(params, params.leaseId, renewal)));
    }),
    operation(returnLeaseRoute, async ({ params, body }) =>
      jsonReply(leaseBody(await holds.return(params, params.leaseId, Decimal.of(body.consumed)))),
    ),
  ];
}

function reservationBody(hold: Hold, at: Instant) {
  const status = statusAt(hold, at);
  const endedAt = endOf(hold, at);
  return {
    id: hold.id,
    amount: number(hold.amount),
    ...(status === "confirmed" ? { confirmedAmount: number(hold.used) } : {}),
    status,
    ...(hold.key === null ? {} : { key: hold.key }),
    ...(hold.metadata === null ? {} : { metadata: hold.metadata }),
    createdAt: formatInstant(hold.createdAt),
    expiresAt: formatInstant(hold.expiresAt),
    ...(endedAt === null ? {} : { endedAt: formatInstant(endedAt) }),
  };
}

function leaseBody({ hold, standing, at }: HoldAnswer) {
  return {
    id: hold.id,
    granted: number(hold.amount),
    consumed: number(hold.used),
    status: statusAt(hold, at),
    expiresAt: formatInstant(hold.expiresAt),
    ...standingBody(standing),
  };
}

function standingBody(standing: Standing) {
  return {
    balance: number(standing.balance),
    held: number(standing.held),
    available: number(shownAvailable(standing)),
  };
}

function valueBody({ newest: { value }, standing }: ValueWithHolds) {
  if (value === null || standing === null) return { hasAccess: false };
  return {
    hasAccess: standing.isSoftLimit || standing.available.isPositive(),
    usage: number(value.usage),
    overage: number(value.overage),
    totalAvailableGrantAmount: number(value.totalAvailableGrantAmount),
    ...standingBody(standing),
  };
}

function number(value: Decimal) {
  return exactNumber(value.toText());
}

function storableMetadata(metadata: Readonly<Record<string, string>> | undefined) {
  if (metadata === undefined) return null;
  for (const text of Object.entries(metadata).flat()) storable(text, "metadata");
  return metadata;
}

function storable(text: string | undefined, field: string): string | null {
  if (text === undefined) return null;
  if (isStorableText(text)) return text;
  const message = `${field} must not contain NUL characters or halves of surrogate pairs`;
  throw new Fault("validation", "invalid_text", message, {
    fields: [{ code: "invalid_text", message, field: `$.${field}` }],
  });
}
