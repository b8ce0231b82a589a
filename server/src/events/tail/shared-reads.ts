/**
 * The latest reads of the log, shared by all tails: those that follow its end together cost one read, not one each, and a
 * tail whose consumer is slow holds nothing, because it finds its records here or reads them again.
 */

import type { EventLogReader, LogRecord } from "../../engines/event-log/index.ts";
import { assert } from "../../kernel/assert.ts";

/** How much one read takes; the reader fetches at least 256 KiB from disk anyway. */
const READ_LIMIT = { events: 50_000, bytes: 256 * 1024 };
/** Tails at the end of the log share one read; each of the slow ones may need its own. */
const KEPT_READS = 8;

export class SharedReads {
  readonly #log: Pick<EventLogReader, "read">;
  readonly #partition: number;
  /** The most recently used one last. */
  #kept: readonly (readonly LogRecord[])[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(log: Pick<EventLogReader, "read">, partition: number) {
    this.#log = log;
    this.#partition = partition;
  }

  /** Records from the one that contains `offset` on, perhaps after some earlier ones. The event at `offset` must be durable. */
  at(offset: number): Promise<readonly LogRecord[]> {
    // One after the other: whoever waits finds what the one before has read.
    const records = this.#turn.then(() => this.#find(offset) ?? this.#read(offset));
    this.#turn = records.catch(() => undefined);
    return records;
  }

  #find(offset: number): readonly LogRecord[] | undefined {
    const found = this.#kept.find((records) => {
      const [first, last] = [records[0], records.at(-1)];
      return first !== undefined && last !== undefined && first.offset <= offset && offset < last.offset + last.count;
    });
    if (found !== undefined) this.#keep(found);
    return found;
  }

  async #read(offset: number): Promise<readonly LogRecord[]> {
    const records = await this.#log.read(this.#partition, offset, READ_LIMIT);
    assert(records.length > 0, "what is durable can be read");
    this.#keep(records);
    return records;
  }

  #keep(records: readonly LogRecord[]): void {
    this.#kept = [...this.#kept.filter((each) => each !== records), records].slice(-KEPT_READS);
  }
}
