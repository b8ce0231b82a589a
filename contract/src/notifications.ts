/** Notifications: webhooks that tell when a balance crosses a threshold, a usage period starts anew, an invoice changes. */
import type { RouteConfig } from "@hono/zod-openapi";
import {
  createNotificationChannelRoute,
  deleteNotificationChannelRoute,
  getNotificationChannelRoute,
  listNotificationChannelsRoute,
  updateNotificationChannelRoute,
} from "./notification-channels.ts";
import {
  getNotificationEventRoute,
  listNotificationEventsRoute,
  resendNotificationEventRoute,
  testNotificationRuleRoute,
} from "./notification-events.ts";
import {
  createNotificationRuleRoute,
  deleteNotificationRuleRoute,
  getNotificationRuleRoute,
  listNotificationRulesRoute,
  updateNotificationRuleRoute,
} from "./notification-rules.ts";

/** Every route of notifications, in the order of the reference page. */
export const notificationRoutes: readonly RouteConfig[] = [
  listNotificationChannelsRoute,
  createNotificationChannelRoute,
  getNotificationChannelRoute,
  updateNotificationChannelRoute,
  deleteNotificationChannelRoute,
  listNotificationRulesRoute,
  createNotificationRuleRoute,
  getNotificationRuleRoute,
  updateNotificationRuleRoute,
  deleteNotificationRuleRoute,
  testNotificationRuleRoute,
  listNotificationEventsRoute,
  getNotificationEventRoute,
  resendNotificationEventRoute,
];
