/**
 * The messages between the threads that use a PGlite and the worker thread that runs it. Plain data only: they cross
 * threads by structured clone, which would strip an `Error` of the fields that callers compare.
 */

import type { MessagePort } from "node:worker_threads";

/** From a client to the worker. A transaction has the `id` of the request that began it. */
export type Request =
  | {
      readonly kind: "query";
      readonly id: number;
      readonly sql: string;
      readonly parameters: readonly (string | null)[];
      readonly transaction: number | undefined;
    }
  | { readonly kind: "begin"; readonly id: number }
  | { readonly kind: "commit" | "rollback"; readonly id: number; readonly transaction: number };

export interface Result {
  readonly rows: readonly Record<string, unknown>[];
  readonly affectedRows: number | undefined;
}

/** The fields of a PostgreSQL error that callers compare or show. */
export interface ErrorFields {
  readonly message: string;
  /** SQLSTATE. */
  readonly code?: string;
  readonly constraint?: string;
  readonly table?: string;
  readonly column?: string;
  readonly detail?: string;
}

/** From the worker to a client. */
export type Response =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly error: ErrorFields };

/** From the thread that owns the worker. */
export type Control =
  | { readonly kind: "connect"; readonly port: MessagePort }
  | { readonly kind: "copy"; readonly id: number; readonly directory: string }
  | { readonly kind: "close" };

/** From the worker to the thread that owns it. */
export type Status =
  | { readonly kind: "ready" }
  /** The database could not be opened, or it has given up and the thread ends. */
  | { readonly kind: "failed"; readonly message: string }
  /** The end of a copy; `failure` says why it is not complete. */
  | { readonly kind: "copied"; readonly id: number; readonly failure: string | null }
  | { readonly kind: "closed" };

/** What the worker starts with. */
export interface WorkerConfig {
  readonly directory: string;
  readonly idleTransactionTimeoutMs: number;
}

const ERROR_FIELDS = ["code", "constraint", "table", "column", "detail"] as const;

/** Takes from an error what can cross threads. */
export function errorFields(error: unknown): ErrorFields {
  if (!(error instanceof Error)) return { message: String(error) };
  const fields: Record<string, string> = {};
  for (const field of ERROR_FIELDS) {
    const value: unknown = Reflect.get(error, field);
    if (typeof value === "string") fields[field] = value;
  }
  return { message: error.message, ...fields };
}

/** An error of the embedded database, with the same fields as one of the `pg` driver. */
export class EmbeddedDatabaseError extends Error {
  override readonly name = "EmbeddedDatabaseError";
  readonly code: string | undefined;
  readonly constraint: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly detail: string | undefined;

  constructor(fields: ErrorFields) {
    super(fields.message);
    this.code = fields.code;
    this.constraint = fields.constraint;
    this.table = fields.table;
    this.column = fields.column;
    this.detail = fields.detail;
  }
}

/** A parameter as PostgreSQL's text input. Throws `TypeError` for anything whose encoding would depend on the driver. */
export function encodeParameter(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (value instanceof Uint8Array) return `\\x${value.toHex()}`;
  throw new TypeError("a parameter of the state store is text, number, boolean, bytes or null: pass JSON as text");
}
