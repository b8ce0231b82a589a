/** Channels over HTTP: decode, call the verb, encode. */

import {
  createNotificationChannelRoute,
  deleteNotificationChannelRoute,
  getNotificationChannelRoute,
  jsonReply,
  listNotificationChannelsRoute,
  type NotificationChannelCreate,
  type Operation,
  operation,
  updateNotificationChannelRoute,
} from "@tallystick/contract";
import { formatInstant } from "../../kernel/instant.ts";
import type { ChannelService } from "./channel-service.ts";
import type { Channel, ChannelDraft } from "./channel.ts";

export function channelOperations(channels: ChannelService): readonly Operation[] {
  return [
    operation(listNotificationChannelsRoute, async ({ query: { orderBy = "id", ...query } }) => {
      const { items, totalCount } = await channels.list({ ...query, orderBy });
      const { page, pageSize } = query;
      return jsonReply({ totalCount, page, pageSize, items: items.map(channelBody) });
    }),
    operation(createNotificationChannelRoute, async ({ body }) =>
      jsonReply(channelBody(await channels.create(channelDraft(body))), 201),
    ),
    operation(getNotificationChannelRoute, async ({ params }) =>
      jsonReply(channelBody(await channels.get(params.channelId))),
    ),
    operation(updateNotificationChannelRoute, async ({ params, body }) =>
      jsonReply(channelBody(await channels.update(params.channelId, channelDraft(body)))),
    ),
    operation(deleteNotificationChannelRoute, async ({ params }) => {
      await channels.delete(params.channelId);
      return { status: 204 };
    }),
  ];
}

function channelDraft(body: NotificationChannelCreate): ChannelDraft {
  return {
    name: body.name,
    isDisabled: body.disabled,
    url: body.url,
    customHeaders: body.customHeaders ?? {},
    signingSecret: body.signingSecret ?? null,
    metadata: body.metadata ?? null,
  };
}

function channelBody(channel: Channel) {
  return {
    id: channel.id,
    type: "WEBHOOK",
    name: channel.name,
    disabled: channel.isDisabled,
    url: channel.url,
    customHeaders: channel.customHeaders,
    signingSecret: channel.signingSecret,
    ...(channel.metadata === null ? {} : { metadata: channel.metadata }),
    createdAt: formatInstant(channel.createdAt),
    updatedAt: formatInstant(channel.updatedAt),
    ...(channel.deletedAt === null ? {} : { deletedAt: formatInstant(channel.deletedAt) }),
  };
}
