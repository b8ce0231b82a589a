/** The customers of the access benchmark: one metered and two boolean entitlements each, made over HTTP as a client does. */

import { subjectKey, PROMPT } from "../history/events.ts";
import type { MeasuredServer } from "../ingest/measured-server.ts";

export const TOKENS_METER = "access_tokens";
export const TOKENS_FEATURE = "tokens";
const JSON_TYPE = "application/json";
const PARALLEL = 16;
/** More than any run uses, so that every balance moves. */
const AMOUNT = 1_000_000_000;

/** Makes them all; `measureUsageFrom` is before all usage of the run. */
export async function makeCustomers(server: MeasuredServer, count: number, measureUsageFrom: Date): Promise<void> {
  const post = (path: string, body: object): Promise<void> => server.post(path, JSON_TYPE, JSON.stringify(body));
  const meter = { slug: TOKENS_METER, eventType: PROMPT, aggregation: "SUM", valueProperty: "$.tokens" };
  await post("/api/v1/meters", meter);
  await post("/api/v1/features", { key: TOKENS_FEATURE, name: "Tokens", meterSlug: TOKENS_METER });
  for (const key of ["sso", "audit_log"]) await post("/api/v1/features", { key, name: key });
  const metered = {
    type: "metered",
    featureKey: TOKENS_FEATURE,
    usagePeriod: { interval: "MONTH", anchor: measureUsageFrom.toISOString() },
    measureUsageFrom: measureUsageFrom.toISOString(),
    issue: { amount: AMOUNT },
  };
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const key = subjectKey(next);
      next += 1;
      await post("/api/v1/customers", { key, name: key });
      const entitlements = `/api/v2/customers/${key}/entitlements`;
      await post(entitlements, metered);
      for (const featureKey of ["sso", "audit_log"]) await post(entitlements, { type: "boolean", featureKey });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

interface Value {
  readonly usage: number;
}

/** What the customer's balance says it has used. */
export async function usageOf(server: MeasuredServer, customer: string): Promise<number> {
  const path = `/api/v1/customers/${customer}/entitlements/${TOKENS_FEATURE}/value`;
  return ((await server.get(path)) as Value).usage;
}

/** The usage of all balances together. */
export async function totalUsage(server: MeasuredServer, count: number): Promise<number> {
  let next = 0;
  let total = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      const usage = await usageOf(server, subjectKey(index));
      total += usage;
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return total;
}

/** What the meter has counted, by another way than balances: of everybody, and of the customers. */
export async function meteredUsage(
  server: MeasuredServer,
  count: number,
): Promise<{ readonly all: number; readonly ofCustomers: number }> {
  const answer = await server.get(`/api/v1/meters/${TOKENS_METER}/query?groupBy=subject`);
  const { data } = answer as { data: readonly { readonly subject: string; readonly value: number }[] };
  const keys = new Set(Array.from({ length: count }, (_, index) => subjectKey(index)));
  const sum = (rows: typeof data): number => rows.reduce((total, { value }) => total + value, 0);
  return { all: sum(data), ofCustomers: sum(data.filter(({ subject }) => keys.has(subject))) };
}
