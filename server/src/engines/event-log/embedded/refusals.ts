/**
 * Why the log does not take a record, in words for the client and for the operator who reads over its shoulder.
 *
 * Invariant: every refusal is a fault `unavailable` that may be repeated; its code tells programs, and alerts, which of the
 * causes it is, and its sentence names the directory and says what has to happen before events are accepted again.
 */

import { Fault } from "../../../kernel/fault.ts";

const RETRY_QUEUE_SECONDS = 1;
const RETRY_DISK_SECONDS = 5;
/** Only a restart helps: there is no hurry. */
const RETRY_STOPPED_SECONDS = 30;

/** What the system answers when there is no room, on the disk or in what its owner may use of it. */
const FULL = new Set(["ENOSPC", "EDQUOT"]);

/** Why records are refused, for the log in `directory`. */
export class Refusals {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** `log_unavailable`: the log is closed. */
  closed(): Fault {
    return refusal("log_unavailable", "the event log is closed", RETRY_QUEUE_SECONDS);
  }

  /** `queue_full`: more is waiting for the disk than memory is meant to hold. */
  queueFull(): Fault {
    const message = "too many events are waiting to be written to the disk; send them again in a moment";
    return refusal("queue_full", message, RETRY_QUEUE_SECONDS);
  }

  /** `storage_full` or `log_unavailable`: nothing was stored, and the next record is tried again. */
  writeFailed(error: unknown): Fault {
    const code = errorCode(error);
    if (FULL.has(code)) {
      const message =
        `the disk of the event log in ${this.#directory} is full (${code}): free some space or enlarge the disk; ` +
        "events are accepted again as soon as there is room";
      return refusal("storage_full", message, RETRY_DISK_SECONDS, error);
    }
    const message =
      `the event log in ${this.#directory} cannot be written at the moment (${code}): check the disk; ` +
      "the next events are tried again";
    return refusal("log_unavailable", message, RETRY_DISK_SECONDS, error);
  }

  /** `storage_read_only` or `log_stopped`: nothing is stored until the log is opened again. */
  stopped(error: unknown): Fault {
    const code = errorCode(error);
    const remedy = "then restart the server: it checks what it stored. Nothing that was acknowledged is lost";
    if (code === "EROFS") {
      const message =
        `the disk of the event log in ${this.#directory} has become read-only (${code}), which systems do to a disk that ` +
        `fails: check the disk, make it writable, ${remedy}`;
      return refusal("storage_read_only", message, RETRY_STOPPED_SECONDS, error);
    }
    const message =
      `the event log in ${this.#directory} has stopped because its disk failed to store events (${code}): check the disk, ` +
      remedy;
    return refusal("log_stopped", message, RETRY_STOPPED_SECONDS, error);
  }
}

/** The system's name of what went wrong, such as `ENOSPC`; the reason may be a cause further down. */
function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  if ("code" in error && typeof error.code === "string") return error.code;
  return errorCode(error.cause);
}

function refusal(code: string, message: string, retryAfterSeconds: number, cause?: unknown): Fault {
  return new Fault("unavailable", code, message, { retryAfterSeconds, cause });
}
