/** Entitlements over HTTP: everything that v1 and v2 answer about them. */

import type { Operation } from "@tallystick/contract";
import type { CustomerService, SubjectService } from "../../customers/index.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Balances } from "../balances.ts";
import type { GrantService } from "../grants/service.ts";
import type { EntitlementService } from "../service.ts";
import { customerOperations } from "./customer-operations.ts";
import { subjectOperations } from "./subject-operations.ts";

export interface EntitlementApi {
  readonly entitlements: EntitlementService;
  readonly grants: GrantService;
  readonly balances: Balances;
  readonly customers: Pick<CustomerService, "getLive" | "ownerOf" | "ownersOf">;
  readonly subjects: Pick<SubjectService, "get">;
  readonly clock: Clock;
}

export function entitlementOperations(api: EntitlementApi): readonly Operation[] {
  return [...customerOperations(api), ...subjectOperations(api)];
}
