/**
 * Watches what events need to be stored: room on the disk, the event log, and a sink that keeps up. Wires `Admission` to
 * the running product and tells the operator when ingest ends and begins again.
 */

import { join } from "node:path";
import type { Logger } from "pino";
import type { EmbeddedLogReport } from "../../engines/event-log/index.ts";
import { Loop } from "../../engines/jobs/index.ts";
import { Fault } from "../../kernel/fault.ts";
import { Admission } from "./admission.ts";
import { FreeSpace } from "./free-space.ts";

const LOOK_INTERVAL_MS = 1_000;
/** A log that is asked to write to a full disk a thousand times a second reports each time. */
const REPORT_INTERVAL_MS = 10_000;
const RETRY_STOPPED_SECONDS = 30;

export interface StorageHealthOptions {
  readonly dataDirectory: string;
  readonly minFreeBytes: number | undefined;
  readonly maxBacklogEvents: number;
  /** Events that are acknowledged and not stored yet. */
  readonly backlog: () => number;
  readonly logger: Logger;
}

/** Events are accepted all the same: they wait in the log. */
function stateStopped(reason: string): Fault {
  const message =
    `the state store has stopped (${reason}): make sure that its disk has room and can be written, then restart the ` +
    "server, which recovers it; nothing that was acknowledged is lost";
  return new Fault("unavailable", "state_stopped", message, { retryAfterSeconds: RETRY_STOPPED_SECONDS });
}

export class StorageHealth {
  readonly #logger: Logger;
  readonly #space: FreeSpace;
  readonly #admission: Admission;
  readonly #loop: Loop;
  #refusedCode: string | null = null;
  #reportedMs = Number.NEGATIVE_INFINITY;
  #isBlind = false;
  #unreadiness: Fault | null = null;

  constructor(options: StorageHealthOptions) {
    const directory = join(options.dataDirectory, "log");
    this.#logger = options.logger;
    this.#space = new FreeSpace(directory, options.minFreeBytes);
    this.#admission = new Admission({
      directory,
      backlog: options.backlog,
      maxBacklogEvents: options.maxBacklogEvents,
      room: () => this.#space.room,
      nowMs: () => performance.now(),
    });
    this.#loop = new Loop({
      intervalMs: LOOK_INTERVAL_MS,
      step: async () => {
        await this.#look();
        return false;
      },
      onError: () => undefined,
    });
  }

  /** Looks at the disk for the first time and goes on doing so; the event log's directory exists. */
  async start(): Promise<void> {
    await this.#look();
    void this.#loop.run();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** Free bytes on the disk of the event log; 0 before `start`. */
  get freeBytes(): number {
    return this.#space.room?.freeBytes ?? 0;
  }

  /** Throws the fault that new events are refused with, if they are. */
  admit(): void {
    const refusal = this.#admission.refusal();
    if (refusal !== null) throw refusal;
  }

  /** Why the server should get no events at the moment; null when it should. */
  unreadiness(): Fault | null {
    return this.#unreadiness ?? this.#admission.unreadiness();
  }

  /** The state store has given up until the next start. */
  stateStopped(reason: string): void {
    const fault = stateStopped(reason);
    this.#unreadiness ??= fault;
    this.#logger.fatal(fault.message);
  }

  /** The event log stored events. */
  durable(): void {
    this.#admission.durable();
  }

  /** Learns what the event log reports, and tells the operator. */
  hear(report: EmbeddedLogReport): void {
    this.#admission.hear(report);
    switch (report.kind) {
      case "tail_cut":
        this.#logger.warn(report, "event log: cut what the last process had not finished writing");
        break;
      case "write_failed":
        if (performance.now() - this.#reportedMs < REPORT_INTERVAL_MS) break;
        this.#reportedMs = performance.now();
        this.#logger.error({ err: report.fault.cause }, report.fault.message);
        break;
      case "stopped":
        this.#logger.fatal({ err: report.fault.cause }, report.fault.message);
        break;
    }
  }

  async #look(): Promise<void> {
    try {
      await this.#space.look();
      this.#isBlind = false;
    } catch (error) {
      if (!this.#isBlind) this.#logger.error({ err: error }, "the free space of the disk cannot be found out");
      this.#isBlind = true;
    }
    this.#tellChanges();
  }

  #tellChanges(): void {
    const refusal = this.#admission.refusal();
    const code = refusal?.code ?? null;
    if (code === this.#refusedCode) return;
    this.#refusedCode = code;
    if (refusal === null) this.#logger.info("events are accepted again");
    else this.#logger.error({ code }, `events are refused: ${refusal.message}`);
  }
}
