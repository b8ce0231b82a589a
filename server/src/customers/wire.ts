/** Customers as the v1 API writes them; notifications send the same shape. */

import type { CustomerBody } from "@tallystick/contract";
import { formatInstant } from "../kernel/instant.ts";
import type { Customer } from "./customer.ts";

/** The body of a customer. `usageAttribution` is always there, so that readers need not ask whether it is. */
export function customerBody(customer: Customer): CustomerBody {
  const { key, description, primaryEmail, currency, billingAddress, metadata, annotations, deletedAt } = customer;
  return {
    id: customer.id,
    name: customer.name,
    ...(description === null ? {} : { description }),
    ...(metadata === null ? {} : { metadata }),
    ...(key === null ? {} : { key }),
    usageAttribution: { subjectKeys: [...customer.subjectKeys] },
    ...(primaryEmail === null ? {} : { primaryEmail }),
    ...(currency === null ? {} : { currency }),
    ...(billingAddress === null ? {} : { billingAddress }),
    ...(annotations === null ? {} : { annotations }),
    createdAt: formatInstant(customer.createdAt),
    updatedAt: formatInstant(customer.updatedAt),
    ...(deletedAt === null ? {} : { deletedAt: formatInstant(deletedAt) }),
  };
}
