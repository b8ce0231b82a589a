/**
 * The sink as a thread of its own, because preparing a batch takes hundreds of milliseconds of computing, which must not
 * delay requests. A thread that ends by itself is started again, with growing pauses.
 */

import { Worker } from "node:worker_threads";
import type { CheckedMeter, SinkReport, WatchedUsage } from "../../events/index.ts";
import type { FromSink, SinkWorkerOptions, ToSink } from "./sink-protocol.ts";

export interface SinkThreadOptions {
  /** Called for each start: ports and the log's end are those of the moment. */
  readonly workerOptions: () => SinkWorkerOptions;
  /** The thread begins to follow the log; everything before the offset `next` is stored. */
  readonly onRecovered: (partition: number, next: number) => void;
  readonly onCommitted: (report: SinkReport) => void;
  /** The thread ended although nobody asked it to; it starts again after the pause. */
  readonly onFailure: (reason: string, pauseMs: number) => void;
}

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 5_000;
/** Longer than any batch takes; a sink that is catching up after a start comes to rest when it is done. */
const REST_WITHIN_MS = 60_000;

export class SinkThread {
  readonly #options: SinkThreadOptions;
  #worker: Worker | null = null;
  #isStopping = false;
  #pauseMs = FIRST_PAUSE_MS;
  #restart: NodeJS.Timeout | null = null;
  #failuresInARow = 0;

  constructor(options: SinkThreadOptions) {
    this.#options = options;
  }

  /** How often the thread ended by itself since it last stored a batch. */
  get failuresInARow(): number {
    return this.#failuresInARow;
  }

  start(): void {
    let workerData: SinkWorkerOptions;
    try {
      workerData = this.#options.workerOptions();
    } catch (error) {
      // An engine that the thread needs is not there at the moment.
      this.#startAgain(error instanceof Error ? error.message : String(error));
      return;
    }
    const transferList = workerData.state.kind === "shared" ? [workerData.state.port] : [];
    const worker = new Worker(new URL("./sink-worker.ts", import.meta.url), { workerData, transferList, name: "sink" });
    let reason = "the thread ended";
    worker.on("message", (message: FromSink) => {
      if (message.kind === "failed") reason = message.message;
      if (message.kind === "recovered") this.#options.onRecovered(message.partition, message.next);
      if (message.kind !== "committed") return;
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#failuresInARow = 0;
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

  /** Replaces the usage that reports tell about: for all events that were not durable before this call. */
  watch(watched: readonly WatchedUsage[]): void {
    this.#send({ kind: "watch", watched });
  }

  /** Replaces the meters for which reports count invalid values, from one of the next batches on. */
  check(checked: readonly CheckedMeter[]): void {
    this.#send({ kind: "check", checked });
  }

  /**
   * Calls `work` while the thread rests between two batches, with a copy of the claims in the new directory `claimsInto`.
   * Rejects when the thread does not come to rest, and when it ended meanwhile: another one then did not rest.
   */
  async whileResting<T>(claimsInto: string, work: () => Promise<T>): Promise<T> {
    const worker = this.#worker;
    if (worker === null) throw new Error("the sink is being started again; try again shortly");
    try {
      await this.#rest(worker, claimsInto);
      const result = await work();
      if (this.#worker !== worker) throw new Error("the sink ended meanwhile and was started again; try again");
      return result;
    } finally {
      const message: ToSink = { kind: "resume" };
      worker.postMessage(message);
    }
  }

  async #rest(worker: Worker, claimsInto: string): Promise<void> {
    const resting = Promise.withResolvers<void>();
    const listener = (message: FromSink): void => {
      if (message.kind !== "paused") return;
      if (message.failure === null) resting.resolve();
      else resting.reject(new Error(message.failure));
    };
    const ended = (): void => resting.reject(new Error("the sink ended; try again shortly"));
    const late = setTimeout(
      () => resting.reject(new Error(`the sink did not come to rest within ${REST_WITHIN_MS / 1000} s; try again`)),
      REST_WITHIN_MS,
    );
    worker.on("message", listener).once("exit", ended);
    try {
      const message: ToSink = { kind: "pause", claimsInto };
      worker.postMessage(message);
      await resting.promise;
    } finally {
      clearTimeout(late);
      worker.off("message", listener).off("exit", ended);
    }
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
    this.#failuresInARow += 1;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
    this.#options.onFailure(reason, pauseMs);
    this.#restart = setTimeout(() => this.start(), pauseMs);
  }

  #send(message: ToSink): void {
    this.#worker?.postMessage(message);
  }
}
