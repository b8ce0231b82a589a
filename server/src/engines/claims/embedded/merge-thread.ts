/** Entry point of the thread that merges large runs: does the task it was started with, and fails when the task fails. */

import { workerData } from "node:worker_threads";
import { mergeRuns } from "./merge.ts";
import type { MergeTask } from "./merge.ts";

await mergeRuns(workerData as MergeTask);
