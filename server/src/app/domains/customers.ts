/** Wires customers and subjects. */

import type { Operation } from "@tallystick/contract";
import {
  customerOperations,
  type CustomerParticipant,
  CustomerService,
  type CustomerServiceOptions,
  subjectOperations,
  SubjectService,
} from "../../customers/index.ts";
import type { Core } from "./core.ts";

export interface Customers {
  readonly customers: CustomerService;
  readonly subjects: SubjectService;
  readonly operations: readonly Operation[];
}

/** What customers ask of domains that are wired later. */
export interface CustomerNeeds {
  /** Read at every change, so that those domains may still add themselves to it. */
  readonly inTransaction: readonly CustomerParticipant[];
  /** Whether something is attached to the customer. */
  readonly isInUse: NonNullable<CustomerServiceOptions["isInUse"]>;
}

export function createCustomers(core: Core, { inTransaction, isInUse }: CustomerNeeds): Customers {
  const { db, namespace, clock, newId, config } = core;
  const customers = new CustomerService({ db, namespace, clock, newId, inTransaction, isInUse });
  const givesOwners = config.customer.enableSubjectHook;
  const subjects = new SubjectService({ db, namespace, clock, newId, customers, givesOwners });
  return { customers, subjects, operations: [...customerOperations(customers), ...subjectOperations(subjects)] };
}
