/** v2, and what a customer may use: entitlements of a customer. Decode, call the verb, encode. */

import {
  createCustomerEntitlementGrantV2Route,
  createCustomerEntitlementV2Route,
  deleteCustomerEntitlementV2Route,
  getCustomerAccessRoute,
  getCustomerEntitlementHistoryV2Route,
  getCustomerEntitlementV2Route,
  getCustomerEntitlementValueRoute,
  getCustomerEntitlementValueV2Route,
  getEntitlementByIdV2Route,
  jsonReply,
  listCustomerEntitlementGrantsV2Route,
  listCustomerEntitlementsV2Route,
  listEntitlementsV2Route,
  listGrantsV2Route,
  type Operation,
  operation,
  overrideCustomerEntitlementV2Route,
  resetCustomerEntitlementUsageV2Route,
} from "@tallystick/contract";
import { type EntitlementValue, NO_ACCESS } from "../balances.ts";
import { inParallel } from "../usage-reader.ts";
import { customerEntitlementDraft, customerGrantDraft, pageOf, sliceOf } from "./inputs.ts";
import type { EntitlementApi } from "./operations.ts";
import { accessBody, customerEntitlementBody, customerGrantBody, historyBody, valueBody } from "./wire.ts";

export function customerOperations(api: EntitlementApi): readonly Operation[] {
  return [...accessOperations(api), ...entitlementOperations(api), ...balanceOperations(api), ...listOperations(api)];
}

function accessOperations(api: EntitlementApi): readonly Operation[] {
  const { entitlements, balances, customers } = api;
  return [
    operation(getCustomerAccessRoute, async ({ params }) => {
      const { id } = await customers.getLive(params.customerIdOrKey);
      const active = await entitlements.activeOf(id);
      const values = await inParallel(active, (entitlement) => balances.valueAt(entitlement));
      return jsonReply(accessBody(new Map(values.map((value, index) => [active[index]?.featureKey ?? "", value]))));
    }),
    operation(getCustomerEntitlementValueRoute, async ({ params, query }) => {
      return jsonReply(valueBody(await valueOf(api, params.customerIdOrKey, params.featureKey, query.time)));
    }),
    operation(getCustomerEntitlementValueV2Route, async ({ params, query }) => {
      const { customerIdOrKey, entitlementIdOrFeatureKey } = params;
      const value = await valueOf(api, customerIdOrKey, entitlementIdOrFeatureKey, query.time);
      return jsonReply(valueBody(value, { withGrants: true }));
    }),
  ];
}

/** No entitlement is no access. */
async function valueOf(
  { customers, entitlements, balances }: EntitlementApi,
  customerIdOrKey: string,
  idOrFeatureKey: string,
  time: string | undefined,
): Promise<EntitlementValue> {
  const entitlement = await entitlements.find(await customers.getLive(customerIdOrKey), idOrFeatureKey);
  return entitlement === null ? NO_ACCESS : await balances.valueAt(entitlement, time);
}

function entitlementOperations(api: EntitlementApi): readonly Operation[] {
  const { entitlements, customers, clock } = api;
  return [
    operation(createCustomerEntitlementV2Route, async ({ params, body }) => {
      const customer = await customers.getLive(params.customerIdOrKey);
      const entitlement = await entitlements.create(customer, customerEntitlementDraft(body));
      return jsonReply(customerEntitlementBody(entitlement, clock.now()), 201);
    }),
    operation(listCustomerEntitlementsV2Route, async ({ params, query }) => {
      const { id } = await customers.getLive(params.customerIdOrKey);
      const { includeDeleted, order, page = 1, pageSize = 100 } = query;
      const now = clock.now();
      const { items, totalCount } = await entitlements.list({
        orderBy: query.orderBy ?? "createdAt",
        direction: order === "DESC" ? "desc" : "asc",
        limit: pageSize,
        offset: (page - 1) * pageSize,
        customerIds: [id],
        includeDeleted,
        ...(includeDeleted ? {} : { activeAt: now }),
      });
      const bodies = items.map((entitlement) => customerEntitlementBody(entitlement, now));
      return jsonReply({ totalCount, page, pageSize, items: bodies });
    }),
    operation(getCustomerEntitlementV2Route, async ({ params }) => {
      const customer = await customers.getLive(params.customerIdOrKey);
      const entitlement = await entitlements.get(customer, params.entitlementIdOrFeatureKey);
      return jsonReply(customerEntitlementBody(entitlement, clock.now()));
    }),
    operation(deleteCustomerEntitlementV2Route, async ({ params }) => {
      const customer = await customers.getLive(params.customerIdOrKey);
      await entitlements.delete(customer, params.entitlementIdOrFeatureKey);
      return { status: 204 };
    }),
    operation(overrideCustomerEntitlementV2Route, async ({ params, body }) => {
      const customer = await customers.getLive(params.customerIdOrKey);
      const draft = customerEntitlementDraft(body);
      const entitlement = await entitlements.override(customer, params.entitlementIdOrFeatureKey, draft);
      return jsonReply(customerEntitlementBody(entitlement, clock.now()), 201);
    }),
    operation(resetCustomerEntitlementUsageV2Route, async ({ params, body }) => {
      const customer = await customers.getLive(params.customerIdOrKey);
      await entitlements.reset(customer, params.entitlementIdOrFeatureKey, body);
      return { status: 204 };
    }),
  ];
}

function balanceOperations(api: EntitlementApi): readonly Operation[] {
  const { entitlements, grants, balances, customers, clock } = api;
  return [
    operation(getCustomerEntitlementHistoryV2Route, async ({ params, query }) => {
      const customer = await customers.getLive(params.customerIdOrKey);
      const entitlement = await entitlements.get(customer, params.entitlementIdOrFeatureKey);
      return jsonReply(historyBody(await balances.history(entitlement, query)));
    }),
    operation(createCustomerEntitlementGrantV2Route, async ({ params, body }) => {
      const customer = await customers.getLive(params.customerIdOrKey);
      const entitlement = await entitlements.get(customer, params.entitlementIdOrFeatureKey);
      const grant = await grants.create(entitlement, customerGrantDraft(body));
      return jsonReply(customerGrantBody(grant, clock.now()), 201);
    }),
    operation(listCustomerEntitlementGrantsV2Route, async ({ params, query }) => {
      const customer = await customers.getLive(params.customerIdOrKey);
      const { id: entitlementId } = await entitlements.get(customer, params.entitlementIdOrFeatureKey);
      const { includeDeleted, orderBy = "effectiveAt" } = query;
      const part = sliceOf(query);
      const { items, totalCount } = await grants.list({ ...part.slice, orderBy, includeDeleted, entitlementId });
      const bodies = items.map((grant) => customerGrantBody(grant, clock.now()));
      return jsonReply({ totalCount, ...pageOf(part), items: bodies });
    }),
  ];
}

function listOperations({ entitlements, grants, clock }: EntitlementApi): readonly Operation[] {
  return [
    operation(listEntitlementsV2Route, async ({ query }) => {
      const part = sliceOf(query);
      const now = clock.now();
      const { items, totalCount } = await entitlements.list({
        ...part.slice,
        orderBy: query.orderBy ?? "createdAt",
        includeDeleted: false,
        features: query.feature,
        customerKeys: query.customerKeys,
        customerIds: query.customerIds,
        types: query.entitlementType,
        ...(query.excludeInactive ? { activeAt: now } : {}),
      });
      const bodies = items.map((entitlement) => customerEntitlementBody(entitlement, now));
      return jsonReply({ totalCount, ...pageOf(part), items: bodies });
    }),
    operation(getEntitlementByIdV2Route, async ({ params }) => {
      return jsonReply(customerEntitlementBody(await entitlements.byId(params.entitlementId), clock.now()));
    }),
    operation(listGrantsV2Route, async ({ query }) => {
      const part = sliceOf(query);
      const { items, totalCount } = await grants.list({
        ...part.slice,
        orderBy: query.orderBy ?? "effectiveAt",
        includeDeleted: query.includeDeleted,
        features: query.feature,
        customers: query.customer,
      });
      const bodies = items.map((grant) => customerGrantBody(grant, clock.now()));
      return jsonReply({ totalCount, ...pageOf(part), items: bodies });
    }),
  ];
}
