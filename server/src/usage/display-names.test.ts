import { expect, test } from "vitest";
import type { UsageQuery, UsageRow } from "../engines/event-store/index.ts";
import { instantFromMicros } from "../kernel/instant.ts";
import { usageCsv } from "./result.ts";

const START = instantFromMicros(1_767_225_600_000_000);
const END = instantFromMicros(START + 3_600_000_000);

const bySubject: UsageQuery = {
  meter: { namespace: "default", eventType: "call", aggregation: "COUNT", groupBy: new Map() },
  groupBySubject: true,
  groupByCustomer: false,
  groupBy: [],
  filters: new Map(),
  upTo: new Map(),
};

function row(subject: string | null, groups: readonly string[] = [], customerId: string | null = null): UsageRow {
  return { value: "1", windowStart: START, windowEnd: END, subject, customerId, groups };
}

/** The lines without the columns of the window. */
function lines(csv: string): readonly string[] {
  expect(csv.endsWith("\n")).toBe(true);
  return csv
    .slice(0, -1)
    .split("\n")
    .map((line) => line.split(",").slice(2).join(","));
}

test("names have a column when one of the subjects is an entity; without a name it shows the subject", () => {
  const csv = usageCsv(bySubject, [row("a"), row("b"), row("")], new Map([["a", "ACME, Inc."]]));
  expect(lines(csv)).toEqual([
    "subject,subject_display_name,value",
    'a,"ACME, Inc.",1.000000',
    "b,b,1.000000",
    ",,1.000000",
  ]);
});

test("an empty name that somebody chose stays empty", () => {
  expect(lines(usageCsv(bySubject, [row("a")], new Map([["a", ""]])))).toEqual([
    "subject,subject_display_name,value",
    "a,,1.000000",
  ]);
});

test("names stand between the subject and the customer", () => {
  const query = { ...bySubject, groupByCustomer: true, groupBy: ["model"] };
  expect(lines(usageCsv(query, [row("a", ["gpt"], "c")], new Map([["a", "ACME"]])))).toEqual([
    "subject,subject_display_name,customer_id,model,value",
    "a,ACME,c,gpt,1.000000",
  ]);
});

test("names have no column when no subject is an entity, or when the query is not grouped by subject", () => {
  expect(lines(usageCsv(bySubject, [row("a")], new Map()))).toEqual(["subject,value", "a,1.000000"]);
  const total = { ...bySubject, groupBySubject: false };
  expect(lines(usageCsv(total, [row(null)], new Map([["a", "ACME"]])))).toEqual(["value", "1.000000"]);
});
