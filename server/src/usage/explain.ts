/**
 * Whose stored events are and why they yield nothing, in the eyes of the present customers and meters: computed when events
 * are listed, for a whole page at once.
 */

import type { StoredEvent } from "../engines/event-store/index.ts";
import type { EventExplanation } from "../events/index.ts";
import { explainValue, type MeterService, meterView } from "../meters/index.ts";

/**
 * Explains each event, in order. Reasons come in the order: each meter that finds no value, no meter at all, no customer.
 * `ownersOf` gives the ids of the customers that subjects belong to.
 */
export async function explainEvents(
  meters: MeterService,
  events: readonly StoredEvent[],
  ownersOf: (subjects: readonly string[]) => Promise<ReadonlyMap<string, string>>,
): Promise<readonly EventExplanation[]> {
  const owners = await ownersOf([...new Set(events.map((event) => event.subject))]);
  const types = [...new Set(events.map((event) => event.type))];
  const byType = Map.groupBy(await meters.ofEventTypes(types), (meter) => meter.eventType);
  return events.map((event) => {
    const covering = byType.get(event.type) ?? [];
    const values = covering.flatMap((meter) => {
      const { aggregation, valuePath } = meterView(meter);
      const reason = explainValue(aggregation, valuePath, event.data);
      return reason === null ? [] : [`invalid event: ${reason}`];
    });
    const customerId = owners.get(event.subject) ?? null;
    const reasons = [
      ...values,
      ...(covering.length === 0 ? [`no meter found for event type: ${event.type}`] : []),
      ...(customerId === null ? [`no customer found for event subject: ${event.subject}`] : []),
    ];
    return { customerId, reasons };
  });
}
