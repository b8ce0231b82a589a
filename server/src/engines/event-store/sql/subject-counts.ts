/** Compiles the count of a period's events by subject, and its rows back. */

import type { SubjectCount, SubjectCountQuery } from "../store.ts";
import type { Cell } from "./aggregations/aggregation.ts";
import { fromCondition, positionCondition, toCondition } from "./filters.ts";
import type { Statement } from "./fragment.ts";
import { allOf, Binder } from "./fragment.ts";
import { text, wholeNumber } from "./listing.ts";
import { EVENTS_TABLE } from "./table.ts";

/** Subjects in byte order, which is how ClickHouse sorts strings. */
export function subjectCountsStatement(query: SubjectCountQuery): Statement {
  const binder = new Binder();
  const conditions = [
    `namespace = ${binder.text(query.namespace)}`,
    ...fromCondition(query.from),
    ...toCondition(query.to),
    positionCondition(query.upTo),
  ];
  return binder.statement(
    `SELECT subject, count() FROM ${EVENTS_TABLE} WHERE ${allOf(conditions)} GROUP BY subject ORDER BY subject`,
  );
}

/** Reads a row of the count. */
export function subjectCount(cells: readonly Cell[]): SubjectCount {
  return { subject: text(cells[0]), events: wholeNumber(cells[1]) };
}
