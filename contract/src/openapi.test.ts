/**
 * The API document: the committed file is the one that the routes make, and a reader finds words about everything in it.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { madeComponents } from "./components.ts";
import { openApiDocument, routes } from "./index.ts";

type Json = Record<string, unknown>;

interface Parameter {
  name: string;
  in: string;
  description?: string;
  schema?: Json;
  content?: Record<string, { schema?: Json }>;
  style?: string;
  explode?: boolean;
}

interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: Parameter[];
  responses: Record<string, { description?: string; content?: Json }>;
}

const document = JSON.parse(JSON.stringify(openApiDocument())) as {
  tags: { name: string; description?: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json> };
};

const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, operation, id: operation.operationId ?? "" })),
);

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a reader finds words about this schema: its own, those of what it refers to, or those of a member of `allOf`. */
function isDescribed(schema: unknown): boolean {
  if (!isObject(schema)) return false;
  if (typeof schema["description"] === "string" && schema["description"].length > 10) return true;
  const reference = schema["$ref"];
  if (typeof reference === "string") return isDescribed(document.components.schemas[reference.split("/").at(-1) ?? ""]);
  return Array.isArray(schema["allOf"]) && schema["allOf"].some(isDescribed);
}

/** Places of all properties without a description, at any depth. */
function undescribedProperties(schema: unknown, place: string): string[] {
  if (Array.isArray(schema))
    return schema.flatMap((member, index) => undescribedProperties(member, `${place}[${index}]`));
  if (!isObject(schema)) return [];
  const properties = isObject(schema["properties"]) ? Object.entries(schema["properties"]) : [];
  const here = properties.filter(([, property]) => !isDescribed(property)).map(([name]) => `${place}.${name}`);
  const below = Object.entries(schema)
    .filter(([keyword]) => keyword !== "example")
    .flatMap(([keyword, member]) => undescribedProperties(member, `${place}.${keyword}`));
  return [...here, ...below];
}

describe("the committed document", () => {
  test("equals the one built from the routes; run `npm run openapi` after a change", () => {
    const committed: unknown = JSON.parse(readFileSync(new URL("../openapi.json", import.meta.url), "utf8"));
    expect(committed).toEqual(document);
  });

  test("is the same however often it is built", () => {
    expect(openApiDocument()).toEqual(openApiDocument());
  });
});

describe("operations", () => {
  test("are all there, once each", () => {
    expect(operations).toHaveLength(routes.length);
    expect(new Set(operations.map(({ id }) => id)).size).toBe(routes.length);
  });

  test.each(operations)("$id is described and tagged", ({ operation }) => {
    const tags = document.tags.map(({ name }) => name);
    expect(operation.operationId).toMatch(/^[a-z][A-Za-z0-9]+$/);
    expect(operation.summary).toBeTruthy();
    expect(operation.description?.length).toBeGreaterThan(20);
    expect(operation.tags).toHaveLength(1);
    expect(tags).toEqual(expect.arrayContaining(operation.tags ?? []));
  });

  // Routes outside /api take no input, so nothing about a request can be wrong.
  test.each(operations)("$id documents its failures", ({ path, operation }) => {
    const isWithInput = path.startsWith("/api/v");
    for (const status of isWithInput ? ["400", "500"] : ["500"]) {
      expect(Object.keys(operation.responses[status]?.content ?? {})).toEqual(["application/problem+json"]);
    }
    expect(Object.keys(operation.responses).some((status) => status.startsWith("2"))).toBe(true);
  });

  test.each(operations)("$id describes every parameter, and its path parameters are those of the path", (subject) => {
    const parameters = subject.operation.parameters ?? [];
    expect(parameters.filter(({ description }) => description === undefined).map(({ name }) => name)).toEqual([]);
    const inPath = [...subject.path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    expect(parameters.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(inPath);
  });
});

describe("schemas", () => {
  test("describe themselves and every property", () => {
    const schemas = Object.entries(document.components.schemas);
    expect(schemas.length).toBeGreaterThan(10);
    expect(schemas.filter(([, schema]) => !isDescribed(schema)).map(([name]) => name)).toEqual([]);
    expect(undescribedProperties(document, "$")).toEqual([]);
  });

  test("keep their own description where a property has other words for them", () => {
    expect(document.components.schemas["FilterString"]?.["description"]).toContain("exactly one operator");
    expect(document.components.schemas["Event"]?.["description"]).toContain("CloudEvent");
  });

  test("made as components say of themselves what they were made with, whatever fields say of them", () => {
    expect(madeComponents().size).toBeGreaterThan(90);
    for (const name of madeComponents().keys()) {
      const schema = document.components.schemas[name];
      expect(schema, name).toBeDefined();
      expect(["readOnly", "deprecated", "nullable", "default"].filter((word) => word in (schema ?? {}), name)).toEqual(
        [],
      );
    }
    expect(document.components.schemas["Numeric"]?.["description"]).toBe(
      "A decimal number in text, exact to the last digit.",
    );
    expect(document.components.schemas["InvoiceTotals"]?.["description"]).toContain("minor unit");
  });
});

describe("query parameters", () => {
  function parameter(path: string, name: string): Parameter | undefined {
    return document.paths[path]?.["get"]?.parameters?.find((one) => one.name === name);
  }
  const query = "/api/v1/meters/{meterIdOrSlug}/query";

  test.each(["subject", "groupBy", "filterCustomerId"])("%s is repeated", (name) => {
    expect(parameter(query, name)).toMatchObject({ style: "form", explode: true, schema: { type: "array" } });
  });

  test("filterGroupBy is a deep object of text", () => {
    expect(parameter(query, "filterGroupBy")).toMatchObject({
      style: "deepObject",
      schema: { type: "object", additionalProperties: { type: "string" } },
    });
  });

  test.each([
    [query, "advancedMeterGroupByFilters"],
    ["/api/v2/events", "filter"],
  ])("%s: %s is JSON", (path, name) => {
    const found = parameter(path, name);
    expect(found?.schema).toBeUndefined();
    expect(found?.content?.["application/json"]?.schema).toMatchObject({ type: "object" });
  });
});
