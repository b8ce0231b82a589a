/**
 * The sink as a thread of its own, because preparing a batch takes hundreds of milliseconds of computing, which must not
 * delay requests. A thread that ends by itself is started again, with growing pauses.
 */

import { Worker } from "node:worker_threads";
import type { SinkReport } from "../../events/index.ts";
import type { FromSink, SinkWorkerOptions, ToSink } from "./sink-protocol.ts";

export interface SinkThreadOptions {
  /** Called for each start: ports and the log's end are those of the moment. */
  readonly workerOptions: () => SinkWorkerOptions;
  readonly onCommitted: (report: SinkReport) => void;
  /** The thread ended although nobody asked it to; it starts again after the pause. */
  readonly onFailure: (reason: string, pauseMs: number) => void;
}

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 5_000;

export class SinkThread {
  readonly #options: SinkThreadOptions;
  #worker: Worker | null = null;
  #isStopping = false;
  #pauseMs = FIRST_PAUSE_MS;
  #restart: NodeJS.Timeout | null = null;

  constructor(options: SinkThreadOptions) {
    this.#options = options;
  }

  start(): void {
    const workerData = this.#options.workerOptions();
    const transferList = workerData.state.kind === "shared" ? [workerData.state.port] : [];
    const worker = new Worker(new URL("./sink-worker.ts", import.meta.url), { workerData, transferList, name: "sink" });
    let reason = "the thread ended";
    worker.on("message", (message: FromSink) => {
      if (message.kind === "failed") {
        reason = message.message;
        return;
      }
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#options.onCommitted(message.report);
    });
    worker.on("error", (error) => {
      reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    worker.on("exit", () => {
      this.#worker = null;
      if (!this.#isStopping) this.#startAgain(reason);
    });
    this.#worker = worker;
  }

  /** Tells the thread that the log is durable up to `end`. */
  durable(end: number): void {
    this.#send({ kind: "durable", end });
  }

  /** Lets the batch under way finish and ends the thread; kills it after `graceMs`, which loses nothing. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    if (this.#restart !== null) clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker === null) return;
    const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    this.#send({ kind: "stop" });
    const timer = setTimeout(() => void worker.terminate(), graceMs);
    await ended;
    clearTimeout(timer);
  }

  /** Ends the thread at once, between any two of its instructions; it starts again. For crash tests. */
  async terminate(): Promise<void> {
    await this.#worker?.terminate();
  }

  #startAgain(reason: string): void {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
    this.#options.onFailure(reason, pauseMs);
    this.#restart = setTimeout(() => this.start(), pauseMs);
  }

  #send(message: ToSink): void {
    this.#worker?.postMessage(message);
  }
}
