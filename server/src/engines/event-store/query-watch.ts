/**
 * How far watched queries have got: a bounded record that costs the queries nothing.
 *
 * A query carries its label to the engine, where it is found among the running ones; what it read in the end comes with
 * its answer. The engine is asked only when somebody asks here, and by one statement at a time however many ask, so that
 * curious clients cannot keep queries from their connections.
 *
 * Invariants: at most `maxEnded` ended queries are remembered, each for five minutes; running ones are as many as the
 * queries under way; a newer query takes its name from an older one.
 */

import type { Clock } from "../../kernel/clock.ts";
import type { Instant } from "../../kernel/instant.ts";
import type { RunningQuery } from "./sql/running-queries.ts";
import type { QueryProgress } from "./store.ts";

/** How long the progress of an ended query is known. */
const KEPT_MICROS = 5 * 60 * 1_000_000;
const MAX_ENDED = 10_000;
/** How long an answer waits for the engine before it tells the numbers of last time. */
const LOOK_TIMEOUT_MS = 1_000;

export interface QueryWatchOptions {
  readonly clock: Clock;
  /** Tells these labels from those of every other process on the same engine. */
  readonly prefix: string;
  /** The running queries among those with these labels. */
  readonly look: (labels: readonly string[]) => Promise<readonly RunningQuery[]>;
  readonly maxEnded?: number;
  readonly lookTimeoutMs?: number;
}

interface Watched {
  readonly label: string;
  isRunning: boolean;
  progress: QueryProgress;
}

export class QueryWatch {
  readonly #options: QueryWatchOptions;
  readonly #running = new Map<string, Watched>();
  /** By name, the one that ended first first. */
  readonly #ended = new Map<string, Watched>();
  #labels = 0;
  #look: Promise<void> | undefined;

  constructor(options: QueryWatchOptions) {
    this.#options = options;
  }

  /**
   * Runs a query under a name. `run` gets the label to send along and resolves with what it found and how many rows it
   * read for it, null if that is unknown.
   */
  async watch<Found>(
    name: string,
    run: (label: string) => Promise<{ readonly found: Found; readonly rowsRead: number | null }>,
  ): Promise<Found> {
    const { clock, prefix } = this.#options;
    this.#labels += 1;
    const label = `${prefix}/${this.#labels}`;
    const watched: Watched = {
      label,
      isRunning: true,
      // Nobody knows yet how much there is to read; a total of 0 would look like an end.
      progress: { read: 0, failed: 0, total: 1, updatedAt: clock.now() },
    };
    this.#ended.delete(name);
    this.#running.set(name, watched);
    try {
      const { found, rowsRead } = await run(label);
      const read = rowsRead ?? watched.progress.total;
      this.#end(name, watched, { read, failed: 0, total: read, updatedAt: clock.now() });
      return found;
    } catch (error) {
      const { read } = watched.progress;
      const total = Math.max(watched.progress.total, read + 1);
      this.#end(name, watched, { read, failed: total - read, total, updatedAt: clock.now() });
      throw error;
    }
  }

  /** How far the newest query of this name has got; null when it is not known. */
  async progress(name: string): Promise<QueryProgress | null> {
    this.#forget();
    const running = this.#running.get(name);
    if (running === undefined) return this.#ended.get(name)?.progress ?? null;
    this.#look ??= this.#lookAtAll().finally(() => (this.#look = undefined));
    const overdue = Promise.withResolvers<void>();
    const timer = setTimeout(overdue.resolve, this.#options.lookTimeoutMs ?? LOOK_TIMEOUT_MS);
    await Promise.race([this.#look, overdue.promise]);
    clearTimeout(timer);
    return running.progress;
  }

  /** Brings the numbers of all running queries up to date; a failure leaves them as they are. */
  async #lookAtAll(): Promise<void> {
    const byLabel = new Map([...this.#running.values()].map((watched) => [watched.label, watched]));
    const running = await this.#options.look([...byLabel.keys()]).catch(() => []);
    const now = this.#options.clock.now();
    for (const { label, read, planned } of running) {
      const watched = byLabel.get(label);
      if (watched?.isRunning !== true) continue;
      watched.progress = { read, failed: 0, total: Math.max(planned, read, 1), updatedAt: now };
    }
  }

  #end(name: string, watched: Watched, progress: QueryProgress): void {
    watched.isRunning = false;
    watched.progress = progress;
    // A newer query has the name when the two differ.
    if (this.#running.get(name) !== watched) return;
    this.#running.delete(name);
    this.#ended.set(name, watched);
    this.#forget();
  }

  #forget(): void {
    const oldest = (this.#options.clock.now() - KEPT_MICROS) as Instant;
    const maxEnded = this.#options.maxEnded ?? MAX_ENDED;
    for (const [name, { progress }] of this.#ended) {
      if (progress.updatedAt > oldest && this.#ended.size <= maxEnded) break;
      this.#ended.delete(name);
    }
  }
}
