/** Compiles the reads of whole events (listing, recovery, look-up by position), and their rows back to events. */

import { assert } from "../../../kernel/assert.ts";
import { instantFromMicros } from "../../../kernel/instant.ts";
import type { EventListQuery, StoredEvent } from "../store.ts";
import type { Cell } from "./aggregations/aggregation.ts";
import { isOneOf, positionCondition, textCondition, timeCondition } from "./filters.ts";
import type { Statement } from "./fragment.ts";
import { allOf, Binder, instant, integer } from "./fragment.ts";
import { EVENTS_TABLE } from "./table.ts";

const EVENT_CELLS = [
  "namespace",
  "id",
  "source",
  "type",
  "subject",
  "toUnixTimestamp64Micro(time)",
  "toUInt8(time_given)",
  "data",
  "toUnixTimestamp64Micro(ingested_at)",
  "toUnixTimestamp64Micro(stored_at)",
  "log_partition",
  "log_offset",
].join(", ");

const SORT_COLUMNS = { time: "time", ingestedAt: "ingested_at", storedAt: "stored_at" } as const;
const TEXT_COLUMNS = ["id", "source", "subject", "type"] as const;
const TIME_COLUMNS = [
  ["time", "time"],
  ["ingestedAt", "ingested_at"],
  ["storedAt", "stored_at"],
] as const;

/** One page of the listing; rows of equal sort value are told apart by their log position. */
export function listingStatement(query: EventListQuery): Statement {
  const binder = new Binder();
  const conditions = [`namespace = ${binder.text(query.namespace)}`, positionCondition(query.upTo)];
  for (const column of TEXT_COLUMNS) {
    const filter = query[column];
    if (filter !== undefined) conditions.push(textCondition(binder, { text: column, exists: "1" }, filter));
  }
  for (const [field, column] of TIME_COLUMNS) {
    const filter = query[field];
    if (filter !== undefined) conditions.push(timeCondition(column, filter));
  }
  if (query.subjects !== undefined) conditions.push(isOneOf(binder, "subject", query.subjects));
  const sort = SORT_COLUMNS[query.sort.by];
  const isAscending = query.sort.direction === "asc";
  if (query.after !== undefined) {
    const { sortValue, partition, offset } = query.after;
    const position = `(${instant(sortValue)}, ${integer(partition)}, ${integer(offset)})`;
    const comparison = isAscending ? ">" : "<";
    conditions.push(`(${sort}, log_partition, log_offset) ${comparison} ${position}`);
    // Repeats the first member of the tuple, which indexes understand.
    conditions.push(`${sort} ${comparison}= ${instant(sortValue)}`);
  }
  const direction = isAscending ? "ASC" : "DESC";
  const order = [sort, "log_partition", "log_offset"].map((column) => `${column} ${direction}`).join(", ");
  return binder.statement(
    `SELECT ${EVENT_CELLS} FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)} ORDER BY ${order} LIMIT ${integer(query.limit)}`,
  );
}

/** How many events of the partition are stored. */
export function lastOffsetStatement(partition: number): Statement {
  return new Binder().statement(
    `SELECT max(toInt64(log_offset)) - if(count() = 0, 1, 0) FROM ${EVENTS_TABLE} WHERE log_partition = ${integer(partition)}`,
  );
}

export function countStatement(partition: number): Statement {
  return new Binder().statement(`SELECT count() FROM ${EVENTS_TABLE} WHERE log_partition = ${integer(partition)}`);
}

/** Which offsets of `[from, to]` are stored, ascending. */
export function storedOffsetsStatement(partition: number, from: number, to: number): Statement {
  return new Binder().statement(
    `SELECT log_offset FROM ${EVENTS_TABLE} WHERE log_partition = ${integer(partition)} ` +
      `AND log_offset BETWEEN ${integer(from)} AND ${integer(to)} ORDER BY log_offset`,
  );
}

/** The events at these positions; `offsets` is not empty. */
export function eventsAtStatement(partition: number, offsets: readonly number[]): Statement {
  assert(offsets.length > 0, "a look-up by position names at least one offset");
  const binder = new Binder();
  return binder.statement(
    `SELECT ${EVENT_CELLS} FROM ${EVENTS_TABLE} WHERE log_partition = ${integer(partition)} ` +
      `AND log_offset IN ${binder.integers(offsets)}`,
  );
}

/** Reads a row of `EVENT_CELLS`. */
export function storedEvent(cells: readonly Cell[]): StoredEvent {
  const data = text(cells[7]);
  return {
    namespace: text(cells[0]),
    id: text(cells[1]),
    source: text(cells[2]),
    type: text(cells[3]),
    subject: text(cells[4]),
    time: instantFromMicros(wholeNumber(cells[5])),
    isTimeGiven: wholeNumber(cells[6]) === 1,
    data: data === "" ? null : data,
    ingestedAt: instantFromMicros(wholeNumber(cells[8])),
    storedAt: instantFromMicros(wholeNumber(cells[9])),
    partition: wholeNumber(cells[10]),
    offset: wholeNumber(cells[11]),
  };
}

/** Reads a cell that holds a text. */
export function text(cell: Cell | undefined): string {
  assert(typeof cell === "string", "the cell is a text");
  return cell;
}

/** Reads a cell that holds a whole number. */
export function wholeNumber(cell: Cell | undefined): number {
  assert(typeof cell === "number" && Number.isSafeInteger(cell), "the cell is a safe integer");
  return cell;
}
