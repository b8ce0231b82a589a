/** Usage over HTTP: decode, call the verb, encode as JSON or CSV. */

import {
  jsonReply,
  listMeterGroupByValuesRoute,
  listMeterSubjectsRoute,
  type MeterQueryRequest,
  type Operation,
  operation,
  type OperationReply,
  queryMeterPostRoute,
  queryMeterRoute,
} from "@tallystick/contract";
import { usageCsv, usageJson } from "./result.ts";
import type { UsageAnswer, UsageService } from "./service.ts";

export function usageOperations(usage: UsageService): readonly Operation[] {
  const answer = async (idOrSlug: string, request: MeterQueryRequest, accept: string | undefined) =>
    await usageReply(await usage.query(idOrSlug, request), request, accept, (rows) => usage.subjectNames(rows));
  return [
    operation(queryMeterRoute, ({ params, query, header }) => answer(params.meterIdOrSlug, query, header("accept"))),
    operation(queryMeterPostRoute, ({ params, body, header }) => answer(params.meterIdOrSlug, body, header("accept"))),
    operation(listMeterSubjectsRoute, async ({ params, query }) =>
      jsonReply(await usage.subjects(params.meterIdOrSlug, query.from, query.to)),
    ),
    operation(listMeterGroupByValuesRoute, async ({ params, query }) =>
      jsonReply(await usage.groupByValues(params.meterIdOrSlug, params.groupByKey, query.from, query.to)),
    ),
  ];
}

/** The answer to a query as JSON or, if `accept` names it, as CSV with the subjects' names. */
export async function usageReply(
  { meter, query, rows }: UsageAnswer,
  request: MeterQueryRequest,
  accept: string | undefined,
  subjectNames: UsageService["subjectNames"],
): Promise<OperationReply> {
  if (!wantsCsv(accept)) {
    return { status: 200, contentType: "application/json", body: usageJson(request, query, rows) };
  }
  return {
    status: 200,
    contentType: "text/csv",
    body: usageCsv(query, rows, await subjectNames(rows)),
    headers: { "content-disposition": `attachment; filename=${meter.slug}.csv` },
  };
}

/** CSV is chosen only by naming it; everything else, also what cannot be parsed, gets JSON. */
function wantsCsv(accept: string | undefined): boolean {
  return (accept ?? "").split(",").some((range) => range.split(";", 1)[0]?.trim().toLowerCase() === "text/csv");
}
