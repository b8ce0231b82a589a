/** Wires the portal: its tokens over the state store and the configured secrets, its queries over usage. */

import { randomBytes } from "node:crypto";
import type { Operation } from "@tallystick/contract";
import { Loop, type Service } from "../../engines/jobs/index.ts";
import type { MeterService } from "../../meters/index.ts";
import { portalOperations, portalSecrets, PortalService } from "../../portal/index.ts";
import type { UsageService } from "../../usage/index.ts";
import type { Core } from "./core.ts";

const HOUR_MS = 3_600_000;

export interface Portal {
  readonly operations: readonly Operation[];
  readonly services: readonly Service[];
}

export function createPortal(core: Core, meters: MeterService, usage: UsageService): Portal {
  const { config, db, namespace, clock, newId, logger } = core;
  const { enabled, tokenSecret, tokenSecrets, tokenExpiration, maxTokenExpiration, rateLimit } = config.portal;
  const configured = tokenSecrets ?? (tokenSecret === undefined ? [] : [tokenSecret]);
  const portal = new PortalService({
    db,
    namespace,
    clock,
    newId,
    meters,
    usage,
    isEnabled: enabled ?? (configured.length > 0 || config.postgres.url === undefined),
    secrets: portalSecrets({ db, clock, randomBytes: (count) => randomBytes(count), configured }),
    defaultLifetimeMs: tokenExpiration.ms,
    maxLifetimeMs: maxTokenExpiration?.ms,
    requestsPerMinute: rateLimit,
  });
  const upkeep = new Loop({
    intervalMs: HOUR_MS,
    step: async () => {
      const count = await portal.forgetOld();
      if (count > 0) logger.info({ count }, "forgot portal tokens that expired long ago");
      return false;
    },
    onError: (error) => logger.error({ err: error }, "forgetting old portal tokens failed; tried again in an hour"),
  });
  return { operations: portalOperations({ portal, usage, clock }), services: [upkeep] };
}
