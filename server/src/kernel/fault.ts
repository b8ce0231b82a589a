/**
 * Faults: rejected requests. A verb throws a `Fault`; `http/problem.ts` maps it once to an RFC 9457 problem body.
 * A business outcome (a duplicate event, no access) is a value, and a defect is an `InvariantViolation`; neither is a
 * fault.
 */

/** Decides the HTTP status, nothing else. */
export type FaultKind =
  | "validation" // 400
  | "unauthorized" // 401
  | "forbidden" // 403
  | "not_found" // 404
  | "method_not_allowed" // 405
  | "canceled" // 408
  | "conflict" // 409
  | "precondition_failed" // 412
  | "too_large" // 413
  | "rate_limited" // 429
  | "internal" // 500, the message is safe to show
  | "not_implemented" // 501
  | "unavailable"; // 503

/** One offending field. */
export interface FieldError {
  /** Stable, snake_case. */
  readonly code: string;
  /** What is wrong and what would be right, one sentence. */
  readonly message: string;
  /** JSONPath of the field, such as `$[3].subject` or `$.slug`. */
  readonly field?: string;
}

export interface FaultDetails {
  /** All offending fields, not only the first. */
  readonly fields?: readonly FieldError[];
  /** Further machine-readable members of the problem's `extensions`, such as `conflictingEntityId`. */
  readonly extensions?: Readonly<Record<string, unknown>>;
  /** For `unavailable` and `rate_limited`: when to try again. */
  readonly retryAfterSeconds?: number;
  /** For the log only, never for the client. */
  readonly cause?: unknown;
}

export class Fault extends Error {
  override readonly name = "Fault";
  /** Stable, snake_case; what programs compare. */
  readonly code: string;
  readonly kind: FaultKind;
  readonly fields: readonly FieldError[];
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | undefined;

  /** `message` is the sentence the client reads: what is wrong and what to do. */
  constructor(kind: FaultKind, code: string, message: string, details: FaultDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.code = code;
    this.fields = details.fields ?? [];
    this.extensions = details.extensions ?? {};
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}
