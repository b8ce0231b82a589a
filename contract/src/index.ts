/**
 * The contract of Tallystick's HTTP API: schemas, route declarations and the document made from them; no handlers.
 *
 * This is the package's only entry. Types are what a schema gives after parsing, `...Schema` validates, `...Route` declares
 * an operation for `OpenAPIHono.openapi(route, handler)`.
 */
export * from "./events.ts";
export * from "./filters.ts";
export * from "./handling.ts";
export * from "./identifiers.ts";
export * from "./info.ts";
export * from "./instants.ts";
export { type ValidationIssue, fieldPath, validationIssues } from "./issues.ts";
export * from "./meter-query.ts";
export * from "./meters.ts";
export { type OpenApiDocument, openApiDocument, routes } from "./openapi.ts";
export * from "./operations.ts";
export { sortOrderSchema } from "./pagination.ts";
export { type Problem, problemSchema, validationErrorSchema } from "./problem.ts";
export { queryRecord } from "./query-string.ts";
export * from "./subjects.ts";
