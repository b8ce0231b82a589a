/** Creating, changing, reading and deleting channels. */

import type { Kysely } from "kysely";
import type { Database } from "../../engines/state-store/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import { Fault } from "../../kernel/fault.ts";
import type { AddressRules } from "./addresses.ts";
import { changedSecrets, type Channel, type ChannelDraft, channelErrors, secretOf } from "./channel.ts";
import {
  type ChannelListQuery,
  findChannel,
  insertChannel,
  listChannels,
  rulesOfChannel,
  updateChannel,
} from "./channel-store.ts";

export interface ChannelServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly addresses: AddressRules;
  /** From a cryptographic source, for signing secrets. */
  readonly randomBytes: (count: number) => Uint8Array;
}

export class ChannelService {
  readonly #options: ChannelServiceOptions;

  constructor(options: ChannelServiceOptions) {
    this.#options = options;
  }

  /** Creates a channel. Fault: `invalid_notification_channel` with every offending field. */
  async create(draft: ChannelDraft): Promise<Channel> {
    const { db, namespace, clock, newId, randomBytes } = this.#options;
    this.#check(draft);
    const now = clock.now();
    const channel: Channel = {
      ...draft,
      id: newId(),
      signingSecret: secretOf(draft.signingSecret, randomBytes),
      formerSecrets: [],
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    };
    await insertChannel(db, namespace, channel);
    return channel;
  }

  /** The channel with this id, deleted or not. Fault: `notification_channel_not_found`. */
  async get(id: string): Promise<Channel> {
    const channel = await findChannel(this.#options.db, this.#options.namespace, id);
    if (channel === null) throw channelNotFound(id);
    return channel;
  }

  async list(query: ChannelListQuery): Promise<{ readonly items: readonly Channel[]; readonly totalCount: number }> {
    return await listChannels(this.#options.db, this.#options.namespace, query);
  }

  /** Replaces what can change; deliveries take it from their next attempt on. Faults: as `create` and `get`. */
  async update(id: string, draft: ChannelDraft): Promise<Channel> {
    const { db, namespace, clock } = this.#options;
    this.#check(draft);
    return await db.transaction().execute(async (tx) => {
      const channel = await findChannel(tx, namespace, id, { isLocked: true });
      if (channel === null || channel.deletedAt !== null) throw channelNotFound(id);
      const now = clock.now();
      const secrets = changedSecrets(channel, draft.signingSecret, now);
      const changed: Channel = { ...channel, ...draft, ...secrets, updatedAt: now };
      await updateChannel(tx, changed);
      return changed;
    });
  }

  /** Deletes a channel that no rule uses. Faults: `notification_channel_not_found`, `notification_channel_in_use`. */
  async delete(id: string): Promise<void> {
    const { db, namespace, clock } = this.#options;
    await db.transaction().execute(async (tx) => {
      const channel = await findChannel(tx, namespace, id, { isLocked: true });
      if (channel === null || channel.deletedAt !== null) throw channelNotFound(id);
      const rules = await rulesOfChannel(tx, channel.id);
      if (rules.length > 0) {
        throw new Fault(
          "validation",
          "notification_channel_in_use",
          `the channel is used by the rules ${rules.join(", ")}; delete them first, or take the channel out of them`,
        );
      }
      const now = clock.now();
      await updateChannel(tx, { ...channel, updatedAt: now, deletedAt: now });
    });
  }

  #check(draft: ChannelDraft): void {
    const errors = channelErrors(draft, this.#options.addresses);
    if (errors.length === 0) return;
    const message = errors.map((error) => error.message).join("; ");
    throw new Fault("validation", "invalid_notification_channel", message, { fields: errors });
  }
}

function channelNotFound(id: string): Fault {
  return new Fault("not_found", "notification_channel_not_found", `notification channel not found: ${id}`);
}
