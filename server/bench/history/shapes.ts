/**
 * The questions that are asked to both sides: to the product as a request, to the reference table as the SQL that OpenMeter
 * sends (float mode; one of them in decimal mode as well).
 *
 * Both answers are brought to the same form, a value per window, subject and model, and must be equal. All values are whole
 * numbers below 2^53, which floats hold exactly; bounds are whole seconds, because the reference table has no finer times.
 */

import { MODELS, PROMPT, subjectKey } from "./events.ts";
import { PROMPT_METERS } from "./data-set.ts";
import { REFERENCE_TABLE, type SqlClient, type SqlRow } from "./reference-table.ts";

/** One question. `variant` numbers its repetitions, which ask for different subjects where they ask for one. */
export interface Shape {
  readonly name: string;
  readonly title: string;
  /** Slug of the meter and body of the request. */
  ours(variant: number): { readonly meter: string; readonly body: Readonly<Record<string, unknown>> };
  reference(variant: number): string;
  /** What tells rows of an answer apart; rows that agree in it are added up. */
  readonly by: readonly ("window" | "model")[];
  /** Whether the meter takes in a new event before each question, so that no former answer is of use. */
  readonly isRenewed?: boolean;
}

/** An answer, comparable: values by `window/model`. */
export type Answer = ReadonlyMap<string, number>;

const TOKENS = "sum(ifNotFinite(toFloat64OrNull(JSON_VALUE(om_events.data, '$.tokens')), null)) AS value";
/** The reference's other mode, which parses decimals instead of floats. */
const DECIMAL_TOKENS = "sum(toDecimal128OrNull(nullIf(JSON_VALUE(om_events.data, '$.tokens'), 'null'), 19)) AS value";
const MODEL = "JSON_VALUE(om_events.data, '$.model')";
const HEAD =
  "tumbleStart(min(om_events.time), toIntervalMinute(1)) AS windowstart, tumbleEnd(max(om_events.time), toIntervalMinute(1)) AS windowend";
const PRIME = 7919;

/** A half-open period in seconds since the epoch. */
interface Period {
  readonly from: number;
  readonly to: number;
}

function seconds(text: string): number {
  return Date.parse(text) / 1000;
}

function bounds({ from, to }: Period) {
  const text = (value: number): string => new Date(value * 1000).toISOString();
  return { from: text(from), to: text(to) };
}

function where({ from, to }: Period, more = ""): string {
  return (
    `FROM ${REFERENCE_TABLE} AS om_events WHERE om_events.namespace = 'default' AND om_events.type = '${PROMPT}'` +
    ` AND om_events.time >= ${from} AND om_events.time < ${to}${more}`
  );
}

function ofSubjects(subjects: readonly string[]): string {
  return ` AND om_events.subject IN ([${subjects.map((subject) => `'${subject}'`).join(", ")}])`;
}

type WindowSize = "DAY" | "HOUR" | "MINUTE";

/** SUM of tokens in windows; `subject` restricts it to one subject per variant. */
function windowed(
  name: string,
  title: string,
  size: WindowSize,
  period: Period,
  more: { timeZone?: string; isOneSubject?: boolean; model?: string; isDecimal?: boolean } = {},
): Shape {
  const { timeZone = "UTC", isOneSubject = false, model, isDecimal = false } = more;
  const unit = { DAY: "toIntervalDay(1)", HOUR: "toIntervalHour(1)", MINUTE: "toIntervalMinute(1)" }[size];
  const subjectOf = (variant: number): string => subjectKey(variant * PRIME);
  return {
    name,
    title,
    by: ["window"],
    ours: (variant) => ({
      meter: PROMPT_METERS.tokens,
      body: {
        ...bounds(period),
        windowSize: size,
        windowTimeZone: timeZone,
        ...(isOneSubject ? { subject: [subjectOf(variant)] } : {}),
        ...(model === undefined ? {} : { filterGroupBy: { model: [model] } }),
      },
    }),
    reference: (variant) =>
      `SELECT tumbleStart(om_events.time, ${unit}, '${timeZone}') AS windowstart, windowstart + ${unit} AS windowend, ${isDecimal ? DECIMAL_TOKENS : TOKENS}` +
      `${isOneSubject ? ", om_events.subject" : ""} ` +
      where(
        period,
        (isOneSubject ? ofSubjects([subjectOf(variant)]) : "") +
          (model === undefined ? "" : ` AND ${MODEL} IN (['${model}'])`),
      ) +
      ` GROUP BY windowstart, windowend${isOneSubject ? ", subject" : ""} ORDER BY windowstart`,
  };
}

/** One value, or one per model, over a period. */
function total(
  name: string,
  title: string,
  meter: keyof typeof PROMPT_METERS,
  period: Period,
  subjectsOf: (variant: number) => readonly string[] = () => [],
): Shape {
  const value = {
    tokens: TOKENS,
    count: `count(*) AS value, ${MODEL} as model`,
    users: "uniqExact(nullIf(JSON_VALUE(om_events.data, '$.user'), 'null')) AS value",
    latest:
      "argMax(ifNotFinite(toFloat64OrNull(JSON_VALUE(om_events.data, '$.tokens')), null), om_events.time) AS value",
  }[meter];
  const isByModel = meter === "count";
  return {
    name,
    title,
    by: isByModel ? ["model"] : [],
    ours: (variant) => {
      const subject = subjectsOf(variant);
      const body = {
        ...bounds(period),
        ...(subject.length === 0 ? {} : { subject }),
        ...(isByModel ? { groupBy: ["model"] } : {}),
      };
      return { meter: PROMPT_METERS[meter], body };
    },
    reference: (variant) => {
      const subjects = subjectsOf(variant);
      const isGroupedBySubject = isByModel && subjects.length > 0;
      return (
        `SELECT ${HEAD}, ${value}${isGroupedBySubject ? ", om_events.subject" : ""} ` +
        where(period, subjects.length === 0 ? "" : ofSubjects(subjects)) +
        (isByModel ? ` GROUP BY model${isGroupedBySubject ? ", subject" : ""}` : "")
      );
    },
  };
}

/**
 * All questions, about the last month of a history that ends on 1 April 2026. LATEST ends after a second in which just one
 * event lies: with times in whole seconds, the reference table could not tell the later one of two.
 */
export async function historyShapes(sql: SqlClient): Promise<readonly Shape[]> {
  const month = { from: seconds("2026-03-01T00:00:00Z"), to: seconds("2026-04-01T00:00:00Z") };
  const odd = { from: seconds("2026-03-03T07:17:23Z"), to: seconds("2026-03-27T13:41:07Z") };
  const [unique] = await sql.rows(
    `SELECT toInt64(toUnixTimestamp(om_events.time)) AS value ${where(month)} GROUP BY om_events.time HAVING count() = 1 ORDER BY om_events.time DESC LIMIT 1`,
  );
  const untilUnique = { from: month.from, to: Number(unique?.["value"]) + 1 };
  const india = { from: month.from - 19_800, to: month.to - 19_800 };
  const day = { from: month.to - 86_400, to: month.to };
  const hour = { from: seconds("2026-03-20T14:00:00Z"), to: seconds("2026-03-20T15:00:00Z") };
  const one = (variant: number) => [subjectKey(variant * PRIME)];
  const three = (variant: number) => [0, 1, 2].map((index) => subjectKey(variant * PRIME + index));
  return [
    windowed("sum-by-day", "SUM by day, a month, all subjects", "DAY", month),
    windowed("sum-by-day-decimal", "the same, reference in decimal mode", "DAY", month, { isDecimal: true }),
    windowed("subject-by-day", "SUM by day, a month, one subject", "DAY", month, { isOneSubject: true }),
    total("count-by-model", "COUNT by model, a month, all subjects", "count", month),
    total("subject-by-model", "COUNT by model, a month, one subject", "count", month, one),
    total("unique-users", "UNIQUE_COUNT of users, a month", "users", month),
    { ...total("unique-users-renewed", "the same, each after a new event", "users", month), isRenewed: true },
    total("latest", "LATEST, the month until now", "latest", untilUnique),
    windowed("filtered", "SUM by day, a month, one model", "DAY", month, { model: MODELS[0] ?? "" }),
    total("unaligned", "SUM, 24 days, bounds off the minute", "tokens", odd),
    windowed("zone", "SUM by day, a month, UTC+05:30", "DAY", india, { timeZone: "Asia/Kolkata" }),
    windowed("last-day", "SUM by hour, last 24 hours", "HOUR", day),
    windowed("hour-by-minute", "SUM by minute, one hour", "MINUTE", hour),
    total("customer", "SUM, 24 days off the minute, 3 subjects", "tokens", odd, three),
  ];
}

/** The product's answer in comparable form. */
export function ourAnswer(shape: Shape, body: string): Answer {
  const { data }: { data: readonly { value: number; windowStart: string; groupBy: Record<string, string> }[] } =
    JSON.parse(body);
  return gathered(data, (row) => ({
    value: row.value,
    key: shape.by.map((part) => (part === "window" ? seconds(row.windowStart) : row.groupBy["model"])).join("/"),
  }));
}

/** The reference table's answer in comparable form. */
export function referenceAnswer(shape: Shape, rows: readonly SqlRow[]): Answer {
  return gathered(rows, (row) => ({
    value: Number(row["value"]),
    key: shape.by
      .map((part) => (part === "window" ? windowSeconds(row["windowstart"]) : String(row["model"])))
      .join("/"),
  }));
}

/** Windows of days are dates, those of hours and minutes instants. */
function windowSeconds(start: unknown): number {
  return typeof start === "string" && start.includes("-") ? seconds(`${start}T00:00:00Z`) : Number(start);
}

function gathered<T>(rows: readonly T[], read: (row: T) => { value: number; key: string }): Answer {
  const values = new Map<string, number>();
  for (const row of rows) {
    const { value, key } = read(row);
    values.set(key, (values.get(key) ?? 0) + value);
  }
  return values;
}
