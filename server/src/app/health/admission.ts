/**
 * Whether new events are accepted, and if not, why: the one answer that ingest, the readiness probe and the log agree on.
 *
 * Invariants: asking is O(1) and touches no disk; of several reasons the one that only a person can remove comes first; a
 * reason ends by itself when its cause does, except for a log that has stopped, which only a restart can trust again.
 */

import type { EmbeddedLogReport } from "../../engines/event-log/index.ts";
import { Fault } from "../../kernel/fault.ts";
import type { Room } from "./free-space.ts";

const RETRY_SPACE_SECONDS = 30;
const RETRY_BACKLOG_SECONDS = 5;
/** A write that failed says for this long that the disk cannot be written; the next one that succeeds says that it can. */
const FAILURE_LASTS_MS = 5_000;

export interface AdmissionOptions {
  /** Where the event log lies; for the texts. */
  readonly directory: string;
  /** Events that are acknowledged and not stored yet. */
  readonly backlog: () => number;
  readonly maxBacklogEvents: number;
  readonly room: () => Room | null;
  /** Milliseconds of a clock that never steps back. */
  readonly nowMs: () => number;
}

export class Admission {
  readonly #options: AdmissionOptions;
  #stopped: Fault | null = null;
  #failure: { readonly fault: Fault; readonly untilMs: number } | null = null;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Learns what the event log reports. */
  hear(report: EmbeddedLogReport): void {
    if (report.kind === "stopped") this.#stopped = report.fault;
    if (report.kind === "write_failed") {
      this.#failure = { fault: report.fault, untilMs: this.#options.nowMs() + FAILURE_LASTS_MS };
    }
  }

  /** The event log stored events. */
  durable(): void {
    this.#failure = null;
  }

  /** Why new events are refused, as the fault to answer with; null when they are accepted. */
  refusal(): Fault | null {
    return this.#stopped ?? this.#noRoom() ?? this.#backlogFull();
  }

  /** Why the server should get no events: also when the last write failed, although the next one may succeed. */
  unreadiness(): Fault | null {
    const failure =
      this.#failure !== null && this.#options.nowMs() < this.#failure.untilMs ? this.#failure.fault : null;
    return this.refusal() ?? failure;
  }

  #noRoom(): Fault | null {
    const room = this.#options.room();
    if (room === null || !room.isShort) return null;
    const message =
      `the disk of the event log in ${this.#options.directory} is nearly full: ${mebibytes(room.freeBytes)} are free, and ` +
      `${mebibytes(room.reserveBytes)} are kept for events that were accepted already (eventLog.minFreeBytes); free ` +
      "some space or enlarge the disk, and events are accepted again within seconds";
    return new Fault("unavailable", "storage_full", message, { retryAfterSeconds: RETRY_SPACE_SECONDS });
  }

  #backlogFull(): Fault | null {
    const backlog = this.#options.backlog();
    if (backlog < this.#options.maxBacklogEvents) return null;
    const message =
      `${backlog} accepted events wait to be stored, and no more may wait than ${this.#options.maxBacklogEvents} ` +
      "(ingest.maxBacklogEvents): send again later; if the number does not fall, the server's log tells why";
    return new Fault("unavailable", "backlog_full", message, { retryAfterSeconds: RETRY_BACKLOG_SECONDS });
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / (1024 * 1024)).toFixed(1)} MiB`;
}
