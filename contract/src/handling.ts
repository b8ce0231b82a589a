/**
 * What a handler of an operation gets and gives: the values that the route's schemas describe, and a finished answer.
 *
 * A server module declares its operations as data with `operation`; whoever serves them checks the request against the
 * route's schemas before the handler sees it. Handlers know neither the HTTP library nor the error format.
 */
import type { RouteConfig, z } from "@hono/zod-openapi";

type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

type BodySchema<Route> = Route extends {
  request: { body: { content: { "application/json": { schema: infer Schema } } } };
}
  ? Schema
  : undefined;

type Part<Route, Name extends string> = Route extends { request: { [Key in Name]: infer Schema } } ? Schema : undefined;

/** A request that fits its route: every part parsed by the route's schema. */
export interface OperationRequest<Route> {
  readonly params: Output<Part<Route, "params">>;
  readonly query: Output<Part<Route, "query">>;
  readonly body: Output<BodySchema<Route>>;
  /** A request header by its lower-case name. */
  readonly header: (name: string) => string | undefined;
}

/** A finished answer. */
export interface OperationReply {
  readonly status: number;
  /** Absent when there is no body. */
  readonly contentType?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request header by its lower-case name. */
export type Header = OperationRequest<unknown>["header"];

/** A route together with what answers it. */
export interface Operation {
  readonly route: RouteConfig;
  /** Called before anything else of the request is looked at; throws to refuse it. What it resolves with goes to `handle`. */
  readonly admit?: (header: Header) => Promise<unknown>;
  readonly handle: (request: OperationRequest<unknown>, pass?: unknown) => Promise<OperationReply>;
}

/** Ties a handler to its route; the handler's parameter has the types that the route's schemas describe. */
export function operation<const Route extends RouteConfig>(
  route: Route,
  handle: (request: OperationRequest<Route>) => Promise<OperationReply>,
): Operation {
  // The server parses each part with the schemas of this very route, so the parts have the types of `Route`.
  return { route, handle };
}

/** As `operation`, for a route that not everyone may use: `admit` decides, and its result is handed to the handler. */
export function guardedOperation<const Route extends RouteConfig, Pass>(
  route: Route,
  admit: (header: Header) => Promise<Pass>,
  handle: (request: OperationRequest<Route>, pass: Pass) => Promise<OperationReply>,
): Operation {
  // The server hands over what this very `admit` resolved with.
  return { route, admit, handle: (request, pass) => handle(request, pass as Pass) };
}

/** An answer with a JSON body. */
export function jsonReply(value: unknown, status = 200): OperationReply {
  return { status, contentType: "application/json", body: JSON.stringify(value) };
}
