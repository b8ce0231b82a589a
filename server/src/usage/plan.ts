/**
 * Planning a meter query: from what a client asks to the explicit query that the event store answers. Pure: the same
 * request, meter and customers always give the same plan or the same fault.
 */

import type { MeterQueryRequest } from "@tallystick/contract";
import type { CustomerSubjects, PositionVector, UsageQuery } from "../engines/event-store/index.ts";
import { textFilter } from "../events/index.ts";
import { Fault } from "../kernel/fault.ts";
import { type Instant, instantTextError, parseInstant } from "../kernel/instant.ts";
import { isTimeZone } from "../kernel/time-zone.ts";
import { type Meter, meterView } from "../meters/index.ts";

const SUBJECT = "subject";
const CUSTOMER_ID = "customer_id";

/** Plans a query; `customers` are those that `request.filterCustomerId` names, in its order. */
export function planUsageQuery(
  request: MeterQueryRequest,
  meter: Meter,
  customers: readonly CustomerSubjects[],
  upTo: PositionVector,
): UsageQuery {
  const bounds = planBounds(request.from, request.to);
  const timeZone = request.windowTimeZone ?? "UTC";
  if (!isTimeZone(timeZone)) {
    throw invalid(
      "invalid_time_zone",
      `invalid time zone: ${timeZone}; use an IANA name such as Europe/Budapest`,
      "windowTimeZone",
    );
  }
  const groupBy = [...new Set(request.groupBy ?? [])];
  for (const key of groupBy) {
    if (key !== SUBJECT && key !== CUSTOMER_ID && !Object.hasOwn(meter.groupBy, key)) {
      throw invalid("invalid_group_by", `invalid group by: ${key}; ${allowedKeys(meter)}`, "groupBy");
    }
  }
  const hasSubjects = (request.subject ?? []).length > 0;
  const hasCustomers = (request.filterCustomerId ?? []).length > 0;
  if (groupBy.includes(CUSTOMER_ID) && !hasCustomers) {
    const message = "customer filter is required with customer_id group by: send filterCustomerId";
    throw invalid("customer_filter_required", message, "filterCustomerId");
  }
  return {
    meter: meterView(meter),
    ...bounds,
    ...(request.windowSize === undefined ? {} : { window: { size: request.windowSize, timeZone } }),
    ...(hasSubjects ? { subjects: [...new Set(request.subject)] } : {}),
    ...(hasCustomers ? { customers } : {}),
    groupBySubject: hasSubjects || groupBy.includes(SUBJECT),
    groupByCustomer: hasCustomers || groupBy.includes(CUSTOMER_ID),
    groupBy: groupBy.filter((key) => key !== SUBJECT && key !== CUSTOMER_ID),
    filters: planFilters(request, meter),
    upTo,
    ...(request.clientId === undefined ? {} : { watchAs: request.clientId }),
  };
}

/** The half-open period of a request. */
export interface Bounds {
  readonly from?: Instant;
  readonly to?: Instant;
}

/** Parses and checks the period that a request names. */
export function planBounds(fromText: string | undefined, toText: string | undefined): Bounds {
  const from = instantParameter("from", fromText);
  const to = instantParameter("to", toText);
  if (from !== undefined && from === to) throw invalid("invalid_period", "from and to cannot be equal", "to");
  if (from !== undefined && to !== undefined && from > to)
    throw invalid("invalid_period", "from must be before to", "from");
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

function instantParameter(name: string, text: string | undefined): Instant | undefined {
  if (text === undefined) return undefined;
  const instant = parseInstant(text);
  if (instant === null) {
    const message = `"${name}" ${instantTextError(text)}`;
    throw invalid("invalid_time", message, name);
  }
  return instant;
}

function planFilters(request: MeterQueryRequest, meter: Meter): UsageQuery["filters"] {
  const { filterGroupBy, advancedMeterGroupByFilters } = request;
  if (filterGroupBy !== undefined && advancedMeterGroupByFilters !== undefined) {
    const message = "advanced meter group by filters and filter group by cannot be used together";
    throw invalid("conflicting_filters", message, "advancedMeterGroupByFilters");
  }
  for (const key of Object.keys(filterGroupBy ?? advancedMeterGroupByFilters ?? {})) {
    if (!Object.hasOwn(meter.groupBy, key)) {
      const field = filterGroupBy === undefined ? "advancedMeterGroupByFilters" : "filterGroupBy";
      throw invalid("invalid_group_by_filter", `invalid group by filter: ${key}; ${allowedKeys(meter)}`, field);
    }
  }
  return new Map([
    ...Object.entries(filterGroupBy ?? {})
      .filter(([, values]) => values.length > 0)
      .map(([key, values]) => [key, { op: "in", values }] as const),
    ...Object.entries(advancedMeterGroupByFilters ?? {}).map(
      ([key, filter]) => [key, textFilter(filter, `advancedMeterGroupByFilters.${key}`)] as const,
    ),
  ]);
}

function allowedKeys(meter: Meter): string {
  const keys = Object.keys(meter.groupBy);
  return keys.length === 0 ? "the meter has no group-by keys" : `the meter's group-by keys are ${keys.join(", ")}`;
}

function invalid(code: string, message: string, field: string): Fault {
  return new Fault("validation", code, message, { fields: [{ code, message, field: `$.${field}` }] });
}
