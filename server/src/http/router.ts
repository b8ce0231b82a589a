/**
 * Operations behind hono: checks each request against its route's schemas, calls the handler and sends its answer.
 * Unknown routes, wrong methods and every thrown error end as problem bodies.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import {
  type Operation,
  type OperationRequest,
  parseJsonExactly,
  queryRecord,
  validationIssues,
} from "@tallystick/contract";
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import type { StatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import { Fault } from "../kernel/fault.ts";
import { problemReply } from "./problem.ts";

/** Bodies of all operations but ingest. */
const MAX_BODY_BYTES = 1024 * 1024;

export interface RouterEnv {
  Bindings: { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse };
}

export interface RouterOptions {
  readonly operations: readonly Operation[];
  /** Patterns of paths, such as `/api/v1/x/*`, which pages of every origin may read. */
  readonly crossOriginPaths: readonly string[];
  /** The id under which the request is logged. */
  readonly requestId: (incoming: IncomingMessage) => string;
  /** Called with errors that are no faults: defects and failures of the engines. */
  readonly onError: (error: unknown, requestId: string) => void;
}

/** Answers preflights, and names the origin that asked: browsers send credentials to no server that allows just any. */
const crossOrigin = cors({
  origin: (origin) => origin,
  allowMethods: ["GET", "OPTIONS"],
  allowHeaders: ["Accept", "Authorization", "Content-Type"],
  credentials: true,
  maxAge: 1_728_000,
});

/** Builds the application; further plain routes may be added to it before it serves. */
export function createRouter(options: RouterOptions): Hono<RouterEnv> {
  const app = new Hono<RouterEnv>();
  // Before the operations, so that what browsers need to read an answer is on refusals too.
  for (const path of options.crossOriginPaths) app.use(path, crossOrigin);
  for (const operation of options.operations) {
    const path = operation.route.path.replaceAll(/\{(\w+)\}/g, ":$1");
    app.on(operation.route.method.toUpperCase(), path, (context) => answer(operation, context));
  }
  app.onError((error, context) => {
    const requestId = options.requestId(context.env.incoming);
    if (!(error instanceof Fault) || error.kind === "internal") options.onError(error, requestId);
    const reply = problemReply(error, requestId);
    // The context's own way of making a response keeps headers that were set before the error, such as Allow.
    return context.newResponse(reply.body, reply.status as StatusCode, reply.headers);
  });
  return app;
}

/** Adds the answers to wrong methods and unknown routes; after all other routes. */
export function closeRouter(app: Hono<RouterEnv>, extraMethods: ReadonlyMap<string, readonly string[]>): void {
  const methods = new Map<string, Set<string>>();
  for (const route of app.routes) {
    if (route.method !== "ALL") methods.set(route.path, (methods.get(route.path) ?? new Set()).add(route.method));
  }
  for (const [path, extra] of extraMethods) {
    methods.set(path, new Set([...(methods.get(path) ?? []), ...extra]));
  }
  for (const [path, allowed] of methods) {
    app.all(path, (context) => {
      context.header("Allow", [...allowed].join(", "));
      const message = `${context.req.method} is not allowed here; use ${[...allowed].join(" or ")}`;
      throw new Fault("method_not_allowed", "method_not_allowed", message);
    });
  }
  app.notFound((context) => {
    throw new Fault(
      "not_found",
      "route_not_found",
      `there is no route ${context.req.path}; the API is described at /docs`,
    );
  });
}

async function answer(operation: Operation, context: Context<RouterEnv>): Promise<Response> {
  const schemas = operation.route.request;
  const header = (name: string): string | undefined => context.req.header(name);
  const pass = await operation.admit?.(header);
  const query = queryRecord(new URL(context.req.url).searchParams);
  const request: OperationRequest<unknown> = {
    params: parsePart(schemas?.params, context.req.param(), "path parameter"),
    query: parsePart(schemas?.query, query, "query parameter"),
    body: await parseBody(operation, context),
    header,
  } as OperationRequest<unknown>;
  const reply = await operation.handle(request, pass);
  return new Response(reply.body ?? null, {
    status: reply.status,
    headers: { ...(reply.contentType === undefined ? {} : { "content-type": reply.contentType }), ...reply.headers },
  });
}

async function parseBody(operation: Operation, context: Context<RouterEnv>): Promise<unknown> {
  const media = operation.route.request?.body?.content["application/json"];
  if (media === undefined) return undefined;
  const mediaType = context.req.header("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (mediaType !== "application/json") {
    const found = mediaType === "" ? "none was sent" : JSON.stringify(mediaType);
    throw new Fault("validation", "invalid_content_type", `invalid content type: ${found}; use application/json`);
  }
  let value: unknown;
  try {
    value = parseJsonExactly(await readText(context.env.incoming));
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault(
      "validation",
      "invalid_json",
      `invalid JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return parsePart("schema" in media ? media.schema : undefined, value, "request body");
}

/** The body as text. Reads Node's own stream, which knows the size of a body that was not announced only as it comes. */
async function readText(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = Number(incoming.headers["content-length"] ?? 0);
  if (size <= MAX_BODY_BYTES) {
    size = 0;
    // Leaving the loop must not destroy the request: the connection still has to carry the answer.
    for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
      const bytes: Buffer = chunk;
      size += bytes.length;
      if (size > MAX_BODY_BYTES) break;
      chunks.push(bytes);
    }
  }
  if (size <= MAX_BODY_BYTES) return Buffer.concat(chunks).toString();
  throw new Fault("too_large", "body_too_large", `the request body is larger than ${MAX_BODY_BYTES} bytes`);
}

/** A query string by a route's schema; for requests that do not go through the router. Fault: `invalid_request`. */
export function parseQuery<Schema extends z.ZodType>(schema: Schema, search: URLSearchParams): z.output<Schema> {
  return parse(schema, queryRecord(search), "query parameter");
}

function parsePart(schema: unknown, value: unknown, part: string): unknown {
  return isSchema(schema) ? parse(schema, value, part) : undefined;
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, part: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = validationIssues(result.error);
  throw new Fault("validation", "invalid_request", `${part}: ${issues.map((issue) => issue.message).join("; ")}`, {
    fields: issues,
  });
}

function isSchema(schema: unknown): schema is z.ZodType {
  return typeof schema === "object" && schema !== null && "safeParse" in schema;
}
