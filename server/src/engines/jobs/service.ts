/**
 * Long-running parts. Everything that runs until it is told to end has these three methods, so that a process can start,
 * drain and stop all of its parts in the same way.
 */

import { assert } from "../../kernel/assert.ts";

export interface Service {
  /** Works until `stop` or `drain`, then resolves. Called once. */
  run(): Promise<void>;
  /** Ends as soon as the step under way is over; resolves when `run` has. */
  stop(): Promise<void>;
  /** Finishes the work that is due, then ends; resolves when `run` has. */
  drain(): Promise<void>;
}

export interface LoopConfig {
  /** One unit of work; resolves with whether more work is due at once. */
  readonly step: () => Promise<boolean>;
  /** How long to wait when nothing is due, unless `wake` is called. */
  readonly intervalMs: number;
  /** Told of every failed step; the loop goes on after `intervalMs`. */
  readonly onError: (error: unknown) => void;
}

/** A service that repeats a step: at once while there is work, else after an interval or a call of `wake`. */
export class Loop implements Service {
  readonly #config: LoopConfig;
  readonly #pause = new Pause();
  #state: "running" | "draining" | "stopped" = "running";
  #ended: Promise<void> | undefined;

  constructor(config: LoopConfig) {
    this.#config = config;
  }

  async run(): Promise<void> {
    assert(this.#ended === undefined, "a service runs once");
    this.#ended = this.#repeat();
    await this.#ended;
  }

  async stop(): Promise<void> {
    await this.#end("stopped");
  }

  async drain(): Promise<void> {
    await this.#end("draining");
  }

  /** There is work: ends the current wait, or skips the next one. */
  wake(): void {
    this.#pause.wake();
  }

  async #end(state: "draining" | "stopped"): Promise<void> {
    if (this.#state !== "stopped") this.#state = state;
    this.#pause.wake();
    await this.#ended;
  }

  async #repeat(): Promise<void> {
    while (this.#state !== "stopped") {
      let hasMore = false;
      try {
        hasMore = await this.#config.step();
      } catch (error) {
        this.#config.onError(error);
      }
      if (hasMore) continue;
      if (this.#state !== "running") return;
      await this.#pause.wait(this.#config.intervalMs);
    }
  }
}

/** A wait that can be cut short; a call of `wake` between two waits skips the second. */
export class Pause {
  #isAwake = false;
  #resolve: (() => void) | undefined;

  async wait(ms: number): Promise<void> {
    if (!this.#isAwake) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#resolve = resolve;
      const timer = setTimeout(resolve, ms);
      await promise;
      clearTimeout(timer);
    }
    this.#isAwake = false;
    this.#resolve = undefined;
  }

  wake(): void {
    this.#isAwake = true;
    this.#resolve?.();
  }
}
