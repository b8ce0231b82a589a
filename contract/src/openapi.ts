/**
 * The OpenAPI document, built from the routes: a pure function without I/O.
 *
 * `generate.ts` writes it to `openapi.json`, which is committed, so that every change of the API is seen in review; a test
 * fails while the file and the routes disagree.
 */
import { OpenAPIHono, type RouteConfig } from "@hono/zod-openapi";
import manifest from "../package.json" with { type: "json" };
import { madeComponents } from "./components.ts";
import { customerEntitlementRoutes } from "./customer-entitlements.ts";
import { customerListRoutes, customerSubscriptionOrderBySchema } from "./customer-lists.ts";
import { currencyCodeSchema, customerOrderBySchema, customerRoutes } from "./customers.ts";
import {
  eventSchema,
  ingestEventsRoute,
  listEventConflictsRoute,
  listEventsRoute,
  listEventsV2Route,
  streamedEventSchema,
  streamEventsRoute,
} from "./events.ts";
import { featureOrderBySchema, featureRoutes } from "./features.ts";
import { filterIdExactSchema, filterStringSchema, filterTimeSchema } from "./filters.ts";
import { debugMetricsRoute, getProgressRoute, listCurrenciesRoute } from "./info.ts";
import { holdRoutes } from "./leases.ts";
import { queryMeterPostRoute, queryMeterRoute, windowSizeSchema } from "./meter-query.ts";
import {
  createMeterRoute,
  deleteMeterRoute,
  getMeterRoute,
  listMeterGroupByValuesRoute,
  listMeterSubjectsRoute,
  listMetersRoute,
  meterAggregationSchema,
  meterOrderBySchema,
  updateMeterRoute,
} from "./meters.ts";
import { notificationRoutes } from "./notifications.ts";
import {
  apiDocumentRoute,
  livenessRoute,
  metricsRoute,
  readinessRoute,
  swaggerDocumentRoute,
  versionRoute,
} from "./operations.ts";
import { sortOrderSchema } from "./pagination.ts";
import { portalRoutes } from "./portal.ts";
import { problemSchema, validationErrorSchema } from "./problem.ts";
import { subjectEntitlementRoutes } from "./subject-entitlements.ts";
import { deleteSubjectRoute, getSubjectRoute, listSubjectsRoute, upsertSubjectRoute } from "./subjects.ts";

/** An OpenAPI 3.0 document as a plain JSON value. */
export type OpenApiDocument = ReturnType<OpenAPIHono["getOpenAPIDocument"]>;

/** Every documented route, in the order of the reference page. */
export const routes: readonly RouteConfig[] = [
  ingestEventsRoute,
  listEventsRoute,
  listEventsV2Route,
  listEventConflictsRoute,
  streamEventsRoute,
  listMetersRoute,
  createMeterRoute,
  getMeterRoute,
  updateMeterRoute,
  deleteMeterRoute,
  listMeterSubjectsRoute,
  listMeterGroupByValuesRoute,
  queryMeterRoute,
  queryMeterPostRoute,
  listSubjectsRoute,
  upsertSubjectRoute,
  getSubjectRoute,
  deleteSubjectRoute,
  ...Object.values(customerRoutes),
  ...Object.values(customerListRoutes),
  ...Object.values(featureRoutes),
  ...customerEntitlementRoutes,
  ...subjectEntitlementRoutes,
  ...notificationRoutes,
  ...holdRoutes,
  ...Object.values(portalRoutes),
  listCurrenciesRoute,
  getProgressRoute,
  debugMetricsRoute,
  livenessRoute,
  readinessRoute,
  metricsRoute,
  versionRoute,
  apiDocumentRoute,
  swaggerDocumentRoute,
];

/**
 * Shared schemas, leaves first. The generator takes a component's description from the first place where it meets the
 * schema, and that place may have its own words for it; meeting them here first keeps each component's own.
 */
const components = {
  ValidationError: validationErrorSchema,
  Problem: problemSchema,
  SortOrder: sortOrderSchema,
  WindowSize: windowSizeSchema,
  MeterAggregation: meterAggregationSchema,
  MeterOrderBy: meterOrderBySchema,
  CurrencyCode: currencyCodeSchema,
  CustomerOrderBy: customerOrderBySchema,
  CustomerSubscriptionOrderBy: customerSubscriptionOrderBySchema,
  FeatureOrderBy: featureOrderBySchema,
  FilterString: filterStringSchema,
  FilterTime: filterTimeSchema,
  FilterIDExact: filterIdExactSchema,
  Event: eventSchema,
  StreamedEvent: streamedEventSchema,
};

const DESCRIPTION = `Tallystick counts usage and bills for it. Send **events**, define **meters** over them, **query** usage.

## Quick start

\`npm start\` serves this API on port 8888. Define a meter:

\`\`\`sh
curl -X POST http://localhost:8888/api/v1/meters \\
  -H 'Content-Type: application/json' \\
  -d '{"slug": "tokens_total", "eventType": "prompt", "aggregation": "SUM",
       "valueProperty": "$.tokens", "groupBy": {"model": "$.model"}}'
\`\`\`

Send an event; the answer is 204, and the event is on disk:

\`\`\`sh
curl -X POST http://localhost:8888/api/v1/events \\
  -H 'Content-Type: application/cloudevents+json' \\
  -d '{"specversion": "1.0", "id": "request-1", "source": "chat-service", "type": "prompt",
       "subject": "customer-1", "data": {"model": "gpt-5", "tokens": 1250}}'
\`\`\`

Ask for the usage, by model:

\`\`\`sh
curl 'http://localhost:8888/api/v1/meters/tokens_total/query?groupBy=model'
\`\`\`

## Conventions

- **Times** are RFC 3339 with an offset (\`2026-01-15T10:00:00Z\`), answered in UTC, with a fraction only when there is one. Periods are half-open: the start belongs to a period, its end does not.
- **Errors** are \`application/problem+json\`. \`detail\` names the field and the fix; \`extensions.validationErrors\` lists every violation.
- **Unknown fields** of a request body are ignored, and so are read-only fields.
- **Repeating** a request that failed is safe: an event counts once, however often it is sent.
- **Authentication**: none, except that queries of the portal need a portal token. Put the server behind your own gateway if others can reach it.
`;

const TAGS = [
  { name: "Events", description: "What happened: send events, see what arrived and why something does not count." },
  { name: "Meters", description: "How events become numbers: define meters and look at what they cover." },
  { name: "Usage", description: "How much was used: query meters by period, window and group." },
  { name: "Customers", description: "Whose usage it is: who uses your product and is billed for it." },
  { name: "Subjects", description: "What is known about whoever caused usage, besides their events." },
  { name: "Product Catalog", description: "What you sell: features that customers can use." },
  { name: "Entitlements", description: "What a customer may use, how much of it is left, and since when." },
  {
    name: "Notifications",
    description: "Webhooks when a balance crosses a threshold, a usage period starts anew or an invoice changes.",
  },
  { name: "Reservations", description: "Holding an amount before the work is done, and lending slices of a balance." },
  { name: "Portal", description: "Lets your customers' browsers read their own usage, with short-lived tokens." },
  { name: "Lookup Information", description: "What the server knows: currencies, and how far long queries have got." },
  { name: "Debug", description: "Whether events arrive." },
  { name: "Operations", description: "Running the server: health, metrics, version and this document." },
];

type DocumentParameter = Extract<
  NonNullable<NonNullable<OpenApiDocument["paths"][string]["get"]>["parameters"]>[number],
  { name: string }
>;

/**
 * Finishes a parameter: text in JSON gets its schema under `content`, where OpenAPI wants it, and a description that the
 * generator wrote both on the parameter and into its schema stays on the parameter only.
 */
function finishParameter(parameter: DocumentParameter): DocumentParameter {
  const { schema, content, ...rest } = parameter;
  if (content !== undefined) {
    const media = Object.entries(content).map(([type, value]) => [type, { schema, ...value }]);
    return { ...rest, content: Object.fromEntries(media) };
  }
  if (schema === undefined || "$ref" in schema || schema.description !== rest.description) return parameter;
  const { description: _, ...plain } = schema;
  return { ...rest, schema: plain };
}

function finishParameters(document: OpenApiDocument): OpenApiDocument {
  const paths = Object.entries(document.paths).map(([path, item]) => [
    path,
    Object.fromEntries(
      Object.entries(item as Record<string, { parameters?: DocumentParameter[] }>).map(([method, operation]) => [
        method,
        operation.parameters === undefined
          ? operation
          : { ...operation, parameters: operation.parameters.map(finishParameter) },
      ]),
    ),
  ]);
  return { ...document, paths: Object.fromEntries(paths) as OpenApiDocument["paths"] };
}

/** Builds the OpenAPI 3.0 document of the whole API; the same routes give the same document. */
export function openApiDocument(): OpenApiDocument {
  const app = new OpenAPIHono();
  for (const [name, schema] of [...Object.entries(components), ...madeComponents()])
    app.openAPIRegistry.register(name, schema);
  app.openAPIRegistry.registerComponent("securitySchemes", "PortalTokenAuth", { type: "http", scheme: "bearer" });
  for (const route of routes) app.openAPIRegistry.registerPath(route);
  return finishParameters(
    app.getOpenAPIDocument({
      openapi: "3.0.3",
      info: {
        title: "Tallystick API",
        version: manifest.version,
        description: DESCRIPTION,
        license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
      },
      servers: [{ url: "/", description: "The server that serves this document." }],
      tags: TAGS,
    }),
  );
}
