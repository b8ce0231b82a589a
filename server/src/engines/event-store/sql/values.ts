/** Compiles the listing of the distinct values of a property. */

import { assert } from "../../../kernel/assert.ts";
import type { ValuesQuery } from "../store.ts";
import { canonicalText, scalarAt } from "./extract.ts";
import { meterConditions, positionCondition } from "./filters.ts";
import type { Statement } from "./fragment.ts";
import { allOf, Binder } from "./fragment.ts";
import { EVENTS_TABLE } from "./table.ts";

/** Distinct texts in byte order, which is how ClickHouse sorts strings. */
export function valuesStatement(query: ValuesQuery): Statement {
  const binder = new Binder();
  const conditions = [...meterConditions(binder, query.meter, query), positionCondition(query.upTo)];
  return binder.statement(
    `SELECT DISTINCT ${propertyText(binder, query)} AS property FROM ${EVENTS_TABLE} ` +
      `WHERE ${allOf(conditions)} ORDER BY property`,
  );
}

function propertyText(binder: Binder, { meter, property }: ValuesQuery): string {
  if (property.kind === "subject") return "subject";
  const path = meter.groupBy.get(property.key);
  assert(path !== undefined, "a query names only group-by keys of its meter");
  return canonicalText(scalarAt(binder, path));
}
