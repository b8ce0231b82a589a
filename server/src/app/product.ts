/**
 * The whole product in one process group: opens the engines, wires the modules by hand and serves.
 *
 * Order of start: the log first, because it holds the data directory's lock; then the stores; then the sink catches up, so
 * that the first query sees everything that was acknowledged before; then HTTP. The end goes backwards.
 */

import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { type FileLog, openEmbeddedLog } from "../engines/event-log/index.ts";
import {
  type ChdbEngine,
  createEventStore,
  type RollUpEventStore,
  startChdbEngine,
} from "../engines/event-store/index.ts";
import { Loop } from "../engines/jobs/index.ts";
import { openStateStore, type StateStore } from "../engines/state-store/index.ts";
import { deleteConflictsBefore, EventTail, firstRetainedOffset } from "../events/index.ts";
import { createHttpServer, type HttpServer } from "../http/index.ts";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { createUlidSource } from "../kernel/id.ts";
import { instantFromMicros } from "../kernel/instant.ts";
import { RollUpKeeper, type RollUpPace } from "../meters/index.ts";
import { PORTAL_METERS_PATH } from "../portal/index.ts";
import { ControlServer } from "./backup/control-server.ts";
import { checkRestored, refuseUnfinishedRestore } from "./backup/restore-mark.ts";
import { type AcceptEvents, createAcceptance } from "./acceptance.ts";
import type { Config } from "./config.ts";
import type { Core, UsageFeedControl } from "./domains/core.ts";
import { createDomains, type Domains } from "./domains/domains.ts";
import { createMeters } from "./domains/metering.ts";
import { prepareDataDirectory } from "./health/data-directory.ts";
import { checkReadiness } from "./health/readiness.ts";
import { StorageHealth } from "./health/storage-health.ts";
import { LagTracker, Metrics } from "./metrics.ts";
import type { SinkWorkerOptions } from "./sink/sink-protocol.ts";
import { type SinkListeners, sinkListeners } from "./sink/sink-listeners.ts";
import { SinkThread } from "./sink/sink-thread.ts";

/** The embedded log has one partition. */
const PARTITION = 0;
/** Distinct event months per sink batch; the event store remembers 10,000 insert tokens, one per month touched. */
const MAX_BATCH_MONTHS = 100;
/** How long the start waits for the sink to store what was acknowledged before. */
const CATCH_UP_MS = 60_000;
/** A sink that fails so often in a row, in about three seconds, has a cause that waiting does not remove: a full disk. */
const HOPELESS_FAILURES = 6;
/** Streams of accepted events at the same time; each computes in the thread that serves all requests. */
const MAX_EVENT_STREAMS = 32;
/** Shorter than the idle timeouts of common load balancers. */
const STREAM_KEEP_ALIVE_MS = 15_000;
/** A client that takes nothing for this long, while there is something for it, is gone or will not come back to it. */
const STREAM_STALL_MS = 60_000;
/** With as many events waiting for the sink, or one for so long, roll-ups leave it the processor. */
const BUSY_LAG_EVENTS = 200_000;
const BUSY_LAG_SECONDS = 0.25;
const HOUR_MS = 3_600_000;
const HOUR_MICROS = HOUR_MS * 1000;

export interface ProductOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly version: string;
  /** See `SinkWorkerOptions.stepModule`. */
  readonly stepModule?: string;
  /** What the domains take for now; for tests that let months pass. Default: the machine's clock. */
  readonly clock?: Clock;
  /** How eagerly roll-ups are kept; for tests. */
  readonly rollUpPace?: Partial<RollUpPace>;
}

/** The running product. */
export interface Product {
  readonly url: string;
  /** Where everything durable lies, as an absolute path. */
  readonly dataDirectory: string;
  /** Parts that crash tests kill, or look at. */
  readonly parts: {
    readonly engine: ChdbEngine;
    readonly sink: SinkThread;
    readonly rollUps: RollUpKeeper;
    readonly balances: Domains["balances"];
  };
  stop(): Promise<void>;
}

interface Engines {
  readonly log: FileLog;
  readonly engine: ChdbEngine;
  readonly store: RollUpEventStore;
  readonly state: StateStore;
}

/** Starts the product; rejects with a readable error when a part cannot start, after closing the others. */
export async function startProduct(options: ProductOptions): Promise<Product> {
  const { config, logger } = options;
  const dataDirectory = resolve(config.dataDir);
  await prepareDataDirectory(dataDirectory);
  await refuseUnfinishedRestore(dataDirectory);
  const lag = new LagTracker(systemClock);
  const health = createHealth(options, dataDirectory, lag);
  const metrics = new Metrics(config.namespace, { lag: () => lag.lag(), freeBytes: () => health.freeBytes });
  const engines = await openEngines(options, dataDirectory, metrics, health);
  const { log, engine, store } = engines;
  const positions = new Map<number, number>();
  const accept = createAcceptance({ config, log, clock: options.clock ?? systemClock, health, metrics });
  const feed = feedControl(() => sink, log, lag);
  const core: Core = { ...createCore(options, engines, metrics, positions), accept, feed };
  const meters = createMeters(core);
  const sink = createSink(
    options,
    dataDirectory,
    engines,
    metrics,
    sinkListeners(positions, lag, () => domains),
  );
  const rollUps = createRollUps(options, engines, positions, lag);
  metrics.watchRollUps(rollUps);
  const domains = createDomains(core, meters, rollUps);
  const control = createControl(options, dataDirectory, engines, sink, positions, rollUps);
  const end = async (graceMs: number): Promise<void> => {
    for (const service of domains.services.toReversed()) await service.stop();
    await sink.stop(graceMs);
    await health.stop();
    await closeEngines(engines);
  };
  try {
    await health.start();
    await store.migrate();
    await loadPositions(options, dataDirectory, engines, positions, lag);
    lag.durable(log.end(PARTITION));
    await meters.seed(config.meters);
    await domains.prepareSink();
    log.onDurable((_partition, end) => {
      lag.durable(end);
      health.durable();
      sink.durable(end);
    });
    sink.start();
    await catchUp(log.end(PARTITION), positions, sink, logger);
    await startControl(control, logger);
    void rollUps.run();
    await domains.load();
    for (const service of domains.services) void service.run();
    const http = createHttp(options, engines, { metrics, health, domains, accept });
    const port = await http.listen(config.address.host, config.address.port);
    const upkeep = startUpkeep(options, engines, positions);
    return {
      url: urlOf(config.address.host, port),
      dataDirectory,
      parts: { engine, sink, rollUps, balances: domains.balances },
      stop: async () => {
        for (const part of [upkeep, control, rollUps]) await part.stop();
        http.refuseReadiness();
        await http.close(config.shutdown.graceMs);
        await end(config.shutdown.graceMs);
      },
    };
  } catch (error) {
    for (const part of [control, rollUps]) await part.stop();
    await end(0);
    throw error;
  }
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** What domains may ask of the sink, which is made after what they are made of. */
function feedControl(sink: () => SinkThread, log: FileLog, lag: LagTracker): UsageFeedControl {
  return {
    watch: (usages) => sink().watch(usages),
    check: (meters) => sink().check(meters),
    logEnd: () => log.end(PARTITION),
    lagSeconds: () => lag.lag().seconds,
  };
}

function createSink(
  options: ProductOptions,
  dataDirectory: string,
  engines: Engines,
  metrics: Metrics,
  hear: SinkListeners,
): SinkThread {
  return new SinkThread({
    workerOptions: () => sinkOptions(options, dataDirectory, engines, hear),
    onRecovered: hear.recovered,
    onCommitted: (report) => {
      hear.committed(report);
      metrics.stored(report);
    },
    onFailure: (reason, pauseMs) => {
      metrics.restarted("sink");
      options.logger.error({ reason, pauseMs }, "the sink stopped and starts again; nothing acknowledged is lost");
    },
  });
}

/** A server on a full disk cannot tell where to ask for a backup, and has more important things to do. */
async function startControl(control: ControlServer, logger: Logger): Promise<void> {
  try {
    await control.start();
  } catch (error) {
    logger.error({ err: error }, "no backup can be taken until the next start");
  }
}

function createHealth({ config, logger }: ProductOptions, dataDirectory: string, lag: LagTracker): StorageHealth {
  return new StorageHealth({
    dataDirectory,
    minFreeBytes: config.eventLog.minFreeBytes,
    maxBacklogEvents: config.ingest.maxBacklogEvents,
    backlog: () => lag.lag().events,
    logger,
  });
}

async function openEngines(
  options: ProductOptions,
  dataDirectory: string,
  metrics: Metrics,
  health: StorageHealth,
): Promise<Engines> {
  const { config, logger } = options;
  const log = await openEmbeddedLog({
    directory: join(dataDirectory, "log"),
    segmentBytes: config.eventLog.segmentBytes,
    maxQueuedBytes: config.eventLog.queueBytes,
    report: (report) => health.hear(report),
  });
  const url = config.postgres.url;
  const [engine, state] = await Promise.allSettled([
    startChdbEngine({
      dataDirectory: join(dataDirectory, "events"),
      onExit: (reason) => {
        metrics.restarted("event_store");
        logger.error({ reason }, "the event store's process ended and starts again; nothing acknowledged is lost");
      },
    }),
    openStateStore(
      url === undefined
        ? {
            kind: "embedded",
            directory: join(dataDirectory, "state"),
            onFailure: (reason) => health.stateStopped(reason),
          }
        : { kind: "postgres", url },
    ),
  ]);
  if (engine.status === "rejected" || state.status === "rejected") {
    if (engine.status === "fulfilled") await engine.value.stop();
    if (state.status === "fulfilled") await state.value.close();
    await log.close();
    throw engine.status === "rejected" ? engine.reason : state.status === "rejected" ? state.reason : undefined;
  }
  const store = createEventStore({
    endpoint: { kind: "embedded", socketPath: engine.value.socketPath },
    queryTimeoutMs: config.query.timeoutMs,
    maxResultRows: config.query.maxRows,
  });
  return { log, engine: engine.value, store, state: state.value };
}

async function closeEngines({ log, engine, store, state }: Engines): Promise<void> {
  await store.close();
  await engine.stop();
  await state.close();
  await log.close();
}

function sinkOptions(
  options: ProductOptions,
  dataDirectory: string,
  engines: Engines,
  hear: SinkListeners,
): SinkWorkerOptions {
  const { config, stepModule } = options;
  const url = config.postgres.url;
  const port = engines.state.connectPort?.();
  if (port === undefined && url === undefined) throw new Error("the embedded state store gives out ports");
  return {
    partition: PARTITION,
    logDirectory: join(dataDirectory, "log"),
    claimsDirectory: join(dataDirectory, "claims"),
    logEnd: engines.log.end(PARTITION),
    store: { endpoint: { kind: "embedded", socketPath: engines.engine.socketPath } },
    state: port === undefined ? { kind: "postgres", url: url ?? "" } : { kind: "shared", port },
    limits: { events: config.sink.maxBatchEvents, bytes: config.sink.maxBatchBytes, months: MAX_BATCH_MONTHS },
    lingerMs: config.sink.lingerMs,
    watched: hear.watched(),
    checked: hear.checked(),
    ...(stepModule === undefined ? {} : { stepModule }),
  };
}

function createRollUps(
  { logger, rollUpPace }: ProductOptions,
  { store, state }: Engines,
  positions: ReadonlyMap<number, number>,
  lag: LagTracker,
): RollUpKeeper {
  return new RollUpKeeper({
    db: state.db,
    store: store.rollUps,
    clock: systemClock,
    positions: () => new Map(positions),
    isBusy: () => {
      const { events, seconds } = lag.lag();
      return events > BUSY_LAG_EVENTS || seconds > BUSY_LAG_SECONDS;
    },
    isIngesting: () => lag.lag().events > 0,
    ...(rollUpPace === undefined ? {} : { pace: rollUpPace }),
    onError: (error) =>
      logger.warn({ err: error }, "the upkeep of roll-ups failed and is tried again; queries read events"),
    onDifference: (meter, period) =>
      logger.error(
        { meter: meter.slug, period },
        "a roll-up differed from its events; it is rebuilt, queries read events",
      ),
  });
}

/** Lets `tallystick backup` ask for an image of the data directory. */
function createControl(
  { logger }: ProductOptions,
  dataDirectory: string,
  { log, engine, state }: Engines,
  sink: SinkThread,
  positions: ReadonlyMap<number, number>,
  rollUps: RollUpKeeper,
): ControlServer {
  return new ControlServer({
    dataDirectory,
    logger,
    parts: {
      log,
      snapshotEvents: (into) => engine.snapshot(into),
      copyState: state.copyTo,
      whileSinkRests: (claimsInto, work) => sink.whileResting(claimsInto, work),
      storedUpTo: () => positions.get(PARTITION) ?? -1,
      holds: [() => rollUps.holdDeletions()],
    },
  });
}

function createCore(
  { config, logger, clock = systemClock }: ProductOptions,
  { store, state }: Engines,
  metrics: Metrics,
  positions: ReadonlyMap<number, number>,
): Omit<Core, "accept" | "feed"> {
  return {
    config,
    logger,
    namespace: config.namespace,
    clock,
    newId: createUlidSource(clock, (count) => randomBytes(count)),
    db: state.db,
    store: {
      ...metrics.timed(store),
      countBySubject: (query) => store.countBySubject(query),
      progress: (watchedAs) => store.progress(watchedAs),
    },
    metrics,
    positions: () => new Map(positions),
  };
}

/** Learns how far each partition is stored. Rejects when log, state store and what was restored do not belong together. */
async function loadPositions(
  { config }: ProductOptions,
  dataDirectory: string,
  { log, state }: Engines,
  positions: Map<number, number>,
  lag: LagTracker,
): Promise<void> {
  const rows = await state.db.selectFrom("stored_position").selectAll().execute();
  const storedUpTo = rows.find(({ partition }) => partition === PARTITION)?.stored_upto ?? -1;
  await checkRestored(dataDirectory, config.postgres.url === undefined ? "embedded" : "postgres", storedUpTo);
  for (const { partition, stored_upto: storedUpTo, last_stored_at: lastStoredAt } of rows) {
    refuseShortLog(log.end(partition), storedUpTo, dataDirectory);
    positions.set(partition, storedUpTo);
    lag.stored(storedUpTo + 1, lastStoredAt);
  }
}

/** A log that was deleted would give its old offsets to new events, and the sink takes those for stored. */
function refuseShortLog(end: number, storedUpto: number, dataDirectory: string): void {
  if (end > storedUpto) return;
  throw new Error(
    `the event log in ${join(dataDirectory, "log")} ends at offset ${end}, but events up to offset ${storedUpto} were ` +
      "stored from it: it was deleted, or the state store belongs to another data directory; restore the log from a " +
      "backup, or give this data directory a state store of its own",
  );
}

/** Waits until everything that was acknowledged before the start is stored, or until that is not to be expected soon. */
async function catchUp(
  end: number,
  positions: ReadonlyMap<number, number>,
  sink: SinkThread,
  logger: Logger,
): Promise<void> {
  const isStored = (): boolean => (positions.get(PARTITION) ?? -1) >= end - 1;
  const deadlineMs = performance.now() + CATCH_UP_MS;
  const isHopeful = (): boolean => sink.failuresInARow < HOPELESS_FAILURES && performance.now() < deadlineMs;
  while (!isStored() && isHopeful()) await delay(5);
  if (!isStored()) logger.warn({ end }, "serving before all events of the last run are stored; queries lag behind");
}

interface Modules {
  readonly accept: AcceptEvents;
  readonly metrics: Metrics;
  readonly health: StorageHealth;
  readonly domains: Domains;
}

function createHttp(options: ProductOptions, engines: Engines, modules: Modules): HttpServer {
  const { config, logger, version } = options;
  const { log, engine, store, state } = engines;
  const { metrics, health, domains, accept } = modules;
  const tail = new EventTail({ log, partition: PARTITION, namespace: config.namespace });
  return createHttpServer({
    operations: domains.operations,
    crossOriginPaths: config.portal.corsEnabled ? [PORTAL_METERS_PATH] : [],
    ingest: {
      maxBodyBytes: config.ingest.maxBodyBytes,
      accept,
    },
    answerNow: (path) => domains.answerNow(path),
    eventStream: {
      open: ({ type, source, subject, lastEventId }, signal) =>
        tail.open({ types: type, sources: source, subjects: subject, after: lastEventId }, signal),
      maxStreams: MAX_EVENT_STREAMS,
      keepAliveMs: STREAM_KEEP_ALIVE_MS,
      stallTimeoutMs: STREAM_STALL_MS,
      onStreams: (open) => metrics.streams(open),
    },
    checkReadiness: () =>
      checkReadiness({
        pingEventStore: () => store.ping(),
        pingStateStore: () => state.ping(),
        isEngineReady: () => engine.isReady,
        unreadiness: () => health.unreadiness(),
      }),
    metrics: { contentType: metrics.registry.contentType, text: () => metrics.registry.metrics() },
    version,
    onRequest: (record) => {
      metrics.served(record);
      logger.info(record, "request");
    },
    onError: (error, requestId) => logger.error({ err: error, requestId }, "a request failed"),
  });
}

/** Hourly: forgets conflicts and log segments that are past their retention. */
function startUpkeep(options: ProductOptions, engines: Engines, positions: ReadonlyMap<number, number>): Loop {
  const { config, logger } = options;
  const upkeep = new Loop({
    intervalMs: HOUR_MS,
    step: async () => {
      const now = systemClock.now();
      const oldest = instantFromMicros(now - config.ingest.conflictRetentionDays * 24 * HOUR_MICROS);
      const count = await deleteConflictsBefore(engines.state.db, oldest);
      if (count > 0) logger.info({ count }, "forgot conflicts past their retention");
      const cutoff = instantFromMicros(now - config.eventLog.retentionHours * HOUR_MICROS);
      const storedEnd = (positions.get(PARTITION) ?? -1) + 1;
      await engines.log.trim(PARTITION, await firstRetainedOffset(engines.log, PARTITION, storedEnd, cutoff));
      return false;
    },
    onError: (error) => logger.error({ err: error }, "the hourly upkeep failed; it is tried again in an hour"),
  });
  void upkeep.run();
  return upkeep;
}
