/**
 * The contract of Tallystick's HTTP API: schemas, route declarations and the document made from them; no handlers.
 *
 * This is the package's only entry. Types are what a schema gives after parsing, `...Schema` validates, `...Route` declares
 * an operation for `OpenAPIHono.openapi(route, handler)`.
 */
export * from "./customer-lists.ts";
export * from "./customers.ts";
export * from "./events.ts";
export { type ExactBody, ExactNumber, exactNumber, exactNumberSchema, parseJsonExactly } from "./exact-number.ts";
export * from "./features.ts";
export * from "./filters.ts";
export * from "./handling.ts";
export * from "./identifiers.ts";
export * from "./info.ts";
export * from "./instants.ts";
export { type InvoiceBody, invoiceSchema } from "./invoices/invoice.ts";
export { type ValidationIssue, fieldPath, validationIssues } from "./issues.ts";
export * from "./leases.ts";
export * from "./meter-query.ts";
export * from "./meters.ts";
export * from "./notification-channels.ts";
export * from "./notification-events.ts";
export * from "./notification-rules.ts";
export { type OpenApiDocument, openApiDocument, routes } from "./openapi.ts";
export * from "./operations.ts";
export { type ListPart, listPart, sortOrderSchema } from "./pagination.ts";
export * from "./portal.ts";
export { type Problem, problemSchema, validationErrorSchema } from "./problem.ts";
export { queryRecord } from "./query-string.ts";
export * from "./reservations.ts";
export * from "./subjects.ts";
export * from "./customer-entitlements.ts";
export * from "./entitlement-balances.ts";
export * from "./entitlement-grants.ts";
export * from "./subject-entitlements.ts";
export * from "./entitlements.ts";
