/** The sink's thread: opens its own view of the engines, runs one sink, ends when told to or when a batch fails. */

import { parentPort, workerData } from "node:worker_threads";
import { openEmbeddedClaims } from "../../engines/claims/index.ts";
import { openEmbeddedLogReader } from "../../engines/event-log/index.ts";
import { createEventStore } from "../../engines/event-store/index.ts";
import { openStateStore } from "../../engines/state-store/index.ts";
import { Sink, type SinkStep } from "../../events/index.ts";
import { assert } from "../../kernel/assert.ts";
import { systemClock } from "../../kernel/clock.ts";
import { gather, messageOf } from "../backup/files.ts";
import type { FromSink, SinkWorkerOptions, ToSink } from "./sink-protocol.ts";

assert(parentPort !== null, "the sink runs in a worker thread");
const port = parentPort;
const options: SinkWorkerOptions = workerData;
const tell = (message: FromSink): void => port.postMessage(message);

const log = await openEmbeddedLogReader({ directory: options.logDirectory, end: options.logEnd });
const stopping = Promise.withResolvers<void>();
const started = Promise.withResolvers<Sink>();
let resumed = Promise.withResolvers<void>();
port.on("message", (message: ToSink) => {
  switch (message.kind) {
    case "durable":
      log.setEnd(options.partition, message.end);
      break;
    case "watch":
      void started.promise.then((running) => running.watch(message.watched));
      break;
    case "check":
      void started.promise.then((running) => running.check(message.checked));
      break;
    case "pause":
      resumed = Promise.withResolvers<void>();
      void pause(message.claimsInto, resumed.promise);
      break;
    case "resume":
      resumed.resolve();
      break;
    case "stop":
      stopping.resolve();
  }
});

const claims = await openEmbeddedClaims({ directory: options.claimsDirectory });
const store = createEventStore(options.store);
const state = await openStateStore(options.state);
const hook: { onStep?: (step: SinkStep) => Promise<void> } =
  options.stepModule === undefined ? {} : await import(options.stepModule);
const sink = new Sink({
  partition: options.partition,
  log,
  claims,
  store,
  db: state.db,
  clock: systemClock,
  limits: options.limits,
  lingerMs: options.lingerMs,
  onRecovered: (partition, next) => tell({ kind: "recovered", partition, next }),
  onCommitted: (report) => tell({ kind: "committed", report }),
  ...(hook.onStep === undefined ? {} : { onStep: hook.onStep }),
});
sink.watch(options.watched);
sink.check(options.checked);
void stopping.promise.then(() => sink.stop());
started.resolve(sink);

async function pause(claimsInto: string, until: Promise<void>): Promise<void> {
  const running = await started.promise;
  await running.pause(async () => {
    const failure = await claims
      .withFiles((files) => gather(files, claimsInto))
      .then(
        () => null,
        (error: unknown) => messageOf(error),
      );
    tell({ kind: "paused", failure });
    if (failure === null) await until;
  });
}

try {
  await sink.run();
} catch (error) {
  process.exitCode = 1;
  tell({ kind: "failed", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
await Promise.allSettled([claims.close(), store.close(), state.close(), log.close()]);
port.close();
