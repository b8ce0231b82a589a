/**
 * The supervisor of the embedded engine: keeps one engine process (`engine-process.ts`) alive over a data directory.
 *
 * A process that ends by itself is started again, first at once and then with growing pauses. Clients keep the socket path
 * across restarts: requests in flight fail, later ones succeed once the engine is ready again.
 *
 * Invariants: at most one process is running; after `stop` none is. The data directory has its own lock, so that a process
 * that another supervisor left behind makes a start fail, which is retried until `startTimeoutMs` has passed.
 */

import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { EngineProcessOptions, EngineReport, StopRequest } from "./process-protocol.ts";
import { SOCKET_NAME } from "./process-protocol.ts";
import { makeRuntimeDirectory, removeStaleRuntimeDirectories } from "./runtime-directory.ts";
import { removeFrozen, snapshotTables } from "./snapshot.ts";

export interface ChdbEngineOptions {
  /** Created when missing; one process may use it at a time. */
  readonly dataDirectory: string;
  /** What the engine may allocate; by default half of the machine's memory, at most 8 GiB. */
  readonly memoryLimitBytes?: number;
  /** Threads of one statement; 2 by default. */
  readonly threads?: number;
  /**
   * How long a start may take before the process counts as hung, and how long the first start goes on trying, for example
   * while another process lets go of the directory; 60 s by default.
   */
  readonly startTimeoutMs?: number;
  /** How long `stop` waits for running statements before it kills the process. */
  readonly stopTimeoutMs?: number;
  /** The process answers, after the first start and after every restart. */
  readonly onReady?: () => void;
  /** The process ended although nobody asked it to; it is being restarted. */
  readonly onExit?: (reason: string) => void;
}

export interface ChdbEngine {
  /** Where event stores connect to; the same across restarts. */
  readonly socketPath: string;
  readonly isReady: boolean;
  /** Process id of the engine process, undefined between two processes. */
  readonly pid: number | undefined;
  /**
   * Makes, without stopping anything, a directory `into` on the same file system that an engine opens as a data directory
   * with the rows of this moment, by links to files that are never written again. Each table is taken by itself: whoever
   * needs several to agree sees to it that nothing is inserted or deleted meanwhile.
   */
  snapshot(into: string): Promise<void>;
  /** Lets running statements finish, closes the data directory and ends the process. */
  stop(): Promise<void>;
}

const ENTRY = fileURLToPath(new URL("./engine-process.ts", import.meta.url));

const DEFAULT_THREADS = 2;
const MAX_DEFAULT_MEMORY_BYTES = 8 * 1024 ** 3;
const DEFAULT_START_TIMEOUT_MS = 60_000;
const DEFAULT_STOP_TIMEOUT_MS = 10_000;
const QUERY_SESSIONS = 4;
const INSERT_SESSIONS = 2;
const BACKGROUND_SESSIONS = 1;
/** Besides one thread per connection, the process needs some for files. */
const FILE_THREADS = 2;

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;
/** A process that lived this long starts the pauses over. */
const STABLE_AFTER_MS = 30_000;
/** As much of the process's standard error as goes into the reason of an exit. */
const STDERR_TAIL_CHARACTERS = 2_000;

/** Starts the engine; resolves when it answers, rejects when it does not within `startTimeoutMs`. */
export async function startChdbEngine(options: ChdbEngineOptions): Promise<ChdbEngine> {
  await removeStaleRuntimeDirectories();
  const runtimeDirectory = await makeRuntimeDirectory();
  removeFrozen(options.dataDirectory);
  const supervisor = new Supervisor(options, runtimeDirectory);
  await supervisor.start();
  return supervisor;
}

class Supervisor implements ChdbEngine {
  readonly socketPath: string;
  readonly #options: ChdbEngineOptions;
  readonly #processOptions: EngineProcessOptions;
  #child: ChildProcess | undefined;
  #isReady = false;
  #isStopping = false;
  #pauseMs = 0;
  #restart: NodeJS.Timeout | undefined;
  #start: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #isStartOverdue = false;

  constructor(options: ChdbEngineOptions, runtimeDirectory: string) {
    this.#options = options;
    this.socketPath = join(runtimeDirectory, SOCKET_NAME);
    this.#processOptions = {
      dataDirectory: options.dataDirectory,
      runtimeDirectory,
      memoryLimitBytes: options.memoryLimitBytes ?? Math.min(Math.floor(totalmem() / 2), MAX_DEFAULT_MEMORY_BYTES),
      threads: options.threads ?? DEFAULT_THREADS,
      querySessions: QUERY_SESSIONS,
      insertSessions: INSERT_SESSIONS,
      backgroundSessions: BACKGROUND_SESSIONS,
    };
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async snapshot(into: string): Promise<void> {
    await snapshotTables(this.socketPath, this.#options.dataDirectory, into);
  }

  start(): Promise<void> {
    const overdue = setTimeout(() => (this.#isStartOverdue = true), this.#startTimeoutMs());
    return new Promise<void>((resolve, reject) => {
      this.#start = { resolve, reject };
      this.#launch();
    }).finally(() => clearTimeout(overdue));
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child !== undefined) {
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      const request: StopRequest = { kind: "stop" };
      if (child.connected) child.send(request, () => undefined);
      const kill = setTimeout(() => child.kill("SIGKILL"), this.#options.stopTimeoutMs ?? DEFAULT_STOP_TIMEOUT_MS);
      await ended;
      clearTimeout(kill);
    }
    rmSync(this.#processOptions.runtimeDirectory, { recursive: true, force: true });
  }

  #startTimeoutMs(): number {
    return this.#options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS;
  }

  #launch(): void {
    const { runtimeDirectory, querySessions, insertSessions, backgroundSessions } = this.#processOptions;
    const sessions = querySessions + insertSessions + backgroundSessions;
    mkdirSync(runtimeDirectory, { recursive: true, mode: 0o700 });
    const child = fork(ENTRY, [JSON.stringify(this.#processOptions)], {
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      // The engine gets nothing of the parent's environment, which holds secrets; its statements never depend on it.
      env: { UV_THREADPOOL_SIZE: String(sessions + FILE_THREADS), TZ: "UTC" },
    });
    this.#child = child;
    let errors = "";
    child.stderr?.setEncoding("utf8");
    child.stderr?.on("data", (text: string) => {
      errors = (errors + text).slice(-STDERR_TAIL_CHARACTERS);
    });
    const hung = setTimeout(() => child.kill("SIGKILL"), this.#startTimeoutMs());
    const stable = setTimeout(() => (this.#pauseMs = 0), STABLE_AFTER_MS);
    child.on("message", (report: EngineReport) => {
      if (report.kind === "failed") {
        errors = report.message;
        return;
      }
      clearTimeout(hung);
      this.#ready();
    });
    child.once("error", (error) => {
      errors = error.message;
      if (child.pid === undefined) child.emit("exit", null, null);
    });
    child.once("exit", (code, signal) => {
      clearTimeout(hung);
      clearTimeout(stable);
      this.#ended(`the engine process ended with ${signal ?? `code ${code}`}: ${errors.trim()}`);
    });
  }

  #ready(): void {
    this.#isReady = true;
    this.#start?.resolve();
    this.#start = undefined;
    this.#options.onReady?.();
  }

  #ended(reason: string): void {
    this.#child = undefined;
    this.#isReady = false;
    if (this.#isStopping) return;
    if (this.#start !== undefined && this.#isStartOverdue) {
      this.#isStopping = true;
      rmSync(this.#processOptions.runtimeDirectory, { recursive: true, force: true });
      this.#start.reject(new Error(`The embedded event store does not start: ${reason}`));
      return;
    }
    this.#options.onExit?.(reason);
    this.#restart = setTimeout(() => this.#launch(), this.#pauseMs);
    this.#pauseMs = Math.min(Math.max(2 * this.#pauseMs, FIRST_PAUSE_MS), MAX_PAUSE_MS);
  }
}
