/**
 * The process that the crash test kills: the whole product on real engines, and the hand that kills parts of it.
 *
 * `fork("product-subject.ts", [JSON.stringify(settings)])`; see `ToSubject` and `FromSubject` for what is said over IPC. It
 * ends when the test does, because then the IPC channel closes.
 */

import { flushCompileCache } from "node:module";
import { setTimeout as delay } from "node:timers/promises";
import { pino } from "pino";
import { loadConfig } from "../../src/app/config.ts";
import { startProduct } from "../../src/app/product.ts";
import { assert } from "../../src/kernel/assert.ts";
import type { RollUpPace } from "../../src/meters/index.ts";
import {
  type FromSubject,
  type Kill,
  STEP_CHANNEL,
  type StepReached,
  type StepReleased,
  type Target,
  type ToSubject,
} from "./kill-plan.ts";

const POLL_MS = 2;
/** So few events, and so little time, that roll-ups are built, extended, merged and deleted all the time, but leave the cores to the rest. */
const ROLL_UP_PACE: Partial<RollUpPace> = {
  minEvents: 300,
  intervalMs: 100,
  metersTtlMs: 500,
  tidyIntervalMs: 500,
  shareOfTime: 0.1,
  retryMs: 200,
  minDeletedChunks: 4,
};

/** JSON text is a configuration file, too. */
const { config } = loadConfig({
  flags: { values: new Map(), file: "subject.yaml" },
  env: {},
  cwd: process.cwd(),
  isTerminal: false,
  readFile: () => process.argv[2] ?? "{}",
});
const tell = (message: FromSubject): void => void process.send?.(message);

/** How often the sink's thread has ended; the product logs each end. */
let sinkEnds = 0;
const logger = pino(
  { level: "warn" },
  {
    write: (line: string) => {
      if (line.includes("the sink stopped")) sinkEnds += 1;
      process.stderr.write(line);
    },
  },
);

let armed: Kill | null = null;
const channel = new BroadcastChannel(STEP_CHANNEL);

// Listens before the product starts, because the sink's first steps happen during the start.
channel.addEventListener("message", (event) => {
  const reached = event.data as Partial<StepReached>;
  if (reached.id === undefined) return;
  const release = (): void => {
    const message: StepReleased = { released: reached.id ?? "" };
    channel.postMessage(message);
  };
  if (armed === null || armed.moment.kind === "anytime" || armed.moment.step !== reached.step) return release();
  const { target, moment } = armed;
  armed = null;
  if (moment.kind === "at") void kill(target).then(release);
  else {
    release();
    void delay(moment.delayMs).then(() => kill(target));
  }
});

process.on("message", (message: ToSubject) => {
  if (message.kind === "tell roll-ups") return tellRollUps();
  const { kill: asked } = message;
  if (asked.moment.kind === "anytime") void delay(asked.moment.delayMs).then(() => kill(asked.target));
  else armed = asked;
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));

const product = await startProduct({
  config,
  logger,
  version: "simulation",
  stepModule: new URL("./step-hook.ts", import.meta.url).href,
  rollUpPace: ROLL_UP_PACE,
});
tell({ kind: "ready", url: product.url });
// The next process starts in half the time; a killed one writes no cache when it ends.
flushCompileCache();

function tellRollUps(): void {
  const { rollUps } = product.parts;
  const offered = rollUps.records.map(({ meter }) => meter).filter((meter) => rollUps.of(meter) !== null);
  tell({ kind: "roll-ups", isCaughtUp: rollUps.isCaughtUp, offered: offered.map(({ slug }) => slug) });
}

/** Kills and tells the test when what was killed is gone. */
async function kill(target: Target): Promise<void> {
  switch (target) {
    case "product":
      process.kill(process.pid, "SIGKILL");
      return;
    case "engine":
      await killEngine();
      break;
    case "sink":
      await killSink();
      break;
  }
  tell({ kind: "killed" });
}

/** The engine has no process while it waits for its next start. */
async function killEngine(): Promise<void> {
  const { engine } = product.parts;
  while (engine.pid === undefined) await delay(POLL_MS);
  const { pid } = engine;
  assert(pid !== undefined, "the engine has a process");
  process.kill(pid, "SIGKILL");
  while (engine.pid === pid) await delay(POLL_MS);
}

/** Between two threads there is nothing to terminate, so it is tried until a thread has ended. */
async function killSink(): Promise<void> {
  const before = sinkEnds;
  const isEnded = (): boolean => sinkEnds > before;
  while (!isEnded()) {
    await product.parts.sink.terminate();
    if (!isEnded()) await delay(POLL_MS);
  }
}
