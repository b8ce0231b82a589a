/** v1: entitlements of the customer that owns a subject. Decode, call the verb, encode. */

import {
  createEntitlementRoute,
  createGrantRoute,
  deleteEntitlementRoute,
  getEntitlementByIdRoute,
  getEntitlementHistoryRoute,
  getEntitlementRoute,
  getEntitlementValueRoute,
  jsonReply,
  listEntitlementGrantsRoute,
  listEntitlementsRoute,
  listGrantsRoute,
  listSubjectEntitlementsRoute,
  type Operation,
  operation,
  overrideEntitlementRoute,
  resetEntitlementUsageRoute,
  voidGrantRoute,
} from "@tallystick/contract";
import type { Customer, SubjectService } from "../../customers/index.ts";
import { Fault } from "../../kernel/fault.ts";
import { parseUlid } from "../../kernel/id.ts";
import { sliceOf, subjectEntitlementDraft, subjectGrantDraft } from "./inputs.ts";
import type { EntitlementApi } from "./operations.ts";
import { historyBody, subjectEntitlementBody, subjectGrantBody, valueBody } from "./wire.ts";

/** What belongs to one owner is listed whole. */
const WHOLE = { limit: 100_000, offset: 0, direction: "asc" } as const;

export function subjectOperations(api: EntitlementApi): readonly Operation[] {
  return [...entitlementOperations(api), ...balanceOperations(api), ...listOperations(api)];
}

function entitlementOperations(api: EntitlementApi): readonly Operation[] {
  const { entitlements, clock } = api;
  return [
    operation(createEntitlementRoute, async ({ params, body }) => {
      const owner = await ownerOf(api, params.subjectIdOrKey);
      const entitlement = await entitlements.create(owner, subjectEntitlementDraft(body));
      return jsonReply(subjectEntitlementBody(entitlement, clock.now()), 201);
    }),
    operation(listSubjectEntitlementsRoute, async ({ params, query }) => {
      const { id } = await ownerOf(api, params.subjectIdOrKey);
      const { includeDeleted } = query;
      const now = clock.now();
      const { items } = await entitlements.list({
        ...WHOLE,
        orderBy: "createdAt",
        customerIds: [id],
        includeDeleted,
        ...(includeDeleted ? {} : { activeAt: now }),
      });
      return jsonReply(items.map((entitlement) => subjectEntitlementBody(entitlement, now)));
    }),
    operation(getEntitlementRoute, async ({ params }) => {
      const owner = await ownerOf(api, params.subjectIdOrKey);
      const entitlement = await entitlements.get(owner, params.entitlementId);
      return jsonReply(subjectEntitlementBody(entitlement, clock.now()));
    }),
    operation(deleteEntitlementRoute, async ({ params }) => {
      await entitlements.delete(await ownerOf(api, params.subjectIdOrKey), params.entitlementId);
      return { status: 204 };
    }),
    operation(overrideEntitlementRoute, async ({ params, body }) => {
      const owner = await ownerOf(api, params.subjectIdOrKey);
      const draft = subjectEntitlementDraft(body);
      const entitlement = await entitlements.override(owner, params.entitlementIdOrFeatureKey, draft);
      return jsonReply(subjectEntitlementBody(entitlement, clock.now()), 201);
    }),
    operation(resetEntitlementUsageRoute, async ({ params, body }) => {
      await entitlements.reset(await ownerOf(api, params.subjectIdOrKey), params.entitlementId, body);
      return { status: 204 };
    }),
  ];
}

function balanceOperations(api: EntitlementApi): readonly Operation[] {
  const { entitlements, grants, balances, clock } = api;
  return [
    operation(getEntitlementValueRoute, async ({ params, query }) => {
      const owner = await ownerOf(api, params.subjectIdOrKey);
      const entitlement = await entitlements.get(owner, params.entitlementIdOrFeatureKey);
      return jsonReply(valueBody(await balances.valueAt(entitlement, query.time)));
    }),
    operation(getEntitlementHistoryRoute, async ({ params, query }) => {
      const owner = await ownerOf(api, params.subjectIdOrKey);
      const entitlement = await entitlements.get(owner, params.entitlementId);
      return jsonReply(historyBody(await balances.history(entitlement, query)));
    }),
    operation(createGrantRoute, async ({ params, body }) => {
      const owner = await ownerOf(api, params.subjectIdOrKey);
      const entitlement = await entitlements.get(owner, params.entitlementIdOrFeatureKey);
      const grant = await grants.create(entitlement, subjectGrantDraft(body));
      return jsonReply(subjectGrantBody(grant, clock.now()), 201);
    }),
    operation(listEntitlementGrantsRoute, async ({ params, query }) => {
      const owner = await ownerOf(api, params.subjectIdOrKey);
      const { id: entitlementId } = await entitlements.get(owner, params.entitlementIdOrFeatureKey);
      const { includeDeleted, orderBy = "effectiveAt" } = query;
      const { items } = await grants.list({ ...WHOLE, orderBy, includeDeleted, entitlementId });
      return jsonReply(items.map((grant) => subjectGrantBody(grant, clock.now())));
    }),
    operation(voidGrantRoute, async ({ params, query }) => {
      await grants.void(params.grantId, query.at);
      return { status: 204 };
    }),
  ];
}

function listOperations(api: EntitlementApi): readonly Operation[] {
  const { entitlements, grants, clock } = api;
  return [
    operation(listEntitlementsRoute, async ({ query }) => {
      const { page, slice } = sliceOf(query);
      const now = clock.now();
      const { items, totalCount } = await entitlements.list({
        ...slice,
        orderBy: query.orderBy ?? "createdAt",
        includeDeleted: false,
        features: query.feature,
        customerIds: await ownersOf(api, query.subject),
        types: query.entitlementType,
        ...(query.excludeInactive ? { activeAt: now } : {}),
      });
      const bodies = items.map((entitlement) => subjectEntitlementBody(entitlement, now));
      return jsonReply(page === undefined ? bodies : { totalCount, ...page, items: bodies });
    }),
    operation(getEntitlementByIdRoute, async ({ params }) => {
      const entitlement = await entitlements.byId(params.entitlementId);
      return jsonReply(subjectEntitlementBody(entitlement, clock.now()));
    }),
    operation(listGrantsRoute, async ({ query }) => {
      const { page, slice } = sliceOf(query);
      const { items, totalCount } = await grants.list({
        ...slice,
        orderBy: query.orderBy ?? "effectiveAt",
        includeDeleted: query.includeDeleted,
        features: query.feature,
        customerIds: await ownersOf(api, query.subject),
      });
      const bodies = items.map((grant) => subjectGrantBody(grant, clock.now()));
      return jsonReply(page === undefined ? bodies : { totalCount, ...page, items: bodies });
    }),
  ];
}

/** The live customer that owns the subject. Faults: `subject_not_found` (404), `subject_deleted`, `subject_unowned` (412). */
async function ownerOf({ customers, subjects }: EntitlementApi, idOrKey: string): Promise<Customer> {
  const subject = await find(subjects, idOrKey);
  if (subject !== null && subject.deletedAt !== null) {
    const message = `subject ${subject.key} is deleted; use one that is not`;
    throw new Fault("precondition_failed", "subject_deleted", message);
  }
  const key = subject?.key ?? idOrKey;
  const owner = await customers.ownerOf(key);
  if (owner !== null) return owner;
  // A customer's key or subject key is a known subject, whether or not anything else is known of it.
  if (subject === null) throw new Fault("not_found", "subject_not_found", `subject not found: ${idOrKey}`);
  const message = `no customer owns subject ${key}; create one with this key or subject key`;
  throw new Fault("precondition_failed", "subject_unowned", message);
}

/** The ids of the customers that own the subjects, by id or key; undefined: no subjects were named. */
async function ownersOf(
  { customers, subjects }: EntitlementApi,
  idsOrKeys: readonly string[] | undefined,
): Promise<readonly string[] | undefined> {
  if (idsOrKeys === undefined) return undefined;
  const keys: string[] = [];
  for (const idOrKey of idsOrKeys) {
    const subject = parseUlid(idOrKey) === null ? null : await find(subjects, idOrKey);
    keys.push(subject?.key ?? idOrKey);
  }
  return [...new Set((await customers.ownersOf(keys)).values())];
}

async function find(subjects: Pick<SubjectService, "get">, idOrKey: string) {
  try {
    return await subjects.get(idOrKey);
  } catch (error) {
    if (error instanceof Fault && error.kind === "not_found") return null;
    throw error;
  }
}
