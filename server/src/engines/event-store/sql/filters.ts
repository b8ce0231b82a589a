/**
 * Conditions of a query as SQL.
 *
 * Texts compare byte by byte, which is what ClickHouse does with strings; letters are lower-cased by the server on both
 * sides, so that both sides follow the same Unicode tables. An operator with an empty list behaves like its meaning: `in`
 * matches nothing, `nin` everything, `and` everything, `or` nothing.
 */

import { assert } from "../../../kernel/assert.ts";
import type { Instant } from "../../../kernel/instant.ts";
import type { Period } from "../../../kernel/period.ts";
import type { MeterView, PositionVector, TextFilter, TimeFilter } from "../store.ts";
import { MICROS_PER_DAY } from "../windows.ts";
import type { Binder } from "./fragment.ts";
import { allOf, anyOf, instant, integer } from "./fragment.ts";

/**
 * The UTC day of an event in the sorting key. `toStartOfDay` would yield a 32-bit time, which ends in 2106; event times go
 * to 2199.
 */
export const DAY_OF_EVENT = `intDiv(toUnixTimestamp64Micro(time), ${MICROS_PER_DAY})`;

/** Up to so many periods are compared one by one. */
const FEW_PERIODS = 8;
/** More days than this are not listed one by one. */
const MAX_DAYS = 4_000;

/** A text to put under conditions: the expression of the text, and that of whether it exists. */
export interface TextSubject {
  readonly text: string;
  readonly exists: string;
}

const COMPARISONS = { eq: "=", ne: "!=", gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

/** `filter` over `subject`. */
export function textCondition(binder: Binder, subject: TextSubject, filter: TextFilter): string {
  const { text } = subject;
  switch (filter.op) {
    case "eq":
    case "ne":
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return `${text} ${COMPARISONS[filter.op]} ${binder.text(filter.value)}`;
    case "in":
      return isOneOf(binder, text, filter.values);
    case "nin":
      return `NOT (${isOneOf(binder, text, filter.values)})`;
    case "like":
      return `${text} LIKE ${binder.text(likePattern(filter.pattern))}`;
    case "nlike":
      return `${text} NOT LIKE ${binder.text(likePattern(filter.pattern))}`;
    case "ilike":
      return `lowerUTF8(${text}) LIKE lowerUTF8(${binder.text(likePattern(filter.pattern))})`;
    case "nilike":
      return `lowerUTF8(${text}) NOT LIKE lowerUTF8(${binder.text(likePattern(filter.pattern))})`;
    case "contains":
      return `position(lowerUTF8(${text}), lowerUTF8(${binder.text(filter.value)})) > 0`;
    case "ncontains":
      return `position(lowerUTF8(${text}), lowerUTF8(${binder.text(filter.value)})) = 0`;
    case "exists":
      return filter.value ? subject.exists : `NOT (${subject.exists})`;
    case "and":
      return allOf(filter.filters.map((part) => textCondition(binder, subject, part)));
    case "or":
      return anyOf(filter.filters.map((part) => textCondition(binder, subject, part)));
  }
}

/** `column` is one of `values`; an empty list matches nothing. */
export function isOneOf(binder: Binder, column: string, values: readonly string[]): string {
  const distinct = [...new Set(values)];
  const [only] = distinct;
  if (only === undefined) return "0";
  // Takes the engine half a millisecond less than a list of one.
  return distinct.length === 1 ? `${column} = ${binder.text(only)}` : `${column} IN ${binder.texts(distinct)}`;
}

/** A `\` that escapes neither `%`, `_` nor `\` stands for itself; ClickHouse rejects one at the end of a pattern. */
function likePattern(pattern: string): string {
  return pattern.replaceAll(/\\[%_\\]|\\/g, (escape) => (escape.length === 2 ? escape : "\\\\"));
}

/** `filter` over a time column. */
export function timeCondition(column: string, filter: TimeFilter): string {
  switch (filter.op) {
    case "eq":
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return `${column} ${COMPARISONS[filter.op]} ${instant(filter.value)}`;
    case "and":
      return allOf(filter.filters.map((part) => timeCondition(column, part)));
    case "or":
      return anyOf(filter.filters.map((part) => timeCondition(column, part)));
  }
}

/** Only rows at or before the vector. */
export function positionCondition(upTo: PositionVector): string {
  return anyOf(
    [...upTo].map(
      ([partition, offset]) => `log_partition = ${integer(partition)} AND log_offset <= ${integer(offset)}`,
    ),
  );
}

/** The events a meter covers in `[from, to)`; the days repeat the bounds in the terms of the sorting key. */
export function meterConditions(
  binder: Binder,
  meter: MeterView,
  bounds: { readonly from?: Instant | undefined; readonly to?: Instant | undefined },
): readonly string[] {
  assert(meter.aggregation === "COUNT" || meter.valuePath !== undefined, "every meter but COUNT has a value path");
  const conditions = [`namespace = ${binder.text(meter.namespace)}`, `type = ${binder.text(meter.eventType)}`];
  const lowerBounds = [bounds.from, meter.eventFrom].filter((bound) => bound !== undefined);
  for (const bound of lowerBounds) conditions.push(...fromCondition(bound));
  if (bounds.to !== undefined) conditions.push(...toCondition(bounds.to));
  return conditions;
}

/** Events at or after the instant, stated twice: for the time, and for the day in the sorting key. */
export function fromCondition(from: Instant): readonly string[] {
  return [`time >= ${instant(from)}`, `${DAY_OF_EVENT} >= ${integer(Math.floor(from / MICROS_PER_DAY))}`];
}

/** Events before the instant, stated twice like `fromCondition`. */
export function toCondition(to: Instant): readonly string[] {
  return [`time < ${instant(to)}`, `${DAY_OF_EVENT} <= ${integer(Math.floor((to - 1) / MICROS_PER_DAY))}`];
}

/** Whether `micros` is in one of the periods, which are sorted and apart; `micros` is an expression in microseconds. */
export function periodsCondition(micros: string, periods: readonly Period[]): string {
  if (periods.length <= FEW_PERIODS) {
    return anyOf(periods.map(({ from, to }) => `${micros} >= ${integer(from)} AND ${micros} < ${integer(to)}`));
  }
  const bounds = periods.flatMap(({ from, to }) => [integer(from), integer(to)]).join(", ");
  const starts = periods.map(({ from }) => integer(from)).join(", ");
  const hull = [`${micros} >= ${integer(periods[0]?.from ?? 0)}`, `${micros} < ${integer(periods.at(-1)?.to ?? 0)}`];
  // The greatest bound at or before the time is found by binary search; inside a period it is a start.
  return allOf([...hull, `roundDown(${micros}, CAST([${bounds}], 'Array(Int64)')) IN (${starts})`]);
}

/** Events in the periods, which are sorted and apart; the days repeat them in the terms of the sorting key. */
export function eventPeriodCondition(periods: readonly Period[]): string {
  if (periods.length <= FEW_PERIODS) {
    return anyOf(periods.map(({ from, to }) => allOf([...fromCondition(from), ...toCondition(to)])));
  }
  const days = new Set<number>();
  for (const { from, to } of periods) {
    for (let day = Math.floor(from / MICROS_PER_DAY); day * MICROS_PER_DAY < to; day += 1) {
      days.add(day);
      if (days.size > MAX_DAYS) return periodsCondition("toUnixTimestamp64Micro(time)", periods);
    }
  }
  const isOnDay = `${DAY_OF_EVENT} IN (${[...days].map(integer).join(", ")})`;
  return allOf([isOnDay, periodsCondition("toUnixTimestamp64Micro(time)", periods)]);
}
