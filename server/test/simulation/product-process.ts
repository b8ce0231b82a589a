/**
 * One directory with its data and the product processes that live on it, one after the other.
 *
 * Invariant: at most one process at a time. A kill that does not happen in time, or a process that ends by itself, fails
 * with what the process wrote last.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { makeEmbeddedDirectory } from "../../src/engines/state-store/fixture.ts";
import type { Random } from "../oracle/random.ts";
import type { FromSubject, Kill, RollUpState, ToSubject } from "./kill-plan.ts";
import { EVENT_TYPE } from "./traffic.ts";

const SUBJECT = join(import.meta.dirname, "product-subject.ts");
/** Far more than anything takes; on a machine that is busy with other things a start may take ten seconds. */
const DEADLINE_MS = 90_000;
const OUTPUT_CHARACTERS = 8_000;
const POLL_MS = 50;

export class ProductProcess {
  readonly #directory: string;
  readonly #random: Random;
  #child: ChildProcess | null = null;
  #exited: Promise<unknown> = Promise.resolve();
  #startedMs = 0;
  #url: string | null = null;
  #killed: PromiseWithResolvers<void> | null = null;
  #told: PromiseWithResolvers<RollUpState> | null = null;
  #ready = Promise.withResolvers<void>();
  #output = "";

  constructor(directory: string, random: Random) {
    this.#directory = directory;
    this.#random = random;
  }

  /** Where everything durable lies. */
  get dataDirectory(): string {
    return join(this.#directory, "data");
  }

  /** Null while no process is ready. */
  get url(): string | null {
    return this.#url;
  }

  /** Puts an empty state store in place, which the product would take seconds to make. */
  async prepare(): Promise<void> {
    await mkdir(this.dataDirectory);
    await rename(await makeEmbeddedDirectory(), join(this.dataDirectory, "state"));
  }

  /** Starts a process; `ready` tells when it serves. */
  start(): void {
    const child = fork(SUBJECT, [JSON.stringify(this.#settings())], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: { ...process.env, NODE_COMPILE_CACHE: join(this.#directory, "compile-cache") },
    });
    this.#child = child;
    this.#startedMs = performance.now();
    this.#ready = Promise.withResolvers<void>();
    child.stderr?.setEncoding("utf8");
    child.stderr?.on("data", (text: string) => {
      this.#output = (this.#output + text).slice(-OUTPUT_CHARACTERS);
    });
    child.on("message", (message: FromSubject) => {
      if (message.kind === "killed") return this.#killed?.resolve();
      if (message.kind === "roll-ups") return this.#told?.resolve(message);
      this.#url = message.url;
      this.#ready.resolve();
    });
    this.#exited = once(child, "exit").then(() => {
      this.#url = null;
      this.#child = null;
    });
  }

  async ready(): Promise<void> {
    const exited = this.#exited.then(() => {
      throw this.#failure("the product ended while it started");
    });
    await this.#inTime(Promise.race([this.#ready.promise, exited]), "the product does not start");
  }

  /** Kills as told and returns when it has happened. After a kill of the product the next process is on its way. */
  async kill(kill: Kill): Promise<void> {
    const { target, moment } = kill;
    if (target === "product" && moment.kind === "anytime") {
      await delay(Math.max(0, this.#startedMs + moment.delayMs - performance.now()));
      return await this.restart();
    }
    await this.ready();
    this.#killed = Promise.withResolvers<void>();
    const message: ToSubject = { kind: "kill", kill };
    this.#child?.send(message);
    const late = `no kill of the ${target} ${JSON.stringify(moment)}`;
    if (target !== "product") {
      const ended = this.#exited.then(() => {
        throw this.#failure("the product ended although it was not to be killed");
      });
      return await this.#inTime(Promise.race([this.#killed.promise, ended]), late);
    }
    await this.#inTime(this.#exited, late);
    this.start();
  }

  /** Waits until everything stored is rolled up, of all meters for which that pays; resolves with the slugs of those. */
  async rolledUp(): Promise<readonly string[]> {
    const deadlineMs = performance.now() + DEADLINE_MS;
    for (;;) {
      this.#told = Promise.withResolvers<RollUpState>();
      const message: ToSubject = { kind: "tell roll-ups" };
      this.#child?.send(message);
      const { isCaughtUp, offered } = await this.#inTime(this.#told.promise, "nothing is told of roll-ups");
      if (isCaughtUp) return offered;
      if (performance.now() > deadlineMs) throw this.#failure("the roll-ups do not catch up");
      await delay(POLL_MS);
    }
  }

  /** Kills the process, whatever it is doing, and starts the next one. */
  async restart(): Promise<void> {
    await this.stop();
    this.start();
  }

  async stop(): Promise<void> {
    this.#url = null;
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** Every life has other batch sizes: a batch under way must keep its boundaries nevertheless. */
  #settings(): Readonly<Record<string, unknown>> {
    const meter = { eventType: EVENT_TYPE, groupBy: { variant: "$.variant" } };
    return {
      address: "127.0.0.1:0",
      dataDir: this.dataDirectory,
      eventLog: { segmentBytes: 1_048_576 },
      sink: { maxBatchEvents: this.#random.pick([250, 1000, 50_000]), lingerMs: this.#random.pick([0, 5, 20]) },
      meters: [
        { ...meter, slug: "events", aggregation: "COUNT" },
        { ...meter, slug: "amount", aggregation: "SUM", valueProperty: "$.amount" },
        { ...meter, slug: "keys", aggregation: "UNIQUE_COUNT", valueProperty: "$.key" },
      ],
    };
  }

  async #inTime<T>(promise: Promise<T>, complaint: string): Promise<T> {
    const done = new AbortController();
    const late = delay(DEADLINE_MS, undefined, { signal: done.signal }).then(() => {
      throw this.#failure(complaint);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      done.abort();
      // The deadline that was called off rejects, and nobody else listens.
      late.catch(() => undefined);
    }
  }

  #failure(complaint: string): Error {
    return new Error(`${complaint}; it last wrote:\n${this.#output}`);
  }
}
