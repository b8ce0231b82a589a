/** The portal over HTTP: decode, call the verb, encode. */

import { guardedOperation, jsonReply, type Operation, portalRoutes, type PortalTokenBody } from "@tallystick/contract";
import type { Clock } from "../kernel/clock.ts";
import { Fault } from "../kernel/fault.ts";
import { formatInstant, type Instant, instantTextError, parseInstant } from "../kernel/instant.ts";
import { usageReply, type UsageService } from "../usage/index.ts";
import type { PortalService } from "./service.ts";
import type { PortalToken } from "./token-store.ts";

export interface PortalOperationsOptions {
  readonly portal: PortalService;
  readonly usage: Pick<UsageService, "subjectNames">;
  readonly clock: Clock;
}

/** Paths below which browsers of every origin may ask. */
export const PORTAL_METERS_PATH = "/api/v1/portal/meters/*";

export function portalOperations({ portal, usage, clock }: PortalOperationsOptions): readonly Operation[] {
  const enabled = async (): Promise<void> => portal.requireEnabled();
  return [
    guardedOperation(
      portalRoutes.query,
      async (header) => {
        portal.requireEnabled();
        return await portal.authenticate(header("authorization"));
      },
      async ({ params, query, header }, pass) => {
        const { answer, request } = await portal.query(pass, params.meterSlug, query);
        return await usageReply(answer, request, header("accept"), (rows) => usage.subjectNames(rows));
      },
    ),
    guardedOperation(portalRoutes.list, enabled, async ({ query }) => {
      const now = clock.now();
      const tokens = await portal.list(query.limit);
      return jsonReply(tokens.map((token) => ({ ...tokenBody(token), expired: token.expiresAt <= now })));
    }),
    guardedOperation(portalRoutes.create, enabled, async ({ body }) => {
      const { subject, allowedMeterSlugs } = body;
      const expiresAt = body.expiresAt === undefined ? undefined : instant(body.expiresAt);
      const { token, text } = await portal.create({ subject, allowedMeterSlugs, expiresAt });
      return jsonReply({ ...tokenBody(token), token: text });
    }),
    guardedOperation(portalRoutes.invalidate, enabled, async ({ body }) => {
      await portal.invalidate(body);
      return { status: 204 };
    }),
  ];
}

function tokenBody(token: PortalToken): PortalTokenBody {
  return {
    id: token.id,
    subject: token.subject,
    expiresAt: formatInstant(token.expiresAt),
    createdAt: formatInstant(token.createdAt),
    ...(token.allowedMeterSlugs === null ? {} : { allowedMeterSlugs: [...token.allowedMeterSlugs] }),
  };
}

function instant(text: string): Instant {
  const parsed = parseInstant(text);
  if (parsed !== null) return parsed;
  const message = `"expiresAt" ${instantTextError(text)}`;
  const fields = [{ code: "invalid_time", message, field: "$.expiresAt" }];
  throw new Fault("validation", "invalid_time", message, { fields });
}
