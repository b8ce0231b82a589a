/** Wires notifications: what they are made of, and what customers and entitlements tell them. */

import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import type { FeatureService } from "../../../catalog/index.ts";
import type { CustomerParticipant } from "../../../customers/index.ts";
import type { EntitlementParticipant } from "../../../entitlements/index.ts";
import { countUnfinished, type FeatureLookup, Notifications } from "../../../notifications/index.ts";
import type { Core } from "../core.ts";
import { EntitlementSource, type EntitlementSourceNeeds, orNull } from "./entitlement-source.ts";
import { NotificationMetrics } from "./metrics.ts";

export interface NotificationNeeds extends EntitlementSourceNeeds {
  /** Who takes part in the transactions of customers and entitlements; notifications add themselves. */
  readonly customerParticipants: CustomerParticipant[];
  readonly participants: EntitlementParticipant[];
}

export function createNotifications(core: Core, needs: NotificationNeeds): Notifications {
  const { config, db, namespace, clock, newId, logger, metrics, positions } = core;
  const counts = new NotificationMetrics(metrics.registry, async () => await countUnfinished(db));
  const source = new EntitlementSource(core, needs);
  const notifications = new Notifications({
    db,
    namespace,
    clock,
    newId,
    randomBytes: (count) => randomBytes(count),
    random: () => Math.random(),
    version: packageVersion(),
    addresses: config.notifications,
    retentionDays: config.notifications.eventRetentionDays,
    features: featureLookup(needs.catalog.features),
    source,
    positions,
    counts: {
      onEvents: (count) => counts.created(count),
      onAttempt: (outcome) => counts.attempted(outcome),
      onSkipped: (count) => counts.skipped(count),
    },
    onError: (error) => logger.error({ err: error }, "a step of notifications failed and is repeated"),
  });
  needs.participants.push({
    onReset: async (tx, { id }, at) => await notifications.wasReset(tx, id, at),
    onStructure: async (tx, id) => await notifications.changed(tx, id),
  });
  needs.customerParticipants.push(async (tx, { customerIds }) => await notifications.reattributed(tx, customerIds));
  needs.customers.customers.onChange(() => notifications.wake());
  needs.entitlements.changes.onChange(({ entitlementIds }) => {
    source.forget(entitlementIds);
    notifications.wake();
  });
  return notifications;
}

function featureLookup(features: FeatureService): FeatureLookup {
  return async (refs) => {
    const found = await Promise.all(refs.map(async (ref) => [ref, await orNull(features.get(ref))] as const));
    return new Map(found.flatMap(([ref, feature]) => (feature === null ? [] : [[ref, feature] as const])));
  };
}

function packageVersion(): string {
  const manifest: { version: string } = createRequire(import.meta.url)("../../../../package.json");
  return manifest.version;
}
