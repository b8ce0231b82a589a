/** Reading, resending and trying out events. */

import type { Kysely } from "kysely";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import { Fault } from "../../kernel/fault.ts";
import { formatInstant } from "../../kernel/instant.ts";
import type { RuleService } from "../rules/rule-service.ts";
import { insertEvent, lockActingRule } from "./emission-store.ts";
import {
  type EventListQuery,
  findEvent,
  listEvents,
  lockDeliveries,
  restartDeliveries,
  type StoredEvent,
} from "./event-store.ts";
import { sampleEvent } from "./sample.ts";

export interface EventServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly rules: RuleService;
  /** Called after deliveries became due. */
  readonly onDue: () => void;
}

export class EventService {
  readonly #options: EventServiceOptions;

  constructor(options: EventServiceOptions) {
    this.#options = options;
  }

  /** The event with this id. Fault: `notification_event_not_found`. */
  async get(id: string): Promise<StoredEvent> {
    const event = id.includes("\0") ? null : await findEvent(this.#options.db, this.#options.namespace, id);
    if (event === null)
      throw new Fault("not_found", "notification_event_not_found", `notification event not found: ${id}`);
    return event;
  }

  async list(query: EventListQuery): Promise<{ readonly items: readonly StoredEvent[]; readonly totalCount: number }> {
    return await listEvents(this.#options.db, this.#options.namespace, query);
  }

  /**
   * Starts the deliveries of an event anew: to the listed channels, or to all that are neither disabled nor deleted.
   * Faults: `notification_event_not_found`, `invalid_notification_resend` naming the channels that cannot be told.
   */
  async resend(id: string, channels: readonly string[] | undefined): Promise<void> {
    const { db, clock, onDue } = this.#options;
    const event = await this.get(id);
    await db.transaction().execute(async (tx) => {
      const usable = (await lockDeliveries(tx, event.id))
        .filter(({ isUsable }) => isUsable)
        .map(({ channelId }) => channelId);
      const wanted = channels?.map((channel) => channel.toUpperCase()) ?? usable;
      const errors = wanted.flatMap((channel, index) => {
        if (usable.includes(channel)) return [];
        const message = `the event cannot be sent again to the channel ${channel}: it was not sent there, or the channel is disabled or deleted`;
        return [{ code: "invalid_channel", message, field: `$.channels[${index}]` }];
      });
      const [first] = errors;
      if (first !== undefined) {
        throw new Fault("validation", "invalid_notification_resend", first.message, { fields: errors });
      }
      const at = clock.now();
      await restartDeliveries(tx, event.id, wanted, { "event.resend.timestamp": formatInstant(at) }, at);
    });
    onDue();
  }

  /** Sends an event of a rule with made-up data. Faults: `notification_rule_not_found`, `notification_rule_disabled`. */
  async test(ruleId: string): Promise<StoredEvent> {
    const { db, namespace, clock, newId, rules, onDue } = this.#options;
    const found = await rules.get(ruleId);
    if (found.deletedAt !== null) throw notFound(ruleId);
    const id = newId();
    await db.transaction().execute(async (tx) => {
      const rule = await lockActingRule(tx, namespace, found.id);
      if (rule === null) {
        const message = `the rule ${found.id} is disabled and tells nothing; enable it first`;
        throw new Fault("validation", "notification_rule_disabled", message);
      }
      await insertEvent(tx, namespace, { ...rule, features: found.features }, sampleEvent(rule, id, clock.now()));
    });
    onDue();
    return await this.get(id);
  }
}

function notFound(ruleId: string): Fault {
  return new Fault("not_found", "notification_rule_not_found", `notification rule not found: ${ruleId}`);
}
