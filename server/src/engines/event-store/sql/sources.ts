/**
 * What a meter query can read: events, rows of a roll-up, or a union of both. A source names the expressions for everything
 * that a result row is made of, so that the statement over it is the same for all.
 */

import { assert } from "../../../kernel/assert.ts";
import type { JsonPath } from "../json-path.ts";
import type { Cover, LevelPart } from "../roll-ups/cover.ts";
import type { RollUp } from "../roll-ups/roll-up.ts";
import type { CustomerSubjects, MeterView, UsageQuery } from "../store.ts";
import { type AggregationSql, COMBINED, STATE_COLUMNS, type StateColumn } from "./aggregations/aggregation.ts";
import { canonicalText, hasText, scalarAt } from "./extract.ts";
import {
  eventPeriodCondition,
  isOneOf,
  meterConditions,
  positionCondition,
  textCondition,
  type TextSubject,
} from "./filters.ts";
import { allOf, type Binder, instant, integer } from "./fragment.ts";
import { rollUpCondition, rollUpGroup } from "./roll-up-rows.ts";
import { EVENTS_TABLE, ROLL_UPS_TABLE } from "./table.ts";
import { NO_OFFSET, windowColumns } from "./window-columns.ts";

export interface Source {
  /** What follows FROM, conditions included. */
  readonly from: string;
  /** The number of events of a result row, and the times of its first and last one in microseconds. */
  readonly events: string;
  readonly first: string;
  readonly last: string;
  /** Number and UTC offset of the window. */
  readonly window: readonly [string, string];
  /** Subject, customer and group-by values, as far as the query groups by them. */
  readonly groups: readonly string[];
  readonly cells: (aggregation: AggregationSql, binder: Binder) => readonly string[];
  readonly states: (aggregation: AggregationSql) => readonly (readonly [StateColumn, string])[];
}

/** A source of stored rows. */
export interface StoredSource extends Source {
  /** The subject of a row, and its time in microseconds: of an event, or of the start of a bucket. */
  readonly subject: string;
  readonly micros: string;
}

/** Everything stored that the query sees. */
export function storedEvents(binder: Binder, query: UsageQuery): StoredSource {
  return eventsOf(binder, query, eventConditions(query));
}

/** The same in parts: what the roll-up answers for, the events around its buckets, and those after its coverage. */
export function coveredSources(
  binder: Binder,
  query: UsageQuery,
  rollUp: RollUp,
  cover: Cover,
): readonly StoredSource[] {
  const { parts, edges, hasTail } = cover;
  const sources: StoredSource[] = [];
  if (parts.length > 0) sources.push(rollUpRows(binder, query, rollUp, parts));
  if (edges.length > 0) {
    const conditions = [positionCondition(rollUp.coverage), eventPeriodCondition(edges)];
    sources.push(eventsOf(binder, query, conditions));
  }
  if (hasTail) {
    const conditions = [...eventConditions(query), `NOT (${positionCondition(rollUp.coverage)})`];
    sources.push(eventsOf(binder, query, conditions));
  }
  return sources;
}

function eventConditions(query: UsageQuery): readonly string[] {
  const conditions = [positionCondition(query.upTo)];
  if (query.storedBefore !== undefined) conditions.push(`stored_at < ${instant(query.storedBefore)}`);
  return conditions;
}

/** The stored events that the query and the conditions leave. */
function eventsOf(binder: Binder, query: UsageQuery, conditions: readonly string[]): StoredSource {
  const { meter } = query;
  const tagged = meter.valuePath === undefined ? "''" : scalarAt(binder, meter.valuePath);
  const all = [
    ...meterConditions(binder, meter, query),
    ...conditions,
    ...attributionConditions(binder, query),
    ...[...query.filters].map(([key, filter]) => {
      const text = scalarAt(binder, groupPath(meter, key));
      return textCondition(binder, { text: canonicalText(text), exists: hasText(text) }, filter);
    }),
  ];
  return {
    from: `${EVENTS_TABLE} WHERE ${allOf(all)}`,
    subject: "subject",
    micros: "toUnixTimestamp64Micro(time)",
    events: "count()",
    first: "toUnixTimestamp64Micro(min(time))",
    last: "toUnixTimestamp64Micro(max(time))",
    window: windowColumns(query, "toUnixTimestamp64Micro(time)"),
    groups: groupColumns(binder, query, "subject", (key) => canonicalText(scalarAt(binder, groupPath(meter, key)))),
    cells: (aggregation) => aggregation.columns(tagged, binder),
    states: (aggregation) =>
      stateColumns(aggregation).map((name) => [name, aggregation.states[name]?.(tagged) ?? "NULL"] as const),
  };
}

/** Rows of the roll-up, of whole buckets only. */
function rollUpRows(binder: Binder, query: UsageQuery, rollUp: RollUp, parts: readonly LevelPart[]): StoredSource {
  const groupText = (key: string): TextSubject => rollUpGroup(rollUp.groupKeys.indexOf(key));
  const conditions = [
    rollUpCondition(rollUp, parts),
    ...attributionConditions(binder, query),
    ...[...query.filters].map(([key, filter]) => textCondition(binder, groupText(key), filter)),
  ];
  return {
    // The engine need not find out by itself that the states are to be read last.
    from: `${ROLL_UPS_TABLE} AS r PREWHERE ${allOf(conditions)}`,
    subject: "r.subject",
    micros: "r.bucket",
    ...MERGED,
    first: "min(r.bucket + r.first_after)",
    last: "max(r.bucket + r.last_after)",
    window: windowColumns(query, "r.bucket"),
    groups: groupColumns(binder, query, "r.subject", (key) => groupText(key).text),
  };
}

/** The rows of several sources, as their states. */
export function unionOf(query: UsageQuery, branches: readonly string[]): Source {
  const count = groupCount(query);
  return {
    from: `(${branches.join(" UNION ALL ")}) AS r`,
    ...MERGED,
    first: "min(r.first_time)",
    last: "max(r.last_time)",
    window: query.window === undefined ? [NO_OFFSET, NO_OFFSET] : ["r.window_number", "r.window_offset"],
    groups: Array.from({ length: count }, (_, index) => `r.${groupName(index)}`),
  };
}

/** What rows of states have in common, whether they are stored or come from a union. */
const MERGED: Pick<Source, "events" | "cells" | "states"> = {
  events: "sum(r.events)",
  cells: (aggregation) => aggregation.merged((name) => `r.${name}`),
  states: (aggregation) => stateColumns(aggregation).map((name) => [name, COMBINED[name](`r.${name}`)] as const),
};

function stateColumns(aggregation: AggregationSql): readonly StateColumn[] {
  return STATE_COLUMNS.filter((name) => aggregation.states[name] !== undefined);
}

/** Name of a group's column in a union. */
export function groupName(index: number): string {
  return `group_${integer(index)}`;
}

/** How many group columns a result row has: subject, customer and group-by values. */
export function groupCount(query: UsageQuery): number {
  return query.groupBy.length + Number(query.groupBySubject) + Number(query.groupByCustomer);
}

function groupPath(meter: MeterView, key: string): JsonPath {
  const path = meter.groupBy.get(key);
  assert(path !== undefined, "a query names only group-by keys of its meter");
  return path;
}

function groupColumns(
  binder: Binder,
  query: UsageQuery,
  subject: string,
  groupText: (key: string) => string,
): readonly string[] {
  const columns = query.groupBy.map(groupText);
  if (query.groupByCustomer) columns.unshift(customerColumn(binder, query.customers ?? []));
  if (query.groupBySubject) columns.unshift(subjectColumn(binder, query, subject));
  return columns;
}

/** The only subject that is asked for need not be read. */
function subjectColumn(binder: Binder, { subjects = [] }: UsageQuery, subject: string): string {
  const [only] = subjects;
  return only === undefined || subjects.length > 1 ? subject : binder.text(only);
}

/** A subject that two customers list belongs to the first. */
function customerColumn(binder: Binder, customers: readonly CustomerSubjects[]): string {
  const owners = new Map<string, string>();
  for (const { id, subjects } of customers) {
    for (const subject of subjects) if (!owners.has(subject)) owners.set(subject, id);
  }
  if (owners.size === 0) return "''";
  return `transform(subject, ${binder.texts([...owners.keys()])}, ${binder.texts([...owners.values()])}, '')`;
}

function attributionConditions(binder: Binder, query: UsageQuery): readonly string[] {
  const conditions: string[] = [];
  if (query.subjects !== undefined) conditions.push(isOneOf(binder, "subject", query.subjects));
  if (query.customers !== undefined) {
    conditions.push(
      isOneOf(
        binder,
        "subject",
        query.customers.flatMap((customer) => customer.subjects),
      ),
    );
  }
  return conditions;
}
