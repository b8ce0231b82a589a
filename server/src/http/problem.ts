/**
 * Errors as RFC 9457 problem bodies: the one place where a fault becomes a status and a body.
 *
 * `type`, `title`, `status`, `detail` and `instance` are always there, because clients fall back to a meaningless sentence
 * without them. A defect answers 500 and tells nothing of its cause; the log has it under the request id.
 */

import { STATUS_CODES } from "node:http";
import type { Problem } from "@tallystick/contract";
import { Fault, type FaultKind } from "../kernel/fault.ts";

export const PROBLEM_CONTENT_TYPE = "application/problem+json";

const STATUSES: Readonly<Record<FaultKind, number>> = {
  validation: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  canceled: 408,
  conflict: 409,
  precondition_failed: 412,
  too_large: 413,
  rate_limited: 429,
  internal: 500,
  not_implemented: 501,
  unavailable: 503,
};

/** An error answer, ready to send. */
export interface ProblemReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The answer to a request that ended in `error`. */
export function problemReply(error: unknown, requestId: string): ProblemReply {
  const fault = error instanceof Fault ? error : internalFault();
  const status = STATUSES[fault.kind];
  const extensions = {
    ...(fault.fields.length === 0 ? {} : { validationErrors: fault.fields.map(critical) }),
    ...fault.extensions,
  };
  const problem: Problem = {
    type: "about:blank",
    title: STATUS_CODES[status] ?? "Error",
    status,
    detail: fault.message,
    instance: `urn:request:${requestId}`,
    ...(Object.keys(extensions).length === 0 ? {} : { extensions }),
  };
  return {
    status,
    headers: {
      "content-type": PROBLEM_CONTENT_TYPE,
      // RFC 9110: whoever refuses for lack of credentials says which ones it takes.
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
      ...(fault.retryAfterSeconds === undefined ? {} : { "retry-after": String(fault.retryAfterSeconds) }),
    },
    body: JSON.stringify(problem),
  };
}

function critical(field: Fault["fields"][number]) {
  return { ...field, severity: "critical" as const };
}

function internalFault(): Fault {
  return new Fault("internal", "internal", "The server failed. The cause is in its log under this request's id.");
}
