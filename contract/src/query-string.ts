/**
 * Query strings: from the flat text of a URL to the values that schemas describe.
 *
 * A query string knows only repeated text. The schemas made here accept what `hono` hands over (a string, or an array of
 * strings when a parameter is repeated) and describe in the API document the value that the text stands for. Every
 * conversion is strict: text that is not exactly the value (`limit=`, `limit=1e1`, `includeDeleted=1`) reaches the inner
 * schema unchanged and is rejected there by name.
 */
import { z } from "@hono/zod-openapi";

/** A sentence for text that is not `what`; bounds keep their own sentence. */
function unless(what: string): (issue: z.core.$ZodRawIssue) => string | undefined {
  return (issue) => (issue.code === "invalid_type" ? `must be ${what}, not ${JSON.stringify(issue.input)}` : undefined);
}

/** Whole number written in decimal digits, from `min` to `max`; `fallback` when the parameter is absent. */
export function integerParameter(bounds: { min: number; max?: number; fallback: number }, description: string) {
  return wholeNumber(bounds).default(bounds.fallback).openapi({ description });
}

/** As `integerParameter`, but undefined when the parameter is absent; `initial` is what the absence stands for. */
export function optionalIntegerParameter(bounds: { min: number; max?: number; initial: number }, description: string) {
  return wholeNumber(bounds).optional().openapi({ description, default: bounds.initial });
}

function wholeNumber(bounds: { min: number; max?: number }) {
  const value = z.int({ error: unless("a whole number in decimal digits") }).min(bounds.min);
  return z.preprocess(
    (input) => (typeof input === "string" && /^-?[0-9]{1,15}$/.test(input) ? Number(input) : input),
    bounds.max === undefined ? value : value.max(bounds.max),
  );
}

/** `true` or `false`; `false` when the parameter is absent. */
export function booleanParameter(description: string) {
  return z
    .preprocess(
      (input) => (input === "true" ? true : input === "false" ? false : input),
      z.boolean({ error: unless("true or false") }),
    )
    .default(false)
    .openapi({ description });
}

/** A parameter that may be repeated (`subject=a&subject=b`); one occurrence makes an array of one. */
export function repeatedParameter<Item extends z.ZodType>(
  item: Item,
  documentation: { description: string; example?: z.input<Item>[] },
  limits: { maxItems?: number } = {},
) {
  const items = z.array(item);
  return z
    .preprocess(
      (input) => (input === undefined || Array.isArray(input) ? input : [input]),
      limits.maxItems === undefined ? items : items.max(limits.maxItems),
    )
    .optional()
    .openapi({ ...documentation, param: { style: "form", explode: true } });
}

/**
 * A parameter whose text is JSON. In the API document it has `content` instead of `schema`; the `content` of the
 * metadata is a mark, which `openapi.ts` replaces by the schema of `value`.
 */
export function jsonParameter<Value extends z.ZodType>(value: Value, description: string, example: unknown) {
  return z
    .preprocess((input, context) => {
      if (typeof input !== "string") return input;
      try {
        return JSON.parse(input) as unknown;
      } catch (error) {
        context.addIssue({
          code: "custom",
          message: `${JSON.stringify(input)} is not valid JSON: ${String(error)}; send a JSON object, percent-encoded`,
        });
        return z.NEVER;
      }
    }, value)
    .optional()
    .openapi({ param: { description, content: { "application/json": { example } } } });
}

/**
 * Gathers `name[key]=value` parameters into one object, as OpenAPI's `deepObject` style means them, one level deep:
 * `{"filterGroupBy[model]": "gpt"}` becomes `{filterGroupBy: {model: "gpt"}}`. Other parameters are left alone.
 */
export function gatherDeepObject(query: unknown, name: string): unknown {
  if (typeof query !== "object" || query === null) return query;
  const gathered: [string, unknown][] = [];
  const others: [string, unknown][] = [];
  for (const [key, value] of Object.entries(query)) {
    const isMember = key.startsWith(`${name}[`) && key.endsWith("]");
    if (isMember) gathered.push([key.slice(name.length + 1, -1), value]);
    else others.push([key, value]);
  }
  if (gathered.length === 0) return query;
  return Object.fromEntries([...others, [name, Object.fromEntries(gathered)]]);
}

/**
 * A query string as the record that the query schemas take: a string, or an array of strings for a repeated parameter.
 * For callers without `hono`.
 */
export function queryRecord(search: URLSearchParams): Record<string, string | string[]> {
  const names = new Set(search.keys());
  const entries = [...names].map((name): [string, string | string[]] => {
    const [first, ...rest] = search.getAll(name);
    return [name, first !== undefined && rest.length === 0 ? first : search.getAll(name)];
  });
  return Object.fromEntries(entries);
}
