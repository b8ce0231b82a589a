/**
 * What the product loads into the sink's thread under test: after each step of a batch the thread stands still until the
 * main thread lets it go on, so that whoever kills there kills exactly between two steps.
 */

import { flushCompileCache } from "node:module";
import { threadId } from "node:worker_threads";
import type { SinkStep } from "../../src/events/index.ts";
import { STEP_CHANNEL, type StepReached, type StepReleased } from "./kill-plan.ts";

const channel = new BroadcastChannel(STEP_CHANNEL);
const waiting = new Map<string, () => void>();
let count = 0;

channel.addEventListener("message", (event) => {
  const { released } = event.data as StepReleased;
  waiting.get(released)?.();
  waiting.delete(released);
});
// The thread ends when the sink has ended; the channel alone does not keep it alive.
channel.unref();

/** Resolves when the main thread has released this step; never, when it kills here. */
export async function onStep(step: SinkStep): Promise<void> {
  // A killed process writes no cache when it ends, so the thread does while it lives.
  if (count === 0) flushCompileCache();
  count += 1;
  const id = `${threadId}/${count}`;
  const { promise, resolve } = Promise.withResolvers<void>();
  waiting.set(id, resolve);
  const reached: StepReached = { id, step };
  channel.postMessage(reached);
  await promise;
}
