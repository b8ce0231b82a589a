/** Customers over HTTP: decode, call the verb, encode. */

import {
  type CustomerContentBody,
  customerListRoutes,
  customerRoutes,
  jsonReply,
  type Operation,
  operation,
  type OperationReply,
} from "@tallystick/contract";
import { Fault } from "../kernel/fault.ts";
import { sliceOfPage, type PageRequest } from "../kernel/page.ts";
import type { CustomerService } from "./customer-service.ts";
import type { Customer, CustomerDraft } from "./customer.ts";
import { customerBody } from "./wire.ts";

export function customerOperations(customers: CustomerService): readonly Operation[] {
  return [...entityOperations(customers), ...listOperations(customers)];
}

function entityOperations(customers: CustomerService): readonly Operation[] {
  return [
    operation(customerRoutes.listCustomers, async ({ query }) => {
      // A customer without a subscription is on no plan, and nothing makes subscriptions yet.
      if (query.planKey !== undefined) return pageReply(query, [], 0);
      const { items, totalCount } = await customers.list({
        orderBy: query.orderBy ?? "name",
        direction: query.order === "DESC" ? "desc" : "asc",
        includeDeleted: query.includeDeleted,
        key: query.key,
        name: query.name,
        primaryEmail: query.primaryEmail,
        subject: query.subject,
        ...sliceOfPage(query),
      });
      return pageReply(
        query,
        items.map((customer) => expandedBody(customer, query.expand)),
        totalCount,
      );
    }),
    operation(customerRoutes.createCustomer, async ({ body }) =>
      jsonReply(customerBody(await customers.create(customerDraft(body))), 201),
    ),
    operation(customerRoutes.getCustomer, async ({ params, query }) =>
      jsonReply(expandedBody(await customers.get(params.customerIdOrKey), query.expand)),
    ),
    operation(customerRoutes.updateCustomer, async ({ params, body }) =>
      jsonReply(customerBody(await customers.update(params.customerIdOrKey, customerDraft(body)))),
    ),
    operation(customerRoutes.deleteCustomer, async ({ params }) => {
      await customers.delete(params.customerIdOrKey);
      return { status: 204 };
    }),
  ];
}

/** What belongs to customers elsewhere. Without apps and subscriptions it is nothing, and every app is unknown. */
function listOperations(customers: CustomerService): readonly Operation[] {
  return [
    operation(customerListRoutes.listCustomerAppData, async ({ params, query }) => {
      await customers.get(params.customerIdOrKey);
      return pageReply(query, [], 0);
    }),
    operation(customerListRoutes.upsertCustomerAppData, async ({ params, body }) => {
      await customers.getLive(params.customerIdOrKey);
      const [first] = body;
      if (first !== undefined) throw appNotFound(first);
      return jsonReply([]);
    }),
    operation(customerListRoutes.deleteCustomerAppData, async ({ params }) => {
      await customers.getLive(params.customerIdOrKey);
      throw appNotFound({ id: params.appId });
    }),
    operation(customerListRoutes.listCustomerSubscriptions, async ({ params, query }) => {
      await customers.get(params.customerIdOrKey);
      return pageReply(query, [], 0);
    }),
  ];
}

function customerDraft({ usageAttribution, ...rest }: CustomerContentBody): CustomerDraft {
  return { ...rest, subjectKeys: usageAttribution?.subjectKeys };
}

function expandedBody(customer: Customer, expand: readonly "subscriptions"[] | undefined) {
  return { ...customerBody(customer), ...(expand?.includes("subscriptions") ? { subscriptions: [] } : {}) };
}

function pageReply({ page, pageSize }: PageRequest, items: readonly unknown[], totalCount: number): OperationReply {
  return jsonReply({ items, page, pageSize, totalCount });
}

function appNotFound({ id, type = "" }: { readonly id?: string | undefined; readonly type?: string }): Fault {
  const app = id === undefined ? `the default app of type ${type}` : `app with id ${id}`;
  return new Fault("not_found", "app_not_found", `${app} not found; no apps are installed`);
}
