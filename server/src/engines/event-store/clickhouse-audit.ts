/** Auditing over ClickHouse: statements that only read, each over a part of the table that a query's time limit is enough for. */

import type { AuditStore, RepeatedIdentity, SlotRange, SlotSums } from "./audit.ts";
import type { Cell } from "./sql/aggregations/aggregation.ts";
import {
  daysStatement,
  periodsOfDays,
  repeatedIdentitiesStatement,
  repeatedIdentity,
  slotSums,
  strangeRowsStatement,
  sumsStatement,
} from "./sql/audit.ts";
import type { Statement } from "./sql/fragment.ts";
import { wholeNumber } from "./sql/listing.ts";
import type { Period } from "../../kernel/period.ts";

type Rows = (statement: Statement) => Promise<readonly (readonly Cell[])[]>;

export class ClickHouseAudit implements AuditStore {
  readonly #rows: Rows;

  constructor(rows: Rows) {
    this.#rows = rows;
  }

  async periods(rows: number): Promise<readonly { readonly period: Period; readonly rows: number }[]> {
    return periodsOfDays(await this.#rows(daysStatement()), rows);
  }

  async sums(range: SlotRange): Promise<readonly SlotSums[]> {
    return range.from > range.to ? [] : (await this.#rows(sumsStatement(range))).map(slotSums);
  }

  async repeatedIdentities(part: number, parts: number): Promise<readonly RepeatedIdentity[]> {
    return (await this.#rows(repeatedIdentitiesStatement(part, parts))).map(repeatedIdentity);
  }

  async strangeRows(): Promise<number> {
    return wholeNumber((await this.#rows(strangeRowsStatement()))[0]?.[0]);
  }
}
