/**
 * A merge under way beside the claims: small ones on this thread between other work, large ones on a thread of their own.
 */

import { Worker } from "node:worker_threads";
import { mergeRuns } from "./merge.ts";
import type { MergeTask } from "./merge.ts";

export class BackgroundMerge {
  readonly task: MergeTask;
  /** True once the output is written, false when the merge was cancelled; rejects when it failed. */
  readonly outcome: Promise<boolean>;

  /** Starts at once; the outcome's rejection is observed by whoever awaits it, and not reported as unhandled. */
  constructor(task: Omit<MergeTask, "cancel">, isThreaded: boolean) {
    this.task = { ...task, cancel: new Int32Array(new SharedArrayBuffer(4)) };
    this.outcome = isThreaded ? mergeInThread(this.task) : mergeRuns(this.task);
    this.outcome.catch(() => undefined);
  }

  /** Asks the merge to stop; it does so within a chunk. */
  cancel(): void {
    Atomics.store(this.task.cancel, 0, 1);
  }

  /** Resolves when the merge no longer touches any file, whatever its outcome. */
  async settled(): Promise<void> {
    await this.outcome.catch(() => undefined);
  }
}

async function mergeInThread(task: MergeTask): Promise<boolean> {
  return new Promise((resolve, reject) => {
    // The thread reads TypeScript by itself and needs none of the options that this process was started with.
    const worker = new Worker(new URL("merge-thread.ts", import.meta.url), { workerData: task, execArgv: [] });
    worker.on("error", reject);
    worker.on("exit", (code) => {
      if (code === 0) resolve(Atomics.load(task.cancel, 0) === 0);
      else reject(new Error(`The merge thread ended with code ${code}.`));
    });
  });
}
