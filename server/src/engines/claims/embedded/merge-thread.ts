/** Entry point of the thread that merges large runs: does the task it was started with, and fails when the task fails. */

import { setPriority } from "node:os";
import { workerData } from "node:worker_threads";
import { mergeRuns } from "./merge.ts";
import type { MergeTask } from "./merge.ts";

/** What the event store's merges have, too: claims and queries come first. */
const NICE = 5;

// On Linux this is the priority of the thread, elsewhere it would be that of the process.
if (process.platform === "linux") {
  try {
    setPriority(NICE);
  } catch {
    // A sandbox may forbid it; the merge is needed all the same.
  }
}
await mergeRuns(workerData as MergeTask);
