/**
 * The writing of a full memory table to a run, on this thread between other work. The table is only read meanwhile.
 */

import { join } from "node:path";
import { ENTRY_WORDS } from "./entry.ts";
import type { Seeds } from "./entry.ts";
import { fileName } from "./file.ts";
import type { RunRecord } from "./manifest.ts";
import { keyOrder } from "./order.ts";
import { Pace } from "./pace.ts";
import { RunWriter } from "./run-writer.ts";
import type { MemoryTable } from "./table.ts";

export class TableWrite {
  readonly record: RunRecord;
  readonly table: MemoryTable;
  /** Resolves once the contents of the run are written and synced. */
  readonly outcome: Promise<void>;

  /** Starts at once; the outcome's rejection is observed by whoever awaits it, and not reported as unhandled. */
  constructor(directory: string, record: RunRecord, table: MemoryTable, seeds: Seeds) {
    this.record = record;
    this.table = table;
    this.outcome = writeTable(join(directory, fileName("run", record.number)), record, table, seeds);
    this.outcome.catch(() => undefined);
  }

  /** Resolves when nothing is written any more, whatever the outcome. */
  async settled(): Promise<void> {
    await this.outcome.catch(() => undefined);
  }
}

async function writeTable(path: string, record: RunRecord, table: MemoryTable, seeds: Seeds): Promise<void> {
  const { entries, count } = table;
  const pace = new Pace();
  const order = await keyOrder(entries, count, pace);
  const writer = await RunWriter.create(path, record.number, count, seeds);
  try {
    for (const index of order) {
      if (!writer.add(entries, index * ENTRY_WORDS)) continue;
      await writer.writeChunk();
      await pace.rest();
    }
    await writer.finish();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}
