/** Events as the API shows them: JSON text, because the payload and the rule are stored as such, with exact numbers. */

import { formatInstant, instantFromMicros } from "../../kernel/instant.ts";
import type { StoredDelivery, StoredEvent } from "./event-store.ts";

export function eventText(event: StoredEvent): string {
  const head = JSON.stringify({
    id: event.id,
    type: event.type,
    createdAt: formatInstant(event.created_at),
    annotations: event.annotations,
    deliveryStatus: event.deliveries.map(deliveryBody),
  });
  return `${head.slice(0, -1)},"rule":${event.rule},"payload":${event.payload}}`;
}

function deliveryBody(delivery: StoredDelivery) {
  const { state, due_at: dueAt } = delivery;
  return {
    state,
    reason: delivery.reason,
    updatedAt: formatInstant(delivery.updated_at),
    channel: { id: delivery.channel_id, type: "WEBHOOK" },
    ...(Object.keys(delivery.annotations).length === 0 ? {} : { annotations: delivery.annotations }),
    ...(state === "SENDING" && dueAt !== null ? { nextAttempt: formatInstant(dueAt) } : {}),
    attempts: delivery.attempts.map((attempt) => ({
      state: attempt.isSuccess ? "SUCCESS" : "FAILED",
      response: {
        ...(attempt.statusCode === null ? {} : { statusCode: attempt.statusCode }),
        body: attempt.body,
        durationMs: attempt.durationMs,
        url: attempt.url,
      },
      timestamp: formatInstant(instantFromMicros(attempt.at)),
    })),
  };
}
