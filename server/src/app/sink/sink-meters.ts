/**
 * The meters whose values the sink checks: every live one that needs a value, read again after a change of any.
 *
 * A change counts from one of the next batches on, because metrics need no more. Many changes in a row are taken in together:
 * reading ten thousand meters for each of ten thousand new ones would take a processor for itself.
 */

import type { Kysely } from "kysely";
import { Loop } from "../../engines/jobs/index.ts";
import type { Database } from "../../engines/state-store/index.ts";
import type { CheckedMeter } from "../../events/index.ts";
import { liveMeters, type Meter, meterView } from "../../meters/index.ts";

export interface SinkMetersOptions {
  readonly db: Kysely<Database>;
  /** Hands the meters to the sink, if it runs; a sink that starts asks for them. */
  readonly check: (meters: readonly CheckedMeter[]) => void;
  /** The meters could not be read; it is tried again. */
  readonly onError: (error: unknown) => void;
}

/** Pause between two readings. */
const INTERVAL_MS = 1_000;

export class SinkMeters {
  /** Reads the meters again after changes. */
  readonly loop: Loop;
  readonly #options: SinkMetersOptions;
  #checked: readonly CheckedMeter[] = [];
  #hasChanged = false;
  #restUntilMs = 0;

  constructor(options: SinkMetersOptions) {
    this.#options = options;
    this.loop = new Loop({ intervalMs: INTERVAL_MS, step: () => this.#step(), onError: options.onError });
  }

  /** The meters as they were last read. */
  checked(): readonly CheckedMeter[] {
    return this.#checked;
  }

  /** Reads the live meters and hands them to the sink. */
  async load(): Promise<void> {
    this.#restUntilMs = performance.now() + INTERVAL_MS;
    // A change during the reading is for the next one.
    this.#hasChanged = false;
    try {
      this.#checked = (await liveMeters(this.#options.db)).flatMap(checkedMeter);
    } catch (error) {
      this.#hasChanged = true;
      throw error;
    }
    this.#options.check(this.#checked);
  }

  /** A meter may have been created or deleted; nothing else that matters here can change. */
  changed(): void {
    this.#hasChanged = true;
    if (performance.now() >= this.#restUntilMs) this.loop.wake();
  }

  async #step(): Promise<boolean> {
    if (this.#hasChanged) await this.load();
    return false;
  }
}

function checkedMeter(meter: Meter): readonly CheckedMeter[] {
  const { namespace, eventType, aggregation, valuePath } = meterView(meter);
  return valuePath === undefined ? [] : [{ slug: meter.slug, namespace, eventType, aggregation, valuePath }];
}
