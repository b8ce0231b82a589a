/**
 * The HTTP server: request ids, one log line per request, ingest, event streams, the operations, the reference page, probes and metrics;
 * and an orderly end.
 */

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { openApiDocument, type Operation } from "@tallystick/contract";
import type { Hono } from "hono";
import { Fault } from "../kernel/fault.ts";
import { Connections } from "./connections.ts";
import { docsAssets, docsPage } from "./docs-page.ts";
import { EventStreams, type EventStreamOptions } from "./event-stream.ts";
import { createIngest, type IngestOptions } from "./ingest.ts";
import { problemReply } from "./problem.ts";
import { closeRouter, createRouter, type RouterEnv } from "./router.ts";

/** Where events are sent. */
const INGEST_PATH = "/api/v1/events";
/** Where events are watched as they are accepted. */
const STREAM_PATH = "/api/v1/events/stream";
/** Longer than the idle timeout of common load balancers, so that it is never the server that closes first. */
const KEEP_ALIVE_MS = 65_000;
/** A request must have arrived completely after this time. */
const REQUEST_TIMEOUT_MS = 60_000;
/** Queries may name many subjects in the URL. */
const MAX_HEADER_BYTES = 64 * 1024;

/** What the access log and the metrics learn of a request. */
export interface RequestRecord {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly durationMs: number;
  /** The answer was an event stream: it took as long as the client wanted to watch. */
  readonly isStream: boolean;
}

export interface HttpServerOptions {
  readonly operations: readonly Operation[];
  /** Patterns of paths, such as `/api/v1/x/*`, which pages of every origin may read. */
  readonly crossOriginPaths: readonly string[];
  readonly ingest: IngestOptions;
  readonly eventStream: EventStreamOptions;
  /** The JSON text that answers a GET of this path, without a query, with 200; null: ask the operations. */
  readonly answerNow: (path: string) => string | null;
  /** Resolves when every engine answers; rejects with the reason otherwise. */
  readonly checkReadiness: () => Promise<void>;
  readonly metrics: { readonly contentType: string; readonly text: () => Promise<string> };
  readonly version: string;
  readonly onRequest: (record: RequestRecord) => void;
  readonly onError: (error: unknown, requestId: string) => void;
}

export interface HttpServer {
  /** Starts to listen; resolves with the port. Rejects when the address is taken. */
  listen(host: string, port: number): Promise<number>;
  /** Answers the probe with 503 from now on, so that load balancers look elsewhere. */
  refuseReadiness(): void;
  /** Takes no new connections, ends streams at once, lets other requests finish for at most `graceMs`, closes all. */
  close(graceMs: number): Promise<void>;
}

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const ids = new WeakMap<IncomingMessage, string>();
  const requestId = (incoming: IncomingMessage): string => ids.get(incoming) ?? "unknown";
  const state = { isDraining: false };
  const app = createRouter({
    operations: options.operations,
    crossOriginPaths: options.crossOriginPaths,
    requestId,
    onError: options.onError,
  });
  addPlainRoutes(app, options, state);
  closeRouter(
    app,
    new Map([
      [INGEST_PATH, ["POST"]],
      [STREAM_PATH, ["GET"]],
    ]),
  );
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  const ingest = createIngest(options.ingest);
  const streams = new EventStreams(options.eventStream, options.onError);

  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const startedMs = performance.now();
    const id = chooseRequestId(request.headers["x-request-id"]);
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const method = request.method ?? "GET";
    connections.begin(request, response);
    if (state.isDraining) response.setHeader("connection", "close");
    response.once("close", () => {
      const durationMs = performance.now() - startedMs;
      const status = response.statusCode;
      const isStream = path === STREAM_PATH && status === 200;
      options.onRequest({ requestId: id, method, path, status, durationMs, isStream });
    });
    const refuse = (error: unknown): void => {
      if (!(error instanceof Fault)) options.onError(error, id);
      sendProblem(request, response, error, id);
    };
    // A URL without a query is its path.
    const known = method === "GET" && path === request.url ? answerNow(options, path, id) : null;
    if (known !== null) {
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(known) });
      response.end(known);
    } else if (method === "POST" && path === INGEST_PATH) {
      ingest(request, response).catch(refuse);
    } else if (method === "GET" && path === STREAM_PATH) {
      streams.serve(request, response, id).catch(refuse);
    } else {
      ids.set(request, id);
      void listener(request, response);
    }
  };
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: REQUEST_TIMEOUT_MS, maxHeaderSize: MAX_HEADER_BYTES },
    serve,
  );
  const connections = new Connections(server);
  return {
    listen: (host, port) => listen(server, host, port),
    refuseReadiness: () => {
      state.isDraining = true;
    },
    close: async (graceMs) => {
      state.isDraining = true;
      await streams.close();
      await connections.close(graceMs);
    },
  };
}

/** A defect in what answers from memory is told, and the operations answer. */
function answerNow(options: HttpServerOptions, path: string, id: string): string | null {
  try {
    return options.answerNow(path);
  } catch (error) {
    options.onError(error, id);
    return null;
  }
}

/** Takes the client's id if it is a short printable word, else makes one. */
function chooseRequestId(header: string | string[] | undefined): string {
  return typeof header === "string" && /^[\x21-\x7e]{1,128}$/.test(header) ? header : randomUUID();
}

function sendProblem(request: IncomingMessage, response: ServerResponse, error: unknown, id: string): void {
  if (response.headersSent || response.destroyed) return;
  const reply = problemReply(error, id);
  // What is left of the body is not read: the connection cannot be used again.
  const isUnread = !request.complete;
  response.writeHead(reply.status, { ...reply.headers, ...(isUnread ? { connection: "close" } : {}) });
  response.end(reply.body);
  if (isUnread) request.resume();
}

function addPlainRoutes(app: Hono<RouterEnv>, options: HttpServerOptions, state: { isDraining: boolean }): void {
  const document = JSON.stringify(openApiDocument());
  const json = { "content-type": "application/json" };
  app.get("/healthz/live", () => new Response(`{"status":"ok"}`, { headers: json }));
  app.get("/healthz/ready", async () => {
    if (state.isDraining)
      throw new Fault("unavailable", "draining", "the server is shutting down", { retryAfterSeconds: 5 });
    await options.checkReadiness();
    return new Response(`{"status":"ok"}`, { headers: json });
  });
  app.get("/metrics", async () => {
    return new Response(await options.metrics.text(), { headers: { "content-type": options.metrics.contentType } });
  });
  const version = JSON.stringify({ version: options.version, os: process.platform, arch: process.arch });
  app.get("/version", () => new Response(version, { headers: json }));
  app.get("/api/openapi.json", () => new Response(document, { headers: json }));
  app.get("/api/swagger.json", () => new Response(document, { headers: json }));
  const html = { "content-type": "text/html; charset=utf-8" };
  app.get("/docs", () => new Response(docsPage(), { headers: html }));
  app.get("/", (context) => context.redirect("/docs"));
  for (const [name, asset] of docsAssets()) {
    const headers = {
      "content-type": asset.contentType,
      "content-encoding": asset.contentEncoding,
      "cache-control": "public, max-age=86400",
    };
    app.get(`/docs/assets/${name}`, async () => new Response(new Uint8Array(await readFile(asset.path)), { headers }));
  }
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  return await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
