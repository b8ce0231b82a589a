/**
 * The state store: relational state (meters, positions, jobs) in PGlite or PostgreSQL behind one Kysely.
 *
 * Both engines are PostgreSQL, so there is no interface over tables: modules write SQL through `db`. What differs is how
 * a store is opened, and that a PGlite can be shared by the threads of one process through message ports.
 */

import type { Kysely } from "kysely";
import type { MessagePort } from "node:worker_threads";
import type { Database } from "./database.ts";

/** How long a transaction may wait for its next statement before it is rolled back, unless configured otherwise. */
export const IDLE_TRANSACTION_TIMEOUT_MS = 30_000;

interface Timeouts {
  /**
   * Rolls back a transaction that waits longer than this for its next statement. It frees what a stuck holder blocks:
   * on PGlite, everything. Default 30 s.
   */
  readonly idleTransactionTimeoutMs?: number;
}

export interface EmbeddedConfig extends Timeouts {
  readonly kind: "embedded";
  /** Made if it is missing; at most one process has it open. */
  readonly directory: string;
  /**
   * The database has given up, for example because its disk is full: every request fails from now on. Opening the store
   * again, when the cause is gone, recovers everything that was committed.
   */
  readonly onFailure?: (reason: string) => void;
}

export interface PostgresConfig extends Timeouts {
  readonly kind: "postgres";
  /** `postgres://user:password@host:port/database`; never logged and never part of an error. */
  readonly url: string;
  /** Default 10. */
  readonly maxConnections?: number;
}

/** A store that another thread of this process opened, reached through a port of its `connectPort`. */
export interface SharedConfig {
  readonly kind: "shared";
  readonly port: MessagePort;
}

export type StateStoreConfig = EmbeddedConfig | PostgresConfig | SharedConfig;

export interface StateStore {
  /**
   * Inside a transaction use only the transaction's own handle: on PGlite a query through `db` waits for the transaction
   * to end.
   */
  readonly db: Kysely<Database>;
  /** Resolves when the store answers a query, else rejects. */
  ping(): Promise<void>;
  /**
   * Embedded stores only: a port for another thread of this process, to be transferred to it and opened there with
   * `{ kind: "shared", port }`. A thread that ends inside a transaction rolls it back.
   */
  readonly connectPort?: () => MessagePort;
  /**
   * Embedded stores only, in the thread that opened it: copies the store's files to `directory`, which it makes, as they
   * are between two statements. It waits for an open transaction, and other statements wait for the copy (0.1 to 0.3 s). A
   * store opens on the copy as it does after a crash.
   */
  readonly copyTo?: (directory: string) => Promise<void>;
  /** Ends running queries and frees everything; a shared store closes only its own port. Idempotent. */
  close(): Promise<void>;
}

const UNIQUE_VIOLATION = "23505";
const EXCLUSION_VIOLATION = "23P01";

/** True when `error` is the database's refusal of a duplicate key, of this constraint or unique index if one is named. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return isViolation(error, UNIQUE_VIOLATION, constraint);
}

/** True when `error` is the database's refusal of a row that this exclusion constraint does not let stand beside another. */
export function isExclusionViolation(error: unknown, constraint: string): boolean {
  return isViolation(error, EXCLUSION_VIOLATION, constraint);
}

function isViolation(error: unknown, code: string, constraint: string | undefined): boolean {
  if (!(error instanceof Error) || !("code" in error) || error.code !== code) return false;
  return constraint === undefined || ("constraint" in error && error.constraint === constraint);
}
