/** Events over HTTP: decode, call the verb, encode. */

import {
  getNotificationEventRoute,
  listNotificationEventsRoute,
  type Operation,
  operation,
  type OperationReply,
  resendNotificationEventRoute,
  testNotificationRuleRoute,
} from "@tallystick/contract";
import { Fault } from "../../kernel/fault.ts";
import { type Instant, instantTextError, parseInstant } from "../../kernel/instant.ts";
import type { EventService } from "./event-service.ts";
import { eventText } from "./wire.ts";

export function eventOperations(events: EventService): readonly Operation[] {
  return [
    operation(listNotificationEventsRoute, async ({ query }) => {
      const { from, to, feature, subject, rule, channel, order = "DESC", orderBy = "createdAt", ...page } = query;
      const { items, totalCount } = await events.list({
        from: instant(from, "from"),
        to: instant(to, "to"),
        features: feature,
        subjects: subject,
        rules: rule,
        channels: channel,
        order,
        orderBy,
        ...page,
      });
      const head = JSON.stringify({ totalCount, ...page });
      return textReply(`${head.slice(0, -1)},"items":[${items.map(eventText).join(",")}]}`);
    }),
    operation(getNotificationEventRoute, async ({ params }) => textReply(eventText(await events.get(params.eventId)))),
    operation(resendNotificationEventRoute, async ({ params, body }) => {
      await events.resend(params.eventId, body.channels);
      return { status: 202 };
    }),
    operation(testNotificationRuleRoute, async ({ params }) =>
      textReply(eventText(await events.test(params.ruleId)), 201),
    ),
  ];
}

/** JSON text is sent as it is: parsing it would cost the digits of its numbers. */
function textReply(body: string, status = 200): OperationReply {
  return { status, contentType: "application/json", body };
}

function instant(text: string | undefined, name: string): Instant | undefined {
  if (text === undefined) return undefined;
  const parsed = parseInstant(text);
  if (parsed !== null) return parsed;
  const message = `${name} ${instantTextError(text)}`;
  throw new Fault("validation", "invalid_time", message, {
    fields: [{ code: "invalid_time", message, field: `$.${name}` }],
  });
}
