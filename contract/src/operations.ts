/**
 * Operations: what the people and machines that run the server ask it.
 *
 * None of these routes takes parameters, needs authentication or touches usage data, so probes and scrapers stay cheap.
 */
import { createRoute, z } from "@hono/zod-openapi";
import { problemResponses } from "./problem.ts";

export const healthSchema = z
  .object({
    status: z.literal("ok").openapi({ description: "Always `ok`; trouble is answered with another HTTP status." }),
  })
  .openapi("Health", { description: "The server is well." });

/** The body of a healthy answer. */
export type Health = z.output<typeof healthSchema>;

export const versionSchema = z
  .object({
    version: z.string().openapi({ description: "Version of Tallystick.", example: "0.1.0" }),
    os: z.string().openapi({ description: "Operating system that the server runs on.", example: "linux" }),
    arch: z.string().openapi({ description: "Processor architecture.", example: "x64" }),
  })
  .openapi("Version", { description: "What is running." });

/** What is running. */
export type Version = z.output<typeof versionSchema>;

const apiDocumentSchema = z.record(z.string(), z.unknown()).openapi("OpenAPIDocument", {
  additionalProperties: true,
  description: "An OpenAPI 3.0 document.",
});

export const livenessRoute = createRoute({
  method: "get",
  path: "/healthz/live",
  operationId: "getLiveness",
  tags: ["Operations"],
  summary: "Is the process alive?",
  description: "Answers as long as the process can answer at all. Restart the process when it does not.",
  responses: {
    200: { description: "Alive.", content: { "application/json": { schema: healthSchema } } },
    ...problemResponses([500]),
  },
});

export const readinessRoute = createRoute({
  method: "get",
  path: "/healthz/ready",
  operationId: "getReadiness",
  tags: ["Operations"],
  summary: "Can the server take requests?",
  description:
    "Answers 200 when every part that this server needs (event log, event store, state store) works, and 503 while it " +
    "starts, drains or waits for one of them. Send no traffic meanwhile; do not restart.",
  responses: {
    200: { description: "Ready.", content: { "application/json": { schema: healthSchema } } },
    ...problemResponses([500, 503], { 503: "Not ready; `detail` names the part that is missing." }),
  },
});

export const metricsRoute = createRoute({
  method: "get",
  path: "/metrics",
  operationId: "getMetrics",
  tags: ["Operations"],
  summary: "Metrics of the server",
  description:
    "Counters and gauges of the server itself, in the Prometheus text format. All names start with `tallystick_`, " +
    "except those of the runtime.",
  responses: {
    200: {
      description: "Metrics, one a line.",
      content: {
        "text/plain": {
          schema: z.string().openapi({
            description: "Prometheus text format.",
            example: 'tallystick_ingest_duplicates_total{namespace="default"} 3\n',
          }),
        },
      },
    },
    ...problemResponses([500]),
  },
});

export const versionRoute = createRoute({
  method: "get",
  path: "/version",
  operationId: "getVersion",
  tags: ["Operations"],
  summary: "Version of the server",
  description: "What is running and on which platform.",
  responses: {
    200: { description: "The version.", content: { "application/json": { schema: versionSchema } } },
    ...problemResponses([500]),
  },
});

const documentResponses = {
  200: { description: "The document.", content: { "application/json": { schema: apiDocumentSchema } } },
  ...problemResponses([500]),
};

export const apiDocumentRoute = createRoute({
  method: "get",
  path: "/api/openapi.json",
  operationId: "getOpenApiDocument",
  tags: ["Operations"],
  summary: "This document",
  description: "The OpenAPI document of this API, for client generators and for the reference page at `/docs`.",
  responses: documentResponses,
});

export const swaggerDocumentRoute = createRoute({
  method: "get",
  path: "/api/swagger.json",
  operationId: "getSwaggerDocument",
  tags: ["Operations"],
  summary: "This document, under its customary name",
  description: "The same document as `/api/openapi.json`, for tools that look for it here.",
  responses: documentResponses,
});
