/** From the bodies and queries of v1 and v2 to what the verbs take; the versions differ in names and defaults only. */

import {
  type EntitlementInput,
  type EntitlementInputV2,
  type GrantInput,
  type GrantInputV2,
  listPart,
} from "@tallystick/contract";
import type { EntitlementDraft } from "../draft.ts";
import type { GrantDraft } from "../grants/grant.ts";

/** v1: nothing rolls over unless the grant says so. */
export function subjectGrantDraft(body: GrantInput): GrantDraft {
  return { ...body, maxRolloverAmount: body.maxRolloverAmount ?? "0" };
}

/** v2: all of it rolls over unless the grant says otherwise. */
export function customerGrantDraft(body: GrantInputV2): GrantDraft {
  return { ...body, maxRolloverAmount: body.maxRolloverAmount ?? body.amount };
}

export function subjectEntitlementDraft(body: EntitlementInput): EntitlementDraft {
  if (body.type !== "metered") return body;
  return { ...body, issueAmount: body.issueAfterReset, issuePriority: body.issueAfterResetPriority };
}

/** `issue` wins over the names of v1. */
export function customerEntitlementDraft(body: EntitlementInputV2): EntitlementDraft {
  if (body.type !== "metered") return body;
  const { issue, grants } = body;
  return {
    ...body,
    issueAmount: issue === undefined ? body.issueAfterReset : issue.amount,
    issuePriority: issue === undefined ? body.issueAfterResetPriority : issue.priority,
    grants: grants?.map(customerGrantDraft),
  };
}

/** Which part of a list is asked for, and in which order. */
export function sliceOf(query: {
  readonly page?: number | undefined;
  readonly pageSize?: number | undefined;
  readonly limit: number;
  readonly offset: number;
  readonly order: "ASC" | "DESC";
}) {
  const { page, limit, offset } = listPart(query);
  return { page, slice: { limit, offset, direction: query.order === "DESC" ? "desc" : "asc" } as const };
}

/** The part of a list that always answers a page; `limit` and `offset` make a page of their own. */
export function pageOf({ page, slice }: ReturnType<typeof sliceOf>): { page: number; pageSize: number } {
  return page ?? { page: Math.floor(slice.offset / slice.limit) + 1, pageSize: slice.limit };
}
