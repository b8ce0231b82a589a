/**
 * Why stored events yield nothing, in the eyes of the current meters: computed when events are listed, for a whole page at
 * once.
 */

import type { StoredEvent } from "../engines/event-store/index.ts";
import { explainValue, type MeterService, meterView } from "../meters/index.ts";

/** The reasons per event, in the order: each meter that finds no value, no meter at all, no customer. */
export async function explainEvents(
  meters: MeterService,
  events: readonly StoredEvent[],
  hasCustomer: (subject: string) => boolean,
): Promise<readonly (readonly string[])[]> {
  const types = [...new Set(events.map((event) => event.type))];
  const byType = Map.groupBy(await meters.ofEventTypes(types), (meter) => meter.eventType);
  return events.map((event) => {
    const covering = byType.get(event.type) ?? [];
    const values = covering.flatMap((meter) => {
      const { aggregation, valuePath } = meterView(meter);
      const reason = explainValue(aggregation, valuePath, event.data);
      return reason === null ? [] : [`invalid event: ${reason}`];
    });
    return [
      ...values,
      ...(covering.length === 0 ? [`no meter found for event type: ${event.type}`] : []),
      ...(hasCustomer(event.subject) ? [] : [`no customer found for event subject: ${event.subject}`]),
    ];
  });
}
