/**
 * Roll-ups over ClickHouse: every statement of their upkeep, in the background, on connections that queries do not use.
 *
 * Invariant: rows of a chunk are only added under a chunk number that was never used before; nothing here decides which
 * chunks count.
 */

import type { Period } from "../../kernel/period.ts";
import type {
  EventTypeCount,
  Fold,
  LevelSize,
  MonthCount,
  RollUp,
  RollUpDifference,
  RollUpLevel,
  RollUpStore,
} from "./roll-ups/roll-up.ts";
import type { Statement } from "./sql/fragment.ts";
import type { Cell } from "./sql/aggregations/aggregation.ts";
import { wholeNumber } from "./sql/listing.ts";
import {
  chunkRowsStatement,
  countByMonthStatement,
  countByTypeStatement,
  deleteChunksStatement,
  differencesStatement,
  estimateStatement,
  eventTypeCount,
  foldStatements,
  levelSizes,
  mergeStatement,
  monthCount,
  rollUpDifference,
} from "./sql/roll-up-writes.ts";
import type { MeterView, PositionVector } from "./store.ts";

/** How statements reach the server. */
export interface BackgroundConnection {
  rows(statement: Statement): Promise<readonly (readonly Cell[])[]>;
  command(statement: Statement): Promise<void>;
  /** Asks what was asked of the roll-up lately again. */
  askAgain(rollUp: RollUp): Promise<void>;
}

export class ClickHouseRollUps implements RollUpStore {
  readonly #connection: BackgroundConnection;

  constructor(connection: BackgroundConnection) {
    this.#connection = connection;
  }

  async fold(fold: Fold): Promise<number> {
    for (const statement of foldStatements(fold)) await this.#connection.command(statement);
    return await this.#rowsOf(fold.chunk);
  }

  async mergeChunks(rollUp: RollUp, chunks: readonly number[], into: number): Promise<number> {
    await this.#connection.command(mergeStatement(rollUp, chunks, into));
    return await this.#rowsOf(into);
  }

  async prepare(rollUp: RollUp): Promise<void> {
    await this.#connection.askAgain(rollUp);
  }

  async deleteChunks(chunks: readonly number[]): Promise<void> {
    if (chunks.length > 0) await this.#connection.command(deleteChunksStatement(chunks));
  }

  async chunkRows(): Promise<ReadonlyMap<number, number>> {
    const rows = await this.#connection.rows(chunkRowsStatement());
    return new Map(rows.map(([chunk, count]) => [wholeNumber(chunk), wholeNumber(count)]));
  }

  async countByType(after: PositionVector, upTo: PositionVector): Promise<readonly EventTypeCount[]> {
    return (await this.#connection.rows(countByTypeStatement(after, upTo))).map(eventTypeCount);
  }

  async countByMonth(meter: MeterView, upTo: PositionVector): Promise<readonly MonthCount[]> {
    return (await this.#connection.rows(countByMonthStatement(meter, upTo))).map(monthCount);
  }

  async estimateLevels(meter: MeterView, period: Period, upTo: PositionVector): Promise<readonly LevelSize[]> {
    const [sizes = []] = await this.#connection.rows(estimateStatement(meter, period, upTo));
    return levelSizes(sizes);
  }

  async differences(
    rollUp: RollUp,
    meter: MeterView,
    level: RollUpLevel,
    period: Period,
    limit: number,
  ): Promise<readonly RollUpDifference[]> {
    const rows = await this.#connection.rows(differencesStatement(rollUp, meter, level, period, limit));
    return rows.map((cells) => rollUpDifference(level.grain, cells));
  }

  async #rowsOf(chunk: number): Promise<number> {
    const [row] = await this.#connection.rows(chunkRowsStatement(chunk));
    return row === undefined ? 0 : wholeNumber(row[1]);
  }
}
